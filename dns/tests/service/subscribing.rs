//! Subscriptions as an agent lives with them.

use crate::peer::{Peer, known, module, node, put, remove, unknown};
use crate::running::{DEADLINE, Store, connect, wait_until};
use lars_wire::admin::RouteEdit;
use lars_wire::caller::Status;
use lars_wire::directory::{Digest, DigestDone, KnownModule};
use lars_wire::{Kind, ModuleId, NodeAddr};
use std::time::Instant;

#[test]
fn subscriber_gets_the_route_now_and_every_change_of_it() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.edit(&[put(1, 1), put(1, 2)]);
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    let first = agent.route();
    assert_eq!((first.nodes(), first.sequence), (vec![node(1), node(2)], 7));
    let edited = admin.edit(&[put(1, 3)]);
    assert_eq!(
        (edited.put, edited.removed, edited.unconfirmed),
        (1, 0, 1),
        "the agent has not acknowledged yet"
    );
    let second = agent.route();
    assert!(second.version > first.version);
    assert_eq!(
        (second.nodes(), second.sequence),
        (vec![node(1), node(2), node(3)], 0)
    );
    admin.edit(&[remove(1, 1), remove(1, 2), remove(1, 3)]);
    assert_eq!(agent.route().status, Status::NotFound);
    dns.stop();
}

#[test]
fn small_change_of_a_large_route_comes_as_a_delta() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    admin.edit(&(1..=100).map(|last| put(1, last)).collect::<Vec<_>>());
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    agent.whole();
    admin.edit(&[remove(1, 50), put(1, 200)]);
    let second = agent.delta();
    assert_eq!(second.route.nodes().len(), 100);
    admin.edit(&[put(1, 201)]);
    let third = agent.delta();
    assert!(third.route.node(node(201)).is_some() && third.route.node(node(50)).is_none());
}

#[test]
fn one_that_holds_another_instances_route_gets_its_first_change_whole() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&(1..=100).map(|last| put(1, last)).collect::<Vec<_>>());
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    let held = agent.route();
    drop(agent);
    dns.stop();

    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[known(1, &held)]);
    agent.assert_silent();
    connect(&dns).edit(&[put(1, 200)]);
    let whole = agent.whole();
    assert_ne!(whole.instance, held.instance);
    connect(&dns).edit(&[put(1, 201)]);
    agent.delta();
}

#[test]
fn what_is_held_already_is_not_sent_again() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&[put(1, 1), put(2, 1)]);
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1), unknown(2)]);
    let (one, two) = (agent.route(), agent.route());
    let mut again = connect(&dns);
    again.subscribe(&[known(1, &one), known(2, &two)]);
    again.assert_silent();
    again.subscribe(&[KnownModule {
        hash: 0,
        ..known(1, &one)
    }]);
    assert_eq!(again.route().hash, one.hash, "hash 0 asks for the whole");
    again.subscribe(&[KnownModule {
        version: one.version - 1,
        ..known(1, &one)
    }]);
    assert_eq!(
        again.route().version,
        one.version,
        "an older version of this instance is not this one"
    );
}

#[test]
fn module_that_does_not_exist_is_said_so_and_pushed_when_it_does() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    let absent = agent.route();
    assert_eq!((absent.status, absent.nodes()), (Status::NotFound, vec![]));
    let mut admin = connect(&dns);
    let started = Instant::now();
    admin.edit(&[put(1, 1)]);
    let there = agent.route();
    assert!(there.version > absent.version && started.elapsed() < DEADLINE);
    assert_eq!(there.nodes(), [node(1)]);
    // Subscribed a second time it is said again, whatever the agent holds.
    agent.subscribe(&[unknown(2)]);
    let held = agent.route();
    agent.subscribe(&[known(2, &held)]);
    assert_eq!(agent.route().status, Status::NotFound);
}

#[test]
fn unsubscribed_module_is_heard_of_no_more() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1), unknown(2)]);
    agent.route();
    agent.route();
    assert_eq!(agent.count("subscriptions"), 2);
    agent.unsubscribe(&[1]);
    assert_eq!(agent.count("subscriptions"), 1);
    let mut admin = connect(&dns);
    let edited = admin.edit(&[put(1, 1)]);
    assert_eq!(edited.unconfirmed, 0, "nobody is waited for");
    agent.assert_silent();
    drop(agent);
    wait_until("the connection's subscriptions are gone", || {
        admin.count("subscriptions") == 0
    });
}

