//! Reading routes: the cheap look, pages, modules, and what other programs may have written.

use crate::place::{M1, M2, Place, put, unix_now_s, v4, v6};
use lars_store::RouteStore;
use lars_wire::{ModuleId, NodeState};
use std::collections::BTreeSet;

pub(crate) async fn fresh_store_is_empty<P: Place>(place: P) {
    let mut store = place.open().await;
    let seen = store.observe(0).await.expect("observe");
    assert_eq!(
        (seen.version, seen.rows, seen.max_id, seen.changes.len()),
        (0, Some(0), 0, 0)
    );
    let page = store.rows_after(0, 10).await.expect("page");
    assert_eq!((page.good.len(), page.bad.len(), page.last_id), (0, 0, None));
    assert!(!store.describe().is_empty());
}

pub(crate) async fn observation_shows_what_any_program_changed<P: Place>(place: P) {
    let mut store = place.open().await;
    store.observe(0).await.expect("observe");
    place
        .foreign(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, 167772161, 80);
             INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, 77);
             UPDATE RouteVersion SET version = 77 WHERE id = 1;",
        )
        .await;
    let seen = store.observe(0).await.expect("observe");
    assert_eq!((seen.version, seen.rows), (77, Some(1)));
    assert_eq!(
        seen.changes
            .iter()
            .map(|row| (row.module, row.version))
            .collect::<Vec<_>>(),
        [(M1, 77)]
    );
    let rows = store.rows_of(&[M1]).await.expect("rows");
    assert_eq!(
        rows.good
            .iter()
            .map(|row| (row.node, row.weight, row.state))
            .collect::<Vec<_>>(),
        [(v4(1), 100, NodeState::Serving)]
    );
    assert_eq!(rows.last_id, Some(seen.max_id));
    // Our own write is seen as well, by the connection that wrote and by another.
    store.edit(&[put(M2, v4(2))]).await.expect("edit");
    let own = store.observe(seen.changes[0].id).await.expect("observe");
    assert_eq!((own.rows, own.changes.len()), (Some(2), 1));
    assert_eq!(
        place
            .open()
            .await
            .observe(seen.changes[0].id)
            .await
            .expect("observe"),
        own
    );
}

pub(crate) async fn bare_delete_is_visible_in_rows_and_largest_id<P: Place>(place: P) {
    let mut store = place.open().await;
    store.edit(&[put(M1, v4(1)), put(M1, v4(2))]).await.expect("edit");
    let before = store.observe(0).await.expect("observe");
    place
        .foreign("DELETE FROM RouteData WHERE serverip = 167772162")
        .await;
    let after = store.observe(0).await.expect("observe");
    assert_eq!(
        (after.version, &after.changes),
        (before.version, &before.changes),
        "a bare DELETE says nothing"
    );
    assert_eq!((before.rows, after.rows), (Some(2), Some(1)));
    assert!(after.max_id < before.max_id);
    // A row that takes its place gets an id of its own, so that the two together do not look like nothing.
    place
        .foreign("INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, 167772163, 80)")
        .await;
    let replaced = store.observe(0).await.expect("observe");
    assert_eq!(replaced.rows, before.rows);
    assert!(replaced.max_id > before.max_id);
}

pub(crate) async fn change_rows_that_commit_out_of_order_are_seen_by_look_back<P: Place>(place: P) {
    let mut store = place.open().await;
    place
        .foreign("INSERT INTO RouteChange (id, modid, cmdid, version) VALUES (12, 1, 2, 5)")
        .await;
    let first = store.observe(0).await.expect("observe");
    assert_eq!(first.changes.iter().map(|row| row.id).collect::<Vec<_>>(), [12]);
    place
        .foreign("INSERT INTO RouteChange (id, modid, cmdid, version) VALUES (11, 1, 1, 5)")
        .await;
    let second = store.observe(2).await.expect("observe");
    assert_eq!(
        second
            .changes
            .iter()
            .map(|row| (row.id, row.module))
            .collect::<Vec<_>>(),
        [(11, M1), (12, M2)]
    );
    assert!(store.observe(12).await.expect("observe").changes.is_empty());
    assert!(store.observe(u64::MAX).await.expect("observe").changes.is_empty());
}

pub(crate) async fn change_row_that_names_no_module_is_left_out<P: Place>(place: P) {
    place.widen().await;
    place
        .foreign(
            "INSERT INTO RouteChange (modid, cmdid, version) VALUES (4294967296, 1, 5);
             INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, 5);",
        )
        .await;
    let seen = place.open().await.observe(0).await.expect("observe");
    assert_eq!(
        seen.changes.iter().map(|row| row.module).collect::<Vec<_>>(),
        [M1]
    );
}

