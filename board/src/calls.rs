//! What the readers of one process share: how many calls each node has in flight, and whose turn it is to probe.
//! Private to the process and never taken from another one.
//!
//! ```text
//! line 0         the period: its number as nodes' words carry it (in the upper 16 bits), its lane's first bit; its length
//!                in nanoseconds; the columns lent to readers, and those ever written, a bit each
//! each shard     a word a module: the probe granted (node slot 24 bits, place plus one 16), 0 for none
//! each column    each shard: a word a node: calls of the last three periods (3 x 16 bits), the period's number (16)
//! ```
//!
//! What a node has in flight is the sum of its words in all columns. The first three readers have a column each, which they write
//! without a locked instruction; all others, and whoever reports without a reader, share the one that is left. A call may
//! begin in one column and end in another: counts go round, their sum does not.
//!
//! A call whose report never comes is forgotten with the period in which it began, so it counts for two to three
//! periods and then no more; the owner forgives those that it knows to be lost before. A call that was forgiven and is
//! reported all the same leaves a negative count, which makes up for it. What a node has in flight is held between bounds: what
//! a caller makes up bends it, and never turns its sign.

mod lanes;
mod probe;

use crate::board::BoardError;
use crate::choice::Token;
use crate::entry::NodeSlot;
use crate::layout::{LINE_WORDS, Layout, SMALL_WORDS};
use crate::words::{AtomicU64, Ordering, Words, prefetch};
pub(crate) use lanes::{Begun, Period};
use lanes::{add_calls, add_lanes, sum_of};
use std::time::Duration;

const PERIOD: usize = 0;
const PERIOD_NS: usize = 1;
const LENT: usize = 2;
const WRITTEN: usize = 3;
/// The column that many write.
const COMMON: usize = 0;
/// All columns: each costs every pick of every reader two more words to look at.
const COLUMNS: usize = if cfg!(loom) { 2 } else { 4 };
/// Calls that a node can have in flight: half of what a lane holds, the other half being for what was forgiven in another lane.
const IN_FLIGHT_MAX: i32 = i16::MAX as i32 / 2;
/// No report takes a node further down: what is made up lends it so many calls less at most.
const LENT_MAX: i32 = 256;
/// Nor do calls known to be lost take it further down than this.
const FORGIVEN_MAX: i32 = IN_FLIGHT_MAX;
/// How long a call counts at least, unless [`crate::Board::bound_calls`] says otherwise.
const BOUND_DEFAULT: Duration = Duration::from_secs(10);

/// The shared counts, as those see them who write the common column. Clones share them.
#[derive(Clone)]
pub(crate) struct Calls {
    words: Words,
    shards: usize,
    shard_modules: usize,
    shard_nodes: usize,
}

/// The same as one reader sees them: with a column of its own, where one was left.
pub(crate) struct OwnCalls {
    calls: Calls,
    column: usize,
}

/// The counts of one shard's modules and nodes.
#[derive(Clone, Copy)]
pub(crate) struct ShardCalls<'a> {
    all: &'a Calls,
    shard: usize,
    modules: &'a [AtomicU64],
    /// The shard's part of the column that is written here.
    own: &'a [AtomicU64],
    column: usize,
    /// Whether it is written for the first time.
    is_first: bool,
    /// Its part of the other column that was ever written, empty where there is none.
    other: &'a [AtomicU64],
    /// Whether there are more than that: not where one thread picks, as in most programs.
    is_crowded: bool,
    period: Period,
}

impl Calls {
    pub(crate) fn new(layout: &Layout) -> Result<Self, BoardError> {
        let shards = usize::from(layout.shards());
        let shard_modules = (layout.shard_modules_max() as usize).next_multiple_of(LINE_WORDS);
        let shard_nodes = layout.shard_nodes_max().next_multiple_of(LINE_WORDS);
        let nodes = LINE_WORDS + shards * shard_modules;
        let words = Words::private(nodes + COLUMNS * shards * shard_nodes)?;
        let modules = (0..shards).map(|shard| (LINE_WORDS + shard * shard_modules, shard_modules));
        let counts = (0..COLUMNS * shards).map(|part| (nodes + part * shard_nodes, shard_nodes));
        for (start, len) in modules.chain(counts) {
            words.prefer_huge(start + SMALL_WORDS..start + len);
        }
        let calls = Self {
            words,
            shards,
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

    /// Lends a column to one more reader, where one is left.
    pub(crate) fn lend(&self) -> OwnCalls {
        let words = self.words.all();
        let lent = &words[LENT];
        let mut column = COMMON;
        // Acquire: what the reader before has left in the column is there.
        update(lent, Ordering::Acquire, |lent| {
            column = (1..COLUMNS)
                .find(|column| lent >> column & 1 == 0)
                .unwrap_or(COMMON);
            (column != COMMON).then_some(lent | 1 << column)
        });
        OwnCalls {
            calls: self.clone(),
            column,
        }
    }

    /// Those of one shard, which must exist.
    #[inline(always)]
    pub(crate) fn of(&self, shard: u16) -> ShardCalls<'_> {
        self.get(shard, COMMON).expect("a shard of the board")
    }

    /// A call ended whose pick gave this token. What is said may be made up.
    #[inline]
    pub(crate) fn finish(&self, token: Token) {
        self.finish_in(token, COMMON);
    }

    #[inline(always)]
    fn finish_in(&self, token: Token, column: usize) {
        if let Some(begun) = token.begun()
            && let Some(calls) = self.get(token.shard(), column)
        {
            calls.finish(token.slot(), begun);
        }
    }

    #[inline(always)]
    fn get(&self, shard: u16, column: usize) -> Option<ShardCalls<'_>> {
        let (words, shard) = (self.words.all(), usize::from(shard));
        if shard >= self.shards {
            return None;
        }
        let [period, _, _, written, ..] = words else {
            return None;
        };
        let modules = LINE_WORDS + shard * self.shard_modules;
        let written = written.load(Ordering::Relaxed);
        let others = written & !(1 << column);
        let other = if others.is_power_of_two() {
            self.part(shard, others.trailing_zeros() as usize)?
        } else {
            &[]
        };
        Some(ShardCalls {
            all: self,
            shard,
            modules: words.get(modules..modules + self.shard_modules)?,
            own: self.part(shard, column)?,
            column,
            is_first: others == written,
            other,
            is_crowded: other.is_empty() && others != 0,
            period: Period(period.load(Ordering::Relaxed)),
        })
    }

