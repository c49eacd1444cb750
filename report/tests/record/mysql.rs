//! Report on a MySQL database that is killed, and report killed beside it: each call is counted once.

use crate::peer::{Peer, batch, node, tally};
use crate::place::{Place, count, until};
use lars_report::Report;
use lars_store::mariadb::{self, MariaDb};
use lars_store::mysql::migrate::migrate;
use lars_store::{AnyStore, CallStore, StoreConfig};
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn wait<T>(work: impl Future<Output = Result<T, String>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}

/// A migrated database on a server of its own, which may be killed, or on any.
fn database(start: fn() -> Result<MariaDb, String>) -> (MariaDb, StoreConfig, String) {
    let server = start().unwrap_or_else(|error| panic!("{error}"));
    let url = wait(async {
        let url = server.database().await?;
        migrate(&url, false).await.map_err(|error| error.to_string())?;
        Ok(url)
    });
    let config = StoreConfig {
        mysql_url: Some(url.as_str().into()),
        ..StoreConfig::default()
    };
    (server, config, url)
}

fn ok_sum(config: &StoreConfig) -> u64 {
    wait(async {
        let mut store = AnyStore::open(config).await.map_err(|error| error.to_string())?;
        let rows = store.history(None, 0).await.map_err(|error| error.to_string())?;
        Ok(rows.iter().map(|row| row.ok).sum())
    })
}

#[test]
fn calls_are_counted_once_while_database_and_report_are_ended_in_turn() {
    let (server, config, _) = database(MariaDb::start_own);
    let mut report = Report::start(&Place::config(), &config).expect("report starts");
    let mut delivered = 0;
    for turn in 0..6_u32 {
        let mut peer = Peer::welcomed(&report);
        for _ in 0..10 {
            delivered += 1;
            assert_eq!(
                peer.deliver(&batch(1, delivered, vec![tally(node(1))])),
                delivered
            );
        }
        // One more is under way when the end comes; whether it was stored nobody knows, so it is sent again.
        let next = batch(1, delivered + 1, vec![tally(node(1))]);
        peer.send(&next, 0);
        if turn % 2 == 0 {
            server.kill().expect("it ends");
            server.resume().expect("it starts again");
        }
        drop(peer);
        report.stop();
        report = Report::start(&Place::config(), &config).expect("report starts");
        delivered += 1;
        assert_eq!(Peer::welcomed(&report).deliver(&next), delivered);
    }
    assert_eq!(ok_sum(&config), 3 * delivered);
}

#[test]
fn database_that_is_away_holds_acknowledgements_back_and_loses_nothing() {
    let (server, config, _) = database(MariaDb::start_own);
    let report = Report::start(&Place::config(), &config).expect("report starts");
    let mut peer = Peer::welcomed(&report);
    assert_eq!(peer.deliver(&batch(1, 1, vec![tally(node(1))])), 1);
    server.stop().expect("it ends");
    peer.send(&batch(1, 2, vec![tally(node(1))]), 99);
    until("it was tried in vain", || count(&report, "store_up") == 0);
    server.resume().expect("it starts again");
    let (_, ack): (_, lars_wire::record::TallyAck) = peer.receive();
    assert_eq!(ack.sequence, 2);
    assert_eq!(ok_sum(&config), 6);
}

#[test]
fn stop_ends_in_time_also_while_the_database_does_not_answer() {
    let (_server, config, url) = database(MariaDb::start);
    let report = Report::start(&Place::config(), &config).expect("report starts");
    let first = batch(1, 1, vec![tally(node(1))]);
    let (tell, told) = mpsc::channel();
    let holder = std::thread::spawn(move || {
        wait(async {
            let held = mariadb::run(&url, "LOCK TABLES lars_ack WRITE; SELECT SLEEP(4)");
            tell.send(()).map_err(|error| error.to_string())?;
            held.await
        });
    });
    told.recv().expect("the table is about to be locked");
    let mut peer = Peer::welcomed(&report);
    // The lock is taken at some time: from then on nothing is acknowledged.
    let mut sequence = 0;
    peer.wait_at_most(Duration::from_millis(500));
    loop {
        sequence += 1;
        peer.send(&batch(2, sequence, vec![tally(node(1))]), 99);
        if !peer.hears() {
            break;
        }
    }
    let begun = Instant::now();
    report.stop();
    assert!(
        begun.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begun.elapsed()
    );
    holder.join().expect("the lock is given back");
    let anew = Report::start(&Place::config(), &config).expect("report starts");
    assert_eq!(Peer::welcomed(&anew).deliver(&first), 1);
    let again = batch(2, sequence, vec![tally(node(1))]);
    assert_eq!(Peer::welcomed(&anew).deliver(&again), sequence);
    assert_eq!(ok_sum(&config), 3 * (sequence + 1));
}
