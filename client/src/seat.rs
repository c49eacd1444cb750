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
/// Picks of nodes that are passed over before one of them is taken all the same: with half of the nodes in doubt, and
/// picks at random, one of 65,536 calls then goes to one of them.
const DOUBTED_MAX: u32 = 16;

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
    /// The number of the board that is read; 0 for none.
    board: u64,
    reader: Option<BoardReader>,
    /// Whether its agent is gone or hangs.
    stale: bool,
    previous: Option<(BoardReader, Instant)>,
    outlet: Outlet,
}

impl Seat {
    /// A place with a ring of its own; none where there is no memory for one.
    pub(crate) fn new(link: &Arc<Link>) -> Option<Self> {
        let outlet = link.check_out()?;
        Some(Self {
            link: Arc::clone(link),
            epoch: 0,
            board: 0,
            reader: None,
            stale: false,
            previous: None,
            outlet,
        })
    }

    /// Where calls of this place report to.
    #[inline]
    pub(crate) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Picks from the board in force where that is known here: the way of nearly all picks, without a detour. Absent
    /// means [`Self::pick`] besides.
    #[inline]
    pub(crate) fn glance(&mut self, module: ModuleId) -> Picked {
        match &mut self.reader {
            Some(reader) if self.link.epoch() == self.epoch && !self.stale => reader.pick(module, &[]),
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
        let mut picked = reader.pick_keyed(module, key, avoid);
        if self.stale {
            picked = undoubted(&self.link, reader, module, picked, key, avoid);
        }
        Ok(seen(module, picked))
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
        if let Some((number, board)) = self.link.board().filter(|(number, _)| *number != self.board) {
            let reader = board.reader(fastrand::u64(..));
            self.previous = self.reader.replace(reader).map(|reader| (reader, Instant::now()));
            self.outlet.follow(board);
            self.board = number;
        }
        self.stale = self.link.is_stale();
        self.epoch = epoch;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.link.is_child() {
            self.link.check_in(self.outlet.clone());
        }
    }
}

/// Picks again and again as long as the node is one that this client passes over by itself; one of those where no other
/// comes. So the rule stays the board's own, whichever it is.
fn undoubted(
    link: &Link,
    reader: &mut BoardReader,
    module: ModuleId,
    first: Picked,
    key: Option<u64>,
    avoid: &[NodeAddr],
) -> Picked {
    let mut picked = first;
    for _ in 0..DOUBTED_MAX {
        match picked {
            Picked::Node(choice) if link.is_doubted(module, choice.addr) => {
                // That call is never made.
                reader.finish(choice.token);
            }
            other => return other,
        }
        picked = reader.pick_keyed(module, key, avoid);
    }
    picked
}

fn seen(module: ModuleId, picked: Picked) -> Seen {
    match picked {
        Picked::Node(choice) => Seen::Picked(Ok(Chosen::by_board(module, choice))),
        Picked::Overloaded { .. } => Seen::Picked(Err(PickError::Overloaded { module })),
        Picked::Absent => Seen::Absent,
    }
}