    /// A shard's part of a column.
    #[inline(always)]
    fn part(&self, shard: usize, column: usize) -> Option<&[AtomicU64]> {
        let start =
            LINE_WORDS + self.shards * self.shard_modules + (column * self.shards + shard) * self.shard_nodes;
        self.words.all().get(start..start + self.shard_nodes)
    }

    /// What a node has in flight by all columns that were ever written.
    #[inline(never)]
    fn in_flight_of_all(&self, shard: usize, slot: NodeSlot, period: Period) -> i32 {
        let written = self.words.load(WRITTEN, Ordering::Relaxed).unwrap_or(0);
        let columns = (0..COLUMNS).filter(|column| written >> column & 1 == 1);
        let words = columns.filter_map(|column| {
            let cell = self.part(shard, column)?.get(slot.to_bits() as usize)?;
            Some(period.current(cell.load(Ordering::Relaxed)))
        });
        sum_of(words.fold(0, add_lanes))
    }
}

impl OwnCalls {
    /// As [`Calls::of`].
    #[inline(always)]
    pub(crate) fn of(&self, shard: u16) -> ShardCalls<'_> {
        self.calls.get(shard, self.column).expect("a shard of the board")
    }

    /// As [`Calls::finish`]. The column has one writer, hence the `&mut`.
    #[inline]
    pub(crate) fn finish(&mut self, token: Token) {
        self.calls.finish_in(token, self.column);
    }
}

impl Drop for OwnCalls {
    fn drop(&mut self) {
        if self.column != COMMON {
            // Release: the next one finds what is left in the column, which ends with its periods.
            let lent = &self.calls.words.all()[LENT];
            lent.fetch_and(!(1 << self.column), Ordering::Release);
        }
    }
}

impl ShardCalls<'_> {
    /// The period that it is.
    #[inline(always)]
    pub(crate) fn period(&self) -> Period {
        self.period
    }

    /// Calls to the node that are in flight, begun by readers of this process.
    #[inline(always)]
    pub(crate) fn in_flight(&self, slot: NodeSlot) -> u32 {
        self.balance(slot).max(0) as u32
    }

    /// The same, negative where more calls were forgiven than were lost.
    #[inline(always)]
    pub(crate) fn balance(&self, slot: NodeSlot) -> i32 {
        if self.is_crowded {
            return self.all.in_flight_of_all(self.shard, slot, self.period);
        }
        let own = self.word(self.own, slot);
        if self.other.is_empty() {
            return sum_of(own);
        }
        sum_of(add_lanes(own, self.word(self.other, slot)))
    }

    /// The node's word in a column, as it stands in this period.
    #[inline(always)]
    fn word(&self, column: &[AtomicU64], slot: NodeSlot) -> u64 {
        let cell = column.get(slot.to_bits() as usize);
        self.period
            .current(cell.map_or(0, |cell| cell.load(Ordering::Relaxed)))
    }

    /// The node of this slot may be asked about soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: usize) {
        prefetch(self.own, slot);
    }

    /// Adds calls, or takes some off, in the column that is written here; whether the node has a word.
    #[inline(always)]
    fn add(&self, slot: NodeSlot, lane: u64, calls: i16) -> bool {
        let Some(cell) = self.own.get(slot.to_bits() as usize) else {
            return false;
        };
        if self.is_first {
            self.all.words.all()[WRITTEN].fetch_or(1 << self.column, Ordering::Relaxed);
        }
        if self.column == COMMON {
            add_in_common(cell, self.period, lane, calls);
        } else {
            // Nobody else writes it.
            let word = self.period.current(cell.load(Ordering::Relaxed));
            cell.store(add_calls(word, lane, calls), Ordering::Relaxed);
        }
        true
    }

    /// A call to the node begins. None where it is not counted: the node has no slot, or too many calls.
    #[inline(always)]
    pub(crate) fn begin(&self, slot: NodeSlot) -> Option<Begun> {
        let counts = self.balance(slot) < IN_FLIGHT_MAX && self.add(slot, self.period.lane(), 1);
        if counts {
            Some(Begun(self.period.tag() as u16))
        } else {
            None
        }
    }

    /// A call to the node ended that began then. What is said may be made up.
    #[inline(always)]
    fn finish(&self, slot: NodeSlot, begun: Begun) {
        if let Some(lane) = self.period.lane_since(begun)
            && self.balance(slot) > -LENT_MAX
        {
            self.add(slot, lane, -1);
        }
    }

    /// So many of the node's calls are known to be lost: they are in flight no more.
    pub(crate) fn forgive(&self, slot: NodeSlot, lost: u32) {
        let before = self.balance(slot);
        let most = (before + FORGIVEN_MAX).max(0);
        let lost = i32::try_from(lost).unwrap_or(i32::MAX).min(most);
        // Both bounds are those of a lane.
        self.add(slot, self.period.lane(), (-lost) as i16);
    }
}

