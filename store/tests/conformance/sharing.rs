//! Several connections at once: dns and report on one database, and other programs beside them.

use crate::calls::{batch, ok_sum, record};
use crate::place::{M1, M2, Place, put, v4};
use lars_store::{CallStore, RouteStore, StoreError, Stored};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Writers get through beside each other, and none loses what it wrote. One may be told to come again when the machine
/// is slow, but not as a rule.
pub(crate) async fn writers_at_once_all_get_through<P: Place>(place: P) {
    const TURNS: u8 = 30;
    let away = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let (place, away) = (&place, &away);
        for module in [M1, M2] {
            scope.spawn(move || {
                crate::block_on(async {
                    let mut dns = place.open().await;
                    for turn in 1..=TURNS {
                        while is_away(dns.edit(&[put(module, v4(turn))]).await, away) {}
                    }
                });
            });
        }
        scope.spawn(move || {
            crate::block_on(async {
                let mut report = place.open().await;
                for turn in 1..=TURNS {
                    let next = [batch(1, u64::from(turn), vec![record(M1, v4(turn))])];
                    while is_away(report.store(&next).await, away) {}
                }
            });
        });
    });
    assert!(away.into_inner() <= 3, "they stand in each other's way");
    let mut store = place.open().await;
    let seen = store.observe(0).await.expect("observe");
    assert_eq!(seen.rows, Some(2 * u64::from(TURNS)));
    let mut versions: Vec<_> = seen.changes.iter().map(|row| row.version).collect();
    assert!(
        versions.is_sorted(),
        "the order of commits is the order of versions"
    );
    versions.dedup();
    assert_eq!(
        versions.len(),
        2 * usize::from(TURNS),
        "each edit has a version of its own"
    );
    assert_eq!(ok_sum(&mut store).await, 3 * u64::from(TURNS));
}

fn is_away<T: Debug>(result: Result<T, StoreError>, away: &AtomicU32) -> bool {
    match result {
        Ok(_) => false,
        Err(StoreError::Away(_)) => away.fetch_add(1, Ordering::Relaxed) < 1_000,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn two_connections_share_one_truth<P: Place>(place: P) {
    let (mut dns, mut report) = (place.open().await, place.open().await);
    for turn in 1..=20 {
        dns.edit(&[put(M1, v4(turn))]).await.expect("edit");
        let stored = report
            .store(&[batch(1, u64::from(turn), vec![record(M1, v4(turn))])])
            .await
            .expect("store");
        assert_eq!(stored, [Stored::Now(u64::from(turn))]);
        assert_eq!(
            report.rows_of(&[M1]).await.expect("rows").good.len(),
            usize::from(turn)
        );
        assert_eq!(
            dns.call_status(Some(M1)).await.expect("status").len(),
            usize::from(turn)
        );
    }
    assert_eq!(ok_sum(&mut dns).await, 60);
}

pub(crate) async fn held_store_is_away_and_loses_nothing<P: Place>(place: P) {
    let mut store = place.open().await;
    store
        .store(&[batch(1, 1, vec![record(M1, v4(1))])])
        .await
        .expect("store");
    let next = [batch(1, 2, vec![record(M1, v4(1))])];
    let held = place.hold().await;
    let start = Instant::now();
    for result in [
        store.store(&next).await.map(drop),
        store.edit(&[put(M1, v4(1))]).await.map(drop),
    ] {
        assert!(matches!(result, Err(StoreError::Away(_))), "{result:?}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "a service must be able to stop meanwhile"
    );
    assert_eq!(
        store.observe(0).await.expect("reading waits for nobody").rows,
        Some(0)
    );
    drop(held);
    assert_eq!(store.store(&next).await.expect("store"), [Stored::Now(2)]);
    assert_eq!(ok_sum(&mut store).await, 6);
}
