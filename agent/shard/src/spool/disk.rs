//! What is to be done on disk next, told from what is in memory and what is on disk; and what follows from how it went.
//! One job at a time, so that what stands on disk is always known.

use super::file::{AGE_MS_MAX, Dead, Flight, JOURNAL, Journal, Replay, SEALED, Sealed, new_stem, stem};
use super::{Moment, Spool, SpoolDone, SpoolJob, SpoolNews, record};
use lars_wire::record::TallyBatch;
use std::time::Duration;

/// How soon a job that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Behind the name of a file whose writing has not come to its end.
const UNFINISHED: &str = ".new";

/// The job under way.
#[derive(Debug)]
pub(super) enum Busy {
    Opening,
    Flight { flight: Flight, bytes: u64 },
    Sealed { name: String, bytes: u64 },
    Journal { name: String, bytes: u64 },
    Remove { name: String },
    ReadSealed { name: String },
    ReadOrphan { name: String },
}

impl Spool {
    /// What to do on disk now; none while a job is under way or nothing is to be done. [`Spool::done`] hears of it.
    pub fn job(&mut self, now: Moment) -> Option<SpoolJob> {
        if self.busy.is_some() || self.config.bytes_max == 0 {
            return None;
        }
        if self.retry_at.is_some_and(|at| now.at < at) {
            self.seal_to_probe(now);
            self.files.iter_mut().for_each(Sealed::refuse);
            return self.let_go();
        }
        self.retry_at = None;
        if !self.opened {
            self.busy = Some(Busy::Opening);
            return Some(SpoolJob::Open);
        }
        if self.closing {
            if self.outbox.waiting_len() > 0 {
                self.seal(now);
            }
            return self.file_flight(now).or_else(|| self.file_sealed(now));
        }
        self.start_journal(now);
        self.seal_to_probe(now);
        self.file_flight(now)
            .or_else(|| self.let_go())
            .or_else(|| self.file_sealed(now))
            .or_else(|| self.file_journal(now))
            .or_else(|| self.bury())
            .or_else(|| self.read())
    }

    /// How the job went.
    pub fn done(&mut self, now: Moment, result: Result<SpoolDone, String>) {
        let Some(busy) = self.busy.take() else { return };
        match result {
            Ok(done) => self.went_well(now, busy, done),
            Err(error) => self.went_wrong(now, busy, error),
        }
    }

    pub(super) fn is_busy_with_journal(&self) -> bool {
        matches!(self.busy, Some(Busy::Journal { .. }))
    }

    fn went_well(&mut self, now: Moment, busy: Busy, done: SpoolDone) {
        let writes = matches!(
            busy,
            Busy::Opening | Busy::Flight { .. } | Busy::Sealed { .. } | Busy::Journal { .. }
        );
        if writes && self.trouble.take().is_some() {
            self.news.push(SpoolNews::Well);
        }
        match (busy, done) {
            (Busy::Opening, SpoolDone::Opened(files)) => self.take_stock(files),
            (Busy::Flight { flight, bytes }, _) => {
                self.on_disk.insert(flight.name.clone(), bytes);
                self.flight = Some(flight);
            }
            (Busy::Sealed { name, bytes }, _) => {
                if let Some(sealed) = self.files.iter_mut().find(|sealed| sealed.name == name) {
                    sealed.content = None;
                    sealed.stale.retain(|stale| *stale != name);
                }
                self.on_disk.insert(name, bytes);
            }
            (Busy::Journal { name, bytes }, _) => {
                if let Some(journal) = self.journal.as_mut().filter(|journal| journal.name == name) {
                    journal.written = bytes;
                }
                self.on_disk.insert(name, bytes);
            }
            (Busy::Remove { name }, _) => self.removed(&name),
            (Busy::ReadSealed { name }, SpoolDone::Content(content)) => self.start_replay(now, name, content),
            (Busy::ReadOrphan { name }, SpoolDone::Content(content)) => {
                self.seal_orphan(now, &name, content.as_deref());
            }
            (busy, done) => debug_assert!(false, "{busy:?} does not end by {done:?}"),
        }
    }

