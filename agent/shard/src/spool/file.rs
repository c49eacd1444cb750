//! The spool's files as they live in memory: the journal that grows, the sealed one that waits to be sent, the one
//! that is being sent.

use super::record::{self, Author, Record};
use crate::outbox::{TallyOutbox, calls};
use lars_wire::record::{Tally, TallyAck, TallyBatch};
use std::time::Instant;

/// Behind a journal's stem.
pub(super) const JOURNAL: &str = ".journal";
/// Behind a sealed file's stem.
pub(super) const SEALED: &str = ".spool";
/// Bytes of records that may wait for the disk; beyond them the journal is written anew, merged.
const UNWRITTEN_BYTES_MAX: usize = 8 << 20;
/// Bytes that a merged tally takes in a journal, heads included, and what a small journal may be longer than that.
const TALLY_BYTES: usize = 80;
const SLACK_BYTES: u64 = 64 << 10;
/// What is older is not sent: report forgets whom it knows after seven days without a word, and would then count what
/// it has stored already once more.
pub(super) const AGE_MS_MAX: u64 = 3 * 24 * 3_600 * 1_000;

/// Names sort by age.
pub(super) fn new_stem(unix_ms: u64, incarnation: [u8; 16]) -> String {
    format!("{unix_ms:013}-{:032x}", u128::from_be_bytes(incarnation))
}

/// A name without what it ends with.
pub(super) fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(JOURNAL).or_else(|| name.strip_suffix(SEALED))
}

/// When a file was begun, by its name.
pub(super) fn begun_unix_ms(name: &str) -> u64 {
    name.split('-')
        .next()
        .and_then(|time| time.parse().ok())
        .unwrap_or(0)
}

/// What waits in memory, on disk as well.
#[derive(Debug)]
pub(super) struct Journal {
    pub name: String,
    /// Under which it will be sealed.
    pub author: Author,
    /// Bytes on disk.
    pub written: u64,
    /// Whether it has to be written whole: it is new, or an append failed, or merging makes it much shorter.
    pub is_to_be_written: bool,
    /// Records that are not on disk.
    fresh: Vec<u8>,
    sequence: u64,
}

impl Journal {
    pub(super) fn new(unix_ms: u64, author: Author) -> Self {
        Self {
            name: format!("{}{JOURNAL}", new_stem(unix_ms, author.incarnation)),
            author,
            written: 0,
            is_to_be_written: true,
            fresh: Vec::new(),
            sequence: 1,
        }
    }

    /// Counts that were added to what waits. One that is to be written whole has them from there.
    pub(super) fn add(&mut self, unix_ms: u64, tallies: &[Tally]) {
        if self.is_to_be_written || self.fresh.len() > UNWRITTEN_BYTES_MAX {
            self.is_to_be_written = true;
            self.fresh.clear();
            return;
        }
        let tallies = tallies.iter().copied();
        self.sequence = record::append_tallies(&mut self.fresh, self.author, self.sequence, unix_ms, tallies);
    }

    /// All of it, from what waits.
    pub(super) fn whole(&mut self, unix_ms: u64, waiting: impl IntoIterator<Item = Tally>) -> Vec<u8> {
        self.is_to_be_written = false;
        self.fresh.clear();
        let mut content = record::head();
        self.sequence = record::append_tallies(&mut content, self.author, 1, unix_ms, waiting);
        content
    }

    /// Whether there is something to append; where merging makes it much shorter, it is to be written whole instead.
    pub(super) fn has_fresh(&mut self, waiting: usize) -> bool {
        let merged = (waiting * TALLY_BYTES) as u64;
        if self.written + self.fresh.len() as u64 > 2 * merged + SLACK_BYTES {
            self.is_to_be_written = true;
        }
        !self.is_to_be_written && !self.fresh.is_empty()
    }

    /// Whether all of it is on disk, or on its way there.
    pub(super) fn is_up_to_date(&self) -> bool {
        !self.is_to_be_written && self.fresh.is_empty()
    }

    /// Bytes that [`Self::take_fresh`] would give.
    pub(super) fn fresh_bytes(&self) -> u64 {
        self.fresh.len() as u64
    }

    /// What is to be appended.
    pub(super) fn take_fresh(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.fresh)
    }
}

/// The file of the batch under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub name: String,
    /// Which batch it has.
    pub key: ([u8; 16], u64),
}

/// Frozen batches that wait to be sent.
#[derive(Debug)]
pub(super) struct Sealed {
    pub name: String,
    /// Until it is on disk.
    pub content: Option<Vec<u8>>,
    /// Tallies in it, as long as it is not on disk.
    tallies: usize,
    /// Files with the same counts under another name or identity: gone before these are sent.
    pub stale: Vec<String>,
    /// Whether the disk does not take it.
    pub is_refused: bool,
}

impl Sealed {
    pub(super) fn new(
        stem: &str,
        author: Author,
        unix_ms: u64,
        tallies: Vec<Tally>,
        journal: Option<String>,
    ) -> Self {
        let count = tallies.len();
        let mut content = record::head();
        record::append_tallies(&mut content, author, 1, unix_ms, tallies);
        Self {
            name: format!("{stem}{SEALED}"),
            content: Some(content),
            tallies: count,
            stale: journal.into_iter().collect(),
            is_refused: false,
        }
    }

