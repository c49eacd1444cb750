//! Counts on their way to report: merged while they wait, frozen when first sent, forgotten when acknowledged.

use lars_wire::bounds::TALLIES_MAX;
use lars_wire::record::{Tally, TallyAck, TallyBatch, Window};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What waits is kept apart by minutes, since report keeps history by the minute.
const MINUTE: Duration = Duration::from_mins(1);

/// Counts of one node in one span of time.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When the first of the calls was reported.
    at: Instant,
    /// Sums; its age is filled in when it is frozen.
    tally: Tally,
}

impl Waiting {
    fn as_of(&self, now: Instant) -> Tally {
        let age = now.saturating_duration_since(self.at).as_millis();
        let age_ms = u32::try_from(age).unwrap_or(u32::MAX);
        Tally { age_ms, ..self.tally }
    }
}

/// The span's number, the module, the node: the oldest comes first.
type Key = (u64, ModuleId, NodeAddr);

/// A batch that was frozen.
#[derive(Debug)]
struct Frozen {
    at: Instant,
    batch: TallyBatch,
    /// Whether it was handed out on the present connection.
    sent: bool,
}

impl Frozen {
    /// The age is the one thing that differs from when it was first sent: it says when that was.
    fn as_of(&self, now: Instant) -> TallyBatch {
        let age_ms = now.saturating_duration_since(self.at).as_millis() as u64;
        TallyBatch {
            age_ms,
            ..self.batch.clone()
        }
    }
}

/// One agent's counts that report has not acknowledged yet.
///
/// Bounded without dropping anything: above `pending_max` first the minutes are merged, two by two and again, which
/// makes counts appear up to as much earlier in history as the merged span is long. With more different nodes than
/// `pending_max`, what comes on top is counted under its module and [`NodeAddr::NONE`], and with more different
/// modules than an eighth of `pending_max` among those, under module 0.0. Sums over all nodes stay exact;
/// [`TallyOutbox::unnamed_total`] says how many calls lost their node's name.
#[derive(Debug)]
pub struct TallyOutbox {
    incarnation: [u8; 16],
    caller: u32,
    pending_max: usize,
    /// Where the counting of spans starts: the first instant that was seen.
    epoch: Option<Instant>,
    /// Length of a span: a minute, doubled whenever too much waits.
    span: Duration,
    waiting: BTreeMap<Key, Waiting>,
    /// Tallies that nothing more can be added to, older than what waits.
    full: VecDeque<Waiting>,
    frozen: Option<Frozen>,
    /// Batches frozen so far.
    sequence: u64,
    unnamed_total: u64,
}

impl TallyOutbox {
    /// An empty outbox. `pending_max` bounds the merged tallies that wait; beyond it minutes are merged (ages grow,
    /// sums stay exact), never dropped.
    pub fn new(incarnation: [u8; 16], caller: u32, pending_max: usize) -> Self {
        Self {
            incarnation,
            caller,
            pending_max: pending_max.max(1),
            epoch: None,
            span: MINUTE,
            waiting: BTreeMap::new(),
            full: VecDeque::new(),
            frozen: None,
            sequence: 0,
            unnamed_total: 0,
        }
    }

    /// Adds fresh counts.
    pub fn add(&mut self, now: Instant, tally: &Tally) {
        let at = now
            .checked_sub(Duration::from_millis(tally.age_ms.into()))
            .unwrap_or(now);
        let epoch = *self.epoch.get_or_insert(at);
        let since_epoch = at.saturating_duration_since(epoch);
        let mut key = self.key(since_epoch, tally);
        if self.waiting.len() >= self.pending_max && !self.waiting.contains_key(&key) {
            while self.waiting.len() >= self.pending_max && self.spans_differ(self.number(since_epoch)) {
                self.merge_spans();
            }
            key = self.place(self.key(since_epoch, tally));
        }
        if (key.1, key.2) != (tally.module, tally.node) {
            self.unnamed_total += calls(tally);
        }
        self.put(key, at, *tally);
    }

    /// The batch to send now: the one in flight again (after a reconnect), else a new one frozen from what waits;
    /// none while nothing waits, or while one is in flight on this connection.
    pub fn next(&mut self, now: Instant) -> Option<TallyBatch> {
        if self.frozen.is_none() {
            self.frozen = self.freeze(now);
        }
        self.resend(now)
    }

    /// The batch in flight, where it is to be sent again; freezes nothing.
    pub fn resend(&mut self, now: Instant) -> Option<TallyBatch> {
        let frozen = self.frozen.as_mut().filter(|frozen| !frozen.sent)?;
        frozen.sent = true;
        Some(frozen.as_of(now))
    }

    /// The batch in flight as it would be sent now, whether that is due or not.
    pub fn in_flight(&self, now: Instant) -> Option<TallyBatch> {
        self.frozen.as_ref().map(|frozen| frozen.as_of(now))
    }

    /// Which batch is in flight.
    pub fn in_flight_key(&self) -> Option<([u8; 16], u64)> {
        let batch = &self.frozen.as_ref()?.batch;
        Some((batch.incarnation, batch.sequence))
    }

