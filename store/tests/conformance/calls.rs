//! Call records: each batch stored exactly once, history that sums, windows that never go back.

use crate::place::{M1, M2, Place, unix_now_s, v4, v6};
use lars_store::calls::PRUNE_ROWS_MAX;
use lars_store::{CallBatch, CallRecord, CallStore, Stored};
use lars_wire::record::Window;
use lars_wire::{ModuleId, NodeAddr};

pub(crate) const MINUTE: u64 = 29_000_000;

/// 3 successes and 1 failure, in `MINUTE`.
pub(crate) fn record(module: ModuleId, node: NodeAddr) -> CallRecord {
    CallRecord {
        module,
        node,
        minute: MINUTE,
        ok: 3,
        failed: 1,
        timed_out: 0,
        cancelled: 0,
        latency_sum_us: 300,
        latency_max_us: 150,
        window: Window {
            succ: 3,
            err: 1,
            overloaded: false,
        },
        window_ts: MINUTE * 60,
    }
}

pub(crate) fn batch(incarnation: u8, sequence: u64, records: Vec<CallRecord>) -> CallBatch {
    CallBatch {
        incarnation: [incarnation; 16],
        sequence,
        caller: 0x7f00_0001,
        records,
    }
}

pub(crate) async fn unnumbered_windows_are_written_as_they_are<P: Place>(place: P) {
    let mut store = place.open().await;
    let window = |succ, ts| CallRecord {
        ok: 0,
        failed: 0,
        window: Window {
            succ,
            err: 0,
            overloaded: succ == 0,
        },
        window_ts: ts,
        ..record(M1, v4(1))
    };
    for (succ, ts) in [(5, 100), (0, 101), (7, 99)] {
        let batches = [batch(1, CallBatch::UNNUMBERED, vec![window(succ, ts)])];
        let stored = store.store(&batches).await.expect("store");
        assert_eq!(stored, [Stored::Now(CallBatch::UNNUMBERED)]);
    }
    let rows = store.call_status(None).await.expect("status");
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.succ, row.ts, row.overloaded))
        .collect();
    assert_eq!(seen, [(0, 101, true)], "the newest, though it is without calls");
    // The same incarnation's numbered batches know nothing of them.
    let numbered = [batch(1, 1, vec![record(M1, v4(1))])];
    assert_eq!(store.store(&numbered).await.expect("store"), [Stored::Now(1)]);
}

pub(crate) async fn ok_sum(store: &mut impl CallStore) -> u64 {
    store
        .history(None, 0)
        .await
        .expect("history")
        .iter()
        .map(|row| row.ok)
        .sum()
}

pub(crate) async fn batch_is_stored_once_however_often_it_is_sent<P: Place>(place: P) {
    let mut store = place.open().await;
    let first = [batch(1, 1, vec![record(M1, v4(1))])];
    assert_eq!(store.store(&first).await.expect("store"), [Stored::Now(1)]);
    assert_eq!(store.store(&first).await.expect("store"), [Stored::Before(1)]);
    let second = [batch(1, 2, vec![record(M1, v4(1))])];
    assert_eq!(
        place.open().await.store(&second).await.expect("store"),
        [Stored::Now(2)]
    );
    assert_eq!(store.store(&second).await.expect("store"), [Stored::Before(2)]);
    assert_eq!(
        store.store(&first).await.expect("store"),
        [Stored::Before(2)],
        "it says the newest stored"
    );
    assert_eq!(ok_sum(&mut store).await, 6);
}

pub(crate) async fn batches_of_one_call_are_judged_in_order<P: Place>(place: P) {
    let mut store = place.open().await;
    let batches: Vec<_> = [(1, 1), (2, 1), (1, 1), (1, 2), (2, 3), (1, 4), (1, 3)]
        .map(|(who, which)| batch(who, which, vec![record(M1, v4(1))]))
        .into();
    let stored = store.store(&batches).await.expect("store");
    let expected = [
        Stored::Now(1),
        Stored::Now(1),
        Stored::Before(1),
        Stored::Now(2),
        Stored::Gap(1),
        Stored::Gap(2),
        Stored::Now(3),
    ];
    assert_eq!(stored, expected);
    assert_eq!(ok_sum(&mut store).await, 4 * 3);
    assert_eq!(store.store(&[]).await.expect("store"), []);
}

