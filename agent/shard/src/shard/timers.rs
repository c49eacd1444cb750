//! Every instant that a shard waits for, in one queue: one enum, one table, one next time-out.
//!
//! What is due within the next part of a second stands in a heap; what comes later waits in no order, by spans of some
//! milliseconds: so an entry costs the same whether a shard has a hundred of them or millions.
//!
//! An entry is never taken out early; whoever armed it remembers the instant, and an entry with another instant is
//! stale. Stale ones are counted, and when they are the majority all are swept, so there are at most twice as many as are armed.

use super::ledger::AccountNumber;
use lars_wire::{ModuleId, NodeAddr};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

/// Below this many entries a sweep is not worth it.
const SWEEP_MIN: usize = 1_024;

/// What is due before this much has passed is near.
const SOON: Duration = Duration::from_millis(250);
/// How long a span is.
const SPAN_US: i64 = 16_000;

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A module is to be forgotten, dropped, or asked for again.
    Module(ModuleId),
    /// A node's window or overload ends.
    Node(ModuleId, NodeAddr),
    /// A module's nodes are to be looked at together.
    Look(ModuleId),
    /// The status window of a node that is in no route any more closes.
    Window(AccountNumber),
}

/// An entry: the earliest comes first, and of equal instants the order is that of [`Timer`].
type Entry = Reverse<(Instant, Timer)>;

/// All entries.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Those that are due soon, and of spans that have begun.
    near: BinaryHeap<Entry>,
    /// The others, by spans.
    far: BTreeMap<i64, Span>,
    /// When something was due last, or would have been.
    seen: Option<Instant>,
    /// Where spans are counted from, forth and back: the first instant that was waited for.
    zero: Option<Instant>,
    len: usize,
    stale: usize,
}

