//! A dns on a file of its own, and ways to wait for it and to write behind its back.

use crate::peer::Peer;
use lars_dns::{Dns, DnsConfig};
use lars_pool::IoChoice;
use lars_store::StoreConfig;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What nothing in these tests takes longer than, even on a machine with much else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A store's file in a folder of its own.
pub(crate) struct Store {
    folder: TempDir,
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("lars.sqlite")
    }

    /// A dns on it, with its routes loaded.
    pub(crate) fn dns(&self) -> Dns {
        self.dns_with(|_| {})
    }

    pub(crate) fn dns_with(&self, change: impl FnOnce(&mut DnsConfig)) -> Dns {
        let dns = self.try_dns(change).expect("dns starts");
        wait_until("dns is ready", || dns.ready());
        dns
    }

    pub(crate) fn try_dns(&self, change: impl FnOnce(&mut DnsConfig)) -> Result<Dns, lars_dns::DnsError> {
        let mut config = DnsConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            pin: false,
            ..DnsConfig::default()
        };
        if let Ok(io) = std::env::var("LARS_TEST_IO") {
            config.io = if io == "epoll" {
                IoChoice::Epoll
            } else {
                IoChoice::Uring
            };
        }
        change(&mut config);
        Dns::start(
            &config,
            &StoreConfig {
                sqlite_path: self.path(),
                ..StoreConfig::default()
            },
        )
    }

    /// Makes the file, with `nodes` nodes in each of `modules` modules; node N is that of [`crate::peer::node`].
    pub(crate) fn fill(&self, modules: u32, nodes: u32) {
        drop(self.dns());
        let mut foreign = self.foreign();
        let transaction = foreign.transaction().expect("a transaction");
        let sql = "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, ?1, ?2, 7777)";
        for cmdid in 1..=modules {
            for last in 1..=nodes {
                let mut insert = transaction.prepare_cached(sql).expect("a statement");
                insert.execute((cmdid, 0x0a00_0000 + last)).expect("a row");
            }
        }
        transaction.commit().expect("a commit");
    }

    /// Another program's connection to the file.
    pub(crate) fn foreign(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path()).expect("the file is there");
        connection.busy_timeout(DEADLINE).expect("a time-out is set");
        connection
    }
}

/// A connection that said hello.
pub(crate) fn connect(dns: &Dns) -> Peer {
    Peer::connect(dns.addr())
}
