//! Changing routes: all or none, one change row a module, a version that grows.

use crate::place::{M1, M2, Place, put, remove, row, unix_now_s, v4, v6};
use lars_store::{EditDone, RouteStore, StoreError};
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::{EDITS_MAX, NODES_MAX, ZONE_BYTES_MAX};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use std::collections::BTreeMap;

fn counts(done: EditDone) -> (u32, u32) {
    (done.put, done.removed)
}

pub(crate) async fn put_adds_changes_and_finds_the_same<P: Place>(place: P) {
    let mut store = place.open().await;
    let added = store.edit(&[put(M1, v4(1))]).await.expect("edit");
    let id = store.rows_of(&[M1]).await.expect("rows").good[0].id;
    let before = store.observe(0).await.expect("observe");
    let same = store.edit(&[put(M1, v4(1)), put(M1, v4(1))]).await.expect("edit");
    assert_eq!(
        (counts(added), counts(same), same.version),
        ((1, 0), (0, 0), added.version)
    );
    assert_eq!(
        store.observe(0).await.expect("observe"),
        before,
        "a put of what is there writes nothing"
    );
    for change in [
        RouteRow {
            weight: 7,
            ..row(M1, v4(1))
        },
        RouteRow {
            weight: 7,
            zone: "b".into(),
            ..row(M1, v4(1))
        },
        RouteRow {
            weight: 7,
            zone: "b".into(),
            state: NodeState::Draining,
            ..row(M1, v4(1))
        },
    ] {
        let done = store.edit(&[RouteEdit::Put(change.clone())]).await.expect("edit");
        assert_eq!(counts(done), (1, 0));
        let rows = store.rows_of(&[M1]).await.expect("rows").good;
        let found: Vec<_> = rows
            .iter()
            .map(|row| (row.id, row.weight, row.zone.to_string(), row.state))
            .collect();
        assert_eq!(found, [(id, change.weight, change.zone, change.state)]);
    }
    assert_eq!(store.observe(0).await.expect("observe").changes.len(), 4);
}

pub(crate) async fn ipv6_nodes_are_put_and_removed<P: Place>(place: P) {
    let mut store = place.open().await;
    let done = store
        .edit(&[put(M1, v6(1)), put(M1, v6(2)), put(M1, v4(1)), put(M1, v6(1))])
        .await
        .expect("edit");
    assert_eq!(counts(done), (3, 0));
    assert_eq!(
        counts(store.edit(&[remove(M1, v6(1))]).await.expect("edit")),
        (0, 1)
    );
    let left: Vec<_> = store
        .rows_of(&[M1])
        .await
        .expect("rows")
        .good
        .iter()
        .map(|row| row.node)
        .collect();
    assert_eq!(left, [v6(2), v4(1)]);
}

pub(crate) async fn remove_of_what_is_not_there_changes_nothing<P: Place>(place: P) {
    let mut store = place.open().await;
    store.edit(&[put(M1, v4(1)), put(M1, v6(1))]).await.expect("edit");
    let before = store.observe(0).await.expect("observe");
    let other_port = NodeAddr::from_ipv4_number(0x0a00_0001, 81);
    let done = store
        .edit(&[
            remove(M2, v4(1)),
            remove(M1, v4(2)),
            remove(M1, other_port),
            remove(M1, v6(2)),
            remove(M1, NodeAddr::NONE),
        ])
        .await
        .expect("edit");
    assert_eq!((counts(done), done.version), ((0, 0), before.version));
    assert_eq!(store.observe(0).await.expect("observe"), before);
}

pub(crate) async fn all_edits_or_none<P: Place>(place: P) {
    let mut store = place.open().await;
    store.edit(&[put(M1, v4(1))]).await.expect("edit");
    let before = store.observe(0).await.expect("observe");
    let bad = RouteEdit::Put(RouteRow {
        weight: 0,
        ..row(M2, v4(3))
    });
    let refused = store.edit(&[put(M2, v4(2)), remove(M1, v4(1)), bad]).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(store.observe(0).await.expect("observe"), before);
    assert_eq!(place.open().await.observe(0).await.expect("observe"), before);
}

pub(crate) async fn each_changed_module_gets_one_change_row<P: Place>(place: P) {
    let mut store = place.open().await;
    store.edit(&[put(M1, v4(1))]).await.expect("edit");
    let seen = store.observe(0).await.expect("observe").changes[0].id;
    let m3 = ModuleId::new(3, 3);
    let edits = [
        put(M1, v4(1)),
        put(M2, v4(1)),
        put(M2, v4(2)),
        put(m3, v4(1)),
        remove(m3, v4(1)),
        remove(M2, v4(9)),
    ];
    let done = store.edit(&edits).await.expect("edit");
    assert_eq!(counts(done), (3, 1));
    let observed = store.observe(seen).await.expect("observe");
    let changed: Vec<_> = observed
        .changes
        .iter()
        .map(|row| (row.module, row.version))
        .collect();
    assert_eq!(
        changed,
        [(M2, done.version as i64), (m3, done.version as i64)],
        "nothing for the unchanged"
    );
    assert_eq!(observed.version, done.version);
}

