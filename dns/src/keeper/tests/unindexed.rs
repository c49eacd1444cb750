//! A store without an index by module, whose table is passed over by slices of three rows.

use super::*;

/// Rows of a slice.
const SLICE: usize = 3;

fn unindexed() -> Memory {
    Memory {
        passes_over_all: true,
        ..Memory::default()
    }
}

fn loaded(store: &mut Memory) -> Keeper {
    let mut keeper = super::loaded(store);
    keeper.slice_rows = SLICE;
    keeper
}

/// One step; gives the changed modules.
fn step(keeper: &mut Keeper, store: &mut Memory) -> Vec<ModuleId> {
    now(keeper.look(store)).expect("the store answers");
    keeper.take_changes().iter().map(Change::module).collect()
}

/// Steps until something is published; gives it, and the number of steps.
fn published(keeper: &mut Keeper, store: &mut Memory) -> (Vec<ModuleId>, usize) {
    let steps = (1..200).map(|steps| (step(keeper, store), steps));
    steps
        .into_iter()
        .find(|(changed, _)| !changed.is_empty())
        .expect("something is published")
}

/// Steps until a pass is in its middle.
fn pass_begins(keeper: &mut Keeper, store: &mut Memory) {
    while !keeper.pass.as_ref().is_some_and(Pass::is_in_its_middle) {
        assert_eq!(step(keeper, store), []);
    }
}

fn addresses(keeper: &Keeper, cmdid: u32) -> Vec<NodeAddr> {
    let route = keeper.publisher.catalog().view(module(cmdid)).route();
    route.nodes().iter().map(|node| node.addr).collect()
}

#[test]
fn known_and_new_rows_are_published_before_the_table_is_passed_over() {
    let mut store = unindexed();
    let ids: Vec<u64> = (1..=4).map(|cmdid| store.insert(cmdid, 1)).collect();
    let mut keeper = loaded(&mut store);
    // A new row, an edited one, and one that has moved, which only a pass finds where it is now.
    store.insert(1, 2);
    store.announce(1);
    store.rows.insert(ids[1], row(ids[1], 2, 9));
    store.announce(2);
    store.rows.insert(ids[2], row(ids[2], 4, 7));
    store.announce(4);
    assert_eq!(step(&mut keeper, &mut store), [module(1), module(2)]);
    assert_eq!((nodes(&keeper, 1), nodes(&keeper, 4)), (2, 1));
    assert_eq!(published(&mut keeper, &mut store).0, [module(4)]);
    assert_eq!(published(&mut keeper, &mut store).0, [module(3)]);
    assert_eq!((nodes(&keeper, 3), nodes(&keeper, 4)), (0, 2));
    assert_eq!(keeper.changes_found(), 0);
}

#[test]
fn change_does_not_wait_for_a_pass_under_way() {
    let mut store = unindexed();
    // Enough that the sweep, which has its turn now and then, is not sooner.
    let ids: Vec<u64> = (0..2_000).map(|last| store.insert(last % 10, last)).collect();
    let mut keeper = loaded(&mut store);
    keeper.slice_rows = 100;
    store.rows.remove(&ids[1_995]);
    store.announce(5);
    pass_begins(&mut keeper, &mut store);
    store.insert(7, 5_000);
    store.announce(7);
    let (changed, steps) = published(&mut keeper, &mut store);
    assert_eq!(changed, [module(7)]);
    assert!(steps <= 2, "the next look tells it: {steps}");
    assert!(keeper.pass.as_ref().is_some_and(Pass::is_in_its_middle));
    let (changed, steps) = published(&mut keeper, &mut store);
    assert_eq!((changed, nodes(&keeper, 5)), (vec![module(5)], 199));
    assert!(steps > 30, "slices and looks in turn: {steps}");
}

/// A pass for a module that has lost two rows, in a table so large that the sweep is not sooner, up to some row.
fn late_pass(store: &mut Memory, up_to: Option<u64>) -> Keeper {
    let cmdid = |last: u32| {
        if LATE.contains(&last.into()) {
            77
        } else {
            last % 10
        }
    };
    for last in 1..=4_000 {
        store.insert(cmdid(last), last);
    }
    let mut keeper = loaded(store);
    keeper.slice_rows = 500;
    store.rows.remove(&LATE[2]);
    store.rows.remove(&LATE[4]);
    store.announce(77);
    pass_begins(&mut keeper, store);
    while keeper.pass.as_ref().is_some_and(|pass| pass.after != up_to) {
        assert_eq!(step(&mut keeper, store), []);
    }
    assert!(keeper.pass.is_some(), "it is under way");
    keeper
}

/// Rows of module 77: three in the last slice but one, three in the last.
const LATE: [u64; 6] = [3_150, 3_300, 3_450, 3_600, 3_800, 3_950];

