//! The keeper against a store in memory that fails when it is told to.

mod gone;
mod memory;
mod unindexed;

use super::*;
use lars_store::routes::{ChangeRow, RouteRecord};
use lars_wire::NodeAddr;
use lars_wire::NodeState;
use memory::Memory;

const INTERVAL: Duration = Duration::from_millis(100);

fn module(cmdid: u32) -> ModuleId {
    ModuleId::new(1, cmdid)
}

fn row(id: u64, cmdid: u32, last: u32) -> RouteRecord {
    RouteRecord {
        id,
        module: module(cmdid),
        node: NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80),
        weight: 100,
        state: NodeState::Serving,
        zone: Arc::from(""),
    }
}

fn keeper() -> Keeper {
    Keeper::new(Arc::new(Catalog::new(1)), INTERVAL)
}

/// Runs what never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

/// Steps until there is nothing more to do until the next look; gives the changed modules.
fn look(keeper: &mut Keeper, store: &mut Memory) -> Result<Vec<ModuleId>, StoreError> {
    while now(keeper.look(store))? == Looked::Busy {}
    Ok(keeper.take_changes().iter().map(Change::module).collect())
}

fn looks(keeper: &mut Keeper, store: &mut Memory, count: usize) -> Vec<ModuleId> {
    (0..count)
        .flat_map(|_| look(keeper, store).expect("the store answers"))
        .collect()
}

fn loaded(store: &mut Memory) -> Keeper {
    let mut keeper = keeper();
    assert_eq!(
        looks(&mut keeper, store, 1),
        [],
        "nobody waits for a push of the first load"
    );
    assert!(keeper.publisher.catalog().is_loaded());
    keeper
}

fn nodes(keeper: &Keeper, cmdid: u32) -> usize {
    keeper
        .publisher
        .catalog()
        .view(module(cmdid))
        .route()
        .nodes()
        .len()
}

#[test]
fn load_that_is_interrupted_goes_on_where_it_was() {
    let mut store = Memory::default();
    for last in 1..=50_000 {
        store.insert(last % 100, last);
    }
    let mut keeper = keeper();
    for calls in [0, 1, 1, 2, 2] {
        store.calls_left = Some(calls);
        assert!(look(&mut keeper, &mut store).is_err());
        assert!(!keeper.publisher.catalog().is_loaded());
    }
    // A row of the page that failed has moved on to another module since.
    *store.rows.get_mut(&44_000).expect("a row") = row(44_000, 7, 44_000);
    store.calls_left = None;
    look(&mut keeper, &mut store).expect("the store answers");
    let catalog = keeper.publisher.catalog();
    assert_eq!(
        (catalog.is_loaded(), catalog.modules(), catalog.nodes()),
        (true, 100, 50_000)
    );
    assert_eq!((nodes(&keeper, 0), nodes(&keeper, 7)), (499, 501));
    assert_eq!(looks(&mut keeper, &mut store, 100), [], "it is as the store is");
}

#[test]
fn store_that_is_back_is_compared_with_once() {
    let mut store = Memory::default();
    // More rows than a slice of the sweep has, so that it would take several looks to find one.
    let ids: Vec<u64> = (1..=3_000).map(|last| store.insert(last % 10, last)).collect();
    let mut keeper = loaded(&mut store);
    store.calls_left = Some(0);
    assert!(look(&mut keeper, &mut store).is_err());
    let last = ids[2_999];
    store.rows.insert(
        last,
        RouteRecord {
            weight: 7,
            ..row(last, 0, 3_000)
        },
    );
    store.calls_left = None;
    assert_eq!(looks(&mut keeper, &mut store, 3), [module(0)]);
    assert_eq!(keeper.comparisons(), 1);
}

#[test]
fn change_made_while_loading_is_found_by_the_next_look() {
    let mut store = Memory::default();
    store.insert(1, 1);
    let mut keeper = keeper();
    // The look before the load, and a failure, so that it goes on page by page; then its first page.
    store.calls_left = Some(1);
    assert!(now(keeper.look(&mut store)).is_err());
    store.calls_left = None;
    assert_eq!(now(keeper.look(&mut store)).ok(), Some(Looked::Busy));
    *store.rows.get_mut(&1).expect("a row") = RouteRecord {
        weight: 7,
        ..row(1, 1, 1)
    };
    store.announce(1);
    look(&mut keeper, &mut store).expect("the store answers");
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
}

