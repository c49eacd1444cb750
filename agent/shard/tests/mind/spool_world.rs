//! A disk, a report and an agent's life as a spool sees them: any of them may fail at any moment.

use crate::routes::addr;
use lars_shard::spool::{Lane, Moment, SpoolDone, SpoolJob, SpoolNews};
use lars_shard::{Spool, SpoolConfig};
use lars_wire::record::{Tally, TallyAck, TallyBatch};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Calls of each node.
pub(crate) type Sums = BTreeMap<(ModuleId, NodeAddr), u64>;

/// A report that stores each batch once, as its transaction does.
#[derive(Clone, Default)]
pub(crate) struct Report {
    pub(crate) stored: BTreeMap<[u8; 16], u64>,
    pub(crate) sums: Sums,
    /// The oldest that anything was, in milliseconds.
    pub(crate) oldest_ms: u64,
    seen: BTreeMap<([u8; 16], u64), Vec<Tally>>,
}

impl Report {
    /// None for a gap.
    pub(crate) fn take(&mut self, batch: &TallyBatch) -> Option<TallyAck> {
        let first = self
            .seen
            .entry((batch.incarnation, batch.sequence))
            .or_insert_with(|| batch.tallies.clone());
        assert_eq!(*first, batch.tallies, "a batch that was sent is never changed");
        match self.stored.get(&batch.incarnation) {
            Some(&newest) if newest >= batch.sequence => {}
            Some(&newest) if newest + 1 < batch.sequence => return None,
            _ => {
                self.stored.insert(batch.incarnation, batch.sequence);
                for tally in &batch.tallies {
                    *self.sums.entry((tally.module, tally.node)).or_default() += u64::from(tally.ok);
                    self.oldest_ms = self.oldest_ms.max(batch.age_ms + u64::from(tally.age_ms));
                }
            }
        }
        Some(TallyAck {
            incarnation: batch.incarnation,
            sequence: self.stored[&batch.incarnation],
        })
    }

    pub(crate) fn total(&self) -> u64 {
        self.sums.values().sum()
    }
}

/// An agent with its disk, and report.
pub(crate) struct World {
    pub(crate) spool: Spool,
    pub(crate) disk: BTreeMap<String, Vec<u8>>,
    /// Whether the disk takes nothing.
    pub(crate) broken: bool,
    pub(crate) report: Report,
    pub(crate) added: Sums,
    pub(crate) news: Vec<SpoolNews>,
    pub(crate) config: SpoolConfig,
    now: Moment,
    job: Option<SpoolJob>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = SpoolConfig {
            incarnation: [1; 16],
            caller: 42,
            pending_max: 700,
            bytes_max: 1 << 30,
        };
        Self {
            spool: Spool::new(config),
            disk: BTreeMap::new(),
            broken: false,
            report: Report::default(),
            added: Sums::new(),
            news: Vec::new(),
            config,
            now: Moment {
                at: Instant::now(),
                unix_ms: 1_800_000_000_000,
            },
            job: None,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.at += Duration::from_millis(ms);
        self.now.unix_ms += ms;
    }

    /// So many calls of one node.
    pub(crate) fn add(&mut self, node: u32, calls: u32) {
        let tally = Tally {
            module: ModuleId::new(1, node % 3),
            node: addr(node),
            ok: calls,
            ..Tally::default()
        };
        *self.added.entry((tally.module, tally.node)).or_default() += u64::from(calls);
        self.spool.add(self.now, &[tally]);
    }

    pub(crate) fn total(&self) -> u64 {
        self.added.values().sum()
    }

    /// Everything that was counted is stored, once.
    pub(crate) fn assert_exact(&self, what: &str) {
        let wrong = |(key, added): &(&(ModuleId, NodeAddr), &u64)| {
            self.report.sums.get(key).copied().unwrap_or_default() != **added
        };
        let wrong: Vec<_> = self.added.iter().filter(wrong).take(5).collect();
        assert!(
            wrong.is_empty() && self.report.total() == self.total(),
            "{what}: {wrong:?}"
        );
    }

    /// Takes up a job where there is one.
    pub(crate) fn take_job(&mut self) -> Option<&SpoolJob> {
        if self.job.is_none() {
            self.job = self.spool.job(self.now);
        }
        self.job.as_ref()
    }

    /// Does the job that was taken up.
    pub(crate) fn do_job(&mut self) {
        let Some(job) = self.job.take() else { return };
        let result = if self.broken {
            Err("broken".to_owned())
        } else {
            Ok(perform(&mut self.disk, job))
        };
        self.spool.done(self.now, result);
        self.news.extend(self.spool.news());
    }

