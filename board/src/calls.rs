//! What the readers of one process share: how many calls each node has in flight, and whose turn it is to probe.
//! Private to the process and never taken from another one.
//!
//! ```text
//! line 0         the period's number as nodes' words carry it (in the upper 16 bits); its length in nanoseconds
//! each shard     a word a module: the probe granted (node slot 24 bits, place plus one 16), 0 for none
//!                a word a node: calls of the last three periods (3 x 16 bits, signed), the period's number (16)
//! ```
//!
//! A call whose report never comes is forgotten with the period in which it began, so it counts for two to three
//! periods and then no more; the owner forgives those that it knows to be lost before. A call that was forgiven and is
//! reported all the same leaves a negative count, which makes up for it. Counts saturate at both ends: what a caller
//! makes up bends them, and never wraps them.

use crate::board::BoardError;
use crate::choice::Token;
use crate::entry::NodeSlot;
use crate::layout::{LINE_WORDS, Layout, SMALL_WORDS};
use crate::words::{AtomicU64, Ordering, Words};
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

/// The counts of one shard's modules and nodes.
#[derive(Clone, Copy)]
pub(crate) struct ShardCalls<'a> {
    period: &'a AtomicU64,
    modules: &'a [AtomicU64],
    nodes: &'a [AtomicU64],
}

/// A period's number, modulo [`CYCLE`], in the bits in which nodes' words carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(u64);

impl Period {
    fn of(number: u64) -> Self {
        Self((number % CYCLE) << (LANES * LANE_BITS))
    }

    /// Its number.
    #[inline]
    pub(crate) fn tag(self) -> u64 {
        self.0 >> (LANES * LANE_BITS)
    }

    /// A node's counts as they stand now: those of older calls are forgotten. Nearly all words are of this period.
    #[inline(always)]
    fn current(self, word: u64) -> u64 {
        if (word ^ self.0) >> (LANES * LANE_BITS) == 0 {
            word
        } else {
            rolled(word, self.tag())
        }
    }
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
        for shard in 0..shards {
            let start = LINE_WORDS + shard * (shard_modules + shard_nodes);
            let nodes = start + shard_modules;
            words.prefer_huge(start + SMALL_WORDS..nodes);
            words.prefer_huge(nodes + SMALL_WORDS..nodes + shard_nodes);
        }
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
        let period = Period::of(now_ns / length);
        if self.period() != period {
            self.words.store(PERIOD, period.0, Ordering::Relaxed);
        }
    }

    /// The period that it is.
    fn period(&self) -> Period {
        Period(self.words.load(PERIOD, Ordering::Relaxed).unwrap_or(0))
    }

    /// Those of one shard, which must exist.
    #[inline(always)]
    pub(crate) fn of(&self, shard: u16) -> ShardCalls<'_> {
        self.get(shard).expect("a shard of the board")
    }

    /// A call ended whose pick gave this token. What is said may be made up.
    #[inline]
    pub(crate) fn finish(&self, token: Token) {
        if let Some(begun) = token.begun()
            && let Some(calls) = self.get(token.shard())
        {
            calls.finish(token.slot(), begun);
        }
    }

    #[inline(always)]
    fn get(&self, shard: u16) -> Option<ShardCalls<'_>> {
        let words = self.words.all();
        let nodes =
            LINE_WORDS + usize::from(shard) * (self.shard_modules + self.shard_nodes) + self.shard_modules;
        Some(ShardCalls {
            period: words.get(PERIOD)?,
            modules: words.get(nodes - self.shard_modules..nodes)?,
            nodes: words.get(nodes..nodes + self.shard_nodes)?,
        })
    }
}