    fn went_wrong(&mut self, now: Moment, busy: Busy, error: String) {
        self.counts.errors += 1;
        self.retry_at = Some(now.at + RETRY);
        match busy {
            Busy::Opening => {}
            // Which of the two identities is on disk is not known; both stand for the same calls.
            Busy::Flight { flight, .. } => {
                self.flight = self.flight.take().filter(|old| old.name != flight.name);
            }
            Busy::Sealed { name, .. } => {
                let of_name = |sealed: &&mut Sealed| sealed.name == name;
                self.files.iter_mut().filter(of_name).for_each(Sealed::refuse);
            }
            Busy::Journal { name, .. } => {
                if let Some(journal) = self.journal.as_mut().filter(|journal| journal.name == name) {
                    journal.is_to_be_written = true;
                }
            }
            // A folder that cannot be changed must not keep counts from report: should we be killed before they are
            // acknowledged, what the file still has is sent once more, under the identity that it was sealed with.
            Busy::Remove { name } => {
                let is_kept = self.dead.iter().any(|dead| dead.name == name && dead.is_kept);
                self.forget(&name);
                self.dead.insert(0, Dead { name, is_kept });
            }
            Busy::ReadSealed { name } => {
                if let Some(place) = self.files.iter().position(|sealed| sealed.name == name)
                    && let Some(sealed) = self.files.remove(place)
                {
                    self.files.push_back(sealed);
                }
            }
            Busy::ReadOrphan { name } => self.orphans.push_back(name),
        }
        self.tell_trouble(error);
    }

    fn tell_trouble(&mut self, error: String) {
        if self.trouble.is_none() {
            self.news.push(SpoolNews::Trouble(error.clone()));
        }
        self.trouble = Some(error);
    }

    /// What an earlier run left behind.
    fn take_stock(&mut self, files: Vec<(String, u64)>) {
        self.opened = true;
        let ours = |name: &str| stem(name).is_some() || name.ends_with(UNFINISHED);
        self.on_disk = files.into_iter().filter(|(name, _)| ours(name)).collect();
        for name in self.on_disk.keys() {
            let has_sealed = |stem: &str| self.on_disk.contains_key(&format!("{stem}{SEALED}"));
            if name.ends_with(SEALED) {
                self.files.push_back(Sealed::found(name.clone()));
            } else if name.strip_suffix(JOURNAL).is_some_and(|stem| !has_sealed(stem)) {
                self.orphans.push_back(name.clone());
            } else {
                // A write that was not finished, or a journal that is sealed already.
                let (name, is_kept) = (name.clone(), false);
                self.dead.push(Dead { name, is_kept });
            }
        }
        if !self.on_disk.is_empty() {
            let (files, bytes) = (self.on_disk.len(), self.on_disk.values().sum());
            self.news.push(SpoolNews::Found { files, bytes });
        }
    }

    /// Starts a journal where report is silent.
    fn start_journal(&mut self, now: Moment) {
        if self.journal.is_none() && self.outbox.waiting_len() > 0 && self.is_stalled(now) {
            let author = self.new_author();
            self.journal = Some(Journal::new(now.unix_ms, author));
            if self.on_disk.is_empty() {
                self.news.push(SpoolNews::Started);
            }
        }
    }

    /// Seals the journal where nothing else is there to try a connection with.
    fn seal_to_probe(&mut self, now: Moment) {
        let has_other = !self.files.is_empty() || !self.orphans.is_empty() || self.replay.is_some();
        if self.connected && !self.closing && !has_other && self.outbox.in_flight_key().is_none() {
            self.seal_if_possible(now);
        }
    }

