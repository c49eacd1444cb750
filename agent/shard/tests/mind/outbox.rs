//! Counts on their way to report: sums exact over any history, batches frozen, ages told.

use crate::routes::addr;
use crate::seeds::with_seeds;
use lars_shard::TallyOutbox;
use lars_wire::record::{Tally, TallyAck, TallyBatch, Window};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const INCARNATION: [u8; 16] = [7; 16];

fn tally(cmdid: u32, node: u32, ok: u32) -> Tally {
    Tally {
        module: ModuleId::new(1, cmdid),
        node: addr(node),
        ok,
        latency_sum_us: u64::from(ok) * 10,
        latency_max_us: 10,
        ..Tally::default()
    }
}

fn ack(sequence: u64) -> TallyAck {
    TallyAck {
        incarnation: INCARNATION,
        sequence,
    }
}

fn outbox(pending_max: usize) -> (TallyOutbox, Instant) {
    (TallyOutbox::new(INCARNATION, 42, pending_max), Instant::now())
}

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn batch_is_frozen_sent_once_and_forgotten_when_acknowledged() {
    let (mut outbox, now) = outbox(1_000);
    assert_eq!(outbox.next(now), None);
    outbox.add(now, &tally(1, 1, 5));
    let batch = outbox.next(now + second(1)).expect("something waits");
    assert_eq!(
        (batch.incarnation, batch.sequence, batch.caller, batch.age_ms),
        (INCARNATION, 1, 42, 0)
    );
    assert_eq!(
        batch.tallies,
        [Tally {
            age_ms: 1_000,
            ..tally(1, 1, 5)
        }]
    );
    outbox.add(now, &tally(1, 1, 9));
    assert_eq!(outbox.next(now + second(2)), None, "one is in flight");
    assert_eq!(outbox.len(), 2);
    assert!(outbox.acknowledged(&ack(1)));
    assert_eq!(
        outbox
            .next(now + second(2))
            .map(|batch| (batch.sequence, batch.tallies[0].ok)),
        Some((2, 9))
    );
    assert!(outbox.acknowledged(&ack(2)) && outbox.is_empty());
}

#[test]
fn reconnect_sends_the_same_batch_again_with_its_age_alone_grown() {
    let (mut outbox, now) = outbox(1_000);
    outbox.add(now, &tally(1, 1, 5));
    let first = outbox.next(now).expect("something waits");
    outbox.add(now, &tally(1, 1, 5));
    outbox.reconnected();
    let again = outbox.next(now + second(3)).expect("it is sent again");
    assert_eq!(
        again,
        TallyBatch {
            age_ms: 3_000,
            ..first
        }
    );
    assert_eq!(outbox.next(now + second(3)), None);
}

#[test]
fn acknowledgement_of_anything_else_is_ignored() {
    let (mut outbox, now) = outbox(1_000);
    assert!(!outbox.acknowledged(&ack(0)));
    for sequence in 1..=3 {
        outbox.add(now, &tally(1, 1, 1));
        outbox.next(now).expect("something waits");
        for other in [sequence - 1, sequence + 1] {
            assert!(!outbox.acknowledged(&ack(other)));
        }
        let stranger = TallyAck {
            incarnation: [8; 16],
            sequence,
        };
        assert!(!outbox.acknowledged(&stranger));
        assert!(outbox.acknowledged(&ack(sequence)));
        assert!(!outbox.acknowledged(&ack(sequence)), "twice");
    }
}

#[test]
fn minute_is_merged_and_the_next_one_kept_apart() {
    let (mut outbox, now) = outbox(1_000);
    let window = |succ| Window {
        succ,
        err: 0,
        overloaded: false,
    };
    for (at, succ) in [(0, 1), (30, 2), (59, 3), (60, 4)] {
        let newer = Tally {
            window: window(succ),
            ..tally(1, 1, 1)
        };
        outbox.add(now + second(at), &newer);
    }
    let tallies = outbox.next(now + second(100)).expect("something waits").tallies;
    let told: Vec<_> = tallies
        .iter()
        .map(|tally| (tally.ok, tally.age_ms, tally.window))
        .collect();
    assert_eq!(told, [(3, 100_000, window(3)), (1, 40_000, window(4))]);
    assert_eq!(tallies[0].latency_sum_us, 30);
}

#[test]
fn counts_merged_are_as_old_as_the_oldest_of_them() {
    let (mut outbox, now) = outbox(1_000);
    outbox.add(now, &tally(1, 2, 1));
    outbox.add(now + second(40), &tally(1, 1, 1));
    let older = Tally {
        age_ms: 20_000,
        ..tally(1, 1, 1)
    };
    outbox.add(now + second(50), &older);
    let tallies = outbox.next(now + second(50)).expect("something waits").tallies;
    assert_eq!((tallies[0].ok, tallies[0].age_ms), (2, 20_000));
}

#[test]
fn too_many_waiting_merges_minutes_and_loses_nothing() {
    let (mut outbox, now) = outbox(10);
    for minute in 0..1_000 {
        for node in 1..=5 {
            outbox.add(now + second(minute * 60), &tally(1, node, 1));
            assert!(outbox.len() <= 10);
        }
    }
    assert_eq!(outbox.unnamed_total(), 0);
    let tallies = outbox
        .next(now + second(60_000))
        .expect("something waits")
        .tallies;
    for node in 1..=5 {
        let calls: u32 = tallies
            .iter()
            .filter(|tally| tally.node == addr(node))
            .map(|tally| tally.ok)
            .sum();
        assert_eq!(calls, 1_000);
    }
    assert_eq!(
        tallies.iter().map(|tally| tally.age_ms).max(),
        Some(60_000_000),
        "ages grow, none shrinks"
    );
}