#[test]
fn announced_shrink_is_published_at_once_and_an_unannounced_one_when_seen_twice() {
    let mut store = Memory::default();
    let ids: Vec<u64> = (1..=4).map(|last| store.insert(1, last)).collect();
    let mut keeper = loaded(&mut store);
    store.rows.remove(&ids[0]);
    store.announce(1);
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
    store.rows.remove(&ids[1]);
    assert_eq!(looks(&mut keeper, &mut store, 1), []);
    assert_eq!((keeper.held(), nodes(&keeper, 1)), ((1, 0), 3));
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
    assert_eq!((keeper.held(), nodes(&keeper, 1)), ((0, 0), 2));
}

#[test]
fn announced_changes_of_a_large_table_are_found_by_the_next_look_late_or_in_one_second() {
    let mut store = Memory::default();
    for last in 1..=24_000 {
        store.insert(last % 10, last);
    }
    let mut keeper = loaded(&mut store);
    // Behind all that the sweep has seen for some time to come.
    let edit = |store: &mut Memory, id: u64, change: u64, version: u64| {
        let cmdid = id as u32 % 10;
        let edited = RouteRecord {
            weight: 7,
            ..row(id, cmdid, id as u32)
        };
        store.rows.insert(id, edited);
        store.changes.push(ChangeRow {
            id: change,
            module: module(cmdid),
            version: version as i64,
        });
        store.version = version;
    };
    edit(&mut store, 23_991, 50, 1_000);
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
    edit(&mut store, 23_992, 51, 1_000);
    assert_eq!(
        looks(&mut keeper, &mut store, 1),
        [module(2)],
        "in the same second"
    );
    edit(&mut store, 23_993, 49, 1_000);
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(3)], "committed late");
    edit(&mut store, 23_994, 52, 999);
    assert_eq!(
        looks(&mut keeper, &mut store, 1),
        [module(4)],
        "a clock that went back"
    );
    assert_eq!((keeper.comparisons(), keeper.changes_found()), (0, 0));
}

#[test]
fn bare_delete_in_a_large_table_hurries_the_sweep() {
    let mut store = Memory::default();
    let ids: Vec<u64> = (1..=24_000).map(|last| store.insert(last % 10, last)).collect();
    let mut keeper = loaded(&mut store);
    store.rows.remove(&ids[12_000]);
    let found = (1..100).find(|_| {
        !look(&mut keeper, &mut store)
            .expect("the store answers")
            .is_empty()
    });
    assert!(
        found.is_some_and(|looks| (10..=20).contains(&looks)),
        "a hurried pass takes 10 looks, not 40: {found:?}"
    );
    assert_eq!(keeper.changes_found(), 1);
}

#[test]
fn bare_delete_that_was_seen_once_is_seen_again_soon_also_where_rows_are_not_counted() {
    // One of a module's four nodes, and all of them.
    for places in [&[11_998][..], &[5_998, 11_998, 17_998, 23_998]] {
        let mut store = Memory {
            is_uncounted: true,
            ..Memory::default()
        };
        let ids: Vec<u64> = (1..=24_000)
            .map(|last| store.insert(last % 6_000, last))
            .collect();
        let mut keeper = loaded(&mut store);
        for place in places {
            store.rows.remove(&ids[*place]);
        }
        let mut looks_until = |held: u64| {
            let count = (1..100).find(|_| {
                look(&mut keeper, &mut store).expect("the store answers");
                keeper.held().0 == held
            });
            count.expect("it happens")
        };
        let found = looks_until(1);
        assert!((10..=40).contains(&found), "a pass takes 40 looks: {found}");
        let published = looks_until(0);
        assert!(published <= 20, "a hurried one takes 10: {published}");
        assert_eq!(nodes(&keeper, 5_999), 4 - places.len());
    }
}

#[test]
fn row_that_moved_leaves_the_module_that_nobody_named() {
    let mut store = Memory::default();
    let id = store.insert(1, 1);
    store.insert(1, 2);
    let mut keeper = loaded(&mut store);
    store.rows.insert(id, row(id, 2, 1));
    store.announce(2);
    let mut changed = looks(&mut keeper, &mut store, 1);
    changed.sort_unstable();
    assert_eq!(changed, [module(1), module(2)]);
    assert_eq!((nodes(&keeper, 1), nodes(&keeper, 2)), (1, 1));
}

