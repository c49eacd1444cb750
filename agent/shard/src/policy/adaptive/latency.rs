//! What is usual in a module: how long its calls take in the mean, and how rarely longer than some time.

use super::cost::fraction;
use std::time::{Duration, Instant};

/// Parts of each doubling.
const PARTS: usize = 4;
/// Doublings from the first bound on: 64 us to an hour and more.
const DOUBLINGS: usize = 26;
const BUCKETS: usize = PARTS * DOUBLINGS;
const FIRST_LOG2: u32 = 6;
/// When so many calls are held, all counts are halved: so it speaks of the last few thousand.
const CALLS_MAX: u32 = 8_192;
/// Beyond what was ever seen the probability is taken to fall with this power of time: slower than that of exponential
/// or of log-normal times with a sigma of up to 1.2 does where a thousandth is left.
const TAIL_POWER: f64 = 3.0;

/// Latencies of answered calls, of all nodes of a module.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    counts: Box<[u32; BUCKETS]>,
    calls: u32,
    mean_us: f32,
    known: bool,
    at: Instant,
    new_calls: u32,
    new_us: f64,
}

impl Latency {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            calls: 0,
            mean_us: 1_000.0,
            known: false,
            at: now,
            new_calls: 0,
            new_us: 0.0,
        }
    }

    /// So many calls were answered well after this long each.
    #[inline]
    pub(super) fn add(&mut self, calls: u32, each_us: u32) {
        let counted = calls.min(CALLS_MAX);
        self.counts[bucket(each_us)] += counted;
        self.calls += counted;
        self.new_calls = self.new_calls.saturating_add(calls);
        self.new_us += f64::from(calls) * f64::from(each_us);
        if self.calls >= CALLS_MAX {
            self.halve();
        }
    }

    #[cold]
    fn halve(&mut self) {
        for count in self.counts.iter_mut() {
            *count /= 2;
        }
        self.calls = self.counts.iter().sum();
    }

    /// Takes what was added into the mean, which remembers about `tau`.
    pub(super) fn settle(&mut self, now: Instant, tau: Duration, calls_min: f32) {
        if self.new_calls == 0 {
            return;
        }
        let calls = self.new_calls as f32;
        let mean = (self.new_us / f64::from(self.new_calls)) as f32;
        (self.new_calls, self.new_us) = (0, 0.0);
        if self.known {
            let by_time = fraction(now.saturating_duration_since(self.at), tau);
            self.mean_us += (mean - self.mean_us) * by_time.min(calls / calls_min).min(1.0);
        } else {
            self.mean_us = mean;
            self.known = true;
        }
        self.at = now;
    }

    /// The mean of the last about `tau`, at least 1 us; a guess of 1 ms before the first call.
    #[inline]
    pub(super) fn mean_us(&self) -> f32 {
        self.mean_us.max(1.0)
    }

    /// Calls that the probabilities stand on.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// How long a call takes at least that is among the longest of this share.
    pub(super) fn rarer_than(&self, share: f64) -> Duration {
        let most = share * f64::from(self.calls);
        let mut longer = 0_u32;
        let reached = (0..BUCKETS).rev().find(|&bucket| {
            longer += self.counts[bucket];
            f64::from(longer) > most
        });
        Duration::from_secs_f64(reached.map_or(0.0, |bucket| bound_us(bucket + 1)) / 1e6)
    }

    /// How improbable it is that a call takes longer than this: the negative natural logarithm of the probability.
    pub(super) fn surprise(&self, age: Duration) -> f64 {
        let age_us = u32::try_from(age.as_micros()).unwrap_or(u32::MAX);
        let place = bucket(age_us);
        let longer: u32 = self.counts[place..].iter().sum();
        let seen = f64::from(longer.max(1)) / f64::from(self.calls + 1);
        let mut surprise = -libm::log(seen.min(1.0));
        if longer == 0
            && let Some(last) = self.counts.iter().rposition(|&count| count > 0)
        {
            let beyond = f64::from(age_us) / bound_us(last + 1);
            surprise += TAIL_POWER * libm::log(beyond.max(1.0));
        }
        surprise
    }
}

/// Where a latency is counted: a quarter of a doubling each.
#[inline]
fn bucket(us: u32) -> usize {
    let us = us.max(1 << FIRST_LOG2);
    let log2 = us.ilog2();
    let part = (us >> (log2 - 2)) & 3;
    ((log2 - FIRST_LOG2) as usize * PARTS + part as usize).min(BUCKETS - 1)
}

/// The least latency that is counted in this bucket.
fn bound_us(bucket: usize) -> f64 {
    let doubling = (1_u64 << (FIRST_LOG2 as usize + bucket / PARTS)) as f64;
    doubling * (1.0 + (bucket % PARTS) as f64 / PARTS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_quarters_of_doublings_and_their_bounds_begin_them() {
        for place in 0..BUCKETS {
            let bound = bound_us(place);
            if bound < f64::from(u32::MAX) {
                assert_eq!(bucket(bound as u32), place);
                assert_eq!(bucket(bound as u32 - 1), place.saturating_sub(1));
            }
        }
        assert_eq!((bucket(0), bucket(u32::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn surprise_is_that_of_the_calls_seen_and_grows_beyond_them() {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        assert_eq!(latency.surprise(Duration::from_secs(1)), 0.0, "nothing is known");
        latency.add(900, 1_000);
        latency.add(99, 16_000);
        let ms = Duration::from_millis;
        let surprise = |age| latency.surprise(age);
        assert!((surprise(ms(8)) - 10.1_f64.ln()).abs() < 0.01, "one in ten");
        // Calls of 16 ms are counted with those of up to 16.384.
        let [end, far] = [16_384, 163_840].map(|us| surprise(Duration::from_micros(us)));
        assert!((end - 1_000_f64.ln()).abs() < 0.1, "none of a thousand: {end}");
        assert!(
            (far - end - 3.0 * 10_f64.ln()).abs() < 0.2,
            "ten times as long: {far}"
        );
        assert_eq!(surprise(ms(0)), -(999.0_f64 / 1_000.0).ln());
    }

    #[test]
    fn mean_is_that_of_about_the_last_second_and_counts_those_of_the_last_thousands() {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        latency.add(10, 5_000);
        latency.settle(start, Duration::from_secs(1), 8.0);
        assert_eq!(latency.mean_us(), 5_000.0);
        latency.add(10, 15_000);
        latency.settle(start + Duration::from_secs(1), Duration::from_secs(1), 8.0);
        assert_eq!(latency.mean_us(), 10_000.0);
        latency.add(u32::MAX, 15_000);
        latency.add(1, 15_000);
        assert!(latency.calls() < CALLS_MAX);
    }
}
