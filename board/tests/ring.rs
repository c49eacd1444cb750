//! Call rings over real memory files: order, fullness, taking over, and callers that write what they should not.
#![cfg(not(loom))]

use lars_board::{CallRecord, Grant, NodeSlot, RING_RECORDS, Reported, RingBroken, RingDrain, RingWriter};
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn record(number: u32) -> CallRecord {
    CallRecord {
        module: ModuleId::new(1, number % 7),
        node: NodeAddr::from_ipv4_number(0x0a00_0001 + number % 11, 80),
        slot: NodeSlot::NONE,
        outcome: if number.is_multiple_of(5) {
            Outcome::Failed
        } else {
            Outcome::Ok
        },
        probe: number.is_multiple_of(3),
        calls: 1,
        latency_us: number,
    }
}

fn passed(writer: &RingWriter) -> OwnedFd {
    writer.file().try_clone_to_owned().expect("another descriptor")
}

fn pair(records: u32) -> (RingWriter, RingDrain) {
    let writer = RingWriter::create(records).expect("memory");
    let drain = RingDrain::adopt(passed(&writer)).expect("a ring");
    (writer, drain)
}

fn drained(drain: &mut RingDrain) -> Vec<CallRecord> {
    let mut records = Vec::new();
    drain.drain(|record| records.push(record)).expect("a good ring");
    records
}

#[test]
fn records_come_out_in_the_order_in_which_they_were_written() {
    let (mut writer, mut drain) = pair(64);
    let mut number = 0;
    for batch in 0..1_000 {
        let first = number;
        for _ in 0..batch % 32 {
            assert_eq!(writer.report(&record(number)), Reported::Taken);
            number += 1;
        }
        assert_eq!(
            drained(&mut drain),
            (first..number).map(record).collect::<Vec<_>>()
        );
        assert!(writer.is_drained());
    }
}

#[test]
fn agent_is_to_be_told_once_when_the_ring_is_half_full() {
    let (mut writer, mut drain) = pair(64);
    for _ in 0..3 {
        let told: Vec<u32> = (0..64)
            .filter(|&number| writer.report(&record(number)) == Reported::HalfFull)
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!((31..48).contains(&told[0]), "{told:?}");
        assert_eq!(drained(&mut drain).len(), 64);
    }
}

/// Calls and latencies by node and outcome: what must be the same on both sides.
fn sums(records: &[CallRecord]) -> HashMap<(NodeAddr, u8), (u64, u64)> {
    let mut sums = HashMap::new();
    for record in records {
        let sum: &mut (u64, u64) = sums.entry((record.node, record.outcome.into())).or_default();
        sum.0 += u64::from(record.calls);
        sum.1 += u64::from(record.calls) * u64::from(record.latency_us);
    }
    sums
}

#[test]
fn full_ring_loses_no_call_and_no_microsecond() {
    let (mut writer, mut drain) = pair(64);
    let given: Vec<CallRecord> = (0..10_000).map(record).collect();
    for &record in &given {
        assert_ne!(writer.report(&record), Reported::Lost);
    }
    assert_eq!((writer.written(), writer.held()), (64, 10_000 - 64));
    let mut taken = Vec::new();
    loop {
        taken.append(&mut drained(&mut drain));
        if writer.unload() && writer.is_drained() {
            break;
        }
    }
    assert_eq!(sums(&taken), sums(&given));
    assert_eq!(writer.take_lost(), 0);
}

#[test]
fn next_agent_takes_over_where_the_one_before_has_left() {
    let (mut writer, mut first) = pair(64);
    for number in 0..40 {
        writer.report(&record(number));
    }
    assert_eq!(drained(&mut first).len(), 40);
    for number in 40..70 {
        writer.report(&record(number));
    }
    drop(first);
    let mut second = RingDrain::adopt(passed(&writer)).expect("a ring");
    assert_eq!(drained(&mut second), (40..70).map(record).collect::<Vec<_>>());
}