pub(crate) async fn version_grows_with_every_edit_and_keeps_up_with_the_clock<P: Place>(place: P) {
    let mut store = place.open().await;
    let start = unix_now_s();
    let mut last = 0;
    for turn in 1..=5 {
        let version = store.edit(&[put(M1, v4(turn))]).await.expect("edit").version;
        assert!(version > last && version >= start, "{version} after {last}");
        last = version;
    }
    assert!(last <= unix_now_s() + 4);
    let ahead = unix_now_s() + 1_000_000;
    place
        .foreign(&format!("UPDATE RouteVersion SET version = {ahead} WHERE id = 1"))
        .await;
    assert_eq!(
        store.edit(&[put(M1, v4(9))]).await.expect("edit").version,
        ahead + 1
    );
    place.foreign("DELETE FROM RouteVersion").await;
    assert_eq!(store.observe(0).await.expect("observe").version, 0);
    let anew = store.edit(&[put(M1, v4(10))]).await.expect("edit").version;
    assert!(
        (start..ahead).contains(&anew),
        "a missing version row is made again"
    );
    assert_eq!(store.observe(0).await.expect("observe").version, anew);
}

pub(crate) async fn put_mends_rows_that_others_wrote_twice<P: Place>(place: P) {
    place
        .foreign(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport, weight) VALUES
             (1, 1, 167772161, 80, 0), (1, 1, 167772161, 80, 100), (1, 1, 167772161, 80, 100)",
        )
        .await;
    let mut store = place.open().await;
    assert_eq!(store.rows_of(&[M1]).await.expect("rows").bad.len(), 2);
    assert_eq!(counts(store.edit(&[put(M1, v4(1))]).await.expect("edit")), (1, 0));
    let rows = store.rows_of(&[M1]).await.expect("rows");
    assert_eq!(
        (rows.good.len(), rows.bad.len(), rows.good[0].weight),
        (1, 0, 100)
    );
    assert_eq!(store.observe(0).await.expect("observe").rows, Some(1));
}

pub(crate) async fn module_may_not_outgrow_its_bound<P: Place>(place: P) {
    let mut store = place.open().await;
    let node = |number: usize| NodeAddr::from_ipv4_number(0x0b00_0000 + number as u32, 80);
    for first in (0..NODES_MAX).step_by(EDITS_MAX) {
        let last = (first + EDITS_MAX).min(NODES_MAX);
        let edits: Vec<_> = (first..last).map(|number| put(M1, node(number))).collect();
        store.edit(&edits).await.expect("edit");
    }
    let refused = store.edit(&[put(M2, v4(1)), put(M1, node(NODES_MAX))]).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(text)) if text.contains("1.1")),
        "{refused:?}"
    );
    assert_eq!(
        store.observe(0).await.expect("observe").rows,
        Some(NODES_MAX as u64),
        "nothing of a refused edit remains"
    );
    let swapped = store
        .edit(&[put(M1, node(NODES_MAX)), remove(M1, node(0))])
        .await
        .expect("edit");
    assert_eq!(counts(swapped), (1, 1));
}

pub(crate) async fn put_that_could_not_be_served_is_refused<P: Place>(place: P) {
    let mut store = place.open().await;
    for bad in [
        row(M1, NodeAddr::NONE),
        row(M1, NodeAddr::from_ipv4_number(1, 0)),
        RouteRow {
            weight: 0,
            ..row(M1, v4(1))
        },
        RouteRow {
            weight: 10_001,
            ..row(M1, v4(1))
        },
        RouteRow {
            zone: "z".repeat(ZONE_BYTES_MAX + 1),
            ..row(M1, v4(1))
        },
    ] {
        let refused = store.edit(&[RouteEdit::Put(bad)]).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    }
    assert_eq!(store.observe(0).await.expect("observe").rows, Some(0));
}

/// Two connections edit at random; a map says what must be there.
pub(crate) async fn random_edits_match_a_model<P: Place>(place: P) {
    let seed = std::env::var("LARS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stores = [place.open().await, place.open().await];
    let mut model = BTreeMap::new();
    let mut version = 0;
    for _ in 0..60 {
        let mut edits = Vec::new();
        let before = model.clone();
        for _ in 0..random.usize(1..8) {
            let (module, last) = (ModuleId::new(1, random.u32(0..3)), random.u8(0..6));
            let node = if random.bool() { v4(last) } else { v6(last) };
            if random.u8(0..3) == 0 {
                model.remove(&(module, node));
                edits.push(remove(module, node));
            } else {
                let weight = random.u16(1..3);
                model.insert((module, node), weight);
                edits.push(RouteEdit::Put(RouteRow {
                    weight,
                    ..row(module, node)
                }));
            }
        }
        let writer = random.usize(0..2);
        let done = stores[writer].edit(&edits).await.expect("edit");
        assert!(done.version >= version);
        assert!(
            model == before || done.version > version,
            "what changed has a version of its own"
        );
        version = done.version;
        let reader = &mut stores[1 - writer];
        let page = reader.rows_after(0, 1_000).await.expect("page");
        let found: BTreeMap<_, _> = page
            .good
            .iter()
            .map(|row| ((row.module, row.node), row.weight))
            .collect();
        assert_eq!((&found, page.bad.len()), (&model, 0));
        let seen = reader.observe(u64::MAX).await.expect("observe");
        assert_eq!((seen.rows, seen.version), (Some(model.len() as u64), version));
    }
}
