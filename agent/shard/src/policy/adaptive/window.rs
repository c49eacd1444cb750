//! Rates over the last seconds: how many calls, how many of them failed or were slow, and of how bad a rate that is
//! proof. Small samples do not lie: a rate is judged by Wilson's lower bound.

use std::time::{Duration, Instant};

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl Counts {
    #[inline]
    pub(super) fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

/// Two halves, so that what is counted reaches back half of a window at least, and a whole one at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    current: Counts,
    before: Counts,
    begun: Instant,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            current: Counts::default(),
            before: Counts::default(),
            begun: now,
        }
    }

    #[inline]
    pub(super) fn add(&mut self, counts: Counts) {
        self.current.add(counts);
    }

    /// Forgets what is older than `length`.
    #[inline]
    pub(super) fn settle(&mut self, now: Instant, length: Duration) {
        let elapsed = now.saturating_duration_since(self.begun);
        if elapsed >= length / 2 {
            let stale = elapsed >= length;
            self.before = if stale { Counts::default() } else { self.current };
            self.current = Counts::default();
            self.begun = now;
        }
    }

    /// What is counted.
    #[inline]
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.before;
        counts.add(self.current);
        counts
    }
}

/// The least rate of which `part` of `whole` is proof, `deviations` sure (E. B. Wilson, "Probable inference, the law of
/// succession, and statistical inference", 1927).
pub(super) fn wilson_lower(part: u32, whole: u32, deviations: f64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let (n, z2) = (f64::from(whole), deviations * deviations);
    let rate = f64::from(part.min(whole)) / n;
    let spread = deviations * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    ((rate + z2 / (2.0 * n) - spread) / (1.0 + z2 / n)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_lower_bound_is_that_of_the_textbook() {
        // 95% two-sided, as tables have it.
        for (part, whole, bound) in [
            (10, 20, 0.299_3),
            (1, 10, 0.017_9),
            (50, 100, 0.403_8),
            (0, 9, 0.0),
        ] {
            assert!(
                (wilson_lower(part, whole, 1.96) - bound).abs() < 1e-4,
                "{part} of {whole}"
            );
        }
        assert_eq!(wilson_lower(0, 0, 3.0), 0.0);
        assert!(wilson_lower(7, 5, 3.0) <= 1.0);
    }

    #[test]
    fn window_forgets_what_is_older_than_its_length() {
        let (start, length) = (Instant::now(), Duration::from_secs(10));
        let half = length / 2;
        let one = Counts {
            calls: 1,
            failed: 1,
            slow: 0,
        };
        let mut window = Window::new(start);
        window.add(one);
        window.settle(start + half, length);
        window.add(one);
        assert_eq!(window.counts().calls, 2);
        window.settle(start + length, length);
        assert_eq!(window.counts(), one);
        window.settle(start + 2 * length, length);
        assert_eq!(window.counts(), Counts::default());
    }
}
