//! Keeps what may happen a million times a second from being logged more than once: each core holds one of these for
//! each kind of event.

use std::time::{Duration, Instant};

/// Time between two lines of one kind.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one event a second be logged, and counts the others.
#[derive(Clone, Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    held_back: u64,
}

impl Seldom {
    /// Nothing logged so far.
    pub const fn new() -> Self {
        Self {
            last: None,
            held_back: 0,
        }
    }

    /// An event happened: `Some` where it may be logged now, with how many were held back since the last that was.
    pub fn allow(&mut self, now: Instant) -> Option<u64> {
        let due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        if due {
            self.last = Some(now);
            Some(std::mem::take(&mut self.held_back))
        } else {
            self.held_back += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_a_second_is_logged_and_tells_of_the_others() {
        let (start, mut seldom) = (Instant::now(), Seldom::new());
        let at = |ms| start + Duration::from_millis(ms);
        let allowed: Vec<_> = [0, 1, 999, 1000, 1001, 2000]
            .map(|ms| seldom.allow(at(ms)))
            .into();
        assert_eq!(allowed, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn clock_that_seems_to_run_backwards_holds_back() {
        let (start, mut seldom) = (Instant::now(), Seldom::new());
        assert_eq!(seldom.allow(start + INTERVAL), Some(0));
        assert_eq!(seldom.allow(start), None);
    }
}
