//! What the readers of one process share: how many calls each node has in flight, and whose turn it is to probe.
//! Private to the process and never taken from another one.
//!
//! ```text
//! line 0         the period's number; its length in nanoseconds
//! each shard     a word a module: the probe granted (node slot 24 bits, place plus one 16), 0 for none
//!                a word a node: calls of the last three periods (3 x 16 bits, signed), the period's number (16)
//! ```
//!
//! A call whose report never comes is forgotten with the period in which it began, so it counts for two to three
//! periods and then no more; the owner forgives those that it knows to be lost before. A call that was forgiven and is
//! reported all the same leaves a negative count, which makes up for it. Counts saturate at both ends: what a caller
//! makes up bends them, and never wraps them.

use crate::board::BoardError;
use crate::entry::NodeSlot;
use crate::layout::{LINE_WORDS, Layout};
use crate::words::{Ordering, Words};
use std::time::Duration;

const PERIOD: usize = 0;
const PERIOD_NS: usize = 1;
/// Periods in which a call counts.
const LANES: u64 = 3;
const LANE_BITS: u64 = 16;
const LANE_MASK: u64 = (1 << LANE_BITS) - 1;
/// No report takes a lane further down: what is made up lends a node so many calls less at most.
const LENT_MAX: i16 = 256;
/// Periods are told apart modulo this: the largest multiple of the lanes that 16 bits hold.
const CYCLE: u64 = (1 << 16) - 1;
/// How long a call counts at least, unless [`crate::Board::bound_calls`] says otherwise.
const BOUND_DEFAULT: Duration = Duration::from_secs(10);

const _: () = assert!(CYCLE.is_multiple_of(LANES));

/// The shared counts. Clones share them.
#[derive(Clone)]
pub(crate) struct Calls {
    words: Words,
    shard_modules: usize,
    shard_nodes: usize,
}

/// The period in which a call began, as its token carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun(pub(crate) u16);

impl Calls {
    pub(crate) fn new(layout: &Layout) -> Result<Self, BoardError> {
        let shard_modules = (layout.shard_modules_max() as usize).next_multiple_of(LINE_WORDS);
        let shard_nodes = layout.shard_nodes_max();
        let shards = usize::from(layout.shards());
        let words = Words::private(LINE_WORDS + shards * (shard_modules + shard_nodes))?;
        let calls = Self {
            words,
            shard_modules,
            shard_nodes,
        };
        calls.bound(BOUND_DEFAULT);
        Ok(calls)
    }

    /// A call counts for this long at least, and for half as long again at most.
    pub(crate) fn bound(&self, bound: Duration) {
        let period = u64::try_from(bound.as_nanos() / 2).unwrap_or(u64::MAX).max(1);
        self.words.store(PERIOD_NS, period, Ordering::Relaxed);
    }

    /// It is this late, in nanoseconds from any start that never changes.
    pub(crate) fn advance(&self, now_ns: u64) {
        let length = self.words.load(PERIOD_NS, Ordering::Relaxed).unwrap_or(1).max(1);
        let period = now_ns / length;
        if self.period() != period {
            self.words.store(PERIOD, period, Ordering::Relaxed);
        }
    }

    /// The number of the period.
    #[inline]
    pub(crate) fn period(&self) -> u64 {
        self.words.load(PERIOD, Ordering::Relaxed).unwrap_or(0)
    }

    /// Calls to the node that are in flight, begun by readers of this process.
    #[inline]
    pub(crate) fn in_flight(&self, shard: u16, slot: NodeSlot) -> u32 {
        self.balance(shard, slot).max(0) as u32
    }

    /// The same, negative where more calls were forgiven than were lost.
    #[inline]
    pub(crate) fn balance(&self, shard: u16, slot: NodeSlot) -> i32 {
        let Some(place) = self.node(shard, slot) else {
            return 0;
        };
        let word = self.words.load(place, Ordering::Relaxed).unwrap_or(0);
        let word = rolled(word, self.period() % CYCLE);
        (0..LANES).map(|lane| i32::from(lane_of(word, lane))).sum()
    }

    /// A call to the node begins. None where it is not counted: the node has no slot, or too many calls.
    #[inline]
    pub(crate) fn begin(&self, shard: u16, slot: NodeSlot) -> Option<Begun> {
        let place = self.node(shard, slot)?;
        let tag = self.period() % CYCLE;
        let counted = self.words.update(place, |word| {
            let word = rolled(word, tag);
            let calls = lane_of(word, tag % LANES).checked_add(1)?;
            Some(with_lane(word, tag % LANES, calls))
        });
        counted.then_some(Begun(tag as u16))
    }