#[test]
fn row_that_moved_unannounced_leaves_its_module_even_though_the_slice_agrees_later() {
    let mut store = Memory::default();
    let id = store.insert(1, 1);
    store.insert(1, 2);
    let mut keeper = loaded(&mut store);
    store.rows.insert(id, row(id, 2, 1));
    assert_eq!(
        looks(&mut keeper, &mut store, 1),
        [module(2)],
        "what grew is published, what shrank is held"
    );
    assert_eq!(keeper.held(), (1, 0));
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
    assert_eq!((keeper.held(), nodes(&keeper, 1)), ((0, 0), 1));
}

#[test]
fn unexplained_version_compares_everything() {
    let mut store = Memory::default();
    let ids: Vec<u64> = (1..=12).map(|cmdid| store.insert(cmdid, 1)).collect();
    let mut keeper = loaded(&mut store);
    // Both a change of weight and a module that is gone, hidden from the sweep by one look.
    store.rows.insert(
        ids[0],
        RouteRecord {
            weight: 7,
            ..row(ids[0], 1, 1)
        },
    );
    store.version += 5;
    assert_eq!(
        looks(&mut keeper, &mut store, 1),
        [module(1)],
        "found by the sweep"
    );
    assert_eq!(keeper.comparisons(), 0);
    store.rows.remove(&ids[1]);
    assert_eq!(
        looks(&mut keeper, &mut store, 1),
        [module(2)],
        "a comparison needs no second sight"
    );
    assert_eq!(keeper.comparisons(), 1);
}

#[test]
fn announced_change_does_not_wait_for_a_comparison_under_way() {
    let mut store = Memory::default();
    for last in 1..=100_000 {
        store.insert(last % 10, last);
    }
    let mut keeper = loaded(&mut store);
    store.version += 5;
    looks(&mut keeper, &mut store, 1);
    let edit = |store: &mut Memory, id: u64| {
        let cmdid = id as u32 % 10;
        let edited = RouteRecord {
            weight: 7,
            ..row(id, cmdid, id as u32)
        };
        store.rows.insert(id, edited);
    };
    // Steps: a look, a page, a look, a page.
    for _ in 0..4 {
        assert_eq!(now(keeper.look(&mut store)).ok(), Some(Looked::Busy));
    }
    assert_eq!((keeper.comparisons(), keeper.compared_to), (1, Some(40_000)));
    edit(&mut store, 99_993);
    store.announce(3);
    // And one that only another comparison finds, which must not be lost with the one under way.
    edit(&mut store, 10_004);
    assert_eq!(now(keeper.look(&mut store)).ok(), Some(Looked::Busy));
    let changed: Vec<_> = keeper.take_changes().iter().map(Change::module).collect();
    assert_eq!(changed, [module(3)]);
    store.version += 5;
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(4)]);
    assert_eq!((keeper.comparisons(), keeper.compared_to), (2, None));
}

#[test]
fn rows_that_cannot_be_served_are_counted_and_named_wherever_they_stand() {
    let mut store = Memory::default();
    let ids: Vec<u64> = (1..=24_000).map(|last| store.insert(last % 10, last)).collect();
    // Each says what one far below says, which the same page or slice does not show.
    for (place, like) in [(20_000, 0), (20_001, 1), (23_999, 2), (23_998, 3)] {
        let (id, like) = (ids[place], ids[like]);
        store.rows.insert(id, row(id, like as u32 % 10, like as u32));
    }
    let mut keeper = loaded(&mut store);
    let named = "row 20001 of RouteData: 10.0.0.1:80 stands in module 1.1 already; \
                 row 20002 of RouteData: 10.0.0.2:80 stands in module 1.2 already; \
                 row 23999 of RouteData: 10.0.0.4:80 stands in module 1.4 already; and 1 more";
    assert_eq!(
        (keeper.bad_rows_count(), keeper.bad_rows().to_string()),
        (4, named.to_owned())
    );
    let passes = keeper.sweep.pass() + 2;
    while keeper.sweep.pass() < passes {
        assert_eq!(looks(&mut keeper, &mut store, 1), []);
        assert_eq!(keeper.bad_rows().to_string(), named);
    }
    store.rows.remove(&ids[23_999]);
    store.rows.remove(&ids[20_000]);
    looks(&mut keeper, &mut store, 80);
    assert_eq!(keeper.bad_rows_count(), 2);
}

