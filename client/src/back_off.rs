//! The pause between two connects that fail: grows while the agent is gone and ends when it is back. Pure.

use crate::error::ClientError;
use std::time::{Duration, Instant};

/// The first pause after a connect that failed.
const BACK_OFF_FIRST: Duration = Duration::from_millis(1);
/// The longest pause: an agent that comes back is found after this at the latest.
const BACK_OFF_MAX: Duration = Duration::from_millis(100);

/// When to try the next connect.
#[derive(Default)]
pub(crate) struct BackOff {
    pause: Duration,
    failed: Option<(Instant, ClientError)>,
}

impl BackOff {
    /// Refuses while the pause after a failed connect lasts, with that failure.
    pub(crate) fn check(&self, now: Instant) -> Result<(), ClientError> {
        match &self.failed {
            Some((at, error)) if now.saturating_duration_since(*at) < self.pause => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Takes in how a connect ended.
    pub(crate) fn learn(&mut self, failed: Option<&ClientError>, now: Instant) {
        let Some(error) = failed else {
            *self = Self::default();
            return;
        };
        let doubled = (self.pause * 2).clamp(BACK_OFF_FIRST, BACK_OFF_MAX);
        // Many callers of one machine lose the same agent at once: up to a quarter less keeps them apart.
        self.pause = doubled.mul_f64(1.0 - 0.25 * fastrand::f64());
        self.failed = Some((now, error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn pause_doubles_with_each_failed_connect_up_to_its_bound_and_ends_with_a_good_one() {
        let gone = ClientError::Lost {
            endpoint: Endpoint::Tcp("127.0.0.1:1".to_owned()),
            reason: "gone".to_owned(),
        };
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        assert_eq!(back_off.check(now), Ok(()));
        let mut pauses = Vec::new();
        for _ in 0..20 {
            back_off.learn(Some(&gone), now);
            assert_eq!(back_off.check(now), Err(gone.clone()));
            assert_eq!(back_off.check(now + back_off.pause), Ok(()));
            pauses.push(back_off.pause);
        }
        assert!(
            pauses[0] <= BACK_OFF_FIRST && pauses[0] >= BACK_OFF_FIRST * 3 / 4,
            "{pauses:?}"
        );
        assert!(
            pauses[19] <= BACK_OFF_MAX && pauses[19] >= BACK_OFF_MAX * 3 / 4,
            "{pauses:?}"
        );
        back_off.learn(None, now);
        assert_eq!(back_off.check(now), Ok(()));
    }
}