    /// All there is to do on disk.
    pub(crate) fn work(&mut self) {
        while self.take_job().is_some() {
            self.do_job();
        }
        let due = self.spool.next_timeout();
        assert!(
            due.is_none_or(|due| due > self.now.at),
            "asked again and again, with nothing to do"
        );
    }

    /// Sends all there is to send, with the disk at work; returns how many batches were taken.
    pub(crate) fn talk(&mut self) -> usize {
        let mut taken = 0;
        loop {
            self.work();
            let Some((lane, batch)) = self.spool.next(self.now) else {
                if self.take_job().is_none() {
                    return taken;
                }
                continue;
            };
            taken += 1;
            match self.report.take(&batch) {
                Some(ack) => assert!(self.spool.acknowledged(self.now, &ack)),
                None => self.refuse(lane),
            }
        }
    }

    fn refuse(&mut self, lane: Lane) {
        self.spool.refused(self.now, lane);
        self.spool.disconnected();
        self.spool.connected();
    }

    /// One batch, whose fate it is to be lost (0), stored but not acknowledged (1), or both (2).
    pub(crate) fn send_one(&mut self, fate: u8) {
        let Some((lane, batch)) = self.spool.next(self.now) else {
            return;
        };
        let ack = (fate > 0).then(|| self.report.take(&batch));
        match ack {
            Some(Some(ack)) if fate == 2 => assert!(self.spool.acknowledged(self.now, &ack)),
            Some(None) => self.refuse(lane),
            _ => self.spool.disconnected(),
        }
    }

    /// The agent is killed, in the middle of a job where one was taken up; another starts on its folder.
    pub(crate) fn kill(&mut self, random: &mut fastrand::Rng) {
        match self.job.take() {
            Some(SpoolJob::Append {
                name,
                offset,
                content,
            }) => {
                let written = random.usize(..=content.len());
                let content = content[..written].to_vec();
                perform(
                    &mut self.disk,
                    SpoolJob::Append {
                        name,
                        offset,
                        content,
                    },
                );
            }
            Some(SpoolJob::Write { name, content }) => {
                let torn = content[..random.usize(..content.len())].to_vec();
                self.disk.insert(format!("{name}.new"), torn);
                if random.bool() {
                    self.disk.remove(&format!("{name}.new"));
                    self.disk.insert(name, content);
                }
            }
            Some(job @ (SpoolJob::Remove { .. } | SpoolJob::PutAside { .. })) if random.bool() => {
                perform(&mut self.disk, job);
            }
            _ => {}
        }
        self.restart();
    }

    /// The agent stops as it should; another starts on its folder.
    pub(crate) fn stop(&mut self) {
        self.do_job();
        self.spool.close();
        self.work();
        assert_eq!(self.spool.unsaved(), 0);
        self.restart();
    }

    fn restart(&mut self) {
        self.job = None;
        let run = u128::from_le_bytes(self.config.incarnation).wrapping_mul(0x1234_5678_9abc_def1);
        self.config.incarnation = run.to_le_bytes();
        self.spool = Spool::new(self.config);
    }

    /// Report is there, and everything is brought to it.
    pub(crate) fn drain(&mut self) {
        // Whatever failed before is tried again by now.
        self.pass(20_000);
        self.work();
        self.spool.connected();
        self.talk();
        assert_eq!(
            (self.spool.pending(), self.spool.counts().files),
            (0, 0),
            "{:?}",
            self.disk.keys()
        );
    }
}

fn perform(disk: &mut BTreeMap<String, Vec<u8>>, job: SpoolJob) -> SpoolDone {
    match job {
        SpoolJob::Open => {
            return SpoolDone::Opened(
                disk.iter()
                    .map(|(name, file)| (name.clone(), file.len() as u64))
                    .collect(),
            );
        }
        SpoolJob::Read { name } => return SpoolDone::Content(disk.get(&name).cloned()),
        SpoolJob::Write { name, content } => {
            disk.insert(name, content);
        }
        SpoolJob::Append {
            name,
            offset,
            content,
        } => {
            let file = disk
                .get_mut(&name)
                .expect("only a file that is there is continued");
            assert!(offset <= file.len() as u64, "no hole");
            file.truncate(offset as usize);
            file.extend(content);
        }
        SpoolJob::Remove { name } => {
            disk.remove(&name);
        }
        SpoolJob::PutAside { name } => {
            if let Some(file) = disk.remove(&name) {
                disk.insert(format!("{name}.damaged"), file);
            }
        }
    }
    SpoolDone::Done
}