#[test]
fn empty_store_is_believed_when_it_was_read_twice() {
    let mut store = Memory::default();
    let mut keeper = keeper();
    look(&mut keeper, &mut store).expect("the store answers");
    let explained = |keeper: &Keeper| {
        let mut explained = false;
        let catalog = keeper.publisher.catalog();
        crate::catalog::PageCutter::new(catalog).cut(&catalog.view(module(1)), |page, _| {
            explained = page.explained;
            true
        });
        explained
    };
    assert!(!explained(&keeper));
    look(&mut keeper, &mut store).expect("the store answers");
    assert!(explained(&keeper));
}

#[test]
fn edit_is_published_with_the_call_that_made_it() {
    let mut store = Memory::default();
    let mut keeper = loaded(&mut store);
    let put = |last: u32| {
        RouteEdit::Put(lars_wire::admin::RouteRow {
            module: module(1),
            node: NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80),
            weight: 100,
            state: NodeState::Serving,
            zone: String::new(),
        })
    };
    assert!(now(keeper.edit(&mut store, &[put(1)])).is_ok());
    assert_eq!((keeper.take_changes().len(), nodes(&keeper, 1)), (1, 1));
    // Stored, but the store is gone before it could be read back.
    store.calls_left = Some(1);
    assert!(matches!(
        now(keeper.edit(&mut store, &[put(2)])),
        Err(StoreError::Away(_))
    ));
    store.calls_left = None;
    assert_eq!(looks(&mut keeper, &mut store, 1), [module(1)]);
    assert_eq!(nodes(&keeper, 1), 2);
}

#[test]
fn random_writers_and_failures_end_at_what_the_store_has() {
    let seed = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut store = Memory::default();
    for cmdid in 0..40 {
        store.insert(cmdid, 1);
    }
    let mut keeper = loaded(&mut store);
    for _ in 0..400 {
        write_some(&mut store, &mut random);
        store.calls_left = (random.u32(..3) == 0).then(|| random.u32(..4));
        let _ = look(&mut keeper, &mut store);
        let versions = keeper.take_changes();
        assert!(versions.iter().all(|change| change.version() > 1));
    }
    store.calls_left = None;
    looks(&mut keeper, &mut store, 8);
    assert_is_as_the_store(&keeper, &store);
}

/// What any program may write.
fn write_some(store: &mut Memory, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(..4) {
        // A quarter of the modules, so that never most of them are gone at once.
        let cmdid = random.u32(..10);
        let id = store
            .rows
            .values()
            .filter(|row| row.module.cmdid < 10)
            .map(|row| row.id)
            .nth(random.usize(..9));
        match (random.u32(..4), id) {
            (0, Some(id)) => drop(store.rows.remove(&id)),
            (1, Some(id)) => drop(store.rows.insert(id, row(id, cmdid, random.u32(1..9)))),
            _ => drop(store.insert(cmdid, random.u32(1..9))),
        }
        match random.u32(..4) {
            0 => store.announce(cmdid),
            1 => store.version = random.u64(..1_000),
            2 if random.u32(..10) == 0 => store.changes.clear(),
            _ => {}
        }
    }
}

fn assert_is_as_the_store(keeper: &Keeper, store: &Memory) {
    let mut expected: BTreeMap<u32, Vec<NodeAddr>> = BTreeMap::new();
    for row in store.rows.values() {
        expected.entry(row.module.cmdid).or_default().push(row.node);
    }
    for cmdid in 0..100 {
        let mut nodes = expected.remove(&cmdid).unwrap_or_default();
        nodes.sort_unstable();
        nodes.dedup();
        let route = keeper.publisher.catalog().view(module(cmdid)).route();
        assert_eq!(
            route.nodes().iter().map(|node| node.addr).collect::<Vec<_>>(),
            nodes,
            "module {cmdid}"
        );
    }
    assert_eq!(keeper.held(), (0, 0));
}