#[test]
fn too_many_different_nodes_are_counted_without_their_names() {
    let (mut outbox, now) = outbox(16);
    for node in 1..=1_000 {
        let window = Window {
            succ: 1,
            err: 0,
            overloaded: true,
        };
        outbox.add(
            now,
            &Tally {
                window,
                ..tally(node % 50, node, 1)
            },
        );
    }
    // 16 named nodes, 2 modules with the rest of theirs, and the rest of all.
    assert_eq!((outbox.len(), outbox.unnamed_total()), (19, 984));
    let tallies = outbox.next(now).expect("something waits").tallies;
    assert_eq!(tallies.iter().map(|tally| tally.ok).sum::<u32>(), 1_000);
    let windows = tallies.iter().filter(|tally| tally.window != Window::default());
    assert!(
        windows.eq(tallies.iter().filter(|tally| tally.node != NodeAddr::NONE)),
        "{tallies:?}"
    );
    let unnamed = tallies.iter().filter(|tally| tally.node == NodeAddr::NONE);
    assert_eq!(unnamed.map(|tally| tally.ok).sum::<u32>(), 984);
}

#[test]
fn sum_that_does_not_fit_goes_out_as_two_tallies() {
    let (mut outbox, now) = outbox(1_000);
    for _ in 0..3 {
        outbox.add(now, &tally(1, 1, u32::MAX - 1));
    }
    let tallies = outbox.next(now).expect("something waits").tallies;
    let sum: u64 = tallies.iter().map(|tally| u64::from(tally.ok)).sum();
    assert_eq!((tallies.len(), sum), (3, 3 * u64::from(u32::MAX - 1)));
}

#[test]
fn refused_incarnation_starts_over_with_the_batch_in_flight_as_its_first() {
    let (mut outbox, now) = outbox(1_000);
    for sequence in 1..=3 {
        outbox.add(now, &tally(1, 1, sequence));
        outbox.next(now).expect("something waits");
        if sequence < 3 {
            outbox.acknowledged(&ack(u64::from(sequence)));
        }
    }
    outbox.start_over([9; 16]);
    let batch = outbox.next(now).expect("it is sent again");
    assert_eq!(
        (batch.incarnation, batch.sequence, batch.tallies[0].ok),
        ([9; 16], 1, 3)
    );
    assert!(!outbox.acknowledged(&ack(3)));
    assert!(outbox.acknowledged(&TallyAck {
        incarnation: [9; 16],
        sequence: 1
    }));
    outbox.add(now, &tally(1, 1, 4));
    assert_eq!(outbox.next(now).map(|batch| batch.sequence), Some(2));
}

/// A report that stores each batch once, as its transaction does.
#[derive(Default)]
struct Report {
    stored: u64,
    sums: BTreeMap<(ModuleId, NodeAddr), u64>,
    first_seen: BTreeMap<u64, Vec<Tally>>,
}

impl Report {
    fn take(&mut self, batch: &TallyBatch) -> TallyAck {
        let first = self
            .first_seen
            .entry(batch.sequence)
            .or_insert_with(|| batch.tallies.clone());
        assert_eq!(*first, batch.tallies, "a batch that was sent is never changed");
        assert!(batch.sequence <= self.stored + 1, "no gap");
        assert!(batch.tallies.len() <= lars_wire::bounds::TALLIES_MAX);
        if batch.sequence == self.stored + 1 {
            self.stored += 1;
            for tally in &batch.tallies {
                *self.sums.entry((tally.module, tally.node)).or_default() += u64::from(tally.ok);
            }
        }
        ack(self.stored)
    }
}

#[test]
fn stored_is_what_was_added_over_any_history_of_losses() {
    with_seeds(40, |seed, mut random| {
        // Never more different nodes than room, so that each keeps its name; minutes are merged now and then.
        let (mut outbox, mut now) = outbox(700);
        let (mut report, mut added) = (Report::default(), BTreeMap::<_, u64>::new());
        let mut late_acks = Vec::new();
        for _ in 0..300 {
            match random.u8(..10) {
                0..=3 => {
                    for _ in 0..random.u32(..200) {
                        let tally = tally(random.u32(..3), random.u32(1..200), random.u32(..50));
                        *added.entry((tally.module, tally.node)).or_default() += u64::from(tally.ok);
                        outbox.add(now, &tally);
                    }
                }
                4..=5 => now += Duration::from_millis(random.u64(..100_000)),
                6 => outbox.reconnected(),
                _ => {
                    if let Some(batch) = outbox.next(now) {
                        // The batch is lost, or the answer is, or it comes late, or at once.
                        let fate = random.u8(..4);
                        let answer = (fate > 0).then(|| report.take(&batch));
                        match answer {
                            Some(answer) if fate == 3 => assert!(outbox.acknowledged(&answer)),
                            Some(answer) if fate == 2 => late_acks.push(answer),
                            _ => outbox.reconnected(),
                        }
                    } else if let Some(answer) = late_acks.pop() {
                        outbox.acknowledged(&answer);
                    } else {
                        outbox.reconnected();
                    }
                }
            }
            assert!(
                outbox.len() <= 700 + lars_wire::bounds::TALLIES_MAX,
                "seed {seed}"
            );
        }
        outbox.reconnected();
        while let Some(batch) = outbox.next(now) {
            assert!(outbox.acknowledged(&report.take(&batch)));
        }
        added.retain(|_, sum| *sum > 0);
        report.sums.retain(|_, sum| *sum > 0);
        assert_eq!((report.sums, outbox.unnamed_total()), (added, 0), "seed {seed}");
        assert!(outbox.is_empty());
    });
}
