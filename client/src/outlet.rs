//! Where one picker's calls report to: a ring, which any thread may write that ends one of its calls; and for calls that
//! measure themselves the reader by which they are picked, so that whoever ends one counts with the same.

use crate::call::Chosen;
use crate::error::ClientError;
use crate::link::Link;
use lars_board::{
    Board, BoardReader, Brief, CallRecord, Home, Moment, Picked, Reported, RingWriter, Shared, Token,
};
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A reader and a ring. Clones lead to the same; the thread that picks and reports most makes, uses and drops them without a
/// locked instruction.
#[derive(Clone)]
pub(crate) struct Outlet {
    shared: Shared<Open, Inside>,
}

/// What anybody may read.
struct Open {
    /// The caller's number of the ring.
    number: u32,
    link: Arc<Link>,
    /// Whether the agent has refused the ring: then reports go over the socket.
    refused: AtomicBool,
    /// Whether calls are summed up outside of the ring, and wait for room.
    holds: AtomicBool,
}

impl Home for Open {
    #[inline]
    fn is_child(&self) -> bool {
        self.link.is_child()
    }
}

impl Open {
    /// Whether a report may be written; while the agent is gone, this client judges nodes by it.
    #[inline]
    fn take(&self, chosen: &Chosen, outcome: Outcome) -> Result<(), ClientError> {
        if self.link.is_child() {
            return Err(self.link.forked());
        }
        if self.link.is_stale() {
            self.link.doubt(chosen.module, chosen.node, outcome);
        }
        Ok(())
    }
}

struct Inside {
    ring: RingWriter,
    /// The board in force; none before the first.
    board: Option<Board>,
    /// Its reader; none before the first call.
    reader: Option<BoardReader>,
}

impl Inside {
    /// A probe that the agent granted to this ring is for the next pick of its module, in whichever thread.
    #[inline]
    fn take_grant(&mut self) {
        if let Some(grant) = self.ring.granted()
            && let Some(board) = &self.board
        {
            board.grant(grant);
        }
    }

    #[inline(always)]
    fn pick(&mut self, module: ModuleId, wide: &mut NodeAddr) -> Brief {
        let brief = match &mut self.reader {
            Some(reader) => reader.pick_brief(module),
            None => self.pick_first(module),
        };
        if brief.is_wide()
            && let Some(reader) = &self.reader
        {
            *wide = reader.last_wide();
        }
        brief
    }

    #[cold]
    fn pick_first(&mut self, module: ModuleId) -> Brief {
        let Some(board) = &self.board else {
            return Brief::ABSENT;
        };
        let reader = self.reader.insert(board.reader(fastrand::u64(..)));
        reader.pick_brief(module)
    }

    /// Inlined: what was chosen is not copied, but read where it lies.
    #[inline(always)]
    fn report(&mut self, open: &Open, chosen: &Chosen, outcome: Outcome, latency_us: u32) -> Reported {
        let reported = self.ring.report(&CallRecord {
            module: chosen.module,
            node: chosen.node,
            slot: Token(chosen.token).slot(),
            outcome,
            probe: Token(chosen.token).is_probe(),
            calls: 1,
            latency_us,
        });
        self.take_grant();
        if self.ring.is_holding() {
            open.holds.store(true, Ordering::Relaxed);
        }
        reported
    }
}

impl Outlet {
    pub(crate) fn new(number: u32, ring: RingWriter, link: Arc<Link>) -> Self {
        let open = Open {
            number,
            link,
            refused: AtomicBool::new(false),
            holds: AtomicBool::new(false),
        };
        Self {
            shared: Shared::new(
                open,
                Inside {
                    ring,
                    board: None,
                    reader: None,
                },
            ),
        }
    }

    /// The caller's number of the ring.
    pub(crate) fn number(&self) -> u32 {
        self.shared.open().number
    }