pub(crate) async fn pages_read_every_row_once_good_or_bad<P: Place>(place: P) {
    let mut store = place.open().await;
    let edits: Vec<_> = (1..=23)
        .map(|last| put(ModuleId::new(u32::from(last % 3), 7), v4(last)))
        .collect();
    store.edit(&edits).await.expect("edit");
    place
        .foreign("UPDATE RouteData SET serverport = 0 WHERE serverip = 167772165")
        .await;
    place
        .foreign("DELETE FROM RouteData WHERE serverip = 167772170")
        .await;
    let whole = store.rows_after(0, 1_000).await.expect("page");
    assert_eq!((whole.good.len(), whole.bad.len()), (21, 1));
    for rows_max in [1, 2, 5, 22, 23] {
        let (mut good, mut bad, mut after) = (Vec::new(), Vec::new(), 0);
        loop {
            let page = store.rows_after(after, rows_max).await.expect("page");
            assert!(page.good.len() + page.bad.len() <= rows_max as usize);
            good.extend(page.good);
            bad.extend(page.bad);
            let Some(last) = page.last_id else { break };
            assert!(last > after, "paging goes on behind a page of bad rows too");
            after = last;
        }
        assert_eq!((&good, &bad), (&whole.good, &whole.bad), "pages of {rows_max}");
    }
    assert!(whole.good.is_sorted_by_key(|row| row.id));
}

pub(crate) async fn rows_of_reads_the_asked_modules_whole<P: Place>(place: P) {
    let mut store = place.open().await;
    let m3 = ModuleId::new(2, 1);
    let edits = [
        put(m3, v4(1)),
        put(M1, v4(1)),
        put(M2, v4(2)),
        put(M1, v6(1)),
        put(m3, v4(9)),
    ];
    store.edit(&edits).await.expect("edit");
    let rows = store
        .rows_of(&[m3, M1, m3, ModuleId::new(9, 9)])
        .await
        .expect("rows");
    let found: Vec<_> = rows.good.iter().map(|row| (row.module, row.node)).collect();
    assert_eq!(
        found,
        [(m3, v4(1)), (M1, v4(1)), (M1, v6(1)), (m3, v4(9))],
        "by id, each module once"
    );
    let none = store.rows_of(&[]).await.expect("rows");
    assert_eq!((none.good.len(), none.last_id), (0, None));
}

pub(crate) async fn rows_are_read_by_their_ids_and_a_module_by_parts<P: Place>(place: P) {
    let mut store = place.open().await;
    let edits: Vec<_> = (1..=4)
        .flat_map(|last| [put(M1, v4(last)), put(M2, v4(last))])
        .collect();
    store.edit(&edits).await.expect("edit");
    let rows = store.rows_of(&[M1]).await.expect("rows").good;
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    for asked in [&ids[..3], &ids[1..2], &[]] {
        let found = store.rows_with(asked).await.expect("rows");
        assert!(
            found.iter().map(|row| row.id).eq(asked.iter().copied()),
            "{found:?}"
        );
        assert!(found.iter().all(|row| rows.contains(row)), "{found:?}");
    }
    assert_eq!(store.rows_with(&[u64::MAX]).await.expect("rows"), []);
    for (after, last, expected) in [
        (0, u64::MAX, &rows[..]),
        (ids[0], ids[2], &rows[1..3]),
        (ids[3], u64::MAX, &[]),
    ] {
        let part = store.rows_between(&[M1], after, last).await.expect("rows");
        assert_eq!(part, expected);
    }
    assert_eq!(store.rows_between(&[], 0, u64::MAX).await.expect("rows"), []);
}

