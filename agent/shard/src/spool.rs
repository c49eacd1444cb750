//! The outbox with a disk behind it: what report does not acknowledge is written down, survives the agent, and is sent
//! exactly once. Pure: what is to be done on disk comes out as jobs, how they went comes in.
//!
//! Three kinds of bytes stand on disk, and what makes each of them safe is a rule of one sentence:
//! - a *journal* has what waits in memory, and nothing of it was ever sent while the journal is there;
//! - a *sealed file* has frozen batches under an identity of its own; it is synced before the first is sent and never
//!   changed, so that whoever sends them again sends the same under the same numbers;
//! - the *flight file* is a sealed file with the one batch that was under way when report fell silent.

mod disk;
mod file;
mod record;

pub use record::FILE_BYTES_MAX;

use crate::outbox::TallyOutbox;
use file::{Dead, Flight, Journal, Replay, Sealed};
use lars_wire::record::{Tally, TallyAck, TallyBatch};
use record::Author;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long report may be out of reach before what waits is written down.
const DOWN_MAX: Duration = Duration::from_millis(250);
/// How long a connected report may owe an acknowledgement before that: under full load it takes half of this.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// When something happens: by the monotonic clock for what lives, by Unix time for what is on disk.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The monotonic clock.
    pub at: Instant,
    /// Unix time in milliseconds.
    pub unix_ms: u64,
}

/// Which of the two conversations a batch belongs to; report's refusals name it by the frame's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Fresh counts.
    Live,
    /// What was on disk.
    Replay,
}

/// What is to be done in the spool's folder, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolJob {
    /// Make the folder where there is none, keep others out, list what is there.
    Open,
    /// Write a whole file, which is then either there or not, and sync it.
    Write {
        /// Its name.
        name: String,
        /// All of it.
        content: Vec<u8>,
    },
    /// Write at the end of a file and sync it.
    Append {
        /// Its name.
        name: String,
        /// Where its end is.
        offset: u64,
        /// What follows.
        content: Vec<u8>,
    },
    /// Read a whole file, of at most [`FILE_BYTES_MAX`].
    Read {
        /// Its name.
        name: String,
    },
    /// Remove a file.
    Remove {
        /// Its name.
        name: String,
    },
    /// Put `.damaged` behind its name.
    PutAside {
        /// Its name.
        name: String,
    },
}

/// How a job went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolDone {
    /// The folder's files: names and bytes.
    Opened(Vec<(String, u64)>),
    /// It is done.
    Done,
    /// A file's content; none where it is not there.
    Content(Option<Vec<u8>>),
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolNews {
    /// Counts of earlier runs are there.
    Found {
        /// In so many files.
        files: usize,
        /// Of so many bytes.
        bytes: u64,
    },
    /// Report does not acknowledge: from now on what waits is written down.
    Started,
    /// Everything that was on disk is stored.
    Drained,
    /// A file ended in the middle of a record, as after a crash; what was whole is used.
    Torn(String),
    /// A sealed file is damaged; what was whole before the damage is used, and the file put aside.
    Damaged(String),
    /// A file was three days old; its calls are given up.
    Expired(String, u64),
    /// The disk does not take it: counts stay in memory.
    Trouble(String),
    /// The disk takes it again.
    Well,
}

/// Figures of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolCounts {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// When the oldest of them was begun, Unix time in milliseconds; 0 without any.
    pub oldest_unix_ms: u64,
    /// Whether the disk takes what it is given.
    pub is_well: bool,
    /// Batches from disk that report acknowledged.
    pub replayed: u64,
    /// Jobs that failed.
    pub errors: u64,
    /// Calls given up because they were three days old.
    pub expired_calls: u64,
}

/// What a spool is made of.
#[derive(Clone, Copy, Debug)]
pub struct SpoolConfig {
    /// The agent's random identity.
    pub incarnation: [u8; 16],
    /// What `ServerCallStatus` names the agent.
    pub caller: u32,
    /// Tallies in memory at most; see [`TallyOutbox`].
    pub pending_max: usize,
    /// Bytes on disk at most; 0 leaves the disk alone.
    pub bytes_max: u64,
}

/// One agent's counts, in memory and on disk, until report has acknowledged them.
#[derive(Debug)]
pub struct Spool {
    config: SpoolConfig,
    outbox: TallyOutbox,
    identities: u128,
    connected: bool,
    /// Since when something waits and nothing was acknowledged.
    stalled_since: Option<Instant>,
    opened: bool,
    busy: Option<disk::Busy>,
    retry_at: Option<Instant>,
    trouble: Option<String>,
    /// The folder's files, oldest first, with their bytes.
    on_disk: BTreeMap<String, u64>,
    /// Journals of runs that are gone.
    orphans: VecDeque<String>,
    /// Has what waits in the outbox, and nothing that was sent.
    journal: Option<Journal>,
    flight: Option<Flight>,
    files: VecDeque<Sealed>,
    replay: Option<Replay>,
    dead: Vec<Dead>,
    closing: bool,
    news: Vec<SpoolNews>,
    counts: SpoolCounts,
}

