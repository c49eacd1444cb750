//! How many nodes are looked at again and again, so that looking takes a bounded part of a core however many modules a host
//! calls: the more there are, the longer from one look at a module to the next.

use super::ledger::Ledger;
use std::time::{Duration, Instant};

/// Nodes looked at in a second, a look of 50 to 70 ns each: under a percent of a core. A thousand modules of ten nodes are
/// then looked at every 100 ms, a hundred as often as ever.
const LOOKS_PER_S_MAX: u64 = 100_000;
/// With more nodes than these no cache holds them, and a look was measured at 0.65 us: of those on top half as many are looked
/// at in a second, some percent of a core.
const CACHED: u64 = 100_000;

/// A shorter pause makes no difference: a module is looked at every 10 ms at most.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Looks within this time are made together.
const GATHERED: Duration = Duration::from_millis(2);

/// The nodes of all modules that are looked at.
#[derive(Debug, Default)]
pub(super) struct Watch {
    nodes: u64,
}

/// What one module adds to it.
#[derive(Debug, Default)]
pub(super) struct Watched(u32);

impl Watch {
    /// A module of so many nodes is to be looked at; nothing changes where it is already.
    pub(super) fn begin(&mut self, module: &mut Watched, nodes: usize) {
        if module.0 == 0 {
            module.0 = nodes as u32;
            self.nodes += u64::from(module.0);
        }
    }

    /// It is not looked at any more.
    pub(super) fn end(&mut self, module: &mut Watched) {
        self.nodes -= u64::from(std::mem::take(&mut module.0));
    }

    /// The least time until the next look at a module, unless one is urgent: half of the mean up to one and a half times as
    /// much, by chance, so that modules that were first called together are not looked at together for ever.
    pub(super) fn pause(&self, random: &mut fastrand::Rng) -> Duration {
        let mean = self.mean();
        if mean < PAUSE_MIN {
            return mean;
        }
        mean.mul_f64(0.5 + random.f64())
    }

    /// When to look that is to look at `at`: where there are many, several together, so that a core sleeps in between.
    pub(super) fn gather(&self, ledger: &mut Ledger, at: Instant) -> Instant {
        if self.is_crowded() {
            ledger.round_up(at, GATHERED)
        } else {
            at
        }
    }

    /// Whether there are so many that each is looked at less often than it could be.
    pub(super) fn is_crowded(&self) -> bool {
        self.mean() >= PAUSE_MIN
    }

    /// The mean time between two looks at a module.
    fn mean(&self) -> Duration {
        let on_top = self.nodes.saturating_sub(CACHED);
        Duration::from_micros((self.nodes + on_top) * 1_000_000 / LOOKS_PER_S_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(nodes: u64) -> Duration {
        Watch { nodes }.mean()
    }

    #[test]
    fn pause_grows_with_the_nodes_and_twice_as_fast_beyond_what_caches_hold() {
        let s = Duration::from_secs_f64;
        assert_eq!(mean_of(100), s(0.001));
        assert_eq!(mean_of(10_000), s(0.1));
        assert_eq!(mean_of(100_000), s(1.0));
        assert_eq!(mean_of(10_000_000), s(199.0));
    }
}
