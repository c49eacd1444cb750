//! When the kernel ends a wait because time is up. A time-out given with each wait would be set and taken back each time
//! that a core sleeps; an alarm stays set until it rings, however often the core is woken before.

use crate::cores::token::{Operation, pack};
use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::Timespec;
use std::time::Instant;

/// The alarms of one ring.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// When those that are set will ring, the earliest last. One that is no longer needed rings too: a pass of the loop
    /// without work costs less than taking it back.
    set: Vec<Instant>,
    /// What the kernel reads when the newest is submitted.
    time: Box<Timespec>,
}

impl Alarms {
    /// The operation that ends a wait at `at`, where none that is set does so earlier. It is to be submitted before this
    /// is called again.
    pub(crate) fn set(&mut self, at: Instant) -> Option<Entry> {
        if self.set.last().is_some_and(|earliest| *earliest <= at) {
            return None;
        }
        self.set.push(at);
        *self.time = Timespec::from(at.saturating_duration_since(Instant::now()));
        let alarm = opcode::Timeout::new(&raw const *self.time).build();
        Some(alarm.user_data(pack(Operation::Alarm)))
    }

    /// One has rung: the earliest.
    pub(crate) fn rang(&mut self) {
        self.set.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn alarm_is_set_only_where_none_rings_earlier() {
        let (start, mut alarms) = (Instant::now(), Alarms::default());
        let mut sets = |ms| alarms.set(start + Duration::from_millis(ms)).is_some();
        assert_eq!(
            [sets(100), sets(100), sets(200), sets(10), sets(50)],
            [true, false, false, true, false]
        );
        alarms.rang();
        let mut sets = |ms| alarms.set(start + Duration::from_millis(ms)).is_some();
        assert_eq!(
            [sets(150), sets(50)],
            [false, true],
            "the one after 100 ms is still set"
        );
    }
}
