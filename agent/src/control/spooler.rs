//! Does on disk what the spool wants done, one job after the other, in a task of its own: nothing else waits for a disk.

use bytes::Bytes;
use lars_pool::control::file;
use lars_shard::spool::{FILE_BYTES_MAX, SpoolDone, SpoolJob};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// The file whose lock keeps a second agent out of the folder.
const LOCK: &str = "lock";
/// How long a lock that another holds is waited for: the kernel takes a killed agent apart behind its end.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// How a job went; an error is for people.
pub(super) type Outcome = Result<SpoolDone, String>;

/// The way to the task, and back.
pub(super) struct Spooler {
    jobs: mpsc::Sender<SpoolJob>,
    outcomes: mpsc::Receiver<Outcome>,
}

impl Spooler {
    /// Starts the task, which ends with this.
    pub(super) fn start(folder: PathBuf) -> Self {
        let (jobs, mut inbox) = mpsc::channel(1);
        let (outbox, outcomes) = mpsc::channel(1);
        tokio::task::spawn_local(async move {
            let mut lock = None;
            while let Some(job) = inbox.recv().await {
                let outcome = perform(&folder, &mut lock, job).await;
                let told = outcome.map_err(|error| format!("{}: {error}", folder.display()));
                if outbox.send(told).await.is_err() {
                    return;
                }
            }
        });
        Self { jobs, outcomes }
    }

    /// Gives the task a job; it has none, since each is waited for.
    pub(super) fn give(&self, job: SpoolJob) {
        let given = self.jobs.try_send(job);
        debug_assert!(given.is_ok(), "one job at a time");
    }

    /// How the job went.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }
}

async fn perform(folder: &Path, lock: &mut Option<File>, job: SpoolJob) -> io::Result<SpoolDone> {
    let at = |name: &str| folder.join(name);
    match job {
        SpoolJob::Open => {
            // Makes the folder, which the lock needs; what is there is listed again once nobody else changes it.
            file::list(folder).await?;
            *lock = Some(take_lock(&at(LOCK)).await?);
            return Ok(SpoolDone::Opened(file::list(folder).await?));
        }
        SpoolJob::Read { name } => {
            return Ok(SpoolDone::Content(file::read(&at(&name), FILE_BYTES_MAX).await?));
        }
        SpoolJob::Write { name, content } => file::write_atomic(&at(&name), Bytes::from(content)).await?,
        SpoolJob::Append {
            name,
            offset,
            content,
        } => {
            file::write_at(&at(&name), offset, Bytes::from(content)).await?;
        }
        SpoolJob::Remove { name } => file::remove(&at(&name)).await?,
        SpoolJob::PutAside { name } => file::rename(&at(&name), &format!("{name}.damaged")).await?,
    }
    Ok(SpoolDone::Done)
}

/// The lock is with the open file: it ends with the process, however that ends.
async fn take_lock(path: &Path) -> io::Result<File> {
    let lock = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)?;
    let give_up = tokio::time::Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(LOCK_LOOK).await;
            }
            Err(TryLockError::WouldBlock) => {
                let text = "another agent spools there: give each agent a spool_path of its own";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
        }
    }
}