pub(crate) async fn many_rows_of_one_call_are_all_stored<P: Place>(place: P) {
    // More than two of the largest statements, and what is left is no power of two.
    let node = |number: u32| NodeAddr::from_ipv4_number(0x0a00_0000 + number, 80);
    let (mut store, mut sum) = (place.open().await, 0);
    for (sequence, rows) in [(1, 2_048), (2, 3_005), (3, 1)] {
        let records = (0..rows).map(|number| CallRecord {
            ok: u64::from(number) + 1,
            ..record(M1, node(number))
        });
        let records: Vec<CallRecord> = records.collect();
        sum += records.iter().map(|record| record.ok).sum::<u64>();
        store
            .store(&[batch(1, sequence, records)])
            .await
            .expect("they are stored");
        assert_eq!(ok_sum(&mut store).await, sum);
    }
    let status = store.call_status(None).await.expect("status");
    let nodes: Vec<NodeAddr> = status.iter().map(|row| row.node).collect();
    assert_eq!(nodes, (0..3_005).map(node).collect::<Vec<_>>());
}

pub(crate) async fn many_agents_of_one_call_are_answered_as_they_came<P: Place>(place: P) {
    let node = |number: u32| NodeAddr::from_ipv4_number(0x0a00_0000 + number, 80);
    // Every agent calls the same nodes, so that their rows of history meet wherever they are written.
    let of_agent = |who: u8, sequence| CallBatch {
        caller: who.into(),
        ..batch(
            who,
            sequence,
            (0..500).map(|number| record(M1, node(number))).collect(),
        )
    };
    let mut store = place.open().await;
    let first: Vec<_> = (1..=20).map(|who| of_agent(who, 7)).collect();
    let stored = store.store(&first).await.expect("they are stored");
    assert_eq!(stored, [Stored::Now(7); 20]);
    let mut sum = 20 * 500 * record(M1, v4(1)).ok;
    assert_eq!(ok_sum(&mut store).await, sum);
    // Two of each, and the order in which they come says which of them is known before.
    let mut next: Vec<_> = (1..=20)
        .flat_map(|who| [of_agent(who, 8), of_agent(who, 9)])
        .collect();
    next.swap(4, 5);
    next.push(of_agent(9, 7));
    let stored = store.store(&next).await.expect("they are stored");
    let mut expected = [Stored::Now(8), Stored::Now(9)].repeat(20);
    (expected[4], expected[5]) = (Stored::Gap(7), Stored::Now(8));
    expected.push(Stored::Before(9));
    assert_eq!(stored, expected);
    sum += 39 * 500 * record(M1, v4(1)).ok;
    assert_eq!(ok_sum(&mut store).await, sum);
    let status = store.call_status(None).await.expect("status");
    assert_eq!(status.len(), 20 * 500, "a window of each agent and node");
}

pub(crate) async fn gap_is_refused_and_changes_nothing<P: Place>(place: P) {
    let mut store = place.open().await;
    store
        .store(&[batch(1, 1, vec![record(M1, v4(1))])])
        .await
        .expect("store");
    let gap = [batch(1, 3, vec![record(M1, v4(2))])];
    assert_eq!(store.store(&gap).await.expect("store"), [Stored::Gap(1)]);
    assert_eq!(store.history(None, 0).await.expect("history").len(), 1);
    assert_eq!(store.call_status(None).await.expect("status").len(), 1);
    assert_eq!(
        store.store(&[batch(1, 2, vec![])]).await.expect("store"),
        [Stored::Now(2)]
    );
    assert_eq!(store.store(&gap).await.expect("store"), [Stored::Now(3)]);
}

pub(crate) async fn incarnation_never_seen_starts_anywhere<P: Place>(place: P) {
    let mut store = place.open().await;
    assert_eq!(
        store
            .store(&[batch(1, 500, vec![record(M1, v4(1))])])
            .await
            .expect("store"),
        [Stored::Now(500)]
    );
    assert_eq!(
        store.store(&[batch(1, 501, vec![])]).await.expect("store"),
        [Stored::Now(501)]
    );
    assert_eq!(
        store.store(&[batch(1, 503, vec![])]).await.expect("store"),
        [Stored::Gap(501)]
    );
}

