//! The agent's end of a ring. The caller may write whatever it likes at any time, so every word is read once and
//! judged; a ring in which something cannot be is given up, and nothing else happens.

use super::grant::{Grant, Granter};
use super::record::CallRecord;
use super::{DRAINED, RECORD_WORDS, WRITTEN, place};
#[cfg(not(any(loom, miri)))]
use super::{FORMAT, MAGIC, RECORDS, RING_RECORDS, words_of};
#[cfg(not(any(loom, miri)))]
use crate::memfd::Purpose;
use crate::words::{AtomicU64, Ordering, Words};
#[cfg(not(any(loom, miri)))]
use std::os::fd::OwnedFd;

/// Why a ring is not taken, or given up: always its caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum RingBroken {
    /// The file cannot be the memory of a ring.
    #[error("the file is no ring: {0}")]
    File(String),
    /// The first words are not those of a ring as it is known here.
    #[error("the ring starts with {magic:#x}, format {format}, {records} records in a file of {words} words")]
    Header {
        /// As read.
        magic: u64,
        /// As read.
        format: u64,
        /// As read.
        records: u64,
        /// As it is.
        words: usize,
    },
    /// More records are said to lie in the ring than it holds.
    #[error("{written} records are said to be written when {drained} were drained, of a ring of {records}")]
    Written {
        /// The caller's count.
        written: u64,
        /// Ours.
        drained: u64,
        /// Records of the ring.
        records: u32,
    },
    /// What is said to be a record is none.
    #[error("record {0} is none")]
    Record(u64),
    /// The count of drained records, which is the agent's alone, was changed; or two drain the same ring.
    #[error("{found} records are said to be drained, not {ours}")]
    Drained {
        /// As read.
        found: u64,
        /// As we left it.
        ours: u64,
    },
}

/// Drains one ring. `Send`.
pub struct RingDrain {
    words: Words,
    records: u32,
    drained: u64,
    granter: Granter,
}

impl RingDrain {
    /// Takes a ring over as it was passed, from where the agent before has left it.
    #[cfg(not(any(loom, miri)))]
    pub fn adopt(file: OwnedFd) -> Result<Self, RingBroken> {
        let words_max = words_of(*RING_RECORDS.end());
        let words = Words::open(file, Purpose::Ring, words_max)
            .map_err(|error| RingBroken::File(error.to_string()))?;
        let word = |place| words.load(place, Ordering::Acquire).unwrap_or(0);
        let (magic, format, records) = (word(0), word(1), word(RECORDS));
        let known = u32::try_from(records)
            .ok()
            .filter(|records| RING_RECORDS.contains(records) && records.is_power_of_two());
        match known {
            Some(known) if magic == MAGIC && format == FORMAT && words.len() == words_of(known) => {
                Self::at(words, known)
            }
            _ => Err(RingBroken::Header {
                magic,
                format,
                records,
                words: words.len(),
            }),
        }
    }

    /// The drain of a ring on the heap.
    #[cfg(any(loom, miri))]
    pub fn of(writer: &super::RingWriter, records: u32) -> Result<Self, RingBroken> {
        Self::at(writer.words().clone(), records)
    }

    fn at(words: Words, records: u32) -> Result<Self, RingBroken> {
        let drained = words.load(DRAINED, Ordering::Acquire).unwrap_or(0);
        let granter = Granter::after(&words);
        Granter::revoke(&words);
        let drain = Self {
            words,
            records,
            drained,
            granter,
        };
        drain.waiting()?;
        Ok(drain)
    }

    /// Hands every record that waits to `each`, oldest first, and returns how many. Their places are free when this
    /// returns. After an error nothing more is to be believed of the ring, and it drains nothing any more.
    ///
    /// An agent that dies in the middle of this, or before what it was handed is safe elsewhere, has taken the records
    /// at most once: the count moves on before anybody counts them.
    pub fn drain(&mut self, mut each: impl FnMut(CallRecord)) -> Result<u64, RingBroken> {
        let waiting = self.waiting()?;
        for count in self.drained..self.drained + waiting {
            let words = self.words.span(place(count, self.records), RECORD_WORDS);
            let words = words.and_then(|words| words.first_chunk::<RECORD_WORDS>());
            let record = words.and_then(|[module, low, high, last]| {
                let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
                CallRecord::from_words([read(module), read(low), read(high), read(last)])
            });
            each(record.ok_or(RingBroken::Record(count))?);
        }
        self.drained += waiting;
        // The caller that sees this count writes the places anew, behind our reading them.
        self.words.store(DRAINED, self.drained, Ordering::Release);
        Ok(waiting)
    }

    /// Grants one probe to the ring's thread: what [`super::RingWriter::granted`] returns once. Replaces one that was not
    /// taken.
    pub fn grant(&mut self, grant: Grant) {
        self.granter.grant(&self.words, grant);
    }

    /// Takes the last grant back, unless the thread has it already.
    pub fn revoke(&self) {
        Granter::revoke(&self.words);
    }

    /// Whether the thread says that it has taken the last grant.
    pub fn is_taken(&self) -> bool {
        self.granter.is_taken(&self.words)
    }

    /// Records ever drained, by all agents.
    pub fn drained(&self) -> u64 {
        self.drained
    }

    /// How many records wait.
    fn waiting(&self) -> Result<u64, RingBroken> {
        let found = self.words.load(DRAINED, Ordering::Relaxed).unwrap_or(0);
        if found != self.drained {
            let ours = self.drained;
            return Err(RingBroken::Drained { found, ours });
        }
        let written = self.words.load(WRITTEN, Ordering::Acquire).unwrap_or(0);
        match written.checked_sub(self.drained) {
            Some(waiting) if waiting <= u64::from(self.records) => Ok(waiting),
            _ => Err(RingBroken::Written {
                written,
                drained: self.drained,
                records: self.records,
            }),
        }
    }
}