/// The entries of one span of time, in no order.
#[derive(Debug)]
struct Span {
    first: Instant,
    entries: Vec<Entry>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            near: BinaryHeap::new(),
            far: BTreeMap::new(),
            seen: None,
            zero: None,
            len: 0,
            stale: 0,
        }
    }

    /// Will be popped at `at`, or a little later.
    pub(crate) fn push(&mut self, at: Instant, timer: Timer) {
        self.len += 1;
        let entry = Reverse((at, timer));
        if self.seen.is_some_and(|seen| at < seen + SOON) {
            return self.near.push(entry);
        }
        let number = self.span_of(at);
        let span = self.far.entry(number).or_insert_with(|| Span {
            first: at,
            entries: Vec::new(),
        });
        span.first = span.first.min(at);
        span.entries.push(entry);
    }

    fn span_of(&mut self, at: Instant) -> i64 {
        let zero = *self.zero.get_or_insert(at);
        let later = at.saturating_duration_since(zero).as_micros() as i64;
        let earlier = zero.saturating_duration_since(at).as_micros() as i64;
        (later - earlier).div_euclid(SPAN_US)
    }

    /// The earliest instant; what stands there may be stale.
    pub(crate) fn next(&self) -> Option<Instant> {
        [self.next_near(), self.next_far()].into_iter().flatten().min()
    }

    fn next_near(&self) -> Option<Instant> {
        self.near.peek().map(|Reverse((at, _))| *at)
    }

    fn next_far(&self) -> Option<Instant> {
        self.far.first_key_value().map(|(_, span)| span.first)
    }

    /// Takes the earliest entry that is due. Equal instants come in the order of [`Timer`], so that a history
    /// replayed gives the same commands.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        self.seen = Some(now);
        while let Some(first) = self.next_far()
            && first <= now
            && self.next_near().is_none_or(|near| first <= near)
        {
            let (_, span) = self.far.pop_first()?;
            self.near.extend(span.entries);
        }
        if self.next_near()? > now {
            return None;
        }
        let Reverse(entry) = self.near.pop()?;
        self.len -= 1;
        Some(entry)
    }

    /// Whoever armed so many entries waits for them no more.
    pub(crate) fn outdate(&mut self, entries: usize) {
        self.stale += entries;
    }

    /// What was popped was stale.
    pub(crate) fn popped_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// Whether [`Self::sweep`] should be called.
    pub(crate) fn wants_sweep(&self) -> bool {
        self.len >= SWEEP_MIN && self.stale > self.len / 2
    }

    /// Drops what is not live. Each entry that became stale pays for a constant part of it.
    pub(crate) fn sweep(&mut self, mut is_live: impl FnMut(Instant, Timer) -> bool) {
        let mut is_live = |Reverse((at, timer)): &Entry| is_live(*at, *timer);
        self.near.retain(&mut is_live);
        self.far.retain(|_, span| {
            span.entries.retain(&mut is_live);
            !span.entries.is_empty()
        });
        self.len = self.near.len() + self.far.values().map(|span| span.entries.len()).sum::<usize>();
        self.stale = 0;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Remembers `deadline` in `armed` and pushes it, unless an entry stands at it or before it: that one looks again.
pub(crate) fn arm(timers: &mut Timers, armed: &mut Option<Instant>, deadline: Option<Instant>, timer: Timer) {
    let Some(deadline) = deadline else { return };
    if armed.is_none_or(|at| at > deadline) {
        timers.outdate(usize::from(armed.is_some()));
        *armed = Some(deadline);
        timers.push(deadline, timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Timer = Timer::Window(AccountNumber::FIRST);

    #[test]
    fn stale_entries_stay_fewer_than_live_ones_or_the_least_worth_a_sweep() {
        let start = Instant::now();
        let (mut timers, mut armed) = (Timers::new(), None);
        // Each deadline is earlier than the one before, the worst case: all entries but the last are stale.
        for step in (0..100_000).rev() {
            let at = start + Duration::from_micros(step);
            arm(&mut timers, &mut armed, Some(at), WINDOW);
            if timers.wants_sweep() {
                timers.sweep(|at, _| armed == Some(at));
            }
            assert!(timers.len() <= SWEEP_MIN);
        }
        assert_eq!(timers.pop_due(start), Some((start, WINDOW)));
    }

    #[test]
    fn entries_come_in_order_of_time_however_they_were_pushed() {
        let start = Instant::now();
        let (mut timers, mut random) = (Timers::new(), fastrand::Rng::with_seed(1));
        let (mut waiting, mut now) = (BTreeMap::new(), start);
        for _ in 0..20_000 {
            // Most within a few spans, some far away, some in the past.
            let most = [10, 50_000, 900_000_000][random.usize(..3)];
            let late = Duration::from_micros(random.u64(..99));
            let at = now.checked_sub(late).unwrap_or(now) + Duration::from_micros(random.u64(..most));
            let timer = Timer::Module(ModuleId::new(1, random.u32(..3)));
            timers.push(at, timer);
            *waiting.entry((at, timer)).or_insert(0) += 1;
            now += Duration::from_micros(random.u64(..20_000));
            while let Some(popped) = timers.pop_due(now) {
                let first = waiting.first_entry().expect("nothing comes that was not pushed");
                assert_eq!(popped, *first.key());
                if *first.get() == 1 {
                    first.remove();
                } else {
                    *first.into_mut() -= 1;
                }
            }
            let next = waiting.first_key_value().map(|((at, _), _)| *at);
            assert_eq!(timers.next(), next);
            assert!(next.is_none_or(|at| at > now));
            assert_eq!(timers.len(), waiting.values().sum::<usize>());
        }
        assert!(timers.len() > 1_000, "many wait to the end");
    }

    #[test]
    fn those_in_the_heap_are_few_however_many_wait() {
        let (start, mut timers) = (Instant::now(), Timers::new());
        // The first one that is waited for is the latest of all.
        for step in (0..10_000).rev() {
            timers.push(start + Duration::from_millis(step), WINDOW);
        }
        for step in 0..10_000 {
            let now = start + Duration::from_millis(step);
            assert_eq!(timers.pop_due(now), Some((now, WINDOW)));
            assert!(timers.near.len() <= 16, "a span at a time");
        }
        assert_eq!((timers.len(), timers.next()), (0, None));
    }

    #[test]
    fn later_deadline_waits_for_the_entry_that_stands_earlier() {
        let start = Instant::now();
        let (mut timers, mut armed) = (Timers::new(), None);
        let second = |count| start + Duration::from_secs(count);
        arm(&mut timers, &mut armed, Some(second(5)), WINDOW);
        arm(&mut timers, &mut armed, Some(second(9)), WINDOW);
        assert_eq!((timers.len(), armed), (1, Some(second(5))));
        arm(&mut timers, &mut armed, Some(second(2)), WINDOW);
        assert_eq!(
            (timers.len(), armed, timers.next()),
            (2, Some(second(2)), Some(second(2)))
        );
    }
}