#[inline(never)]
fn add_in_common(cell: &AtomicU64, period: Period, lane: u64, calls: i16) {
    update(cell, Ordering::Relaxed, |word| {
        Some(add_calls(period.current(word), lane, calls))
    });
}

/// Replaces a word that many threads write by what `change` makes of it, as if in one step, unless that is none. Returns
/// whether it did.
#[inline(always)]
fn update(word: &AtomicU64, found: Ordering, mut change: impl FnMut(u64) -> Option<u64>) -> bool {
    let mut before = word.load(Ordering::Relaxed);
    while let Some(after) = change(before) {
        match word.compare_exchange_weak(before, after, found, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(other) => before = other,
        }
    }
    false
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use super::lanes::CYCLE;
    use super::*;
    use crate::board::BoardConfig;

    pub(super) const SLOT: NodeSlot = NodeSlot::new(3);

    pub(super) fn calls() -> Calls {
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
        assert_eq!(calls.of(0).balance(SLOT), -LENT_MAX);
        for _ in 0..70_000 {
            calls.of(0).begin(SLOT);
        }
        assert_eq!(calls.of(0).balance(SLOT), IN_FLIGHT_MAX);
        assert_eq!(calls.of(0).begin(SLOT), None);
        assert_eq!(calls.of(0).begin(NodeSlot::NONE), None);
        calls.of(0).forgive(SLOT, u32::MAX);
        calls.of(0).forgive(SLOT, u32::MAX);
        assert_eq!(calls.of(0).balance(SLOT), -FORGIVEN_MAX);
        for begun in 0..=u16::MAX {
            calls.of(0).finish(SLOT, Begun(begun));
        }
        assert_eq!(
            calls.of(0).balance(SLOT),
            -FORGIVEN_MAX,
            "no report takes it further"
        );
    }

    /// Of readers with columns of their own, of those without and of whoever has no reader: whoever begins and whoever ends.
    #[test]
    fn call_may_begin_in_one_column_and_end_in_another() {
        let calls = calls();
        let mut readers: Vec<OwnCalls> = (0..=COLUMNS).map(|_| calls.lend()).collect();
        let columns: Vec<usize> = readers.iter().map(|reader| reader.column).collect();
        assert_eq!(columns, [1, 2, 3, COMMON, COMMON]);
        let token = |begun| Token::new(1, SLOT, Some(begun), false);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut open = Vec::new();
        for step in 0..400_000 {
            // First one that only begins and one that only ends, further than a lane counts; then any.
            let (from, to) = if step < 200_000 {
                (0, 1)
            } else {
                (rng.usize(0..readers.len()), rng.usize(0..=readers.len()))
            };
            open.extend(readers[from].of(1).begin(SLOT));
            if open.len() > 20 {
                let ended = token(open.swap_remove(rng.usize(0..open.len())));
                match readers.get_mut(to) {
                    Some(reader) => reader.finish(ended),
                    None => calls.finish(ended),
                }
            }
            assert_eq!(calls.of(1).balance(SLOT), open.len() as i32, "after {step}");
            assert_eq!(readers[from].of(1).balance(SLOT), open.len() as i32);
        }
        calls.of(1).forgive(SLOT, 5);
        assert_eq!(calls.of(1).balance(SLOT), 15);
        assert_eq!(calls.of(0).balance(SLOT), 0, "another shard's");
        readers.remove(1);
        assert_eq!(calls.lend().column, 2, "a column that was given back");
        assert_eq!(calls.of(1).balance(SLOT), 15, "what it left behind counts on");
        calls.advance(3 * BOUND_DEFAULT.as_nanos() as u64 / 2);
        assert_eq!(calls.of(1).balance(SLOT), 0);
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
}
