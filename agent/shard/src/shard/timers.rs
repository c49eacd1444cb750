//! Every instant that a shard waits for, in one heap: one enum, one table, one next time-out.
//!
//! An entry is never taken out early; whoever armed it remembers the instant, and an entry with another instant is
//! stale. When stale ones may be the majority the heap is swept, so it stays within twice what is armed.

use lars_wire::{ModuleId, NodeAddr};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Below this many entries a sweep is not worth it.
const SWEEP_MIN: usize = 1_024;

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A module is to be forgotten, dropped, or asked for again.
    Module(ModuleId),
    /// A node's window or overload ends.
    Node(ModuleId, NodeAddr),
    /// A module's nodes are to be looked at together.
    Look(ModuleId),
    /// The status window of an account of the ledger closes.
    Window(u32),
}

/// The heap.
#[derive(Debug)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
    sweep_at: usize,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// Will be popped at `at`, or a little later.
    pub(crate) fn push(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// The earliest instant; what stands there may be stale.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest entry that is due. Equal instants come in the order of [`Timer`], so that a history
    /// replayed gives the same commands.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Whether [`Self::sweep`] should be called.
    pub(crate) fn wants_sweep(&self) -> bool {
        self.heap.len() >= self.sweep_at
    }

    /// Drops what is not live. The next sweep comes when the heap has doubled: each push pays for a constant part.
    pub(crate) fn sweep(&mut self, mut is_live: impl FnMut(Instant, Timer) -> bool) {
        self.heap.retain(|Reverse((at, timer))| is_live(*at, *timer));
        self.sweep_at = (self.heap.len() * 2).max(SWEEP_MIN);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

/// Remembers `deadline` in `armed` and pushes it, unless an entry stands at it or before it: that one looks again.
pub(crate) fn arm(timers: &mut Timers, armed: &mut Option<Instant>, deadline: Option<Instant>, timer: Timer) {
    let Some(deadline) = deadline else { return };
    if armed.is_none_or(|at| at > deadline) {
        *armed = Some(deadline);
        timers.push(deadline, timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stale_entries_stay_fewer_than_live_ones_or_the_least_worth_a_sweep() {
        let start = Instant::now();
        let (mut timers, mut armed) = (Timers::new(), None);
        // Each deadline is earlier than the one before, the worst case: all entries but the last are stale.
        for step in (0..100_000).rev() {
            let at = start + Duration::from_micros(step);
            arm(&mut timers, &mut armed, Some(at), Timer::Window(0));
            if timers.wants_sweep() {
                timers.sweep(|at, _| armed == Some(at));
            }
            assert!(timers.len() <= SWEEP_MIN);
        }
        assert_eq!(timers.pop_due(start), Some((start, Timer::Window(0))));
    }

    #[test]
    fn later_deadline_waits_for_the_entry_that_stands_earlier() {
        let start = Instant::now();
        let (mut timers, mut armed) = (Timers::new(), None);
        let second = |count| start + Duration::from_secs(count);
        arm(&mut timers, &mut armed, Some(second(5)), Timer::Window(0));
        arm(&mut timers, &mut armed, Some(second(9)), Timer::Window(0));
        assert_eq!((timers.len(), armed), (1, Some(second(5))));
        arm(&mut timers, &mut armed, Some(second(2)), Timer::Window(0));
        assert_eq!(
            (timers.len(), armed, timers.next()),
            (2, Some(second(2)), Some(second(2)))
        );
    }
}
