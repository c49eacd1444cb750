//! Names for people, asked of dns: kept by the store, read when they are asked for.

use crate::running::{Store, connect};
use lars_wire::admin::{Reason, Refusal};
use lars_wire::bounds::NAMES_MAX;
use lars_wire::names::NameOf::{Cmdid, Modid};
use lars_wire::names::{ListNames, NameOf, NameRows, NameSet, SetName};

fn list(of: NameOf, after: Option<u32>) -> ListNames {
    ListNames {
        of,
        number: None,
        after,
    }
}

fn set(of: NameOf, number: u32, name: Option<&str>) -> SetName {
    SetName {
        of,
        number,
        name: name.map(str::to_owned),
    }
}

#[test]
fn name_is_given_listed_and_changed_by_others_at_the_next_question() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.send(&set(Modid, 7, Some("shop")), 3);
    assert_eq!(admin.next().decode::<NameSet>().before, None);
    store
        .foreign()
        .execute(
            "INSERT INTO CmdIDConfig (cmdid, content) VALUES (8, 'orders')",
            (),
        )
        .expect("a row");
    for (of, number, name) in [(Modid, 7, "shop"), (Cmdid, 8, "orders")] {
        admin.send(&list(of, None), 4);
        let page: NameRows = admin.next().decode();
        let rows: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.number, row.name.as_str()))
            .collect();
        assert_eq!((rows, page.more), (vec![(number, name)], false));
    }
    admin.send(&set(Modid, 7, None), 5);
    assert_eq!(admin.next().decode::<NameSet>().before.as_deref(), Some("shop"));
}

#[test]
fn more_names_than_a_page_come_page_by_page() {
    let store = Store::new();
    let dns = store.dns();
    let foreign = store.foreign();
    let all = NAMES_MAX as u32 + 5;
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {all})
         INSERT INTO ModIDConfig (modid, content) SELECT i, 'name of ' || i FROM n"
    );
    foreign.execute_batch(&rows).expect("rows");
    let mut admin = connect(&dns);
    let (mut after, mut pages, mut seen) = (None, 0, Vec::new());
    loop {
        admin.send(&list(Modid, after), 4);
        let page: NameRows = admin.next().decode();
        pages += 1;
        seen.extend(page.rows.iter().map(|row| row.number));
        after = seen.last().copied();
        if !page.more {
            break;
        }
    }
    assert!(seen.iter().copied().eq(1..=all), "{} of {all}", seen.len());
    assert_eq!(pages, 2);
}

#[test]
fn name_that_cannot_be_and_a_store_that_is_away_are_refused() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.send(&set(Modid, 7, Some(" shop")), 3);
    let refusal: Refusal = admin.next().decode();
    assert!(
        refusal.reason == Reason::Malformed && refusal.text.contains("blanks"),
        "{refusal:?}"
    );
    let held = store.foreign();
    held.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let mut admin = connect(&dns);
    admin.send(&set(Modid, 7, Some("shop")), 3);
    assert_eq!(admin.next().decode::<Refusal>().reason, Reason::Unavailable);
}