    /// Now, on the clock that [`Self::since`] reads.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.shared.open().link.stopwatch.now()
    }

    /// How long ago that was.
    pub(crate) fn since(&self, moment: Moment) -> Duration {
        self.shared.open().link.stopwatch.since(moment)
    }

    /// Picks for a call that will be ended here, with a handle for it.
    #[inline(always)]
    pub(crate) fn pick_call(&self, module: ModuleId) -> (Self, Picked) {
        let mut wide = NodeAddr::NONE;
        let (shared, brief) = self.shared.clone_with(|_, inside| inside.pick(module, &mut wide));
        (Self { shared }, brief.picked(|| wide))
    }

    /// Tells how a call ended, which its picker counts as in flight no more. Never waits for the agent.
    #[inline]
    pub(crate) fn report(
        &self,
        chosen: &Chosen,
        outcome: Outcome,
        latency_us: u32,
    ) -> Result<(), ClientError> {
        self.shared.open().take(chosen, outcome)?;
        let reported = self
            .shared
            .with(|open, inside| inside.report(open, chosen, outcome, latency_us));
        if reported == Reported::HalfFull {
            self.shared.open().link.half_full(self.number());
        }
        Ok(())
    }

    /// Tells how a call ended that began then, counts it as in flight no more, as the last thing that is done with this handle.
    #[inline(always)]
    pub(crate) fn end(self, chosen: &Chosen, outcome: Outcome, began: Moment) -> Result<(), ClientError> {
        let open = self.shared.open();
        let latency_us = open.link.stopwatch.micros_since(began);
        open.take(chosen, outcome)?;
        let half_full = self.shared.end_with(|open, inside| {
            finish(&mut inside.reader, inside.board.as_ref(), chosen.token);
            let reported = inside.report(open, chosen, outcome, latency_us);
            // Told outside: who holds the link's lock may wait for this one.
            (reported == Reported::HalfFull).then(|| (Arc::clone(&open.link), open.number))
        });
        if let Some((link, number)) = half_full {
            link.half_full(number);
        }
        Ok(())
    }

    /// The board that is in force from here on.
    pub(crate) fn follow(&self, board: Board) {
        self.shared.with(|_, inside| {
            inside.board = Some(board);
            inside.reader = None;
        });
    }

    /// Brings what was summed up into the ring; whether the agent has drained all of it.
    pub(crate) fn unload(&self) -> bool {
        self.shared.with(|open, inside| {
            inside.take_grant();
            let is_empty = inside.ring.unload();
            open.holds.store(!is_empty, Ordering::Relaxed);
            inside.ring.is_drained()
        })
    }

    /// Whether calls wait for room in the ring. Asks without disturbing whoever reports.
    pub(crate) fn holds(&self) -> bool {
        self.shared.open().holds.load(Ordering::Relaxed)
    }

    /// Calls for which there was no room, since the last question.
    pub(crate) fn take_lost(&self) -> u64 {
        self.shared.with(|_, inside| inside.ring.take_lost())
    }

    /// The ring's file, to be offered.
    pub(crate) fn file(&self) -> std::io::Result<OwnedFd> {
        self.shared
            .with(|_, inside| inside.ring.file().try_clone_to_owned())
    }

    /// The agent has taken the ring, or not.
    pub(crate) fn answered(&self, taken: bool) {
        self.shared.open().refused.store(!taken, Ordering::Relaxed);
    }

    /// Whether reports may go into the ring.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        !self.shared.open().refused.load(Ordering::Relaxed)
    }

    /// How many handles there are.
    pub(crate) fn handles(&self) -> usize {
        self.shared.handles()
    }
}

/// A call is in flight no more, as its reader counts, or as the board does where there is none.
#[inline(always)]
pub(crate) fn finish(reader: &mut Option<BoardReader>, board: Option<&Board>, token: u64) {
    match (reader, board) {
        (Some(reader), _) => reader.finish(token),
        (None, Some(board)) => board.finish(token),
        (None, None) => {}
    }
}