impl ShardCalls<'_> {
    /// The period that it is.
    #[inline]
    pub(crate) fn period(&self) -> Period {
        Period(self.period.load(Ordering::Relaxed))
    }

    /// Calls to the node that are in flight, begun by readers of this process.
    #[inline(always)]
    pub(crate) fn in_flight(&self, slot: NodeSlot) -> u32 {
        self.balance(slot).max(0) as u32
    }

    /// The same, negative where more calls were forgiven than were lost.
    #[inline(always)]
    pub(crate) fn balance(&self, slot: NodeSlot) -> i32 {
        let word = self
            .nodes
            .get(slot.to_bits() as usize)
            .map_or(0, |word| word.load(Ordering::Relaxed));
        let word = self.period().current(word);
        (0..LANES).map(|lane| i32::from(lane_of(word, lane))).sum()
    }

    /// A call to the node begins. None where it is not counted: the node has no slot, or too many calls.
    #[inline(always)]
    pub(crate) fn begin(&self, slot: NodeSlot) -> Option<Begun> {
        let word = self.nodes.get(slot.to_bits() as usize)?;
        let period = self.period();
        let lane = period.tag() % LANES;
        update(word, |word| {
            let word = period.current(word);
            let calls = lane_of(word, lane).checked_add(1)?;
            Some(with_lane(word, lane, calls))
        })
        .then_some(Begun(period.tag() as u16))
    }

    /// A call to the node ended that began then. What is said may be made up.
    #[inline]
    fn finish(&self, slot: NodeSlot, begun: Begun) {
        let Some(word) = self.nodes.get(slot.to_bits() as usize) else {
            return;
        };
        let (period, begun) = (self.period(), u64::from(begun.0));
        let ahead = if period.tag() < begun { CYCLE } else { 0 };
        if begun >= CYCLE || ahead + period.tag() - begun >= LANES {
            return;
        }
        let lane = begun % LANES;
        update(word, |word| {
            let word = period.current(word);
            let calls = lane_of(word, lane);
            (calls > -LENT_MAX).then(|| with_lane(word, lane, calls - 1))
        });
    }

    /// So many of the node's calls are known to be lost: they are in flight no more.
    pub(crate) fn forgive(&self, slot: NodeSlot, lost: u32) {
        let Some(word) = self.nodes.get(slot.to_bits() as usize) else {
            return;
        };
        let period = self.period();
        let lane = period.tag() % LANES;
        let lost = i16::try_from(lost).unwrap_or(i16::MAX);
        update(word, |word| {
            let word = period.current(word);
            Some(with_lane(word, lane, lane_of(word, lane).saturating_sub(lost)))
        });
    }

    /// One reader may send one call to the node, which stands at `place` of the module's list.
    pub(crate) fn grant(&self, module_slot: u32, grant: Option<(NodeSlot, u16)>) {
        if let Some(word) = self.modules.get(module_slot as usize) {
            word.store(grant_word(grant), Ordering::Relaxed);
        }
    }

    /// The node's place in the list is another one, or it is not in it any more: so is the grant, unless a reader has
    /// taken it meanwhile.
    pub(crate) fn move_grant(&self, module_slot: u32, moved: impl Fn(NodeSlot) -> Option<u16>) {
        let Some(word) = self.modules.get(module_slot as usize) else {
            return;
        };
        update(word, |word| {
            let (slot, _) = grant_of(word)?;
            Some(grant_word(moved(slot).map(|place| (slot, place))))
        });
    }

    /// The node to be probed, and its place in the module's list.
    #[inline]
    pub(crate) fn granted(&self, module_slot: u32) -> Option<(NodeSlot, u16)> {
        grant_of(self.modules.get(module_slot as usize)?.load(Ordering::Relaxed))
    }

    /// Takes the grant; whether no other reader was faster.
    pub(crate) fn claim(&self, module_slot: u32, grant: (NodeSlot, u16)) -> bool {
        let word = self.modules.get(module_slot as usize);
        word.is_some_and(|word| update(word, |word| (word == grant_word(Some(grant))).then_some(0)))
    }
}

/// Replaces a word that many threads write by what `change` makes of it, as if in one step, unless that is none. Returns
/// whether it did. Nothing else is ordered by it.
#[inline(always)]
fn update(word: &AtomicU64, change: impl Fn(u64) -> Option<u64>) -> bool {
    let mut before = word.load(Ordering::Relaxed);
    while let Some(after) = change(before) {
        match word.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(other) => before = other,
        }
    }
    false
}

#[inline]
fn lane_of(word: u64, lane: u64) -> i16 {
    (word >> (lane * LANE_BITS)) as u16 as i16
}

#[inline]
fn with_lane(word: u64, lane: u64, calls: i16) -> u64 {
    word & !(LANE_MASK << (lane * LANE_BITS)) | u64::from(calls as u16) << (lane * LANE_BITS)
}

