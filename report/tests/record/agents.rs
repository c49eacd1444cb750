//! Good agents: what they send is stored exactly once, whatever happens to their connections and to report.

use crate::peer::{Peer, batch, bytes_of, module, node, tally};
use crate::place::{Place, count, until};
use lars_pool::IoChoice;
use lars_report::ReportConfig;
use lars_wire::NodeAddr;
use lars_wire::admin::{GetStatus, Reason, Refusal, StatusText};
use lars_wire::record::{Tally, TallyAck};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn acknowledged_batch_stands_in_status_and_history() {
    for io in [IoChoice::Auto, IoChoice::Epoll] {
        let place = Place::new();
        let report = place.start_with(&ReportConfig {
            io,
            cores: 2,
            ..Place::config()
        });
        assert!(report.ready() && report.readiness().ready());
        let v6: NodeAddr = "[2001:db8::9]:80".parse().expect("a node");
        let old = Tally {
            age_ms: 120_000,
            ..tally(node(1))
        };
        let mut peer = Peer::welcomed(&report);
        assert_eq!(
            peer.deliver(&batch(1, 1, vec![tally(node(1)), tally(v6), old])),
            1
        );

        let now_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock")
            .as_secs();
        let history = place.history();
        let rows: Vec<_> = history
            .iter()
            .map(|row| (row.node, row.ok, row.failed, row.timed_out))
            .collect();
        assert_eq!(rows, [(node(1), 3, 1, 1), (node(1), 3, 1, 1), (v6, 3, 1, 1)]);
        assert_eq!(history[1].minute - history[0].minute, 2);
        assert!(now_s / 60 - history[2].minute <= 1);
        let status = place.call_status();
        let rows: Vec<_> = status
            .iter()
            .map(|row| (row.module, row.node, row.caller, row.succ, row.err))
            .collect();
        let (module, caller) = (module(), 0x7f00_0001);
        assert_eq!(
            rows,
            [(module, node(1), caller, 3, 2), (module, v6, caller, 3, 2)]
        );
        assert!(now_s - status[0].ts <= 2);
        report.stop();
    }
}

#[test]
fn batch_sent_again_is_stored_once_also_by_a_report_started_anew() {
    let place = Place::new();
    let report = place.start();
    let first = batch(1, 1, vec![tally(node(1))]);
    let mut peer = Peer::welcomed(&report);
    assert_eq!((peer.deliver(&first), peer.deliver(&first)), (1, 1));
    assert_eq!(Peer::welcomed(&report).deliver(&first), 1);
    let second = batch(1, 2, vec![tally(node(1))]);
    assert_eq!(peer.deliver(&second), 2);
    until("the counts", || {
        count(&report, "batches_repeated") == 2 && count(&report, "batches_stored") == 2
    });
    report.stop();
    assert_eq!(place.ok_sum(), 6);

    let anew = place.start();
    let mut peer = Peer::welcomed(&anew);
    assert_eq!(peer.deliver(&second), 2);
    assert_eq!(peer.deliver(&batch(1, 3, vec![tally(node(1))])), 3);
    anew.stop();
    assert_eq!(place.ok_sum(), 9);
}

#[test]
fn frames_in_pieces_and_several_at_once_are_taken() {
    let place = Place::new();
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    for byte in bytes_of(&batch(1, 1, vec![tally(node(1))]), 1) {
        peer.write(&[byte]);
    }
    let (_, ack): (_, TallyAck) = peer.receive();
    assert_eq!(ack.sequence, 1);
    let whole: Vec<u8> = (2..=4)
        .flat_map(|which| bytes_of(&batch(1, which, vec![tally(node(1))]), which as u32))
        .collect();
    peer.write(&whole);
    for which in 2..=4 {
        let (header, ack): (_, TallyAck) = peer.receive();
        assert_eq!((header.sequence, ack.sequence), (which as u32, which));
    }
    assert_eq!(place.ok_sum(), 12);
    let most = vec![tally(node(2)); lars_wire::bounds::TALLIES_MAX];
    assert_eq!(
        peer.deliver(&batch(1, 5, most)),
        5,
        "the largest batch goes through"
    );
}

