//! The caller's end of a ring: one thread at a time writes how calls ended. No system call, and no waiting: what finds
//! no room is summed up until there is some.

use super::grant::{Grant, Grantee};
use super::overflow::Overflow;
use super::record::CallRecord;
use super::{DRAINED, FORMAT, MAGIC, RECORD_WORDS, RECORDS, RING_RECORDS, WRITTEN, place, words_of};
use crate::board::BoardError;
use crate::words::{Ordering, Words};

/// Reports that are summed up while the ring is full before the agent's count is looked at again, which costs a line that the
/// agent has just written.
const LOOK_EVERY: u32 = if cfg!(loom) { 0 } else { 16 };

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It is taken.
    Taken,
    /// It is taken, and the agent should be told that the ring is half full.
    HalfFull,
    /// There was no room, neither in the ring nor for one more node outside of it.
    Lost,
}

/// Writes one ring. `Send`; every report takes `&mut`, so there is one writer a ring.
pub struct RingWriter {
    words: Words,
    records: u32,
    written: u64,
    /// The count of written records at which the agent's count is to be looked at again.
    look_at: u64,
    /// Reports until then while the ring is full.
    passed_over: u32,
    /// The agent's count when it was last told that the ring is half full.
    told_at: Option<u64>,
    overflow: Overflow,
    lost: u64,
    grantee: Grantee,
}

impl RingWriter {
    /// A ring of so many records, rounded up to a power of two within [`RING_RECORDS`].
    pub fn create(records: u32) -> Result<Self, BoardError> {
        let min = if cfg!(loom) { 2 } else { *RING_RECORDS.start() };
        let records = records.clamp(min, *RING_RECORDS.end()).next_power_of_two();
        let words = Words::zeroed_ring(words_of(records))?;
        for (place, word) in [MAGIC, FORMAT, u64::from(records)].into_iter().enumerate() {
            words.store(place, word, Ordering::Release);
        }
        debug_assert_eq!(words.load(RECORDS, Ordering::Relaxed), Some(u64::from(records)));
        Ok(Self {
            words,
            records,
            written: 0,
            look_at: u64::from(records / 2),
            passed_over: 0,
            told_at: None,
            overflow: Overflow::default(),
            lost: 0,
            grantee: Grantee::default(),
        })
    }

    /// Writes a record. Inlined, so that nothing of the record goes through memory but the words that are its own.
    #[inline(always)]
    pub fn report(&mut self, record: &CallRecord) -> Reported {
        let words = record.words();
        if self.written >= self.look_at {
            return self.report_looking(words);
        }
        self.put(words);
        Reported::Taken
    }

    /// Moves what was summed up into the ring as far as there is room. To be called now and then by whoever holds a
    /// ring whose thread may have stopped calling. Returns whether nothing is left outside.
    pub fn unload(&mut self) -> bool {
        if self.overflow.is_empty() {
            return true;
        }
        let mut room = self.look();
        while room > 0 {
            let Some(record) = self.overflow.take() else { break };
            self.put(record.words());
            room -= 1;
        }
        self.look();
        self.overflow.is_empty()
    }

    /// Whether the agent has drained everything that was reported.
    pub fn is_drained(&self) -> bool {
        self.overflow.is_empty() && self.drained() == self.written
    }

    /// Records ever drained, by all agents.
    pub fn drained(&self) -> u64 {
        let drained = self.words.load(DRAINED, Ordering::Acquire).unwrap_or(0);
        drained.min(self.written)
    }

    /// Records ever written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether calls are summed up outside of the ring.
    #[inline]
    pub fn is_holding(&self) -> bool {
        !self.overflow.is_empty()
    }

    /// How many.
    pub fn held(&self) -> u64 {
        self.overflow.calls()
    }

    /// Calls lost since the last call of this.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// A probe that the agent granted to this ring and that was not seen yet. From here on it is this thread's: the agent
    /// gives it to nobody else.
    #[inline]
    pub fn granted(&mut self) -> Option<Grant> {
        self.grantee.take(&self.words)
    }

    /// The file behind the ring, to be passed to the agent.
    #[cfg(not(any(loom, miri)))]
    pub fn file(&self) -> std::os::fd::BorrowedFd<'_> {
        self.words.file()
    }

    /// The same memory, as a second handle of the model checker's.
    #[cfg(any(loom, miri))]
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    #[inline]
    fn put(&mut self, record: [u64; RECORD_WORDS]) {
        let first = place(self.written, self.records);
        if let Some(words) = self.words.span(first, RECORD_WORDS) {
            for (word, value) in words.iter().zip(record) {
                word.store(value, Ordering::Relaxed);
            }
        }
        self.written += 1;
        // The agent that sees this count sees the record.
        self.words.store(WRITTEN, self.written, Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn report_looking(&mut self, record: [u64; RECORD_WORDS]) -> Reported {
        if self.passed_over > 0 && !self.overflow.is_empty() {
            self.passed_over -= 1;
            return self.hold(record);
        }
        self.unload();
        if self.look() > 0 && self.overflow.is_empty() {
            self.put(record);
        } else {
            self.passed_over = LOOK_EVERY;
            if self.hold(record) == Reported::Lost {
                return Reported::Lost;
            }
        }
        // Told once for each time that the agent has drained: more would change nothing.
        let drained = self.drained();
        let half_full = self.written - drained >= u64::from(self.records / 2);
        if half_full && self.told_at != Some(drained) {
            self.told_at = Some(drained);
            return Reported::HalfFull;
        }
        Reported::Taken
    }

    /// Sums a record up outside of the ring.
    fn hold(&mut self, record: [u64; RECORD_WORDS]) -> Reported {
        // What nobody could call is refused by whoever drains, and so it is here.
        let Some(record) = CallRecord::from_words(record) else {
            return Reported::Taken;
        };
        if self.overflow.add(record) {
            return Reported::Taken;
        }
        self.lost += u64::from(record.calls);
        Reported::Lost
    }

    /// How many records there is room for; decides when to look next.
    fn look(&mut self) -> u64 {
        let records = u64::from(self.records);
        // Acquire: the agent has read the records whose places are written next.
        let drained = self.words.load(DRAINED, Ordering::Acquire).unwrap_or(0);
        // A count that cannot be is an agent gone mad: as if it drained nothing.
        let used = self
            .written
            .checked_sub(drained)
            .map_or(records, |used| used.min(records));
        let room = records - used;
        let until = if !self.overflow.is_empty() {
            0
        } else if used >= records / 2 {
            room.min(records / 8)
        } else {
            records / 2 - used
        };
        self.look_at = self.written + until;
        room
    }
}
