//! Modules that are gone, one or most of them, and nobody said so.

use super::memory::Memory;
use super::*;

#[test]
fn emptied_table_is_served_as_it_was_until_its_rows_are_back() {
    let mut store = Memory::default();
    for cmdid in 1..=30 {
        store.insert(cmdid, 1);
    }
    let mut keeper = loaded(&mut store);
    let kept = std::mem::take(&mut store.rows);
    store.version += 1;
    assert_eq!(looks(&mut keeper, &mut store, 20), []);
    assert_eq!(
        (keeper.held(), keeper.publisher.catalog().modules()),
        ((30, 30), 30)
    );
    store.rows = kept;
    assert_eq!(looks(&mut keeper, &mut store, 2), []);
    assert_eq!(keeper.held(), (0, 0));
}

#[test]
fn modules_deleted_one_after_the_other_are_all_held_when_most_are_gone() {
    let mut store = Memory::default();
    let ids: Vec<u64> = (1..=25).map(|cmdid| store.insert(cmdid, 1)).collect();
    let mut keeper = loaded(&mut store);
    for id in &ids[..24] {
        store.rows.remove(id);
        assert_eq!(looks(&mut keeper, &mut store, 1), []);
    }
    assert_eq!(looks(&mut keeper, &mut store, 100), []);
    assert_eq!(keeper.held(), (24, 24));
    now(keeper.accept(&mut store)).expect("the store answers");
    assert_eq!((keeper.take_changes().len(), keeper.held()), (24, (0, 0)));
}

#[test]
fn module_that_is_gone_unannounced_is_published_when_no_other_went_for_a_second() {
    let mut store = Memory::default();
    let ids: Vec<u64> = (1..=25).map(|cmdid| store.insert(cmdid, 1)).collect();
    let mut keeper = loaded(&mut store);
    store.rows.remove(&ids[0]);
    assert_eq!(looks(&mut keeper, &mut store, 10), []);
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
}

#[test]
fn rows_gone_behind_our_own_edit_are_not_explained_by_it() {
    let mut store = Memory::default();
    let mut keeper = loaded(&mut store);
    for cmdid in 1..=25 {
        let put = RouteEdit::Put(lars_wire::admin::RouteRow {
            module: module(cmdid),
            node: NodeAddr::from_ipv4_number(0x0a00_0001, 80),
            weight: 100,
            state: NodeState::Serving,
            zone: String::new(),
        });
        now(keeper.edit(&mut store, &[put])).expect("the store answers");
    }
    assert_eq!(keeper.take_changes().len(), 25);
    store.rows.clear();
    assert_eq!(looks(&mut keeper, &mut store, 20), []);
    assert_eq!(keeper.held(), (25, 25));
}