#[test]
fn ring_that_two_drain_is_given_up_by_the_first() {
    let (mut writer, mut first) = pair(64);
    writer.report(&record(1));
    let mut second = RingDrain::adopt(passed(&writer)).expect("a ring");
    assert_eq!(drained(&mut second).len(), 1);
    writer.report(&record(2));
    assert!(matches!(
        first.drain(|_| ()),
        Err(RingBroken::Drained { found: 1, ours: 0 })
    ));
}

fn grant(number: u32) -> Grant {
    Grant {
        module: ModuleId::new(9, number),
        node: NodeSlot::new(number),
    }
}

#[test]
fn probe_is_granted_once_and_not_when_it_was_taken_back() {
    let (mut writer, mut drain) = pair(64);
    assert_eq!(writer.granted(), None);
    drain.grant(grant(0));
    assert!(!drain.is_taken());
    assert_eq!((writer.granted(), writer.granted()), (Some(grant(0)), None));
    assert!(drain.is_taken());
    drain.grant(grant(8));
    assert!(!drain.is_taken());
    drain.grant(grant(9));
    assert_eq!((writer.granted(), writer.granted()), (Some(grant(9)), None));
    drain.grant(grant(1));
    drain.revoke();
    assert_eq!(writer.granted(), None);
    // The next agent takes back what the one before has granted, and its own grants are new ones.
    drain.grant(grant(2));
    let mut next = RingDrain::adopt(passed(&writer)).expect("a ring");
    assert_eq!(writer.granted(), None);
    next.grant(grant(9));
    assert_eq!((writer.granted(), writer.granted()), (Some(grant(9)), None));
    assert!(next.is_taken());
}

/// The same memory as a hostile caller sees it: it may write wherever it likes.
fn scribbled(writer: &RingWriter, place: u64, words: &[u64]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let file = File::from(passed(writer));
    file.write_all_at(&bytes, place * 8).expect("written");
}

#[test]
fn ring_whose_counts_or_records_cannot_be_is_given_up() {
    let broken = |scribble: fn(&RingWriter)| {
        let (mut writer, mut drain) = pair(64);
        writer.report(&record(1));
        scribble(&writer);
        drain.drain(|_| ()).expect_err("it cannot be")
    };
    assert!(matches!(
        broken(|ring| scribbled(ring, 16, &[66])),
        RingBroken::Written { written: 66, .. }
    ));
    assert!(matches!(
        broken(|ring| scribbled(ring, 16, &[u64::MAX])),
        RingBroken::Written { .. }
    ));
    assert!(matches!(
        broken(|ring| scribbled(ring, 32, &[1])),
        RingBroken::Drained { found: 1, ours: 0 }
    ));
    assert!(matches!(
        broken(|ring| scribbled(ring, 64, &[0; 4])),
        RingBroken::Record(0)
    ));
    assert!(matches!(
        broken(|ring| scribbled(ring, 16, &[2])),
        RingBroken::Record(1)
    ));
}

#[test]
fn file_that_is_no_ring_is_not_taken() {
    let refused = |scribble: &[(u64, u64)]| {
        let writer = RingWriter::create(64).expect("memory");
        for &(place, word) in scribble {
            scribbled(&writer, place, &[word]);
        }
        RingDrain::adopt(passed(&writer)).err().expect("no ring")
    };
    assert!(matches!(refused(&[(0, 0)]), RingBroken::Header { magic: 0, .. }));
    assert!(matches!(refused(&[(1, 1)]), RingBroken::Header { format: 1, .. }));
    assert!(matches!(
        refused(&[(2, 128)]),
        RingBroken::Header { records: 128, .. }
    ));
    assert!(matches!(refused(&[(2, 63)]), RingBroken::Header { .. }));
    assert!(matches!(refused(&[(2, u64::MAX)]), RingBroken::Header { .. }));
    assert!(matches!(refused(&[(16, 65)]), RingBroken::Written { .. }));
    assert!(matches!(refused(&[(32, 1)]), RingBroken::Written { .. }));
    let on_disk = tempfile::tempfile().expect("a file");
    on_disk.set_len(1 << 20).expect("sized");
    assert!(matches!(
        RingDrain::adopt(on_disk.into()),
        Err(RingBroken::File(_))
    ));
}