    /// One that an earlier run left.
    pub(super) fn found(name: String) -> Self {
        Self {
            name,
            content: None,
            tallies: 0,
            stale: Vec::new(),
            is_refused: false,
        }
    }

    /// What the journal of an earlier run comes to, merged; none where nothing in it is whole.
    pub(super) fn of_journal(
        name: &str,
        records: &[Record],
        at: Instant,
        pending_max: usize,
    ) -> Option<Self> {
        let first = &records.first()?.batch;
        let author = Author {
            incarnation: first.incarnation,
            caller: first.caller,
        };
        let newest = records.iter().map(|record| record.unix_ms).max()?;
        let mut outbox = TallyOutbox::new(author.incarnation, author.caller, pending_max);
        for record in records {
            let older = u32::try_from(newest - record.unix_ms).unwrap_or(u32::MAX);
            for tally in &record.batch.tallies {
                let age_ms = tally.age_ms.saturating_add(older);
                outbox.add(at, &Tally { age_ms, ..*tally });
            }
        }
        let tallies = outbox.take_waiting(at);
        Some(Self::new(
            stem(name)?,
            author,
            newest,
            tallies,
            Some(name.to_owned()),
        ))
    }

    /// Whether it is on disk as it is to be sent.
    pub(super) fn is_written(&self) -> bool {
        self.content.is_none()
    }

    /// The disk does not take it now.
    pub(super) fn refuse(&mut self) {
        self.is_refused = self.content.is_some();
    }

    /// Whether the disk refused it, and nothing on disk has its counts.
    pub(super) fn is_to_be_sent_from_memory(&self) -> bool {
        self.is_refused && self.stale.is_empty() && self.content.is_some()
    }

    /// Its tallies, while it is in memory alone.
    pub(super) fn tallies(&self) -> Option<usize> {
        self.content.as_ref().map(|_| self.tallies)
    }
}

/// A file on its way to report: one batch after the other.
#[derive(Debug)]
pub(super) struct Replay {
    /// None where it is not on disk.
    pub name: Option<String>,
    content: Vec<u8>,
    offset: usize,
    current: Option<Record>,
    sent: bool,
    /// Whether it did not end where a record ends.
    pub damaged: bool,
}

impl Replay {
    pub(super) fn new(name: Option<String>, content: Vec<u8>) -> Self {
        let first = record::first(&content);
        let mut replay = Self {
            name,
            offset: first.unwrap_or(content.len()),
            content,
            current: None,
            sent: false,
            damaged: first.is_err(),
        };
        replay.go_on();
        replay
    }

    /// When it was sealed; none where nothing in it is whole.
    pub(super) fn unix_ms(&self) -> Option<u64> {
        self.current.as_ref().map(|record| record.unix_ms)
    }

    /// Calls that are left in it.
    pub(super) fn calls(mut self) -> u64 {
        let mut left = 0;
        while let Some(record) = self.current.take() {
            left += record.batch.tallies.iter().map(calls).sum::<u64>();
            self.go_on();
        }
        left
    }

    /// The batch to send, unless it was sent on this connection.
    pub(super) fn next(&mut self, unix_ms: u64) -> Option<TallyBatch> {
        let record = self.current.as_ref().filter(|_| !self.sent)?;
        self.sent = true;
        Some(TallyBatch {
            age_ms: unix_ms.saturating_sub(record.unix_ms),
            ..record.batch.clone()
        })
    }

    /// Goes on behind what report has stored. Returns whether that is news.
    pub(super) fn acknowledged(&mut self, ack: &TallyAck) -> bool {
        let is_stored = |record: &Record| {
            record.batch.incarnation == ack.incarnation && record.batch.sequence <= ack.sequence
        };
        if !self.sent || !self.current.as_ref().is_some_and(is_stored) {
            return false;
        }
        // After a restart report may be further than we remember.
        while self.current.as_ref().is_some_and(is_stored) {
            self.go_on();
        }
        true
    }

    pub(super) fn reconnected(&mut self) {
        self.sent = false;
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent
    }

    pub(super) fn is_finished(&self) -> bool {
        self.current.is_none()
    }

    /// What is left, counted anew from 1 under another identity; takes the file's place.
    pub(super) fn renamed(mut self, author: Author, unix_ms: u64) -> Sealed {
        let (mut content, mut sequence, mut tallies) = (record::head(), 1, 0);
        while let Some(record) = self.current.take() {
            tallies += record.batch.tallies.len();
            let batch = record.batch.tallies;
            sequence = record::append_tallies(&mut content, author, sequence, record.unix_ms, batch);
            self.go_on();
        }
        Sealed {
            name: self
                .name
                .clone()
                .unwrap_or_else(|| format!("{}{SEALED}", new_stem(unix_ms, author.incarnation))),
            content: Some(content),
            tallies,
            stale: self.name.into_iter().collect(),
            is_refused: false,
        }
    }

    fn go_on(&mut self) {
        self.sent = false;
        self.current = record::cut(&self.content, &mut self.offset).unwrap_or_else(|_| {
            self.damaged = true;
            None
        });
    }
}

/// A file that has done its service.
#[derive(Debug)]
pub(super) struct Dead {
    pub name: String,
    /// Whether it is put aside for people to look at.
    pub is_kept: bool,
}