    /// A call to the node ended that began then. What is said may be made up.
    #[inline]
    pub(crate) fn finish(&self, shard: u16, slot: NodeSlot, begun: Begun) {
        let Some(place) = self.node(shard, slot) else {
            return;
        };
        let tag = self.period() % CYCLE;
        let begun = u64::from(begun.0);
        if begun >= CYCLE || (tag + CYCLE - begun) % CYCLE >= LANES {
            return;
        }
        let lane = begun % LANES;
        self.words.update(place, |word| {
            let word = rolled(word, tag);
            let calls = lane_of(word, lane);
            (calls > -LENT_MAX).then(|| with_lane(word, lane, calls - 1))
        });
    }

    /// So many of the node's calls are known to be lost: they are in flight no more.
    pub(crate) fn forgive(&self, shard: u16, slot: NodeSlot, lost: u32) {
        let Some(place) = self.node(shard, slot) else {
            return;
        };
        let tag = self.period() % CYCLE;
        let lost = i16::try_from(lost).unwrap_or(i16::MAX);
        self.words.update(place, |word| {
            let word = rolled(word, tag);
            let calls = lane_of(word, tag % LANES).saturating_sub(lost);
            Some(with_lane(word, tag % LANES, calls))
        });
    }

    /// One reader may send one call to the node, which stands at `place` of the module's list.
    pub(crate) fn grant(&self, shard: u16, module_slot: u32, grant: Option<(NodeSlot, u16)>) {
        if let Some(place) = self.module(shard, module_slot) {
            self.words.store(place, grant_word(grant), Ordering::Relaxed);
        }
    }

    /// The node's place in the list is another one, or it is not in it any more: so is the grant, unless a reader has
    /// taken it meanwhile.
    pub(crate) fn move_grant(&self, shard: u16, module_slot: u32, moved: impl Fn(NodeSlot) -> Option<u16>) {
        let Some(place) = self.module(shard, module_slot) else {
            return;
        };
        self.words.update(place, |word| {
            let (slot, _) = grant_of(word)?;
            Some(grant_word(moved(slot).map(|place| (slot, place))))
        });
    }

    /// The node to be probed, and its place in the module's list.
    #[inline]
    pub(crate) fn granted(&self, shard: u16, module_slot: u32) -> Option<(NodeSlot, u16)> {
        let place = self.module(shard, module_slot)?;
        grant_of(self.words.load(place, Ordering::Relaxed)?)
    }

    /// Takes the grant; whether no other reader was faster.
    pub(crate) fn claim(&self, shard: u16, module_slot: u32, grant: (NodeSlot, u16)) -> bool {
        let Some(place) = self.module(shard, module_slot) else {
            return false;
        };
        self.words
            .update(place, |word| (word == grant_word(Some(grant))).then_some(0))
    }

    #[inline]
    fn module(&self, shard: u16, slot: u32) -> Option<usize> {
        let slot = slot as usize;
        (slot < self.shard_modules).then(|| self.shard(shard) + slot)
    }

    #[inline]
    fn node(&self, shard: u16, slot: NodeSlot) -> Option<usize> {
        let slot = slot.to_bits() as usize;
        (slot < self.shard_nodes).then(|| self.shard(shard) + self.shard_modules + slot)
    }

    #[inline]
    fn shard(&self, shard: u16) -> usize {
        LINE_WORDS + usize::from(shard) * (self.shard_modules + self.shard_nodes)
    }
}

#[inline]
fn lane_of(word: u64, lane: u64) -> i16 {
    (word >> (lane * LANE_BITS)) as u16 as i16
}

#[inline]
fn with_lane(word: u64, lane: u64, calls: i16) -> u64 {
    word & !(LANE_MASK << (lane * LANE_BITS)) | u64::from(calls as u16) << (lane * LANE_BITS)
}

/// A node's counts as they stand in the period `tag`: older calls are forgotten.
#[inline]
fn rolled(word: u64, tag: u64) -> u64 {
    let age = (tag + CYCLE - (word >> (LANES * LANE_BITS)) % CYCLE) % CYCLE;
    // A thread that has not noticed a new period yet takes the word as it is.
    if age == 0 || age > CYCLE - LANES {
        return word;
    }
    let mut kept = word & ((1 << (LANES * LANE_BITS)) - 1);
    for back in 0..age.min(LANES) {
        kept &= !(LANE_MASK << ((tag + CYCLE - back) % LANES * LANE_BITS));
    }
    kept | tag << (LANES * LANE_BITS)
}

fn grant_word(grant: Option<(NodeSlot, u16)>) -> u64 {
    grant.map_or(0, |(slot, place)| {
        u64::from(slot.to_bits()) | (u64::from(place) + 1) << NodeSlot::BITS
    })
}