pub(crate) async fn history_sums_what_callers_reported<P: Place>(place: P) {
    let mut store = place.open().await;
    let other = CallRecord {
        ok: 5,
        failed: 2,
        timed_out: 4,
        cancelled: 6,
        latency_sum_us: 1_000,
        latency_max_us: 900,
        ..record(M1, v4(1))
    };
    let later = CallRecord {
        minute: MINUTE + 1,
        ..record(M1, v4(1))
    };
    store
        .store(&[batch(1, 1, vec![record(M1, v4(1)), later])])
        .await
        .expect("store");
    store
        .store(&[
            batch(2, 1, vec![other, other]),
            batch(1, 2, vec![record(M1, v6(1))]),
        ])
        .await
        .expect("store");
    // Smaller than what is there.
    store
        .store(&[batch(2, 2, vec![record(M1, v4(1))])])
        .await
        .expect("store");
    let rows = store.history(None, 0).await.expect("history");
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.node,
                row.minute,
                row.ok,
                row.failed,
                row.timed_out,
                row.cancelled,
                row.latency_sum_us,
                row.latency_max_us,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (v4(1), MINUTE, 16, 6, 8, 12, 2_600, 900),
            (v4(1), MINUTE + 1, 3, 1, 0, 0, 300, 150),
            (v6(1), MINUTE, 3, 1, 0, 0, 300, 150),
        ]
    );
}

pub(crate) async fn history_is_read_by_module_and_from_a_minute_on<P: Place>(place: P) {
    let mut store = place.open().await;
    let mut records = Vec::new();
    for minute in [MINUTE, MINUTE + 1, MINUTE + 7] {
        for module in [M2, M1, ModuleId::new(u32::MAX, u32::MAX), ModuleId::new(0, 0)] {
            records.push(CallRecord {
                minute,
                ..record(module, v4(1))
            });
        }
    }
    store.store(&[batch(1, 1, records)]).await.expect("store");
    let rows = store.history(Some(M1), MINUTE + 1).await.expect("history");
    assert_eq!(
        rows.iter()
            .map(|row| (row.module, row.minute))
            .collect::<Vec<_>>(),
        [(M1, MINUTE + 1), (M1, MINUTE + 7)]
    );
    let all = store.history(None, 0).await.expect("history");
    assert!(all.len() == 12 && all.is_sorted_by_key(|row| (row.module, row.node, row.minute)));
    assert!(store.history(None, MINUTE + 8).await.expect("history").is_empty());
    assert!(
        store
            .history(Some(ModuleId::new(1, 3)), 0)
            .await
            .expect("history")
            .is_empty()
    );
}

pub(crate) async fn older_window_never_replaces_a_newer<P: Place>(place: P) {
    let mut store = place.open().await;
    let at = |ts: u64, succ: u32, overloaded: bool| CallRecord {
        window: Window {
            succ,
            err: 0,
            overloaded,
        },
        window_ts: ts,
        ..record(M1, v4(1))
    };
    let mut sequence = 0;
    for (ts, succ, overloaded, expected) in [
        (100, 1, false, (1, 100, false)),
        (110, 2, true, (2, 110, true)),
        (109, 3, false, (2, 110, true)),
        (110, 4, false, (4, 110, false)),
    ] {
        sequence += 1;
        store
            .store(&[batch(1, sequence, vec![at(ts, succ, overloaded)])])
            .await
            .expect("store");
        let status = store.call_status(Some(M1)).await.expect("status");
        let found: Vec<_> = status
            .iter()
            .map(|row| (row.succ, row.ts, row.overloaded))
            .collect();
        assert_eq!(found, [expected]);
    }
}

pub(crate) async fn window_without_calls_writes_nothing<P: Place>(place: P) {
    let mut store = place.open().await;
    let silent = CallRecord {
        window: Window {
            succ: 0,
            err: 0,
            overloaded: true,
        },
        ..record(M1, v4(1))
    };
    store.store(&[batch(1, 1, vec![silent])]).await.expect("store");
    assert!(store.call_status(None).await.expect("status").is_empty());
    assert_eq!(ok_sum(&mut store).await, 3, "its counts are history all the same");
}

pub(crate) async fn status_keeps_callers_and_address_families_apart<P: Place>(place: P) {
    let mut store = place.open().await;
    let records = vec![
        record(M2, v6(1)),
        record(M1, v4(2)),
        record(M1, v6(1)),
        record(M1, v4(1)),
    ];
    let mut other = batch(2, 1, vec![record(M1, v4(1)), record(M1, v6(1))]);
    other.caller = 5;
    store.store(&[batch(1, 1, records), other]).await.expect("store");
    let (ours, theirs) = (0x7f00_0001, 5);
    let found: Vec<_> = store
        .call_status(None)
        .await
        .expect("status")
        .iter()
        .map(|row| (row.module, row.node, row.caller))
        .collect();
    let m1 = [
        (M1, v4(1), theirs),
        (M1, v4(1), ours),
        (M1, v4(2), ours),
        (M1, v6(1), theirs),
        (M1, v6(1), ours),
    ];
    assert_eq!(found[..5], m1);
    assert_eq!(found[5..], [(M2, v6(1), ours)]);
    let of_one = store.call_status(Some(M2)).await.expect("status");
    assert_eq!(
        (of_one.len(), of_one[0].succ, of_one[0].err, of_one[0].ts),
        (1, 3, 1, MINUTE * 60)
    );
}