/// A node's counts as they stand in another period than that of their last change.
#[cold]
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
            let begun = calls.of(1).begin(SLOT).expect("counted");
            let later = calls.of(1).begin(SLOT).expect("counted");
            assert_eq!(calls.of(1).in_flight(SLOT), 2);
            assert_eq!(calls.of(0).in_flight(SLOT), 0, "another shard's");
            calls.of(1).finish(SLOT, begun);
            assert_eq!(calls.of(1).in_flight(SLOT), 1);
            for age in 1..=2 {
                calls.advance((start + age) * period);
                assert_eq!(calls.of(1).in_flight(SLOT), 1, "{start} + {age}");
            }
            calls.advance((start + 3) * period);
            assert_eq!(calls.of(1).in_flight(SLOT), 0, "{start}");
            let newer = calls.of(1).begin(SLOT).expect("counted");
            calls.of(1).finish(SLOT, later);
            assert_eq!(
                calls.of(1).in_flight(SLOT),
                1,
                "a late report is another's no more"
            );
            calls.of(1).finish(SLOT, newer);
            assert_eq!(calls.of(1).in_flight(SLOT), 0);
        }
    }

    #[test]
    fn made_up_reports_never_wrap_a_count_and_a_full_lane_spills_nowhere() {
        let calls = calls();
        for begun in 0..=u16::MAX {
            calls.of(0).finish(SLOT, Begun(begun));
        }
        assert_eq!(calls.of(0).in_flight(SLOT), 0);
        assert_eq!(calls.of(0).balance(SLOT), -3, "one in each period");
        for _ in 0..70_000 {
            calls.of(0).finish(SLOT, Begun(0));
        }
        assert_eq!(calls.of(0).balance(SLOT), -2 - i32::from(LENT_MAX));
        for _ in 0..70_000 {
            calls.of(0).begin(SLOT);
        }
        assert_eq!(calls.of(0).in_flight(SLOT), 32_765);
        assert_eq!(calls.of(0).begin(SLOT), None);
        assert_eq!(calls.of(0).begin(NodeSlot::NONE), None);
        calls.of(0).forgive(SLOT, u32::MAX);
        calls.of(0).forgive(SLOT, u32::MAX);
        assert_eq!(
            calls.of(0).balance(SLOT),
            -i32::from(i16::MAX) - 2,
            "and no other lane"
        );
    }

    #[test]
    fn forgiven_call_that_is_reported_all_the_same_is_made_up_for() {
        let calls = calls();
        calls.of(0).forgive(NodeSlot::NONE, 1);
        let begun = [(); 3].map(|()| calls.of(0).begin(SLOT).expect("counted"));
        calls.of(0).forgive(SLOT, 2);
        assert_eq!(calls.of(0).in_flight(SLOT), 1);
        for begun in begun {
            calls.of(0).finish(SLOT, begun);
        }
        assert_eq!((calls.of(0).in_flight(SLOT), calls.of(0).balance(SLOT)), (0, -2));
        calls.of(0).begin(SLOT);
        assert_eq!(calls.of(0).balance(SLOT), -1);
        calls.advance(3 * BOUND_DEFAULT.as_nanos() as u64 / 2);
        assert_eq!(calls.of(0).balance(SLOT), 0, "what is old is forgotten");
    }

    #[test]
    fn grant_is_taken_once_and_moves_with_its_node() {
        let calls = calls();
        assert_eq!(calls.of(1).granted(5), None);
        calls.of(1).grant(5, Some((SLOT, 0)));
        calls.of(1).move_grant(5, |slot| (slot == SLOT).then_some(7));
        assert_eq!(calls.of(1).granted(5), Some((SLOT, 7)));
        assert!(!calls.of(1).claim(5, (SLOT, 0)));
        assert!(calls.of(1).claim(5, (SLOT, 7)) && !calls.of(1).claim(5, (SLOT, 7)));
        calls.of(1).move_grant(5, |_| Some(9));
        assert_eq!(calls.of(1).granted(5), None, "what was taken does not come back");
        calls.of(1).grant(5, Some((SLOT, 0)));
        calls.of(1).move_grant(5, |_| None);
        assert_eq!(calls.of(1).granted(5), None);
    }
}