#[test]
fn ten_thousand_nodes_come_in_pages() {
    let store = Store::new();
    store.fill(1, 10_000);
    let dns = store.dns();
    let mut admin = connect(&dns);
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    let first = agent.route();
    assert_eq!(first.nodes(), (1..=10_000).map(node).collect::<Vec<_>>());
    assert_eq!(agent.get_route(1).hash, first.hash);
    admin.edit(&[remove(1, 1)]);
    assert_eq!(agent.delta().route.nodes().len(), 9_999);
}

#[test]
fn digest_repairs_what_was_lost_and_nothing_else() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&[put(1, 1), put(2, 1), put(3, 1)]);
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1), unknown(2)]);
    let (one, two) = (agent.route(), agent.route());
    let lost = KnownModule {
        version: two.version - 1,
        hash: 1,
        ..known(2, &two)
    };
    let gone = KnownModule {
        module: module(9),
        instance: 1,
        version: 1,
        hash: 1,
    };
    agent.send(
        &Digest {
            modules: vec![known(1, &one), lost, unknown(3), gone],
        },
        21,
    );
    let answers = [agent.route(), agent.route(), agent.route()];
    assert_eq!(answers.each_ref().map(|whole| whole.sequence), [21; 3]);
    assert_eq!(answers[0].hash, two.hash);
    assert_eq!(answers[1].nodes(), [node(1)]);
    assert_eq!(answers[2].status, Status::NotFound);
    assert_eq!(agent.next().decode::<DigestDone>(), DigestDone { differing: 3 });
    // The third was not subscribed to before, and is now.
    connect(&dns).edit(&[put(3, 2)]);
    assert_eq!(agent.route().nodes(), [node(1), node(2)]);
    agent.send(
        &Digest {
            modules: vec![known(1, &one)],
        },
        22,
    );
    assert_eq!(agent.next().decode::<DigestDone>(), DigestDone { differing: 0 });
}

#[test]
fn pushes_reach_the_connections_of_every_core() {
    let store = Store::new();
    let dns = store.dns_with(|config| config.cores = 3);
    let mut agents: Vec<Peer> = (0..9).map(|_| connect(&dns)).collect();
    for agent in &mut agents {
        agent.subscribe(&[unknown(1)]);
        agent.route();
    }
    let mut admin = connect(&dns);
    assert_eq!(admin.count("connections"), 10);
    let reader = std::thread::spawn(move || {
        for agent in &mut agents {
            assert_eq!(agent.route().nodes(), [node(1)]);
        }
        agents
    });
    admin.edit(&[put(1, 1)]);
    reader.join().expect("every agent heard");
}

#[test]
fn many_large_routes_come_in_order_to_one_who_reads_slowly() {
    let store = Store::new();
    // 24 routes of 4,000 nodes are 2.2 MB: more than may be queued for a connection.
    store.fill(24, 4_000);
    let dns = store.dns();
    let mut admin = connect(&dns);
    let mut agent = connect(&dns);
    agent.subscribe(&(1..=24).map(unknown).collect::<Vec<_>>());
    // A change while the answers wait is part of them, or follows them.
    admin.edit(&[put(24, 5_000)]);
    for cmdid in 1..24 {
        let whole = agent.route();
        assert_eq!(whole.nodes().len(), 4_000, "module {cmdid}");
    }
    let mut last = agent.route();
    if last.nodes().len() == 4_000 {
        last = agent.delta();
    }
    assert_eq!(last.nodes().len(), 4_001);
    // What was looked up before its push was sent is pushed once more.
    agent.assert_nothing_new();
}

#[test]
fn ipv6_nodes_zones_and_weights_travel() {
    let store = Store::new();
    let dns = store.dns();
    let node: NodeAddr = "[2001:db8::1]:7777".parse().expect("a node");
    let RouteEdit::Put(row) = put(1, 1) else {
        panic!("a put")
    };
    let row = lars_wire::admin::RouteRow {
        node,
        weight: 7,
        zone: "north".to_owned(),
        ..row
    };
    connect(&dns).edit(&[RouteEdit::Put(row)]);
    let whole = connect(&dns).get_route(1);
    let held = whole.route.node(node).expect("it is there");
    assert_eq!((held.weight, &*held.zone), (7, "north"));
    assert_eq!(connect(&dns).get_route(2).status, Status::NotFound);
    let mut agent = connect(&dns);
    agent.subscribe(&[KnownModule {
        module: ModuleId::new(9, 9),
        ..unknown(1)
    }]);
    assert_eq!(agent.next().header.kind, Kind::RoutePage);
}