#[test]
fn sizes_are_rounded_and_bounded() {
    for (asked, given) in [(0, 64), (65, 128), (u32::MAX, *RING_RECORDS.end())] {
        let writer = RingWriter::create(asked).expect("memory");
        let bytes = File::from(passed(&writer)).metadata().expect("metadata").len();
        assert_eq!(bytes, 512 + u64::from(given) * 32, "{asked}");
        assert!(RingDrain::adopt(passed(&writer)).is_ok());
    }
}

/// How long the hostile caller writes: `LARS_HOSTILE_SECONDS`, else a moment.
fn hostile_time() -> Duration {
    let given = std::env::var("LARS_HOSTILE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    given.map_or(Duration::from_millis(500), Duration::from_secs)
}

#[test]
fn caller_that_writes_random_bytes_loses_its_ring_and_nothing_else() {
    let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let end = Instant::now() + hostile_time();
    let (mut rings, mut given_up, mut records) = (0_u64, 0_u64, 0_u64);
    let mut rng = fastrand::Rng::with_seed(seed);
    while Instant::now() < end || given_up < 100 {
        rings += 1;
        let (mut writer, drain) = pair(64);
        let file = File::from(passed(&writer));
        let (mut drain, done) = (Some(drain), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (done, mut rng) = (&done, rng.fork());
            let caller = scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    writer.report(&record(rng.u32(..)));
                    match rng.u8(..8) {
                        // Near what lies in the ring, so that not everything is refused at the first look.
                        0..6 => {
                            let word = writer.drained() + rng.u64(..70);
                            let place = *rng.choice(&[16, 32, 48]).expect("three");
                            file.write_all_at(&word.to_ne_bytes(), place * 8)
                                .expect("written");
                        }
                        _ => {
                            let bytes: [u8; 24] = std::array::from_fn(|_| rng.u8(..));
                            file.write_all_at(&bytes, rng.u64(..2_500)).expect("written");
                        }
                    }
                }
            });
            for _ in 0..1_000 {
                let Some(ring) = &mut drain else { break };
                let result = ring.drain(|record| {
                    assert!(record.node.is_callable() && record.calls > 0);
                    records += 1;
                });
                if result.is_err() {
                    given_up += 1;
                    drain = None;
                }
            }
            done.store(true, Ordering::Relaxed);
            // Waited for by name: how a scope waits is nothing that ThreadSanitizer sees.
            caller.join().expect("no panic");
        });
    }
    println!("{rings} rings, {given_up} given up, {records} records believed");
    assert!(given_up > 0 && records > 0);
}

#[test]
fn two_threads_at_full_speed_lose_and_double_nothing() {
    const CALLS: u32 = if cfg!(debug_assertions) {
        200_000
    } else {
        5_000_000
    };
    let (mut writer, mut drain) = pair(256);
    let done = AtomicBool::new(false);
    let (given, taken) = std::thread::scope(|scope| {
        let done = &done;
        let writing = scope.spawn(move || {
            let mut given = Vec::new();
            for number in 0..CALLS {
                given.push(record(number));
                assert_ne!(writer.report(&record(number)), Reported::Lost);
            }
            while !(writer.unload() && writer.is_drained()) {
                std::thread::yield_now();
            }
            done.store(true, Ordering::Release);
            given
        });
        let mut taken = Vec::new();
        while !done.load(Ordering::Acquire) {
            taken.append(&mut drained(&mut drain));
        }
        (writing.join().expect("the writer ends"), taken)
    });
    assert_eq!(sums(&taken), sums(&given));
}
