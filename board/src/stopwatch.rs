//! Time between two moments in a few nanoseconds: the processor's own counter where it can be trusted, else the clock.
//!
//! Two readings of the clock were measured at 47 ns, two of the counter at 19: a report costs less than either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where the kernel says which clock it trusts itself: the counter only where all processors agree on it.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// The counter's pace is believed once it was compared with the clock over this time.
const COMPARED_MIN: Duration = Duration::from_millis(10);
/// Bits of the fraction in nanoseconds a tick.
const FRACTION_BITS: u32 = 32;

/// Measures times. Shared by threads.
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    start_ticks: Option<u64>,
    /// Nanoseconds a tick, 32 bits behind the point; 0 until they are known.
    pace: AtomicU64,
}

/// A moment, to be given back to the stopwatch that it is of.
#[derive(Clone, Copy, Debug)]
pub struct Moment(MomentOf);

#[derive(Clone, Copy, Debug)]
enum MomentOf {
    Ticks(u64),
    Clock(Instant),
}

impl Stopwatch {
    /// Looks whether the processor's counter can be used.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            start_ticks: counter_is_trusted().then(ticks).flatten(),
            pace: AtomicU64::new(0),
        }
    }

    /// Compares the counter with the clock; to be called now and then. Until it was once, the clock is used.
    pub fn compare(&self) {
        let Some(start_ticks) = self.start_ticks else {
            return;
        };
        let (elapsed, Some(ticks)) = (self.start.elapsed(), ticks()) else {
            return;
        };
        let ticks = u128::from(ticks.saturating_sub(start_ticks));
        if elapsed >= COMPARED_MIN && ticks > 0 {
            let pace = (elapsed.as_nanos() << FRACTION_BITS) / ticks;
            self.pace
                .store(u64::try_from(pace).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Whether the counter is used.
    pub fn is_fast(&self) -> bool {
        self.pace.load(Ordering::Relaxed) != 0
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Moment {
        match ticks() {
            Some(ticks) if self.is_fast() => Moment(MomentOf::Ticks(ticks)),
            _ => Moment(MomentOf::Clock(Instant::now())),
        }
    }

    /// How long ago that was.
    #[inline]
    pub fn since(&self, moment: Moment) -> Duration {
        match moment.0 {
            MomentOf::Clock(instant) => instant.elapsed(),
            MomentOf::Ticks(then) => Duration::from_nanos(self.nanos_since(then)),
        }
    }

    /// The same in whole microseconds, at most what 32 bits hold (71 minutes).
    #[inline]
    pub fn micros_since(&self, moment: Moment) -> u32 {
        let micros = match moment.0 {
            MomentOf::Clock(instant) => u64::try_from(instant.elapsed().as_micros()).unwrap_or(u64::MAX),
            MomentOf::Ticks(then) => self.nanos_since(then) / 1_000,
        };
        u32::try_from(micros).unwrap_or(u32::MAX)
    }

    #[inline]
    fn nanos_since(&self, then: u64) -> u64 {
        let passed = ticks().unwrap_or(then).saturating_sub(then);
        let pace = u128::from(self.pace.load(Ordering::Relaxed));
        u64::try_from((u128::from(passed) * pace) >> FRACTION_BITS).unwrap_or(u64::MAX)
    }
}

/// Whether the counter runs at one pace, in sleep too, and all processors' agree.
fn counter_is_trusted() -> bool {
    std::fs::read_to_string(CLOCK_SOURCE).is_ok_and(|source| source.trim() == "tsc") && is_invariant()
}

#[cfg(target_arch = "x86_64")]
fn is_invariant() -> bool {
    /// Advanced power management: bit 8 of its EDX says that the counter is invariant.
    const POWER: u32 = 0x8000_0007;
    let leaves = core::arch::x86_64::__cpuid(0x8000_0000).eax;
    leaves >= POWER && core::arch::x86_64::__cpuid(POWER).edx >> 8 & 1 == 1
}

#[cfg(not(target_arch = "x86_64"))]
fn is_invariant() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "other processors have no such counter")]
fn ticks() -> Option<u64> {
    // SAFETY: reads a counter; every x86-64 processor has it.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ticks() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spins until `condition` holds, for a second at most.
    fn until(mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while !condition() {
            assert!(Instant::now() < deadline, "in vain");
        }
    }

    #[test]
    fn time_passes_as_the_clock_says_with_the_counter_and_without() {
        let stopwatch = Stopwatch::start();
        for compared in [false, true] {
            if compared {
                until(|| stopwatch.start.elapsed() > COMPARED_MIN);
                stopwatch.compare();
                assert_eq!(stopwatch.is_fast(), stopwatch.start_ticks.is_some());
            } else {
                stopwatch.compare();
                assert!(!stopwatch.is_fast(), "nothing was compared for long enough");
            }
            let before = Instant::now();
            let moment = stopwatch.now();
            let after = Instant::now();
            until(|| after.elapsed() > Duration::from_millis(20));
            let least = after.elapsed();
            let measured = stopwatch.since(moment);
            let micros = Duration::from_micros(stopwatch.micros_since(moment).into());
            let most = before.elapsed();
            // The pace was compared over 10 ms, between two readings that an interrupt may have kept apart.
            assert!(
                measured >= least.mul_f64(0.8) && measured <= most.mul_f64(1.2),
                "{least:?} <= {measured:?} <= {most:?}"
            );
            assert!(
                micros + Duration::from_micros(1) > measured && micros <= most.mul_f64(1.2),
                "{measured:?} <= {micros:?} <= {most:?}"
            );
        }
    }
}