#[test]
fn counts_from_an_agents_disk_are_taken_beside_fresh_ones_and_a_gap_names_its_frame() {
    let place = Place::new();
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    // Fresh counts as frame 1, those from disk as frame 2: neither waits for the other.
    let old = Tally {
        age_ms: 3_600_000,
        ..tally(node(1))
    };
    for which in 1..=3 {
        peer.send(&batch(1, which, vec![tally(node(1))]), 1);
        peer.send(&batch(9, which, vec![old]), 2);
        let mut acks: Vec<(u32, TallyAck)> = (0..2)
            .map(|_| peer.receive())
            .map(|(header, ack): (_, TallyAck)| (header.sequence, ack))
            .collect();
        acks.sort_by_key(|(frame, _)| *frame);
        let seen: Vec<_> = acks
            .iter()
            .map(|(frame, ack)| (*frame, ack.incarnation, ack.sequence))
            .collect();
        assert_eq!(seen, [(1, [1; 16], which), (2, [9; 16], which)]);
    }
    assert_eq!(place.ok_sum(), 18);
    // Started anew, an agent offers its file from the first batch on, and hears how far that is known.
    assert_eq!(Peer::welcomed(&report).deliver(&batch(9, 1, vec![old])), 3);
    peer.send(&batch(9, 5, vec![old]), 2);
    let (header, refusal): (_, Refusal) = peer.receive();
    assert_eq!((header.sequence, refusal.reason), (2, Reason::Unexpected));
    assert_eq!(place.ok_sum(), 18);
}

#[test]
fn status_is_answered_with_counts_and_the_store() {
    let place = Place::new();
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    peer.deliver(&batch(1, 1, vec![tally(node(1))]));
    peer.send(&GetStatus { version: 1 }, 3);
    let (header, status): (_, StatusText) = peer.receive();
    assert_eq!((header.sequence, status.service.as_str()), (3, "report"));
    let counts: BTreeMap<_, _> = status.counts.into_iter().collect();
    assert_eq!(
        (counts["connections"], counts["tallies_stored"], counts["batches"]),
        (1, 1, 1)
    );
    let notes: BTreeMap<_, _> = status.notes.into_iter().collect();
    assert!(notes["store"].contains("lars.sqlite"), "{notes:?}");
    assert_eq!(
        status.io,
        if report.io().kind == lars_pool::IoKind::Uring {
            "uring"
        } else {
            "epoll"
        }
    );
}

/// Agents lose connections at random, without having heard whether their batch was stored; report is started anew in
/// between. What they count in the end is what is stored.
#[test]
fn agents_that_lose_connections_at_random_are_counted_exactly() {
    let seed = std::env::var("LARS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::new();
    let (mut expected, mut sequences) = (0, [0_u64; 4]);
    for _ in 0..3 {
        let report = place.start_with(&ReportConfig {
            cores: 2,
            ..Place::config()
        });
        for _ in 0..25 {
            let who = random.usize(..sequences.len());
            sequences[who] += 1;
            let tallies = vec![tally(node(random.u8(1..5))); random.usize(0..20)];
            expected += 3 * tallies.len() as u64;
            let batch = batch(who as u8, sequences[who], tallies);
            while random.bool() {
                let mut lost = Peer::welcomed(&report);
                let bytes = bytes_of(&batch, 0);
                let sent = if random.bool() {
                    bytes.len()
                } else {
                    random.usize(..bytes.len())
                };
                lost.write(&bytes[..sent]);
            }
            assert_eq!(Peer::welcomed(&report).deliver(&batch), sequences[who]);
        }
        report.stop();
        assert_eq!(place.ok_sum(), expected);
    }
}
