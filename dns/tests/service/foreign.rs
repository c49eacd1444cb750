//! Other programs write the store: nothing of it may be missed, and accidents are held back.

use crate::peer::{module, node, put, unknown};
use crate::running::{Store, connect, wait_until};
use lars_dns::DnsError;
use lars_wire::admin::{Reason, Refusal};
use lars_wire::caller::{GetRoute, Status};
use std::time::{Duration, Instant};

const INSERT: &str = "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, ?1, ?2, 7777)";

fn ip(last: u32) -> u32 {
    0x0a00_0000 + last
}

#[test]
fn announced_change_reaches_a_subscriber() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    assert_eq!(agent.route().status, Status::NotFound);
    let mut foreign = store.foreign();
    let transaction = foreign.transaction().expect("a transaction");
    transaction.execute(INSERT, (1, ip(1))).expect("a row");
    transaction
        .execute("UPDATE RouteVersion SET version = 1000 WHERE id = 1", ())
        .expect("a version");
    transaction
        .execute(
            "INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, 1000)",
            (),
        )
        .expect("a change row");
    let started = Instant::now();
    transaction.commit().expect("a commit");
    assert_eq!(agent.route().nodes(), [node(1)]);
    println!("a foreign change was heard after {:?}", started.elapsed());
}

#[test]
fn change_in_three_statements_as_the_old_tools_write_it_is_seen() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    agent.route();
    let foreign = store.foreign();
    for (version, last) in [(1_000, 1), (1_000, 2), (999, 3)] {
        foreign.execute(INSERT, (1, ip(last))).expect("a row");
        foreign
            .execute("UPDATE RouteVersion SET version = ?1", [version])
            .expect("a version");
        let row = "INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, ?1)";
        foreign.execute(row, [version]).expect("a change row");
        // The C++ dns deletes the rows as soon as it has seen them.
        foreign.execute("DELETE FROM RouteChange", ()).expect("no rows");
        assert_eq!(agent.route().nodes().last(), Some(&node(last)));
    }
}

#[test]
fn bare_statements_are_found_without_any_announcement() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.edit(&[put(1, 1), put(1, 2), put(2, 1)]);
    let (mut first, mut second) = (connect(&dns), connect(&dns));
    first.subscribe(&[unknown(1)]);
    first.route();
    second.subscribe(&[unknown(2)]);
    second.route();
    let foreign = store.foreign();
    foreign.execute(INSERT, (1, ip(3))).expect("an insert");
    assert_eq!(first.route().nodes().len(), 3);
    let weight = "UPDATE RouteData SET weight = 7 WHERE cmdid = 1 AND serverip = ?1";
    foreign.execute(weight, [ip(1)]).expect("an update");
    assert_eq!(first.route().route.node(node(1)).map(|node| node.weight), Some(7));
    foreign
        .execute("DELETE FROM RouteData WHERE cmdid = 1 AND serverip = ?1", [ip(2)])
        .expect("a delete");
    assert_eq!(first.route().nodes(), [node(1), node(3)]);
    // An edited row leaves one module and comes to another; both hear of it.
    let moved = "UPDATE RouteData SET cmdid = 2 WHERE cmdid = 1 AND serverip = ?1";
    foreign.execute(moved, [ip(3)]).expect("an update");
    assert_eq!(second.route().nodes(), [node(1), node(3)]);
    assert_eq!(first.route().nodes(), [node(1)]);
    foreign
        .execute("DELETE FROM RouteData WHERE cmdid = 1", ())
        .expect("a delete");
    assert_eq!(first.route().status, Status::NotFound);
}

#[test]
fn most_modules_gone_at_once_are_served_until_their_rows_are_back() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.edit(&(1..=20).map(|cmdid| put(cmdid, 1)).collect::<Vec<_>>());
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    agent.route();
    // Until our own change rows are seen, they explain whatever becomes of their modules.
    let looks = dns.stats().value("looks");
    wait_until("dns looked again", || {
        dns.stats().value("looks") >= looks.map(|looks| looks + 4)
    });
    let foreign = store.foreign();
    foreign
        .execute_batch("CREATE TABLE kept AS SELECT * FROM RouteData; DELETE FROM RouteData;")
        .expect("a delete");
    wait_until("all are held", || admin.count("modules_held") == 20);
    let held = |status: &lars_wire::admin::StatusText| status.notes.iter().any(|note| note.0 == "held");
    assert!(held(&admin.status()));
    // Told that everything changed, it is still too much to believe.
    foreign
        .execute("UPDATE RouteVersion SET version = version + 10", ())
        .expect("a version");
    wait_until("the version is seen", || {
        admin
            .status()
            .notes
            .iter()
            .any(|note| note.0 == "route_version" && note.1.ends_with(|c: char| c.is_ascii_digit()))
            && dns.stats().value("comparisons") == Some(1)
    });
    assert_eq!(
        (admin.count("modules"), admin.get_route(1).nodes()),
        (20, vec![node(1)])
    );
    foreign
        .execute_batch("INSERT INTO RouteData SELECT * FROM kept;")
        .expect("an insert");
    wait_until("nothing is held", || admin.count("modules_held") == 0);
    agent.assert_silent();
    // One that is announced is believed.
    foreign
        .execute_batch("DELETE FROM RouteData WHERE cmdid = 1")
        .expect("a delete");
    foreign
        .execute_batch(
            "INSERT INTO RouteChange (modid, cmdid, version) SELECT 1, 1, version FROM RouteVersion",
        )
        .expect("a change row");
    assert_eq!(agent.route().status, Status::NotFound);
}

