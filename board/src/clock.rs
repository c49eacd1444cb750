//! The number of a beat: what `Instant` keeps to itself, and other processes of the host can read for themselves.

use std::time::{Duration, Instant};

/// Turns an `Instant` into nanoseconds of `CLOCK_MONOTONIC`, so that other processes can compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeatClock {
    instant: Instant,
    monotonic: Duration,
}

impl BeatClock {
    /// Reads both clocks.
    pub(crate) fn start() -> Self {
        Self {
            instant: Instant::now(),
            monotonic: monotonic(),
        }
    }

    /// A clock that stands at zero at `start` and is compared with no other: virtual time has no host.
    pub(crate) fn zero_at(start: Instant) -> Self {
        Self {
            instant: start,
            monotonic: Duration::ZERO,
        }
    }

    /// `now` on the clock of the host.
    pub(crate) fn monotonic_ns(self, now: Instant) -> u64 {
        let monotonic = self.monotonic + now.saturating_duration_since(self.instant);
        u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn monotonic() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills in the struct that we lend it; this clock is always there, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