impl Spool {
    /// Nothing waits; nothing is known of the disk yet.
    pub fn new(config: SpoolConfig) -> Self {
        Self {
            config,
            outbox: TallyOutbox::new(config.incarnation, config.caller, config.pending_max),
            identities: u128::from_le_bytes(config.incarnation),
            connected: false,
            stalled_since: None,
            opened: false,
            busy: None,
            retry_at: None,
            trouble: None,
            on_disk: BTreeMap::new(),
            orphans: VecDeque::new(),
            journal: None,
            flight: None,
            files: VecDeque::new(),
            replay: None,
            dead: Vec::new(),
            closing: false,
            news: Vec::new(),
            counts: SpoolCounts::default(),
        }
    }

    /// Adds fresh counts.
    pub fn add(&mut self, now: Moment, tallies: &[Tally]) {
        if self.outbox.is_empty() && !tallies.is_empty() {
            self.stalled_since = Some(now.at);
        }
        for tally in tallies {
            if self.outbox.is_crowded() {
                self.seal_if_possible(now);
            }
            self.outbox.add(now.at, tally);
        }
        if let Some(journal) = &mut self.journal {
            // Where it was sealed in between, the new one is written whole.
            journal.add(now.unix_ms, tallies);
        }
    }

    /// A batch to send now, each until it is acknowledged once a connection; none when nothing is left to send.
    pub fn next(&mut self, now: Moment) -> Option<(Lane, TallyBatch)> {
        if !self.connected || self.closing {
            return None;
        }
        let live = if self.journal.is_some() || self.is_renaming() {
            // What a journal has must be sealed before it is sent.
            (!self.is_renaming())
                .then(|| self.outbox.resend(now.at))
                .flatten()
        } else {
            self.outbox.next(now.at)
        };
        if let Some(batch) = live {
            return Some((Lane::Live, batch));
        }
        self.take_up_from_memory();
        let replay = self.replay.as_mut()?;
        let batch = replay.next(now.unix_ms);
        if batch.is_none() && replay.is_finished() {
            self.finish_replay();
            return self.next(now);
        }
        batch.map(|batch| (Lane::Replay, batch))
    }

    /// A connection is there: what was under way is sent again.
    pub fn connected(&mut self) {
        self.connected = true;
        self.outbox.reconnected();
        if let Some(replay) = &mut self.replay {
            replay.reconnected();
        }
    }

    /// The connection ended.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// Report stored a batch. Returns whether it was one under way.
    pub fn acknowledged(&mut self, now: Moment, ack: &TallyAck) -> bool {
        let is_live = self.outbox.acknowledged(ack);
        let is_replay = !is_live
            && self
                .replay
                .as_mut()
                .is_some_and(|replay| replay.acknowledged(ack));
        if is_replay {
            self.counts.replayed += 1;
        }
        if is_live || is_replay {
            self.stalled_since = (!self.outbox.is_empty()).then_some(now.at);
            // Report stores again: what the journal has may go, and what comes fresh goes the short way.
            self.seal_if_possible(now);
        }
        is_live || is_replay
    }

    /// Report does not know how an incarnation goes on, since it was given an older copy of its records, and has not
    /// stored the batch under way: it goes on under another identity.
    pub fn refused(&mut self, now: Moment, lane: Lane) {
        let identity = self.identity();
        match lane {
            Lane::Live if self.outbox.is_sent() => self.outbox.start_over(identity),
            Lane::Replay if self.replay.as_ref().is_some_and(Replay::is_sent) => {
                if let Some(replay) = self.replay.take() {
                    let author = self.author(identity);
                    self.files.push_front(replay.renamed(author, now.unix_ms));
                }
            }
            _ => {}
        }
    }

    /// The agent stops: what is not acknowledged goes to disk, and nothing more is sent. Jobs come until it is done.
    pub fn close(&mut self) {
        self.closing = true;
        self.retry_at = None;
    }

