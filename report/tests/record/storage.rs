//! A store that is away or unfit: acknowledgements are held back, nothing is lost, and it is said.

use crate::peer::{Peer, assert_refused, batch, node, tally};
use crate::place::{Place, count, until};
use lars_report::{Report, ReportConfig, ReportError};
use lars_wire::admin::Reason;
use lars_wire::record::TallyAck;
use std::time::{Duration, Instant};

#[test]
fn store_that_is_away_holds_acknowledgements_back_and_loses_nothing() {
    let place = Place::new();
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    peer.deliver(&batch(1, 1, vec![tally(node(1))]));
    let held = place.hold();
    let second = batch(1, 2, vec![tally(node(1))]);
    peer.send(&second, 5);
    tried_in_vain(&report);
    let note = |report: &Report| report.status().notes[0].1.clone();
    assert!(note(&report).contains("away"), "{}", note(&report));
    peer.hears_nothing(Duration::from_millis(50));
    // The agent gives its connection up and sends the batch again.
    drop(peer);
    let mut again = Peer::welcomed(&report);
    again.send(&second, 6);
    until("both were taken", || count(&report, "batches") == 3);
    drop(held);
    let (header, ack): (_, TallyAck) = again.receive();
    assert_eq!((header.sequence, ack.sequence), (6, 2));
    assert!(report.ready());
    assert_eq!(place.ok_sum(), 6);
    assert_eq!(again.deliver(&batch(1, 3, vec![tally(node(1))])), 3);
    report.stop();
}

#[test]
fn report_starts_while_its_store_is_away() {
    let place = Place::new();
    let held = place.hold();
    let report = place.start();
    assert!(!report.ready());
    let note = report.status().notes[0].1.clone();
    assert!(note.contains("lars.sqlite is away"), "{note}");
    let mut peer = Peer::welcomed(&report);
    peer.send(&batch(1, 1, vec![tally(node(1))]), 0);
    until("it was taken", || count(&report, "batches") == 1);
    drop(held);
    let _: (_, TallyAck) = peer.receive();
    assert!(report.ready());
    assert_eq!(place.ok_sum(), 3);
}

/// Waits until the store was asked once more, from the beginning to the end, and was away.
fn tried_in_vain(report: &Report) {
    let errors = count(report, "store_errors");
    until("the store was tried twice", || {
        count(report, "store_errors") >= errors + 2
    });
    assert!(!report.ready());
}

#[test]
fn store_that_returns_is_noticed_without_anything_to_store() {
    let place = Place::new();
    let held = place.hold();
    let report = place.start();
    assert!(!report.ready());
    drop(held);
    until("it is noticed", || report.ready());
    assert_eq!(count(&report, "batches"), 0);
}

#[test]
fn what_has_arrived_is_stored_and_acknowledged_at_stop() {
    let place = Place::new();
    let report = place.start();
    let held = place.hold();
    let mut peers: Vec<_> = (0..3).map(|_| Peer::welcomed(&report)).collect();
    for (who, peer) in (0..).zip(&mut peers) {
        peer.send(&batch(who, 1, vec![tally(node(1))]), 0);
    }
    until("all were taken", || count(&report, "batches") == 3);
    tried_in_vain(&report);
    // The next try is a while off: it is the stop that stores.
    drop(held);
    report.stop();
    assert_eq!(place.ok_sum(), 9);
    for mut peer in peers {
        let _: (_, TallyAck) = peer.receive();
        peer.ended();
    }
}

#[test]
fn batch_that_could_not_be_stored_is_tried_again() {
    let place = Place::new();
    let report = place.start();
    let held = place.hold();
    let mut peer = Peer::welcomed(&report);
    peer.send(&batch(1, 1, vec![tally(node(1))]), 5);
    until("it was taken", || count(&report, "batches") == 1);
    tried_in_vain(&report);
    drop(held);
    let _: (_, TallyAck) = peer.receive();
    assert!(report.ready());
}

#[test]
fn peer_that_does_not_wait_for_acknowledgements_is_closed() {
    let place = Place::new();
    let report = place.start();
    let held = place.hold();
    let mut patient = Peer::welcomed(&report);
    patient.send(&batch(2, 1, vec![tally(node(1))]), 0);
    let mut hasty = Peer::welcomed(&report);
    for sequence in 1..=5 {
        hasty.send(&batch(1, sequence, vec![tally(node(1))]), 0);
    }
    assert_refused(hasty, Reason::Full, "one at a time");
    let mut stubborn = Peer::welcomed(&report);
    for known in 0..4 {
        stubborn.send(&batch(3, 1, vec![tally(node(1))]), 0);
        until("it is known to wait", || count(&report, "batches_known") == known);
        stubborn.hears_nothing(Duration::from_millis(20));
    }
    stubborn.send(&batch(3, 1, vec![tally(node(1))]), 0);
    assert_refused(stubborn, Reason::Full, "one at a time");
    drop(held);
    let _: (_, TallyAck) = patient.receive();
    until("what it had sent is stored all the same", || {
        count(&report, "batches_stored") == 6
    });
    assert_eq!(place.ok_sum(), 18);
}