pub(crate) async fn rows_that_cannot_be_served_say_why<P: Place>(place: P) {
    place.widen().await;
    place
        .foreign(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport, weight, zone, state, serverip6) VALUES
             (1, 1, 167772161, 80, 100, '', 'serving', NULL),
             (1, 1, 167772161, 80, 50, '', 'serving', NULL),
             (1, 1, 167772162, 0, 100, '', 'serving', NULL),
             (1, 1, 167772163, 65536, 100, '', 'serving', NULL),
             (1, 1, 0, 80, 100, '', 'serving', NULL),
             (1, 1, 167772164, 80, 0, '', 'serving', NULL),
             (1, 1, 167772165, 80, 10001, '', 'serving', NULL),
             (1, 1, 167772166, 80, 100, '', 'asleep', NULL),
             (1, 1, 167772167, 80, 100, 'a zone whose name is far too long', 'serving', NULL),
             (1, 1, 0, 80, 100, '', 'serving', x'20010db8000000000000000000000001'),
             (1, 1, 0, 80, 100, '', 'serving', x'20010db8'),
             (4294967296, 1, 167772168, 80, 100, '', 'serving', NULL),
             (1, 1, 167772170, 80, 100, '', 'Serving', NULL),
             (1, 1, 167772170, 80, 100, '', 'serving ', NULL),
             (1, 1, 167772169, 80, 100, 'z', 'draining', NULL),
             (1, 1, 167772170, 80, 99, ' ', 'serving', NULL);",
        )
        .await;
    let mut store = place.open().await;
    let page = store.rows_after(0, 100).await.expect("page");
    let good: Vec<_> = page
        .good
        .iter()
        .map(|row| (row.node, row.weight, row.state, &*row.zone))
        .collect();
    let expected = [
        (v4(1), 100, NodeState::Serving, ""),
        (v6(1), 100, NodeState::Serving, ""),
        (v4(9), 100, NodeState::Draining, "z"),
        (v4(10), 99, NodeState::Serving, " "),
    ];
    assert_eq!(good, expected);
    let reasons: Vec<_> = page.bad.iter().map(|bad| bad.reason.as_str()).collect();
    let parts = [
        "already",
        "serverport 0",
        "65536",
        "address is 0",
        "weight 0",
        "10001",
        "'asleep'",
        "33 bytes",
        "4 bytes",
        "modid",
        "'Serving'",
        "'serving '",
    ];
    assert_eq!(reasons.len(), parts.len(), "{reasons:?}");
    for (reason, part) in reasons.iter().zip(parts) {
        assert!(reason.contains(part), "'{reason}' lacks '{part}'");
    }
    // The same module by itself: the same rows, but the one that names no module.
    let mut of_module = page.bad.clone();
    assert_eq!(of_module.remove(9).module, (4_294_967_296, 1));
    let rows = store.rows_of(&[M1]).await.expect("rows");
    assert_eq!((&rows.good, &rows.bad), (&page.good, &of_module));
    let ids: BTreeSet<u64> = page
        .good
        .iter()
        .map(|row| row.id)
        .chain(page.bad.iter().map(|bad| bad.id))
        .collect();
    assert_eq!((ids.len(), ids.last().copied()), (16, page.last_id));
    // Row by row each is judged by itself: the second of a node is given too.
    let mut given = Vec::new();
    let read = store
        .each_after(0, 100, &mut |row| given.push(row))
        .await
        .expect("page");
    assert_eq!((&given[0], &given[2..]), (&page.good[0], &page.good[1..]));
    assert_eq!(
        (given[1].id, given[1].node, given[1].weight),
        (page.bad[0].id, v4(1), 50)
    );
    assert_eq!((&read.bad[..], read.last_id), (&page.bad[1..], page.last_id));
    let read = store
        .each_after(given[0].id, 3, &mut |row| given.push(row))
        .await
        .expect("page");
    assert_eq!(
        (given.len(), read.bad.len(), read.last_id),
        (6, 2, Some(page.bad[2].id)),
        "the second row, and two that are bad"
    );
}

pub(crate) async fn every_row_is_given_once_however_far_ids_lie_apart<P: Place>(place: P) {
    let values = |ids: &[u64]| {
        let row = |id: &u64| format!("({id}, {}, 1, {}, {})", id % 7, 0x0a00_0000 + id, 1 + id % 100);
        ids.iter().map(row).collect::<Vec<_>>().join(", ")
    };
    for ids in [
        vec![],
        vec![7],
        vec![7, 100_007],
        (0..3_000).map(|row| 7 + row * 37).collect(),
    ] {
        place.foreign("DELETE FROM RouteData").await;
        if !ids.is_empty() {
            let sql = format!(
                "INSERT INTO RouteData (id, modid, cmdid, serverip, serverport) VALUES {}",
                values(&ids)
            );
            place.foreign(&sql).await;
        }
        // One that cannot be served in each half.
        let bad: Vec<u64> = [ids.len() / 4, ids.len() * 3 / 4]
            .iter()
            .filter_map(|row| ids.get(*row).copied())
            .collect();
        for id in &bad {
            place
                .foreign(&format!("UPDATE RouteData SET serverport = 0 WHERE id = {id}"))
                .await;
        }
        let mut given = Vec::new();
        let mut store = place.open().await;
        let read = store.each(&mut |row| given.push(row.id)).await.expect("all rows");
        given.sort_unstable();
        let good: Vec<u64> = ids.iter().copied().filter(|id| !bad.contains(id)).collect();
        assert_eq!(given, good);
        let told: BTreeSet<u64> = read.bad.iter().map(|row| row.id).collect();
        assert_eq!(
            (told, read.last_id),
            (bad.into_iter().collect(), ids.last().copied())
        );
    }
}

pub(crate) async fn change_rows_are_pruned_after_an_hour<P: Place>(place: P) {
    let now = unix_now_s();
    for (module, version) in [
        (1, now - 3_700),
        (2, now - 3_500),
        (3, now),
        (4, now + 90_000),
        (5, now + 90_000),
    ] {
        let sql = format!("INSERT INTO RouteChange (modid, cmdid, version) VALUES ({module}, 0, {version})");
        place.foreign(&sql).await;
    }
    let mut store = place.open().await;
    assert_eq!(store.prune_changes(0).await.expect("prune"), 1);
    let left = store.observe(0).await.expect("observe").changes;
    assert_eq!(
        left.iter().map(|row| row.module.modid).collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );
    assert_eq!(store.prune_changes(0).await.expect("prune"), 0);
    // Of versions in the future only what was seen long ago is old.
    assert_eq!(store.prune_changes(left[2].id).await.expect("prune"), 1);
    let left = store.observe(0).await.expect("observe").changes;
    assert_eq!(
        left.iter().map(|row| row.module.modid).collect::<Vec<_>>(),
        [2, 3, 5]
    );
}
