//! One place to pick from the board at: a reader, and the ring that its calls are reported to (`outlet`). Used by one thread at a
//! time, by a [`crate::Picker`] for good or by [`crate::Client::pick`] for a moment.

use crate::call::{Call, Chosen};
use crate::error::{ClientError, PickError};
use crate::link::Link;
use crate::outlet::{Outlet, finish};
use lars_board::{Board, BoardReader, Choice, Picked};
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the board of the agent before is kept: what the new one does not know yet is picked from there.
const PREVIOUS_KEPT: Duration = Duration::from_mins(1);
/// Picks of nodes that are passed over before one of them is taken all the same: with half of the nodes in doubt, and
/// picks at random, one of 65,536 calls then goes to one of them.
const DOUBTED_MAX: u32 = 16;
/// The epoch of a place that has not looked yet: no link's, and not that of a child process either.
const EPOCH_NONE: u64 = u64::MAX;

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
    /// The link's when it was last looked at.
    epoch: u64,
    /// The board that is read, and its number.
    board: Option<(u64, Board)>,
    /// Its reader; none before the first pick.
    reader: Option<BoardReader>,
    /// Whether its agent is gone or hangs.
    stale: bool,
    previous: Option<(BoardReader, Instant)>,
    outlet: Outlet,
}

impl Seat {
    /// A place with a ring of its own; none where there is no memory for one, and in a child process.
    pub(crate) fn new(link: &Arc<Link>) -> Option<Self> {
        let outlet = link.check_out()?;
        Some(Self {
            link: Arc::clone(link),
            epoch: EPOCH_NONE,
            board: None,
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
        let is_current = self.is_current();
        match &mut self.reader {
            Some(reader) if is_current => reader.pick(module, &[]),
            _ => Picked::Absent,
        }
    }

    /// The same for a call that measures itself and reports into the ring.
    #[inline(always)]
    pub(crate) fn glance_call(&self, module: ModuleId) -> Option<Result<Call, PickError>> {
        if !self.is_current() || !self.outlet.is_usable() {
            return None;
        }
        match self.outlet.pick_call(module) {
            (outlet, Picked::Node(choice)) => {
                Some(Ok(Call::by_ring(outlet, Chosen::by_board(module, choice))))
            }
            (_, Picked::Overloaded { .. }) => Some(Err(PickError::Overloaded { module })),
            (_, Picked::Absent) => None,
        }
    }

    #[inline]
    fn is_current(&self) -> bool {
        self.link.epoch() == self.epoch && !self.stale
    }

    /// Picks from the board.
    pub(crate) fn pick(
        &mut self,
        module: ModuleId,
        key: Option<u64>,
        avoid: &[NodeAddr],
    ) -> Result<Seen, ClientError> {
        self.follow()?;
        let Some((_, board)) = &self.board else {
            return Ok(Seen::Absent);
        };
        let reader = self.reader.get_or_insert_with(|| board.reader(fastrand::u64(..)));
        let mut picked = reader.pick_keyed(module, key, avoid);
        if self.stale {
            picked = undoubted(&self.link, reader, module, picked, key, avoid);
        }
        Ok(seen(module, picked, self.stale))
    }

    /// Tells how a call ended that was chosen here, or by another picker of this client.
    #[inline]
    pub(crate) fn report(
        &mut self,
        chosen: &Chosen,
        outcome: Outcome,
        latency_us: u32,
    ) -> Result<(), ClientError> {
        self.outlet.report(chosen, outcome, latency_us)?;
        let board = self.board.as_ref().map(|(_, board)| board);
        finish(&mut self.reader, board, chosen.token);
        Ok(())
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
            Picked::Node(choice) => seen(module, Picked::Node(Choice { token: 0, ..choice }), true),
            other => seen(module, other, true),
        }
    }

    /// Finds out which board is in force.
    pub(crate) fn follow(&mut self) -> Result<(), ClientError> {
        if self.link.epoch() == self.epoch {
            Ok(())
        } else {
            self.change()
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
        let known = self.board.as_ref().map(|(number, _)| *number);
        if let Some((number, board)) = self.link.board().filter(|(number, _)| Some(*number) != known) {
            self.outlet.follow(board.clone());
            self.reader = None;
            let before = self.board.replace((number, board));
            self.previous = before.map(|(_, board)| (board.reader(fastrand::u64(..)), Instant::now()));
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

fn seen(module: ModuleId, picked: Picked, stale: bool) -> Seen {
    match picked {
        Picked::Node(choice) => Seen::Picked(Ok(Chosen {
            stale,
            ..Chosen::by_board(module, choice)
        })),
        Picked::Overloaded { .. } => Seen::Picked(Err(PickError::Overloaded { module })),
        Picked::Absent => Seen::Absent,
    }
}
