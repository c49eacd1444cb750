//! One caller and one agent on one call ring, in every interleaving of a few forced switches, with a ring so small that
//! every place is used again. This file is empty without the model checker; to run it (seconds, and the build):
//!
//! ```text
//! CARGO_TARGET_DIR=target/loom RUSTFLAGS="--cfg loom" cargo test -p lars-board --test loom_ring --release
//! ```
#![cfg(loom)]

use lars_board::{CallRecord, Grant, NodeSlot, Reported, RingDrain, RingWriter};
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};

const RECORDS: u32 = 2;

/// A record all of whose words say which one it is.
fn record(number: u32) -> CallRecord {
    CallRecord {
        module: ModuleId::new(number, number),
        node: NodeAddr::from_ipv4_number(number, number as u16),
        slot: NodeSlot::NONE,
        outcome: Outcome::Ok,
        probe: false,
        calls: 1,
        latency_us: number,
    }
}

fn check(switches_max: usize, scene: fn(RingWriter, RingDrain)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(switches_max);
    model.check(move || {
        let writer = RingWriter::create(RECORDS).expect("memory");
        let drain = RingDrain::of(&writer, RECORDS).expect("a ring");
        scene(writer, drain);
    });
}

fn drain_into(drain: &mut RingDrain, taken: &mut Vec<CallRecord>) {
    drain
        .drain(|found| {
            assert_eq!(found, record(found.latency_us), "torn");
            taken.push(found);
        })
        .expect("a good ring");
}

/// Every record arrives once and whole, in order, although there are more than places.
#[test]
fn record_is_never_torn_lost_or_doubled() {
    check(3, |mut writer, mut drain| {
        let writing = loom::thread::spawn(move || {
            for number in 1..=4 {
                assert_ne!(writer.report(&record(number)), Reported::Lost);
            }
            writer
        });
        let mut taken = Vec::new();
        for _ in 0..2 {
            drain_into(&mut drain, &mut taken);
        }
        let mut writer = writing.join().expect("the writer ends");
        while !(writer.unload() && writer.is_drained()) {
            drain_into(&mut drain, &mut taken);
        }
        let numbers: Vec<u32> = taken.iter().map(|record| record.latency_us).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
    });
}

/// An agent ends between two drains and the next one goes on from the counts that stand in the ring.
#[test]
fn ring_is_taken_over_without_a_gap() {
    check(3, |mut writer, mut first| {
        let agents = loom::thread::spawn(move || {
            let mut taken = Vec::new();
            drain_into(&mut first, &mut taken);
            (taken, first)
        });
        writer.report(&record(1));
        writer.report(&record(2));
        let (mut taken, first) = agents.join().expect("the agent ends");
        drop(first);
        let mut second = RingDrain::of(&writer, RECORDS).expect("a ring");
        drain_into(&mut second, &mut taken);
        let numbers: Vec<u32> = taken.iter().map(|record| record.latency_us).collect();
        assert_eq!(numbers, [1, 2]);
    });
}

fn grant(number: u32) -> Grant {
    Grant {
        module: ModuleId::new(number, number),
        node: NodeSlot::new(number),
    }
}

/// Grants that replace each other are seen whole, each at most once, and the last one in the end.
#[test]
fn grant_is_seen_whole_and_once() {
    check(3, |mut writer, mut drain| {
        let granting = loom::thread::spawn(move || {
            drain.grant(grant(5));
            drain.grant(grant(6));
            drain
        });
        let mut seen: Vec<Grant> = (0..2).filter_map(|_| writer.granted()).collect();
        let drain = granting.join().expect("granted");
        seen.extend(writer.granted());
        assert!(seen == [grant(6)] || seen == [grant(5), grant(6)], "{seen:?}");
        assert!(drain.is_taken() && writer.granted().is_none());
    });
}

/// A grant that is taken back is taken by the thread or given to another, and both sides know which, or the agent errs on
/// the side of one probe too many.
#[test]
fn grant_that_is_taken_back_is_seen_whole_or_not_at_all() {
    check(3, |mut writer, mut drain| {
        let granting = loom::thread::spawn(move || {
            drain.grant(grant(5));
            let taken = drain.is_taken();
            drain.revoke();
            (drain, taken)
        });
        let first = writer.granted();
        let (drain, taken) = granting.join().expect("granted");
        let seen = first.or_else(|| writer.granted());
        assert!(seen.is_none_or(|seen| seen == grant(5)));
        assert!(!taken || seen.is_some(), "only the thread says that it has it");
        assert_eq!(drain.is_taken(), seen.is_some());
    });
}
