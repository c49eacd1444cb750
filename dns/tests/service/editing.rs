//! Changes made through dns itself, and what their answer promises.

use crate::peer::{Peer, module, node, put, remove, unknown};
use crate::running::{Store, connect};
use lars_wire::admin::{EditRoutes, Edited, ListRoutes, Reason, Refusal, RouteEdit};
use lars_wire::caller::{Ping, Pong};
use std::time::{Duration, Instant};

/// How long an edit waits for acknowledgements.
const CONFIRM_MAX: Duration = Duration::from_millis(300);

/// Makes an edit of which the first agent acknowledges last; none where the machine was so slow that the edit may have
/// stopped waiting by then.
fn answered_after_the_last(admin: &mut Peer, agents: &mut [Peer], last: u32) -> Option<bool> {
    let started = Instant::now();
    admin.send(
        &EditRoutes {
            edits: vec![put(1, last)],
        },
        5,
    );
    let versions: Vec<u64> = agents
        .iter_mut()
        .map(|agent| agent.route_unacknowledged().version)
        .collect();
    for (agent, version) in agents.iter_mut().zip(&versions).skip(1) {
        agent.ack_module(module(1), *version);
    }
    let waited = admin.is_silent_for(Duration::from_millis(50));
    agents[0].ack_module(module(1), versions[0]);
    let edited: Edited = admin.next().decode();
    assert_eq!((edited.put, edited.removed), (1, 0));
    (started.elapsed() < CONFIRM_MAX).then_some(waited && edited.unconfirmed == 0)
}

#[test]
fn edit_is_answered_when_every_agent_of_every_core_has_acknowledged_the_push() {
    let store = Store::new();
    let dns = store.dns_with(|config| config.cores = 2);
    let (mut admin, mut agents) = (connect(&dns), [(); 4].map(|()| connect(&dns)));
    for agent in &mut agents {
        agent.subscribe(&[unknown(1)]);
        agent.route();
    }
    let mut edits = 1..500;
    for _ in 0..4 {
        let answered = edits.find_map(|last| answered_after_the_last(&mut admin, &mut agents, last));
        assert_eq!(answered, Some(true));
        agents.rotate_left(1);
    }
}

#[test]
fn subscriber_that_never_acknowledges_delays_an_edit_no_longer_than_it_may() {
    let store = Store::new();
    let dns = store.dns();
    let (mut admin, mut mute, mut agent) = (connect(&dns), connect(&dns), connect(&dns));
    mute.subscribe(&[unknown(1)]);
    mute.route();
    agent.subscribe(&[unknown(1)]);
    agent.route();
    let agent = std::thread::spawn(move || {
        let pushed = agent.route();
        (agent, pushed)
    });
    let started = Instant::now();
    let edited = admin.edit(&[put(1, 1)]);
    let took = started.elapsed();
    assert_eq!(edited.unconfirmed, 1);
    assert!(
        (CONFIRM_MAX..Duration::from_secs(2)).contains(&took),
        "it took {took:?}"
    );
    let (_agent, pushed) = agent.join().expect("the other agent heard");
    assert_eq!(pushed.nodes(), [node(1)]);
}

#[test]
fn connection_that_closes_is_not_waited_for() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    // On a slow machine a single try may take as long as a vain wait.
    let quick = (1..20).any(|last| {
        let mut agent = connect(&dns);
        agent.subscribe(&[unknown(1)]);
        agent.route();
        let started = Instant::now();
        admin.send(
            &EditRoutes {
                edits: vec![put(1, last)],
            },
            5,
        );
        agent.route_unacknowledged();
        drop(agent);
        let edited: Edited = admin.next().decode();
        edited.unconfirmed == 0 && started.elapsed() < CONFIRM_MAX
    });
    assert!(quick);
}

#[test]
fn five_hundred_edits_are_one_transaction() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    let edits: Vec<RouteEdit> = (0..512).map(|place| put(place % 8, 1 + place)).collect();
    let edited = admin.edit(&edits);
    assert_eq!((edited.put, edited.removed, edited.unconfirmed), (512, 0, 0));
    let rows: u64 = store
        .foreign()
        .query_row("SELECT COUNT(DISTINCT version) FROM RouteChange", [], |row| {
            row.get(0)
        })
        .expect("change rows");
    assert_eq!((rows, admin.count("modules"), admin.count("nodes")), (1, 8, 512));
    let again = admin.edit(&edits);
    assert_eq!(
        (again.put, again.version),
        (0, edited.version),
        "what is there already changes nothing"
    );
}

#[test]
fn edit_that_the_store_refuses_changes_nothing() {
    let store = Store::new();
    store.fill(1, 16_384);
    let dns = store.dns();
    let mut admin = connect(&dns);
    let mut refused = connect(&dns);
    refused.send(
        &EditRoutes {
            edits: vec![put(2, 1), put(1, 16_385)],
        },
        5,
    );
    let refusal: Refusal = refused.next().decode();
    assert_eq!(refusal.reason, Reason::Malformed);
    assert!(refusal.text.contains("16384"), "{}", refusal.text);
    assert!(refused.try_next().is_none(), "the connection is closed behind it");
    assert_eq!((admin.count("nodes"), admin.count("modules")), (16_384, 1));
    assert_eq!(connect(&dns).get_route(1).nodes().len(), 16_384);
}

#[test]
fn listing_gives_every_row_in_order() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    for first in (0..1_200).step_by(400) {
        admin.edit(
            &(first..first + 400)
                .map(|place| put(place / 3, 1 + place))
                .collect::<Vec<_>>(),
        );
    }
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = admin.list(ListRoutes { module: None, after });
        rows.extend(page.rows.iter().map(|row| (row.module, row.node)));
        after = rows.last().copied();
        if !page.more {
            break;
        }
    }
    assert_eq!(
        rows,
        (0..1_200)
            .map(|place| (module(place / 3), node(1 + place)))
            .collect::<Vec<_>>()
    );
    let one = admin.list(ListRoutes {
        module: Some(module(7)),
        after: None,
    });
    assert_eq!(
        one.rows.iter().map(|row| row.node).collect::<Vec<_>>(),
        [node(22), node(23), node(24)]
    );
}

#[test]
fn removing_what_is_not_there_is_no_change() {
    let store = Store::new();
    let dns = store.dns();
    let edited = connect(&dns).edit(&[remove(1, 1)]);
    assert_eq!((edited.put, edited.removed), (0, 0));
}

#[test]
fn routes_are_there_after_a_restart() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&[put(1, 1), put(2, 2)]);
    dns.stop();
    let dns = store.dns();
    assert_eq!(connect(&dns).get_route(2).nodes(), [node(2)]);
}

#[test]
fn edits_of_many_at_once_are_all_there_in_the_end() {
    let store = Store::new();
    let dns = store.dns_with(|config| config.cores = 2);
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let mut admin = connect(&dns);
            std::thread::spawn(move || {
                for place in 0..10 {
                    assert_eq!(admin.edit(&[put(1, 1 + writer * 10 + place)]).put, 1);
                }
            })
        })
        .collect();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    let mut held = agent.route();
    while held.nodes().len() < 60 {
        held = agent.route();
    }
    for writer in writers {
        writer.join().expect("every edit was stored");
    }
    assert_eq!(connect(&dns).get_route(1).hash, held.hash);
}

#[test]
fn ping_is_answered_behind_what_was_asked_before() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    agent.send(&Ping { echo: 77 }, 3);
    agent.route();
    assert_eq!(agent.next().decode::<Pong>(), Pong { echo: 77 });
}