pub(crate) async fn status_of_another_program_is_read<P: Place>(place: P) {
    place
        .foreign(
            "INSERT INTO ServerCallStatus (modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload) VALUES
             (1, 1, 167772161, 80, 9, 10, 20, 30, '1'), (1, 1, 167772161, 70000, 9, 10, 20, 30, '0')",
        )
        .await;
    let status = place.open().await.call_status(None).await.expect("status");
    let found: Vec<_> = status
        .iter()
        .map(|row| (row.node, row.caller, row.succ, row.err, row.ts, row.overloaded))
        .collect();
    assert_eq!(
        found,
        [(v4(1), 9, 10, 20, 30, true)],
        "a row with an impossible port is left out"
    );
}

pub(crate) async fn sums_beyond_the_database_stay_at_their_end<P: Place>(place: P) {
    let mut store = place.open().await;
    let huge = CallRecord {
        latency_sum_us: u64::MAX,
        ok: u64::MAX,
        ..record(M1, v4(1))
    };
    for sequence in 1..=3 {
        store
            .store(&[batch(1, sequence, vec![huge])])
            .await
            .expect("store");
    }
    let rows = store.history(None, 0).await.expect("history");
    assert_eq!((rows[0].ok, rows[0].failed), (i64::MAX as u64, 3));
    assert_eq!(rows[0].latency_sum_us, i64::MAX as u64);
}

pub(crate) async fn prune_takes_what_is_old_and_nothing_else<P: Place>(place: P) {
    let mut store = place.open().await;
    let minutes = [MINUTE, MINUTE + 1, MINUTE + 2];
    let records = minutes.map(|minute| CallRecord {
        minute,
        ..record(M1, v4(1))
    });
    store
        .store(&[batch(1, 1, records.to_vec()), batch(2, 1, vec![])])
        .await
        .expect("store");
    place
        .foreign(&format!(
            "UPDATE lars_ack SET stored_ts = {} WHERE seq = 1 AND incarnation = x'{}'",
            unix_now_s() - 100,
            "01".repeat(16)
        ))
        .await;
    assert_eq!(
        store.prune(MINUTE + 1, 1_000).await.expect("prune"),
        1,
        "no acknowledgement is that old"
    );
    assert_eq!(
        store.prune(MINUTE + 1, 50).await.expect("prune"),
        1,
        "one acknowledgement is"
    );
    assert_eq!(store.prune(MINUTE + 1, 50).await.expect("prune"), 0);
    let left: Vec<_> = store
        .history(None, 0)
        .await
        .expect("history")
        .iter()
        .map(|row| row.minute)
        .collect();
    assert_eq!(left, minutes[1..]);
    assert_eq!(
        store.store(&[batch(2, 1, vec![])]).await.expect("store"),
        [Stored::Before(1)]
    );
    assert_eq!(
        store.store(&[batch(1, 9, vec![])]).await.expect("store"),
        [Stored::Now(9)],
        "forgotten, so taken"
    );
    assert_eq!(store.call_status(None).await.expect("status").len(), 1);
}

pub(crate) async fn prune_goes_on_where_it_stopped<P: Place>(place: P) {
    let mut store = place.open().await;
    let rows = u64::from(PRUNE_ROWS_MAX) + 3;
    let records = (0..rows).map(|number| CallRecord {
        minute: MINUTE + number % 2,
        ..record(M1, NodeAddr::from_ipv4_number(number as u32 + 1, 80))
    });
    store
        .store(&[batch(1, 1, records.collect())])
        .await
        .expect("store");
    let kept = CallRecord {
        minute: MINUTE + 2,
        ..record(M1, v4(1))
    };
    store.store(&[batch(1, 2, vec![kept])]).await.expect("store");
    assert_eq!(
        store.prune(MINUTE + 2, u64::MAX).await.expect("prune"),
        u64::from(PRUNE_ROWS_MAX)
    );
    assert_eq!(store.prune(MINUTE + 2, u64::MAX).await.expect("prune"), 3);
    assert_eq!(store.prune(MINUTE + 2, u64::MAX).await.expect("prune"), 0);
    assert_eq!(ok_sum(&mut store).await, 3);
}
