//! One place to pick from the board at: a reader, and the ring that its calls are reported to. Used by one thread at a
//! time, by a [`crate::Picker`] for good or by [`crate::Client::pick`] for a moment.

use crate::call::Chosen;
use crate::error::{ClientError, PickError};
use crate::link::Link;
use crate::outlet::Outlet;
use lars_board::{BoardReader, Choice, Picked};
use lars_wire::{ModuleId, NodeAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the board of the agent before is kept: what the new one does not know yet is picked from there.
const PREVIOUS_KEPT: Duration = Duration::from_mins(1);

/// What came of looking at the board.
pub(crate) enum Seen {
    /// A node, or that all are overloaded.
    Picked(Result<Chosen, PickError>),
    /// The board cannot tell: ask the agent.
    Absent,
}

/// One place.
pub(crate) struct Seat {
    link: Arc<Link>,
    epoch: u64,
    reader: Option<BoardReader>,
    previous: Option<(BoardReader, Instant)>,
    outlet: Arc<Outlet>,
}

impl Seat {
    /// A place with a ring of its own; none where there is no memory for one.
    pub(crate) fn new(link: &Arc<Link>) -> Option<Self> {
        let outlet = link.check_out()?;
        Some(Self {
            link: Arc::clone(link),
            epoch: 0,
            reader: None,
            previous: None,
            outlet,
        })
    }

    /// Where calls of this place report to.
    #[inline]
    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Picks from the board in force where that is known here: the way of nearly all picks, without a detour. Absent
    /// means [`Self::pick`] besides.
    #[inline]
    pub(crate) fn glance(&mut self, module: ModuleId) -> Picked {
        match &mut self.reader {
            Some(reader) if self.link.epoch() == self.epoch => reader.pick(module, &[]),
            _ => Picked::Absent,
        }
    }

    /// Picks from the board.
    pub(crate) fn pick(
        &mut self,
        module: ModuleId,
        key: Option<u64>,
        avoid: &[NodeAddr],
    ) -> Result<Seen, ClientError> {
        if self.link.epoch() != self.epoch {
            self.change()?;
        }
        let Some(reader) = &mut self.reader else {
            return Ok(Seen::Absent);
        };
        Ok(seen(module, reader.pick_keyed(module, key, avoid)))
    }

    /// Picks from the board of the agent before, as long as it is kept.
    pub(crate) fn pick_previous(&mut self, module: ModuleId, key: Option<u64>, avoid: &[NodeAddr]) -> Seen {
        let Some((reader, since)) = &mut self.previous else {
            return Seen::Absent;
        };
        if since.elapsed() > PREVIOUS_KEPT {
            self.previous = None;
            return Seen::Absent;
        }
        match reader.pick_keyed(module, key, avoid) {
            // Its token means nothing to the board in force.
            Picked::Node(choice) => seen(module, Picked::Node(Choice { token: 0, ..choice })),
            other => seen(module, other),
        }
    }

    /// Another board is in force, or this is another process.
    #[cold]
    #[inline(never)]
    fn change(&mut self) -> Result<(), ClientError> {
        let epoch = self.link.epoch();
        if epoch == 0 {
            return Err(self.link.forked());
        }
        if let Some(board) = self.link.board() {
            let reader = board.reader(fastrand::u64(..));
            self.previous = self.reader.replace(reader).map(|reader| (reader, Instant::now()));
            self.outlet.follow(board);
        }
        self.epoch = epoch;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.link.is_child() {
            self.link.check_in(Arc::clone(&self.outlet));
        }
    }
}

fn seen(module: ModuleId, picked: Picked) -> Seen {
    match picked {
        Picked::Node(choice) => Seen::Picked(Ok(Chosen::by_board(module, choice))),
        Picked::Overloaded { .. } => Seen::Picked(Err(PickError::Overloaded { module })),
        Picked::Absent => Seen::Absent,
    }
}
