//! Keeps the file of the last good routes up to date: written when something changed, at most once a second.

use crate::stats::ControlCounts;
use bytes::Bytes;
use lars_pool::control::file;
use lars_shard::RouteBook;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The file, and which edition of the book stands in it.
pub(super) struct Archive {
    path: PathBuf,
    written: u64,
    not_before: Instant,
    writing: Option<(u64, JoinHandle<io::Result<()>>)>,
    counts: Arc<ControlCounts>,
}

impl Archive {
    /// What stands in the file is edition `written`.
    pub(super) fn new(now: Instant, path: PathBuf, written: u64, counts: Arc<ControlCounts>) -> Self {
        Self {
            path,
            written,
            not_before: now,
            writing: None,
            counts,
        }
    }

    /// When [`Self::due`] wants to be called.
    pub(super) fn next_timeout(&self, now: Instant, book: &RouteBook) -> Option<Instant> {
        match &self.writing {
            Some(_) => Some(now + INTERVAL),
            None => (book.edition() != self.written).then_some(self.not_before),
        }
    }

    /// Starts a write where one is due, and looks after the one under way. Never waits for the disk.
    pub(super) async fn due(&mut self, now: Instant, book: &RouteBook) {
        if self.writing.as_ref().is_some_and(|(_, task)| task.is_finished()) {
            self.finish(now).await;
        }
        if self.writing.is_none() && book.edition() != self.written && self.not_before <= now {
            self.start(book);
            self.not_before = now + INTERVAL;
        }
    }

    /// Writes what is not yet written, and waits for it: the agent stops.
    pub(super) async fn close(&mut self, now: Instant, book: &RouteBook) {
        self.finish(now).await;
        if book.edition() != self.written {
            self.start(book);
            self.finish(now).await;
        }
    }

    fn start(&mut self, book: &RouteBook) {
        let (path, content) = (self.path.clone(), Bytes::from(book.to_disk()));
        let task = tokio::task::spawn_local(async move { file::write_atomic(&path, content).await });
        self.writing = Some((book.edition(), task));
    }

    async fn finish(&mut self, now: Instant) {
        let Some((edition, task)) = self.writing.take() else {
            return;
        };
        match task.await.unwrap_or_else(|cause| Err(io::Error::other(cause))) {
            Ok(()) => {
                self.written = edition;
                self.counts.routes_written.add(1);
            }
            Err(error) => {
                self.not_before = now + RETRY;
                tracing::warn!(path = %self.path.display(), %error,
                    "the routes are not written to disk: a restart without dns would know older ones");
            }
        }
    }
}
