//! Where one picker's calls report to: its ring, which any thread may write that ends one of its calls.

use crate::error::ClientError;
use crate::link::Link;
use lars_board::{Board, CallRecord, Moment, Reported, RingWriter, Token};
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A ring, and the board whose picks it reports.
pub(crate) struct Outlet {
    /// The caller's number of the ring.
    pub(crate) number: u32,
    link: Arc<Link>,
    /// Whether the agent has refused the ring: then reports go over the socket.
    refused: AtomicBool,
    inside: Mutex<Inside>,
}

struct Inside {
    ring: RingWriter,
    /// Knows which calls are in flight; none before the first board.
    board: Option<Board>,
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
}

/// One use of a node, as it is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) module: ModuleId,
    pub(crate) node: NodeAddr,
    pub(crate) token: u64,
}

impl Outlet {
    pub(crate) fn new(number: u32, ring: RingWriter, link: Arc<Link>) -> Self {
        let board = None;
        Self {
            number,
            link,
            refused: AtomicBool::new(false),
            inside: Mutex::new(Inside { ring, board }),
        }
    }

    /// Now, on the clock that [`Self::since`] reads.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.link.stopwatch.now()
    }

    /// How long ago that was.
    pub(crate) fn since(&self, moment: Moment) -> Duration {
        self.link.stopwatch.since(moment)
    }

    /// Tells how a call ended. Never waits for the agent.
    #[inline]
    pub(crate) fn report(&self, used: Use, outcome: Outcome, latency_us: u32) -> Result<(), ClientError> {
        if self.link.is_child() {
            return Err(self.link.forked());
        }
        let record = CallRecord {
            module: used.module,
            node: used.node,
            slot: Token(used.token).slot(),
            outcome,
            probe: Token(used.token).is_probe(),
            calls: 1,
            latency_us,
        };
        if self.link.is_stale() {
            self.link.doubt(used.module, used.node, outcome);
        }
        let mut inside = self.lock();
        if let Some(board) = &inside.board {
            board.finish(used.token);
        }
        let reported = inside.ring.report(record);
        inside.take_grant();
        drop(inside);
        if reported == Reported::HalfFull {
            self.link.half_full(self.number);
        }
        Ok(())
    }

    /// The board whose picks are reported from here on.
    pub(crate) fn follow(&self, board: Board) {
        self.lock().board = Some(board);
    }

    /// Brings what was summed up into the ring; whether the agent has drained all of it.
    pub(crate) fn unload(&self) -> bool {
        let mut inside = self.lock();
        inside.take_grant();
        inside.ring.unload();
        inside.ring.is_drained()
    }

    /// Calls for which there was no room, since the last question.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lock().ring.take_lost()
    }

    /// The ring's file, to be offered.
    pub(crate) fn file(&self) -> std::io::Result<OwnedFd> {
        self.lock().ring.file().try_clone_to_owned()
    }

    /// The agent has taken the ring, or not.
    pub(crate) fn answered(&self, taken: bool) {
        self.refused.store(!taken, Ordering::Relaxed);
    }

    /// Whether reports may go into the ring.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    /// A thread that panicked left ring and counts whole: each change of them is one step.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