#[inline]
fn grant_of(word: u64) -> Option<(NodeSlot, u16)> {
    let place = ((word >> NodeSlot::BITS) as u32).checked_sub(1)?;
    let slot = NodeSlot::new(word as u32 & ((1 << NodeSlot::BITS) - 1));
    u16::try_from(place).ok().map(|place| (slot, place))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::board::BoardConfig;

    const SLOT: NodeSlot = NodeSlot::new(3);

    fn calls() -> Calls {
        let layout = Layout::new(BoardConfig {
            modules_max: 16,
            shards: 2,
        })
        .expect("a layout");
        Calls::new(&layout).expect("memory")
    }

    #[test]
    fn call_counts_until_it_ends_or_three_periods_have_passed() {
        let calls = calls();
        let period = BOUND_DEFAULT.as_nanos() as u64 / 2;
        for start in [0, 1, 2, CYCLE - 2, CYCLE - 1, CYCLE, 5 * CYCLE + 7] {
            calls.advance(start * period);
            let begun = calls.begin(1, SLOT).expect("counted");
            let later = calls.begin(1, SLOT).expect("counted");
            assert_eq!(calls.in_flight(1, SLOT), 2);
            assert_eq!(calls.in_flight(0, SLOT), 0, "another shard's");
            calls.finish(1, SLOT, begun);
            assert_eq!(calls.in_flight(1, SLOT), 1);
            for age in 1..=2 {
                calls.advance((start + age) * period);
                assert_eq!(calls.in_flight(1, SLOT), 1, "{start} + {age}");
            }
            calls.advance((start + 3) * period);
            assert_eq!(calls.in_flight(1, SLOT), 0, "{start}");
            let newer = calls.begin(1, SLOT).expect("counted");
            calls.finish(1, SLOT, later);
            assert_eq!(calls.in_flight(1, SLOT), 1, "a late report is another's no more");
            calls.finish(1, SLOT, newer);
            assert_eq!(calls.in_flight(1, SLOT), 0);
        }
    }

    #[test]
    fn made_up_reports_never_wrap_a_count_and_a_full_lane_spills_nowhere() {
        let calls = calls();
        for begun in 0..=u16::MAX {
            calls.finish(0, SLOT, Begun(begun));
        }
        assert_eq!(calls.in_flight(0, SLOT), 0);
        assert_eq!(calls.balance(0, SLOT), -3, "one in each period");
        for _ in 0..70_000 {
            calls.finish(0, SLOT, Begun(0));
        }
        assert_eq!(calls.balance(0, SLOT), -2 - i32::from(LENT_MAX));
        for _ in 0..70_000 {
            calls.begin(0, SLOT);
        }
        assert_eq!(calls.in_flight(0, SLOT), 32_765);
        assert_eq!(calls.begin(0, SLOT), None);
        assert_eq!(calls.begin(0, NodeSlot::NONE), None);
        calls.forgive(0, SLOT, u32::MAX);
        calls.forgive(0, SLOT, u32::MAX);
        assert_eq!(
            calls.balance(0, SLOT),
            -i32::from(i16::MAX) - 2,
            "and no other lane"
        );
    }

    #[test]
    fn forgiven_call_that_is_reported_all_the_same_is_made_up_for() {
        let calls = calls();
        calls.forgive(0, NodeSlot::NONE, 1);
        let begun = [(); 3].map(|()| calls.begin(0, SLOT).expect("counted"));
        calls.forgive(0, SLOT, 2);
        assert_eq!(calls.in_flight(0, SLOT), 1);
        for begun in begun {
            calls.finish(0, SLOT, begun);
        }
        assert_eq!((calls.in_flight(0, SLOT), calls.balance(0, SLOT)), (0, -2));
        calls.begin(0, SLOT);
        assert_eq!(calls.balance(0, SLOT), -1);
        calls.advance(3 * BOUND_DEFAULT.as_nanos() as u64 / 2);
        assert_eq!(calls.balance(0, SLOT), 0, "what is old is forgotten");
    }

    #[test]
    fn grant_is_taken_once_and_moves_with_its_node() {
        let calls = calls();
        assert_eq!(calls.granted(1, 5), None);
        calls.grant(1, 5, Some((SLOT, 0)));
        calls.move_grant(1, 5, |slot| (slot == SLOT).then_some(7));
        assert_eq!(calls.granted(1, 5), Some((SLOT, 7)));
        assert!(!calls.claim(1, 5, (SLOT, 0)));
        assert!(calls.claim(1, 5, (SLOT, 7)) && !calls.claim(1, 5, (SLOT, 7)));
        calls.move_grant(1, 5, |_| Some(9));
        assert_eq!(calls.granted(1, 5), None, "what was taken does not come back");
        calls.grant(1, 5, Some((SLOT, 0)));
        calls.move_grant(1, 5, |_| None);
        assert_eq!(calls.granted(1, 5), None);
    }
}