#[test]
fn what_waits_is_bounded_and_turned_away_beyond() {
    let place = Place::new();
    let report = place.start_with(&ReportConfig {
        tallies_waiting_max: 1_024,
        ..Place::config()
    });
    let held = place.hold();
    let most = vec![tally(node(1)); 512];
    let mut first = Peer::welcomed(&report);
    first.send(&batch(1, 1, most.clone()), 0);
    until("the first was taken", || count(&report, "batches") == 1);
    let mut second = Peer::welcomed(&report);
    second.send(&batch(2, 1, most.clone()), 0);
    assert_refused(second, Reason::Full, "wait for the store");
    assert_eq!(
        (
            count(&report, "batches_turned_away"),
            count(&report, "bad_frames")
        ),
        (1, 0)
    );
    drop(held);
    let _: (_, TallyAck) = first.receive();
    // The room is there again, time after time.
    let mut second = Peer::welcomed(&report);
    for sequence in 1..=4 {
        assert_eq!(second.deliver(&batch(2, sequence, most.clone())), sequence);
    }
    assert_eq!(place.ok_sum(), 5 * 512 * 3);
}

#[test]
fn stop_ends_in_time_also_while_the_store_is_away() {
    let place = Place::new();
    let report = place.start();
    let held = place.hold();
    let mut peer = Peer::welcomed(&report);
    let first = batch(1, 1, vec![tally(node(1))]);
    peer.send(&first, 0);
    until("it was taken", || count(&report, "batches") == 1);
    let start = Instant::now();
    report.stop();
    assert!(
        start.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        start.elapsed()
    );
    peer.ended();
    drop(held);
    let anew = place.start();
    assert_eq!(Peer::welcomed(&anew).deliver(&first), 1);
    assert_eq!(place.ok_sum(), 3);
}

#[test]
fn old_history_is_pruned_at_start_and_the_new_is_kept() {
    let place = Place::new();
    place.start().stop();
    let raw = rusqlite::Connection::open(place.store().sqlite_path).expect("the file opens");
    raw.execute_batch(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 24999)
         INSERT INTO lars_history SELECT n, 1, 1, zeroblob(16), 80, 1, 0, 0, 0, 0, 0 FROM n;
         INSERT INTO lars_ack VALUES (zeroblob(16), 1, 0);",
    )
    .expect("old rows");
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    peer.deliver(&batch(1, 1, vec![tally(node(1))]));
    until("all of it is gone", || count(&report, "rows_pruned") == 25_001);
    assert_eq!(place.ok_sum(), 3);
}

#[test]
fn unfit_store_taken_address_and_wrong_key_end_the_start() {
    let place = Place::new();
    let report = place.start();
    let taken = ReportConfig {
        listen: report.addr(),
        ..Place::config()
    };
    let error = Report::start(&taken, &place.store())
        .err()
        .expect("the address is taken");
    assert!(matches!(error, ReportError::Listen { .. }), "{error}");
    report.stop();

    let raw = rusqlite::Connection::open(place.store().sqlite_path).expect("the file opens");
    raw.execute_batch("UPDATE lars_schema SET version = 999")
        .expect("a newer schema");
    let error = Report::start(&Place::config(), &place.store())
        .err()
        .expect("the store is unfit");
    assert!(
        matches!(&error, ReportError::Store(_)) && error.to_string().contains("999"),
        "{error}"
    );

    let wrong = ReportConfig {
        history_retention_days: 0,
        ..Place::config()
    };
    let error = Report::start(&wrong, &place.store())
        .err()
        .expect("the key is wrong");
    assert!(error.to_string().contains("history_retention_days"), "{error}");
}

#[test]
fn status_tells_how_the_cores_move_bytes_and_not_what_was_planned() {
    let place = Place::new();
    let report = place.start();
    let status = report.status();
    assert_eq!(
        (status.io.as_str(), &status.io_reason),
        (report.io().kind.name(), &report.io().reason)
    );
    report.stop();
}