    /// Unacknowledged tallies that are not on disk: what the agent's sudden end would lose.
    pub fn unsaved(&self) -> usize {
        let in_flight = self.outbox.len() - self.outbox.waiting_len();
        let is_journaled =
            !self.is_busy_with_journal() && self.journal.as_ref().is_some_and(Journal::is_up_to_date);
        let unwritten: usize = self.files.iter().filter_map(Sealed::tallies).sum();
        let waiting = if is_journaled {
            0
        } else {
            self.outbox.waiting_len()
        };
        unwritten + waiting + if self.is_in_flight_filed() { 0 } else { in_flight }
    }

    /// Tallies in memory that are not acknowledged.
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    /// Whether a batch was sent and is not acknowledged.
    pub fn awaits_ack(&self) -> bool {
        self.outbox.is_sent() || self.replay.as_ref().is_some_and(Replay::is_sent)
    }

    /// Whether a job is under way.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// When [`Spool::job`] wants to be asked though nothing happened.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.config.bytes_max == 0 || self.busy.is_some() {
            return None;
        }
        let stall = self
            .stalled_since
            .filter(|_| self.opened && !self.closing && self.journal.is_none() && !self.is_filed());
        self.retry_at.or(stall.map(|since| since + self.patience()))
    }

    /// What happened since the last call, for people.
    pub fn news(&mut self) -> Vec<SpoolNews> {
        std::mem::take(&mut self.news)
    }

    /// Figures.
    pub fn counts(&self) -> SpoolCounts {
        let oldest = self.on_disk.keys().next();
        SpoolCounts {
            bytes: self.on_disk.values().sum(),
            files: self.on_disk.len() as u64,
            oldest_unix_ms: oldest.map_or(0, |name| file::begun_unix_ms(name)),
            is_well: self.opened && self.trouble.is_none(),
            ..self.counts
        }
    }

    /// What is wrong with the disk, where something is.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn patience(&self) -> Duration {
        if self.connected { SILENT_MAX } else { DOWN_MAX }
    }

    fn is_stalled(&self, now: Moment) -> bool {
        self.stalled_since
            .is_some_and(|since| since + self.patience() <= now.at)
    }

    fn is_in_flight_filed(&self) -> bool {
        self.flight
            .as_ref()
            .is_some_and(|flight| Some(flight.key) == self.outbox.in_flight_key())
    }

    /// Whether nothing is in memory but perhaps the batch under way, and that is on disk.
    fn is_filed(&self) -> bool {
        self.outbox.is_empty() || self.outbox.waiting_len() == 0 && self.is_in_flight_filed()
    }

    /// Whether the flight file has the batch under way under the identity that it had before.
    fn is_renaming(&self) -> bool {
        let is_other = |flight: &Flight| {
            self.outbox
                .in_flight_key()
                .is_some_and(|(incarnation, _)| incarnation != flight.key.0)
        };
        self.flight.as_ref().is_some_and(is_other)
    }

    /// Another identity. All of a run are neighbours of its random one, at steps that no two runs share.
    fn identity(&mut self) -> [u8; 16] {
        self.identities = self
            .identities
            .wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.identities.to_le_bytes()
    }

    fn author(&self, incarnation: [u8; 16]) -> Author {
        Author {
            incarnation,
            caller: self.config.caller,
        }
    }

    fn seal_if_possible(&mut self, now: Moment) {
        let room = self.files.iter().all(Sealed::is_written);
        if self.journal.is_some() && room {
            self.seal(now);
        }
    }

    /// Freezes all that waits under an identity of its own, to be sent once it is on disk.
    fn seal(&mut self, now: Moment) {
        let tallies = self.outbox.take_waiting(now.at);
        let (journal, author) = match self.journal.take() {
            Some(journal) => (Some(journal.name), journal.author),
            None => (None, self.new_author()),
        };
        let stem = journal.as_deref().and_then(file::stem).map(str::to_owned);
        let stem = stem.unwrap_or_else(|| file::new_stem(now.unix_ms, author.incarnation));
        self.files
            .push_back(Sealed::new(&stem, author, now.unix_ms, tallies, journal));
    }

    fn new_author(&mut self) -> Author {
        let identity = self.identity();
        self.author(identity)
    }

    /// A file that the disk refused is sent from memory.
    fn take_up_from_memory(&mut self) {
        if self.replay.is_none()
            && let Some(place) = self.files.iter().position(Sealed::is_to_be_sent_from_memory)
            && let Some(content) = self.files.remove(place).and_then(|sealed| sealed.content)
        {
            self.replay = Some(Replay::new(None, content));
        }
    }

    fn finish_replay(&mut self) {
        let Some(replay) = self.replay.take() else { return };
        if let Some(name) = replay.name {
            if replay.damaged {
                self.news.push(SpoolNews::Damaged(name.clone()));
            }
            self.dead.push(Dead {
                name,
                is_kept: replay.damaged,
            });
        }
    }
}
