//! Changes of nodes' states: each stored once however often it comes, read newest first, pruned by age.

use crate::place::{M1, M2, Place, v4, v6};
use lars_store::{ChangeRecord, ChangeStore};
use lars_wire::caller::NodeView;

fn change(number: u64, unix_ms: u64) -> ChangeRecord {
    ChangeRecord {
        incarnation: [7; 16],
        number,
        caller: 0xffff_ffff,
        unix_ms,
        module: if number.is_multiple_of(2) { M2 } else { M1 },
        node: if number == 3 { v6(3) } else { v4(1) },
        from: NodeView::Probing,
        to: NodeView::Draining,
        reason: "größer 'als' 10 %".to_owned(),
    }
}

pub(crate) async fn change_is_stored_once_however_often_it_is_sent<P: Place>(place: P) {
    let mut store = place.open().await;
    let first = [change(1, 1_000), change(2, 2_000)];
    let again = [change(2, 9_000), change(3, 3_000)];
    for batch in [&first[..], &again[..], &first[..], &[]] {
        assert!(
            store.store_changes(batch).await.expect("stored"),
            "there is a table"
        );
    }
    let rows = store.changes(None, 10).await.expect("read");
    assert_eq!(rows, [change(3, 3_000), change(2, 2_000), change(1, 1_000)]);
    let of_one = store.changes(Some(M1), 10).await.expect("read");
    assert_eq!(of_one, [change(3, 3_000), change(1, 1_000)]);
    assert_eq!(store.changes(None, 1).await.expect("read"), [change(3, 3_000)]);
}

pub(crate) async fn old_changes_are_pruned_and_nothing_else<P: Place>(place: P) {
    let mut store = place.open().await;
    let changes: Vec<ChangeRecord> = (1..=9).map(|number| change(number, number * 1_000)).collect();
    store.store_changes(&changes).await.expect("stored");
    assert_eq!(store.prune_node_changes(5_000).await.expect("pruned"), 4);
    assert_eq!(store.prune_node_changes(5_000).await.expect("pruned"), 0);
    let left = store.changes(None, 10).await.expect("read");
    let numbers: Vec<u64> = left.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [9, 8, 7, 6, 5]);
}
