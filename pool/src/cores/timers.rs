//! What a core does later: one enum of timers, one table, one next time-out.

use crate::handler::ConnectionId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Look whether the kernel still takes nothing for this connection.
    Stall(ConnectionId),
    /// The peer had time enough to read its last answer.
    Linger(ConnectionId),
    /// Accept again on this listener after a failure.
    Accept(u16),
    /// Look for those who hold memory that others lack.
    Reclaim,
}

/// All timers of a core. A timer for a connection that is gone does nothing when it fires.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// When the next one is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// One that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        self.next_timeout().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_the_order_of_their_times() {
        let (start, mut timers) = (Instant::now(), Timers::default());
        let at = |ms| start + Duration::from_millis(ms);
        timers.set(at(20), Timer::Accept(2));
        timers.set(at(10), Timer::Accept(1));
        assert_eq!(timers.next_timeout(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(25)), Some(Timer::Accept(1)));
        assert_eq!(timers.pop_due(at(25)), Some(Timer::Accept(2)));
        assert_eq!(timers.next_timeout(), None);
    }
}
