//! A report of one test's own, with its store, and what stands in it.

use lars_report::{Report, ReportConfig};
use lars_store::{AnyStore, CallStatus, CallStore, ChangeRecord, ChangeStore, HistoryRow, StoreConfig};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No wait of these tests is longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder for one test"),
        }
    }

    pub(crate) fn store(&self) -> StoreConfig {
        StoreConfig {
            sqlite_path: self.folder.path().join("lars.sqlite"),
            ..StoreConfig::default()
        }
    }

    pub(crate) fn config() -> ReportConfig {
        ReportConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            pin: false,
            ..ReportConfig::default()
        }
    }

    pub(crate) fn start(&self) -> Report {
        self.start_with(&Self::config())
    }

    pub(crate) fn start_with(&self, config: &ReportConfig) -> Report {
        Report::start(config, &self.store()).expect("report starts")
    }

    /// Another program that writes: until it is dropped, the store is away.
    pub(crate) fn hold(&self) -> rusqlite::Connection {
        let raw = rusqlite::Connection::open(self.store().sqlite_path).expect("the file opens");
        raw.busy_timeout(DEADLINE).expect("a time-out");
        raw.execute_batch("BEGIN IMMEDIATE")
            .expect("the lock is free in time");
        raw
    }

    pub(crate) fn history(&self) -> Vec<HistoryRow> {
        self.read(async |store| store.history(None, 0).await.expect("history"))
    }

    pub(crate) fn call_status(&self) -> Vec<CallStatus> {
        self.read(async |store| store.call_status(None).await.expect("status"))
    }

    /// Changes of nodes, the newest first.
    pub(crate) fn changes(&self) -> Vec<ChangeRecord> {
        self.read(async |store| store.changes(None, 100).await.expect("changes"))
    }

    /// Calls that succeeded, of all history.
    pub(crate) fn ok_sum(&self) -> u64 {
        self.history().iter().map(|row| row.ok).sum()
    }

    fn read<T>(&self, ask: impl AsyncFnOnce(&mut AnyStore) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut store = AnyStore::open(&self.store()).await.expect("the store opens");
            ask(&mut store).await
        })
    }
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A count by its name.
pub(crate) fn count(report: &Report, name: &str) -> u64 {
    let named = report.stats().named();
    named
        .iter()
        .find(|(found, _)| found == name)
        .unwrap_or_else(|| panic!("no count '{name}' in {named:?}"))
        .1
}