    /// Whether that batch was sent on the present connection.
    pub fn is_sent(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.sent)
    }

    /// What waits, with ages as of now, in order.
    pub fn waiting(&self, now: Instant) -> impl Iterator<Item = Tally> + '_ {
        let waiting = self.full.iter().chain(self.waiting.values());
        waiting.map(move |waiting| waiting.as_of(now))
    }

    /// Takes all that waits, with ages as of now: others see to it from here on.
    pub fn take_waiting(&mut self, now: Instant) -> Vec<Tally> {
        let tallies = self.waiting(now).collect();
        self.full.clear();
        self.waiting.clear();
        (self.span, self.epoch) = (MINUTE, None);
        tallies
    }

    /// Tallies that wait.
    pub fn waiting_len(&self) -> usize {
        self.waiting.len() + self.full.len()
    }

    /// Whether one more tally may have to be merged with one of another minute.
    pub fn is_crowded(&self) -> bool {
        self.waiting_len() >= self.pending_max
    }

    /// The connection ended: what is in flight is to be sent again.
    pub fn reconnected(&mut self) {
        if let Some(frozen) = &mut self.frozen {
            frozen.sent = false;
        }
    }

    /// Report stored a batch. Returns whether it was the one in flight.
    pub fn acknowledged(&mut self, ack: &TallyAck) -> bool {
        let in_flight = self.frozen.as_ref().map(|frozen| TallyAck {
            incarnation: frozen.batch.incarnation,
            sequence: frozen.batch.sequence,
        });
        let is_it = in_flight.as_ref() == Some(ack);
        if is_it {
            self.frozen = None;
        }
        is_it
    }

    /// Report does not know how this incarnation goes on (its records are gone) and refused the batch in flight, which
    /// it therefore has not stored. Goes on under another identity, with that batch as the first.
    pub fn start_over(&mut self, incarnation: [u8; 16]) {
        self.incarnation = incarnation;
        self.sequence = 0;
        if let Some(frozen) = &mut self.frozen {
            self.sequence = 1;
            frozen.batch.incarnation = incarnation;
            frozen.batch.sequence = 1;
            frozen.sent = false;
        }
    }

    /// Tallies that wait or are in flight.
    pub fn len(&self) -> usize {
        let in_flight = self
            .frozen
            .as_ref()
            .map_or(0, |frozen| frozen.batch.tallies.len());
        self.waiting_len() + in_flight
    }

    /// Whether everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls so far that were counted without their node's name, since too many different nodes waited.
    pub fn unnamed_total(&self) -> u64 {
        self.unnamed_total
    }

    fn number(&self, since_epoch: Duration) -> u64 {
        (since_epoch.as_millis() / self.span.as_millis()) as u64
    }

    fn key(&self, since_epoch: Duration, tally: &Tally) -> Key {
        (self.number(since_epoch), tally.module, tally.node)
    }

    /// Where counts that would need a new place go.
    fn place(&self, key: Key) -> Key {
        let (span, module, _) = key;
        if self.waiting.contains_key(&key) || self.waiting.len() < self.pending_max {
            return key;
        }
        let unnamed = (span, module, NodeAddr::NONE);
        let room = self.pending_max + self.pending_max / 8;
        if self.waiting.contains_key(&unnamed) || self.waiting.len() < room {
            return unnamed;
        }
        (span, ModuleId::default(), NodeAddr::NONE)
    }

    fn put(&mut self, key: Key, at: Instant, mut tally: Tally) {
        (tally.module, tally.node, tally.age_ms) = (key.1, key.2, 0);
        if tally.node == NodeAddr::NONE {
            // Windows of different nodes are no window.
            tally.window = Window::default();
        }
        let Some(waiting) = self.waiting.get_mut(&key) else {
            self.waiting.insert(key, Waiting { at, tally });
            return;
        };
        if let Some(sum) = sum(&waiting.tally, &tally) {
            waiting.tally = sum;
            waiting.at = waiting.at.min(at);
        } else {
            self.full.push_back(*waiting);
            *waiting = Waiting { at, tally };
        }
    }

    /// Doubles the span: two neighbouring spans become one. Done at most as often as the age of the oldest, in
    /// minutes, can be halved.
    fn merge_spans(&mut self) {
        self.span *= 2;
        for ((number, module, node), waiting) in std::mem::take(&mut self.waiting) {
            self.put((number / 2, module, node), waiting.at, waiting.tally);
        }
    }

    /// Whether what waits, with one more of span `number`, is of more than one span.
    fn spans_differ(&self, number: u64) -> bool {
        let first = self.waiting.first_key_value().map(|(key, _)| key.0);
        let last = self.waiting.last_key_value().map(|(key, _)| key.0);
        first != Some(number) || last != Some(number)
    }

    fn freeze(&mut self, now: Instant) -> Option<Frozen> {
        let mut tallies = Vec::new();
        while tallies.len() < TALLIES_MAX {
            let oldest = self.full.pop_front();
            let Some(waiting) = oldest.or_else(|| self.waiting.pop_first().map(|(_, w)| w)) else {
                break;
            };
            tallies.push(waiting.as_of(now));
        }
        if self.waiting.is_empty() {
            (self.span, self.epoch) = (MINUTE, None);
        }
        if tallies.is_empty() {
            return None;
        }
        self.sequence += 1;
        let batch = TallyBatch {
            incarnation: self.incarnation,
            sequence: self.sequence,
            caller: self.caller,
            age_ms: 0,
            tallies,
        };
        let (at, sent) = (now, false);
        Some(Frozen { at, batch, sent })
    }
}

/// Calls of a tally.
pub(crate) fn calls(tally: &Tally) -> u64 {
    [tally.ok, tally.failed, tally.timed_out, tally.cancelled]
        .into_iter()
        .map(u64::from)
        .sum()
}

/// Both counted together, with the window of the newer; none where a sum does not fit.
fn sum(older: &Tally, newer: &Tally) -> Option<Tally> {
    Some(Tally {
        ok: older.ok.checked_add(newer.ok)?,
        failed: older.failed.checked_add(newer.failed)?,
        timed_out: older.timed_out.checked_add(newer.timed_out)?,
        cancelled: older.cancelled.checked_add(newer.cancelled)?,
        latency_sum_us: older.latency_sum_us.checked_add(newer.latency_sum_us)?,
        latency_max_us: older.latency_max_us.max(newer.latency_max_us),
        ..*newer
    })
}
