//! The publisher against a store that is a plain list of rows.

use super::*;
use lars_wire::{NodeAddr, NodeState};

const A: ModuleId = ModuleId::new(1, 1);
const B: ModuleId = ModuleId::new(1, 2);

fn row(id: u64, module: ModuleId, last: u32) -> RouteRecord {
    RouteRecord {
        id,
        module,
        node: NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80),
        weight: 100,
        state: NodeState::Serving,
        zone: Arc::from("z"),
    }
}

fn rows(good: &[RouteRecord]) -> Rows {
    Rows {
        good: good.to_vec(),
        bad: Vec::new(),
        last_id: good.last().map(|row| row.id),
    }
}

fn loaded(rows: &[RouteRecord]) -> Publisher {
    let mut publisher = Publisher::new(Arc::new(Catalog::new(1)));
    let mut load = Load::default();
    for row in rows {
        load.take(row.clone());
    }
    publisher.finish(load);
    publisher
}

fn differing(publisher: &Publisher, good: &[RouteRecord]) -> Vec<ModuleId> {
    let compared = publisher.compare(0, u64::MAX, &rows(good));
    compared.differing.into_iter().collect()
}

#[test]
fn loaded_rows_are_served_and_agree_with_the_store() {
    let table = [row(1, A, 1), row(2, B, 1), row(3, A, 2), row(4, A, 1)];
    let publisher = loaded(&table);
    let catalog = publisher.catalog();
    assert_eq!(
        (catalog.modules(), catalog.nodes()),
        (2, 3),
        "one row says what another said before"
    );
    let view = catalog.view(A);
    assert_eq!(view.hash(), view.route().content_hash());
    assert_eq!(differing(&publisher, &table), []);
}

#[test]
fn slice_tells_rows_new_gone_moved_and_edited() {
    let table = [row(1, A, 1), row(2, A, 2), row(3, B, 1)];
    let publisher = loaded(&table);
    let edited = RouteRecord {
        weight: 7,
        ..row(3, B, 1)
    };
    assert_eq!(differing(&publisher, &[row(1, A, 1), row(2, A, 2), edited]), [B]);
    assert_eq!(
        differing(&publisher, &[row(1, A, 1), row(3, B, 1)]),
        [A],
        "gone in the middle"
    );
    assert_eq!(differing(&publisher, &table[..2]), [B], "gone at the end");
    assert_eq!(
        differing(&publisher, &[row(1, A, 1), row(2, B, 2), row(3, B, 1)]),
        [A, B],
        "moved"
    );
    let new = ModuleId::new(9, 9);
    assert_eq!(
        differing(&publisher, &[&table[..], &[row(4, new, 1)]].concat()),
        [new]
    );
    assert!(
        publisher
            .compare(1, 2, &rows(&[row(2, A, 2)]))
            .differing
            .is_empty(),
        "says nothing of other slices"
    );
}

#[test]
fn replaced_module_gets_a_new_version_and_a_delta_from_the_one_before() {
    let table: Vec<RouteRecord> = (1..=10).map(|id| row(id, A, id as u32)).collect();
    let mut publisher = loaded(&table);
    let before = publisher.catalog().view(A);
    let changes = publisher.replace(diff::group(&[A], table[1..].to_vec()));
    let after = publisher.catalog().view(A);
    assert_eq!(
        (changes.len(), changes[0].module(), changes[0].version()),
        (1, A, after.version())
    );
    assert!(after.version() > before.version() && changes[0].delta().is_some());
    assert_eq!(
        (before.route().nodes().len(), after.route().nodes().len()),
        (10, 9)
    );
    assert_eq!(after.hash(), after.route().content_hash());
    assert_eq!(differing(&publisher, &table[1..]), []);
}

#[test]
fn nodes_that_moved_to_other_rows_are_no_change_but_are_known() {
    let mut publisher = loaded(&[row(1, A, 1)]);
    let version = publisher.catalog().view(A).version();
    assert_eq!(differing(&publisher, &[row(5, A, 1)]), [A]);
    assert!(
        publisher
            .replace(diff::group(&[A], vec![row(5, A, 1)]))
            .is_empty()
    );
    assert_eq!(publisher.catalog().view(A).version(), version);
    assert_eq!(differing(&publisher, &[row(5, A, 1)]), []);
}

#[test]
fn module_that_is_gone_leaves_nothing_and_can_come_back() {
    let mut publisher = loaded(&[row(1, A, 1), row(2, B, 1)]);
    let gone = publisher.replace(diff::group(&[A], Vec::new()));
    assert!(gone[0].delta().is_none() && !publisher.catalog().view(A).exists());
    assert_eq!(publisher.catalog().modules(), 1);
    let back = publisher.replace(diff::group(&[A], vec![row(3, A, 1)]));
    assert!(back[0].version() > gone[0].version());
    assert_eq!(differing(&publisher, &[row(2, B, 1), row(3, A, 1)]), []);
}

#[test]
fn rows_that_are_not_served_do_not_look_new_at_every_pass() {
    let unservable = RouteRecord {
        weight: 0,
        ..row(3, A, 3)
    };
    let table = [row(1, A, 1), row(2, A, 1), unservable.clone()];
    let mut publisher = loaded(&table);
    assert_eq!(differing(&publisher, &table), []);
    publisher.replace(diff::group(&[A], table.to_vec()));
    assert_eq!(
        (differing(&publisher, &table), publisher.rows_skipped()),
        (vec![], 1)
    );
    assert_eq!(
        differing(&publisher, &table[1..]),
        [A],
        "the row that was served is gone"
    );
}

#[test]
fn random_edits_through_slices_end_at_what_the_store_has() {
    let seed = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut store: BTreeMap<u64, RouteRecord> = BTreeMap::new();
    let mut publisher = loaded(&[]);
    let mut next_id = 1;
    for _ in 0..300 {
        for _ in 0..random.usize(..20) {
            let module = ModuleId::new(1, random.u32(..8));
            match (
                random.u32(..3),
                store.keys().nth(random.usize(..store.len().max(1))).copied(),
            ) {
                (0, Some(id)) => drop(store.remove(&id)),
                (1, Some(id)) => drop(store.insert(id, row(id, module, random.u32(1..20)))),
                _ => {
                    next_id += random.u64(1..5_000);
                    store.insert(next_id, row(next_id, module, random.u32(1..20)));
                }
            }
        }
        let all: Vec<RouteRecord> = store.values().cloned().collect();
        let mut after = 0;
        for page in all.chunks(7).chain([&[][..]]) {
            let last = page.last().map_or(u64::MAX, |row| row.id);
            let compared = publisher.compare(after, last, &rows(page));
            let modules: Vec<ModuleId> = compared.differing.into_iter().collect();
            let rows_of = |modules: &[ModuleId]| {
                all.iter()
                    .filter(|row| modules.contains(&row.module))
                    .cloned()
                    .collect()
            };
            let mut modules = modules;
            while !modules.is_empty() {
                publisher.replace(diff::group(&modules, rows_of(&modules)));
                modules = publisher.take_left();
            }
            after = last;
        }
        let every: Vec<ModuleId> = (0..8).map(|cmdid| ModuleId::new(1, cmdid)).collect();
        for rows in diff::group(&every, all.clone()) {
            assert_eq!(publisher.difference(&rows), Difference::None, "{}", rows.module);
        }
        let modules = all.iter().map(|row| row.module).collect::<BTreeSet<_>>().len();
        assert_eq!(publisher.catalog().modules(), modules as u64);
    }
}