    /// Keeps the flight file what it should be: there while report is silent, with the batch that is under way.
    fn file_flight(&mut self, now: Moment) -> Option<SpoolJob> {
        let batch = self.outbox.in_flight(now.at);
        let key = batch.as_ref().map(|batch| (batch.incarnation, batch.sequence));
        match (&self.flight, batch) {
            (Some(flight), _) if Some(flight.key) == key => None,
            // Given another identity: the same file, so that never both are there.
            (Some(flight), Some(batch)) if flight.key.0 != batch.incarnation => {
                let name = flight.name.clone();
                self.write_flight(now, name, batch)
            }
            (Some(flight), _) => {
                let name = flight.name.clone();
                Some(self.remove(name))
            }
            (None, Some(batch)) if self.closing || self.is_stalled(now) => {
                let begun = now.unix_ms.saturating_sub(batch.age_ms);
                let name = format!("{}{SEALED}", new_stem(begun, batch.incarnation));
                self.write_flight(now, name, batch)
            }
            (None, _) => None,
        }
    }

    fn write_flight(&mut self, now: Moment, name: String, batch: TallyBatch) -> Option<SpoolJob> {
        let (key, unix_ms) = (
            (batch.incarnation, batch.sequence),
            now.unix_ms.saturating_sub(batch.age_ms),
        );
        let mut content = record::head();
        record::append(&mut content, unix_ms, &TallyBatch { age_ms: 0, ..batch });
        let bytes = content.len() as u64;
        if !self.has_room(now, &name, bytes) {
            return None;
        }
        self.dead.retain(|dead| dead.name != name);
        let flight = Flight { name, key };
        let name = flight.name.clone();
        self.busy = Some(Busy::Flight { flight, bytes });
        Some(SpoolJob::Write { name, content })
    }

    /// Writes what is sealed; and removes what it stands for.
    fn file_sealed(&mut self, now: Moment) -> Option<SpoolJob> {
        let place = self
            .files
            .iter()
            .position(|sealed| sealed.content.is_some() || !sealed.stale.is_empty())?;
        let sealed = &mut self.files[place];
        let name = sealed.name.clone();
        let Some(content) = sealed.content.clone() else {
            let stale = sealed.stale.last()?.clone();
            return Some(self.remove(stale));
        };
        sealed.is_refused = false;
        let bytes = content.len() as u64;
        if !self.has_room(now, &name, bytes) {
            self.files[place].refuse();
            return None;
        }
        self.busy = Some(Busy::Sealed {
            name: name.clone(),
            bytes,
        });
        Some(SpoolJob::Write { name, content })
    }

    /// Removes what stands for a file that the disk refused, so that report can have it from memory.
    fn let_go(&mut self) -> Option<SpoolJob> {
        if !self.connected || self.closing || !self.opened {
            return None;
        }
        let refused = self
            .files
            .iter()
            .find(|sealed| sealed.is_refused && !sealed.stale.is_empty())?;
        let stale = refused.stale.last()?.clone();
        Some(self.remove(stale))
    }

    fn file_journal(&mut self, now: Moment) -> Option<SpoolJob> {
        let waiting = self.outbox.waiting_len();
        let journal = self.journal.as_mut()?;
        let name = journal.name.clone();
        if journal.has_fresh(waiting) {
            let (offset, bytes) = (journal.written, journal.written + journal.fresh_bytes());
            if !self.has_room(now, &name, bytes) {
                return None;
            }
            let content = self.journal.as_mut()?.take_fresh();
            self.busy = Some(Busy::Journal {
                name: name.clone(),
                bytes,
            });
            return Some(SpoolJob::Append {
                name,
                offset,
                content,
            });
        }
        if !journal.is_to_be_written {
            return None;
        }
        let content = journal.whole(now.unix_ms, self.outbox.waiting(now.at));
        let bytes = content.len() as u64;
        if !self.has_room(now, &name, bytes) {
            if let Some(journal) = &mut self.journal {
                journal.is_to_be_written = true;
            }
            return None;
        }
        self.busy = Some(Busy::Journal {
            name: name.clone(),
            bytes,
        });
        Some(SpoolJob::Write { name, content })
    }