#[test]
fn slices_of_different_moments_are_not_put_together() {
    let mut store = unindexed();
    let mut keeper = late_pass(&mut store, Some(3_500));
    // At once: a row that was passed over gets another address, and one that was not is gone.
    let before = addresses(&keeper, 77)[0];
    store.rows.insert(LATE[0], row(LATE[0], 77, 5_000));
    store.rows.remove(&LATE[5]);
    store.announce(77);
    for _ in 0..200 {
        step(&mut keeper, &mut store);
        let is_before = addresses(&keeper, 77).contains(&before);
        assert_eq!(is_before, nodes(&keeper, 77) == 6, "a half of the change is seen");
    }
    assert_is_as_the_store(&keeper, &store);
    assert_eq!(keeper.changes_found(), 0, "the next pass told it");
}

#[test]
fn row_added_without_a_word_behind_a_pass_is_published_with_what_is_gone() {
    let mut store = unindexed();
    let mut keeper = late_pass(&mut store, None);
    store.insert(77, 5_000);
    assert_eq!(published(&mut keeper, &mut store).0, [module(77)]);
    assert_is_as_the_store(&keeper, &store);
    assert_eq!((keeper.changes_found(), nodes(&keeper, 77)), (0, 5));
}

#[test]
fn loss_told_in_the_middle_of_a_pass_is_published_by_the_next() {
    let mut store = unindexed();
    let mut keeper = late_pass(&mut store, Some(1_000));
    store.rows.remove(&3_999);
    store.announce(9);
    assert_eq!(published(&mut keeper, &mut store).0, [module(77)]);
    assert_eq!(published(&mut keeper, &mut store).0, [module(9)]);
    assert_is_as_the_store(&keeper, &store);
    assert_eq!(keeper.changes_found(), 0);
}

#[test]
fn module_read_by_itself_in_the_middle_of_a_pass_stays_as_it_was_read() {
    let mut store = unindexed();
    let mut keeper = late_pass(&mut store, Some(3_500));
    // As after an edit of ours: of a row that was passed over nothing is left.
    store.rows.remove(&LATE[0]);
    now(keeper.reread(&mut store, BTreeSet::from([module(77)]), Reason::Told)).expect("the store answers");
    for _ in 0..20 {
        assert_is_as_the_store(&keeper, &store);
        step(&mut keeper, &mut store);
    }
}

#[test]
fn index_that_appears_in_the_middle_of_a_pass_is_used() {
    let mut store = unindexed();
    let mut keeper = late_pass(&mut store, Some(1_000));
    store.passes_over_all = false;
    let (changed, steps) = published(&mut keeper, &mut store);
    assert_eq!((changed, nodes(&keeper, 77)), (vec![module(77)], 4));
    assert!(steps <= 2, "by the next look: {steps}");
}

#[test]
fn module_that_is_told_at_every_look_loses_its_nodes_too() {
    let mut store = unindexed();
    let ids: Vec<u64> = (0..60).map(|last| store.insert(last % 10, last)).collect();
    let mut keeper = loaded(&mut store);
    store.rows.remove(&ids[3]);
    let lost = (0..200).find(|_| {
        store.announce(3);
        step(&mut keeper, &mut store);
        nodes(&keeper, 3) == 5
    });
    assert!(lost.is_some());
}

#[test]
fn store_that_fails_in_the_middle_of_a_pass_is_read_when_it_is_back() {
    let mut store = unindexed();
    let ids: Vec<u64> = (0..60).map(|last| store.insert(last % 10, last)).collect();
    let mut keeper = loaded(&mut store);
    store.rows.remove(&ids[4]);
    store.announce(4);
    pass_begins(&mut keeper, &mut store);
    store.calls_left = Some(0);
    assert!(now(keeper.look(&mut store)).is_err());
    store.calls_left = None;
    assert_eq!(published(&mut keeper, &mut store).0, [module(4)]);
    assert_is_as_the_store(&keeper, &store);
}

#[test]
fn random_writers_and_failures_between_slices_end_at_what_the_store_has() {
    let seed = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut store = unindexed();
    for cmdid in 0..40 {
        store.insert(cmdid, 1);
    }
    let mut keeper = loaded(&mut store);
    for _ in 0..2_000 {
        if random.u32(..8) == 0 {
            write_some(&mut store, &mut random);
        }
        store.calls_left = (random.u32(..30) == 0).then(|| random.u32(..3));
        let _ = now(keeper.look(&mut store));
    }
    store.calls_left = None;
    for _ in 0..1_000 {
        step(&mut keeper, &mut store);
    }
    assert_is_as_the_store(&keeper, &store);
}