#[test]
fn rows_that_cannot_be_served_are_counted_and_the_rest_is_served() {
    let store = Store::new();
    drop(store.dns());
    let foreign = store.foreign();
    foreign.execute(INSERT, (1, ip(1))).expect("a row");
    foreign.execute(INSERT, (1, 0)).expect("a row without an address");
    foreign.execute(INSERT, (1, ip(1))).expect("the same node again");
    let dns = store.dns();
    let mut admin = connect(&dns);
    assert_eq!(
        (admin.get_route(1).nodes(), admin.count("bad_rows")),
        (vec![node(1)], 2)
    );
    foreign
        .execute("UPDATE RouteData SET serverip = ?1 WHERE serverip = 0", [ip(2)])
        .expect("an update");
    wait_until("the row is served", || {
        admin.get_route(1).nodes() == [node(1), node(2)]
    });
    wait_until("it is counted no more", || admin.count("bad_rows") == 1);
}

#[test]
fn store_that_is_away_costs_no_answer_and_is_found_again() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.edit(&[put(1, 1)]);
    let foreign = store.foreign();
    foreign
        .execute_batch("ALTER TABLE RouteData RENAME TO elsewhere")
        .expect("the table goes");
    let error = |admin: &mut crate::peer::Peer| {
        admin
            .status()
            .notes
            .iter()
            .any(|note| note.0 == "store" && note.1.starts_with("away"))
    };
    wait_until("it is said", || error(&mut admin));
    assert_eq!(admin.get_route(1).nodes(), [node(1)]);
    admin.send(
        &lars_wire::admin::EditRoutes {
            edits: vec![put(1, 2)],
        },
        5,
    );
    assert_eq!(admin.next().decode::<Refusal>().reason, Reason::Unavailable);
    foreign
        .execute_batch("ALTER TABLE elsewhere RENAME TO RouteData")
        .expect("the table comes back");
    wait_until("it is back", || !error(&mut admin));
    assert_eq!(admin.edit(&[put(1, 3)]).put, 1);
    assert_eq!(admin.get_route(1).nodes(), [node(1), node(3)]);
}

#[test]
fn nothing_is_said_of_routes_before_the_store_was_read() {
    let store = Store::new();
    drop(store.dns());
    let foreign = store.foreign();
    foreign.execute(INSERT, (1, ip(1))).expect("a row");
    foreign
        .execute_batch("ALTER TABLE RouteData RENAME TO elsewhere")
        .expect("the table goes");
    let dns = store
        .try_dns(|_| {})
        .expect("dns starts without a store that answers");
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1), unknown(2)]);
    assert!(agent.is_silent_for(Duration::from_millis(300)) && !dns.ready());
    agent.send(
        &GetRoute {
            module: module(1),
            deadline_ms: 0,
        },
        4,
    );
    assert_eq!(agent.next().decode::<Refusal>().reason, Reason::Unavailable);
    foreign
        .execute_batch("ALTER TABLE elsewhere RENAME TO RouteData")
        .expect("the table comes back");
    assert_eq!(agent.route().nodes(), [node(1)]);
    assert_eq!(agent.route().status, Status::NotFound);
    assert!(dns.ready());
}

#[test]
fn file_that_is_no_store_is_refused_at_start() {
    let store = Store::new();
    std::fs::write(store.path(), "no database ".repeat(1_000)).expect("a file");
    let error = store.try_dns(|_| {}).expect_err("it will not do");
    assert!(
        matches!(&error, DnsError::Store(text) if text.contains("lars.sqlite")),
        "{error}"
    );
}

#[test]
fn two_instances_on_one_store_hear_of_each_others_edits() {
    let store = Store::new();
    let (one, two) = (store.dns(), store.dns());
    let mut agent = connect(&two);
    agent.subscribe(&[unknown(1)]);
    agent.route();
    for last in 1..=5 {
        connect(&one).edit(&[put(1, last)]);
        assert_eq!(agent.route().nodes().len() as u32, last);
    }
}
