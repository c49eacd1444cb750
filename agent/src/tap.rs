//! The tap of a recording: whoever takes reports looks at one word, and where somebody records puts what it saw aside.
//! A file of its own since cores and the callers' thread share it and nothing else.

use lars_pool::CoreIndex;
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Calls put aside until the next chance to give them on; more are counted as lost. A turn takes far fewer reports.
const ASIDE_MAX: usize = 8_192;

const ON: u64 = 1 << 63;
const ONE_MODULE: u64 = 1 << 16;
const GENERATION_SHIFT: u32 = 32;

/// Who records, if anybody. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// 0 while nobody records; else bit 63, a generation, whether one module alone is meant, and the core.
    state: AtomicU64,
    module: AtomicU64,
    generations: AtomicU64,
}

/// One recording: batches of an older one are told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded(u64);

impl Tap {
    /// Starts a recording whose calls go to `core`; none while another goes on.
    pub(crate) fn start(&self, core: CoreIndex, module: Option<ModuleId>) -> Option<Recorded> {
        // From 1 on: a word that has only the highest bit is one that is just being made.
        let generation = self.shared.generations.fetch_add(1, Ordering::Relaxed) % 0x7fff_ffff + 1;
        let mut word = ON | generation << GENERATION_SHIFT | u64::from(core.0);
        if module.is_some() {
            word |= ONE_MODULE;
        }
        let free = self
            .shared
            .state
            .compare_exchange(0, ON, Ordering::AcqRel, Ordering::Relaxed);
        free.ok()?;
        // Nobody but the winner stores here until it is off again. Who sees the word sees the module.
        let module = module.map_or(0, ModuleId::to_bits);
        self.shared.module.store(module, Ordering::Relaxed);
        self.shared.state.store(word, Ordering::Release);
        Some(Recorded(word))
    }

    /// Ends it.
    pub(crate) fn stop(&self, recorded: Recorded) {
        let word = &self.shared.state;
        // It is off already where that was said twice.
        let _ = word.compare_exchange(recorded.0, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The recording that wants calls of this module.
    #[inline]
    fn wants(&self, module: ModuleId) -> Option<Recorded> {
        let word = self.shared.state.load(Ordering::Acquire);
        if word == 0 {
            return None;
        }
        let of_it = word & ONE_MODULE == 0 || self.shared.module.load(Ordering::Relaxed) == module.to_bits();
        // Between the two stores of a start only the lowest bits are missing.
        (of_it && word != ON).then_some(Recorded(word))
    }
}

/// Calls that ended alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TappedCalls {
    pub at: Instant,
    pub module: ModuleId,
    pub node: NodeAddr,
    pub outcome: Outcome,
    pub latency_us: u32,
    pub calls: u32,
}

/// What one of those who take reports saw since it last gave on.
#[derive(Debug)]
pub(crate) struct Tapped {
    /// For which recording.
    pub recorded: Recorded,
    pub calls: Vec<TappedCalls>,
    /// Calls for which there was no room.
    pub lost: u64,
}

/// The end of the tap of one that takes reports.
pub(crate) struct TapEnd {
    tap: Tap,
    aside: Option<Tapped>,
}

impl TapEnd {
    /// An end of this tap.
    pub(crate) fn new(tap: Tap) -> Self {
        Self { tap, aside: None }
    }

    /// Calls were reported. While nobody records this is one load and one comparison.
    #[inline]
    pub(crate) fn see(&mut self, calls: impl FnOnce() -> TappedCalls, module: ModuleId) {
        if let Some(recorded) = self.tap.wants(module) {
            self.put_aside(recorded, calls());
        }
    }

    #[cold]
    fn put_aside(&mut self, recorded: Recorded, calls: TappedCalls) {
        if self.aside.as_ref().is_none_or(|aside| aside.recorded != recorded) {
            self.aside = Some(Tapped {
                recorded,
                calls: Vec::new(),
                lost: 0,
            });
        }
        if let Some(aside) = &mut self.aside {
            if aside.calls.len() < ASIDE_MAX {
                aside.calls.push(calls);
            } else {
                aside.lost += u64::from(calls.calls);
            }
        }
    }

    /// What is to be given on, and to which core.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(CoreIndex, Tapped)> {
        let tapped = self.aside.take()?;
        Some((CoreIndex(tapped.recorded.0 as u16), tapped))
    }

    /// What could not be given on is lost, and told with what comes next.
    pub(crate) fn lose(&mut self, tapped: &Tapped) {
        let lost = tapped
            .calls
            .iter()
            .map(|calls| u64::from(calls.calls))
            .sum::<u64>()
            + tapped.lost;
        self.aside = Some(Tapped {
            recorded: tapped.recorded,
            calls: Vec::new(),
            lost,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(cmdid: u32, calls: u32) -> TappedCalls {
        TappedCalls {
            at: Instant::now(),
            module: ModuleId::new(1, cmdid),
            node: NodeAddr::from_ipv4_number(0x0a00_0001, 80),
            outcome: Outcome::Ok,
            latency_us: 7,
            calls,
        }
    }

    fn see(end: &mut TapEnd, seen: TappedCalls) {
        end.see(|| seen, seen.module);
    }

    #[test]
    fn calls_are_seen_while_somebody_records_and_of_the_module_that_is_meant() {
        let tap = Tap::default();
        let mut end = TapEnd::new(tap.clone());
        see(&mut end, calls(1, 1));
        assert!(end.take().is_none());
        let recorded = tap.start(CoreIndex(3), Some(ModuleId::new(1, 2))).expect("free");
        assert_eq!(tap.start(CoreIndex(0), None), None, "one at a time");
        for cmdid in 1..=3 {
            see(&mut end, calls(cmdid, 1));
        }
        let (core, tapped) = end.take().expect("one was seen");
        assert_eq!((core, tapped.recorded, tapped.lost), (CoreIndex(3), recorded, 0));
        assert_eq!(tapped.calls.len(), 1);
        assert_eq!(tapped.calls[0].module, ModuleId::new(1, 2));
        tap.stop(recorded);
        see(&mut end, calls(2, 1));
        assert!(end.take().is_none());
        let next = tap.start(CoreIndex(0), None).expect("free again");
        assert_ne!(next, recorded);
        tap.stop(recorded);
        see(&mut end, calls(9, 1));
        assert!(end.take().is_some(), "the end of an older one ends no other");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let tap = Tap::default();
        tap.start(CoreIndex(0), None).expect("free");
        let mut end = TapEnd::new(tap);
        for _ in 0..ASIDE_MAX + 5 {
            see(&mut end, calls(1, 2));
        }
        let (_, tapped) = end.take().expect("much was seen");
        assert_eq!((tapped.calls.len(), tapped.lost), (ASIDE_MAX, 10));
        end.lose(&tapped);
        see(&mut end, calls(1, 1));
        let (_, tapped) = end.take().expect("something was seen");
        assert_eq!((tapped.calls.len(), tapped.lost), (1, ASIDE_MAX as u64 * 2 + 10));
    }
}