    fn bury(&mut self) -> Option<SpoolJob> {
        let Dead { name, is_kept } = self.dead.last()?;
        let (name, is_kept) = (name.clone(), *is_kept);
        let removal = self.remove(name.clone());
        Some(if is_kept {
            SpoolJob::PutAside { name }
        } else {
            removal
        })
    }

    fn read(&mut self) -> Option<SpoolJob> {
        if let Some(name) = self.orphans.pop_front() {
            self.busy = Some(Busy::ReadOrphan { name: name.clone() });
            return Some(SpoolJob::Read { name });
        }
        if !self.connected || self.replay.is_some() {
            return None;
        }
        let name = self
            .files
            .iter()
            .find(|sealed| sealed.is_written() && sealed.stale.is_empty())?
            .name
            .clone();
        self.busy = Some(Busy::ReadSealed { name: name.clone() });
        Some(SpoolJob::Read { name })
    }

    fn remove(&mut self, name: String) -> SpoolJob {
        self.busy = Some(Busy::Remove { name: name.clone() });
        SpoolJob::Remove { name }
    }

    fn removed(&mut self, name: &str) {
        self.on_disk.remove(name);
        self.forget(name);
        if self.on_disk.is_empty() && self.files.is_empty() {
            self.news.push(SpoolNews::Drained);
        }
    }

    /// Nobody speaks of the file any more.
    fn forget(&mut self, name: &str) {
        self.dead.retain(|dead| dead.name != name);
        for sealed in &mut self.files {
            sealed.stale.retain(|stale| stale != name);
        }
        self.flight = self.flight.take().filter(|flight| flight.name != name);
    }

    fn start_replay(&mut self, now: Moment, name: String, content: Option<Vec<u8>>) {
        self.files.retain(|sealed| sealed.name != name);
        let Some(content) = content else {
            self.on_disk.remove(&name);
            return;
        };
        let replay = Replay::new(Some(name.clone()), content);
        if replay.unix_ms().is_some_and(|sealed| is_expired(now, sealed)) {
            self.expire(name, replay.calls());
        } else {
            self.replay = Some(replay);
        }
    }

    fn seal_orphan(&mut self, now: Moment, name: &str, content: Option<&[u8]>) {
        let (records, is_torn) = record::read(content.unwrap_or_default());
        if is_torn {
            self.news.push(SpoolNews::Torn(name.to_owned()));
        }
        let newest = records.iter().map(|record| record.unix_ms).max();
        let sealed = Sealed::of_journal(name, &records, now.at, self.config.pending_max);
        match sealed {
            Some(_) if newest.is_some_and(|newest| is_expired(now, newest)) => {
                let tallies = records.iter().flat_map(|record| &record.batch.tallies);
                self.expire(name.to_owned(), tallies.map(crate::outbox::calls).sum());
            }
            Some(sealed) => self.files.push_back(sealed),
            None => self.dead.push(Dead {
                name: name.to_owned(),
                is_kept: false,
            }),
        }
    }

    fn expire(&mut self, name: String, calls: u64) {
        self.counts.expired_calls += calls;
        self.news.push(SpoolNews::Expired(name.clone(), calls));
        let is_kept = false;
        self.dead.push(Dead { name, is_kept });
    }

    /// Whether so many bytes may stand under this name; where not, that is trouble as a full disk is.
    fn has_room(&mut self, now: Moment, name: &str, bytes: u64) -> bool {
        let others = self
            .on_disk
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(_, bytes)| bytes);
        let has_room = others.sum::<u64>() + bytes <= self.config.bytes_max;
        if !has_room {
            self.retry_at = Some(now.at + RETRY);
            self.tell_trouble(format!(
                "spool_bytes_max, {} bytes, is reached",
                self.config.bytes_max
            ));
        }
        has_room
    }
}

fn is_expired(now: Moment, unix_ms: u64) -> bool {
    now.unix_ms.saturating_sub(unix_ms) > AGE_MS_MAX
}
