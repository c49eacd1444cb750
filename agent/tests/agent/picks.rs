//! A module nobody asked for before: pending, then there; registered, waited for, not found.

use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::admin::{GetStatus, LinkState, StatusText};
use lars_wire::caller::{Pick, Registered, Status};
use lars_wire::{Kind, ModuleId};
use std::time::{Duration, Instant};

over_both!(
    first_pick_is_pending_and_a_later_one_finds_the_node,
    pick_with_a_deadline_waits_for_the_first_route,
    register_waits_for_the_first_route,
    unknown_module_is_not_found_and_added_later_it_is_there_at_once,
    deadline_passes_where_dns_is_silent,
    ipv6_nodes_are_picked_and_reported,
    nodes_to_avoid_are_passed_over,
    status_tells_counts_and_links,
);

fn first_pick_is_pending_and_a_later_one_finds_the_node(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let module = module_of(core, 0);
        house.dns().put(module, &["10.0.0.1:80"]);
        let mut caller = house.caller_of(0);
        assert_eq!(caller.pick(module).status, Status::Pending);
        eventually("the node", || caller.pick(module).status == Status::Ok);
        let picked = caller.pick(module);
        assert_eq!(
            (picked.node, picked.version),
            (node("10.0.0.1:80"), u64::from(core) + 1)
        );
        assert_ne!(picked.token, 0);
    }
}

fn pick_with_a_deadline_waits_for_the_first_route(io: IoChoice) {
    let house = House::ready(io);
    for (core, asked) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let module = module_of(core, asked.into());
        house.dns().put(module, &["10.0.0.1:80"]);
        let picked = house.caller_of(asked).pick_within(module, 10_000);
        assert_eq!((picked.status, picked.node), (Status::Ok, node("10.0.0.1:80")));
    }
    assert_eq!(house.agent().stats().picks(Status::Ok), 4);
    assert_eq!(house.agent().stats().picks(Status::Pending), 0);
}

fn register_waits_for_the_first_route(io: IoChoice) {
    let house = House::ready(io);
    let (here, there) = (module_of(0, 0), module_of(1, 0));
    let mut caller = house.caller_of(0);
    for module in [here, there] {
        let version = house.dns().put(module, &["10.0.0.1:80"]);
        let registered = Registered {
            status: Status::Ok,
            version,
        };
        assert_eq!(caller.register(module, 10_000), registered);
        assert_eq!(caller.pick(module).status, Status::Ok);
        // Once it is known, nobody waits.
        assert_eq!(caller.register(module, 0), registered);
    }
}

fn unknown_module_is_not_found_and_added_later_it_is_there_at_once(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let module = module_of(core, 0);
        let mut caller = house.caller_of(0);
        assert_eq!(caller.pick_within(module, 10_000).status, Status::NotFound);
        // Remembered by the owner: nobody waits for it again.
        assert_eq!(caller.register(module, 10_000).status, Status::NotFound);
        let version = house.dns().put(module, &["10.0.0.9:80"]);
        if house.dns().subscribed(module) {
            house.dns().wait_ack(module, version);
            assert_eq!(caller.pick(module).node, node("10.0.0.9:80"));
        }
        // Forgotten after a second, it is asked for anew, so it is found in either case.
        assert_eq!(caller.pick_within(module, 10_000).node, node("10.0.0.9:80"));
    }
    let forgotten = ModuleId::new(9, 9);
    assert_eq!(
        house.caller().pick_within(forgotten, 10_000).status,
        Status::NotFound
    );
    house.dns().wait("the not-found module to be forgotten", |state| {
        !state.is_subscribed(forgotten)
    });
    assert_eq!(house.agent().stats().modules(), 2);
}

fn deadline_passes_where_dns_is_silent(io: IoChoice) {
    let mut house = House::ready(io);
    house.dns = None;
    let mut caller = house.caller_of(0);
    for core in [0, 1] {
        let started = Instant::now();
        let answer = caller.register(module_of(core, 0), 50);
        assert_eq!(answer.status, Status::Pending);
        assert!(started.elapsed() >= Duration::from_millis(50));
        assert_eq!(caller.pick_within(module_of(core, 0), 50).status, Status::Pending);
    }
    // One that does not wait overtakes one that does: answers carry the question's sequence.
    let waits = caller.send(&Pick {
        deadline_ms: 200,
        ..Pick::new(module_of(1, 0))
    });
    caller.ping();
    let answer = caller.receive().expect("an answer");
    assert_eq!((answer.kind, answer.sequence), (Kind::Node, waits));
}

fn ipv6_nodes_are_picked_and_reported(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let module = module_of(core, 0);
        house.dns().put(module, &["[2001:db8::1]:443"]);
        let mut caller = house.caller_of(1);
        let picked = caller.pick_within(module, 10_000).node;
        assert_eq!(picked, node("[2001:db8::1]:443"));
        assert_eq!(caller.route(module, 0).1.nodes()[0].addr, picked);
        caller.report(module, picked, lars_wire::caller::Outcome::Ok, 3);
        house.report.wait_sum(module, picked, [3, 0, 0, 0]);
    }
}

fn nodes_to_avoid_are_passed_over(io: IoChoice) {
    let house = House::ready(io);
    let module = module_of(0, 0);
    house
        .dns()
        .put(module, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    let mut caller = house.caller();
    caller.register(module, 10_000);
    let mut pick = Pick::new(module);
    for avoided in ["10.0.0.1:80", "10.0.0.3:80"] {
        assert!(pick.avoid.push(node(avoided)));
    }
    for _ in 0..10 {
        let picked: lars_wire::caller::Node = caller.ask(&pick);
        assert_eq!(picked.node, node("10.0.0.2:80"));
    }
}

fn status_tells_counts_and_links(io: IoChoice) {
    let house = House::ready(io);
    let module = module_of(0, 0);
    house.dns().put(module, &["10.0.0.1:80"]);
    let (mut caller, _other) = (house.caller(), house.caller());
    assert_eq!(
        caller
            .welcome
            .as_ref()
            .map(|welcome| (welcome.version, welcome.sockets)),
        Some((1, 2))
    );
    caller.register(module, 10_000);
    let mut status = || caller.ask::<_, StatusText>(&GetStatus { version: 1 });
    let count = |status: &StatusText, name| {
        status
            .counts
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, count)| *count)
    };
    eventually("both counts", || {
        let status = status();
        (count(&status, "modules"), count(&status, "connections")) == (Some(1), Some(2))
    });
    eventually("both links", || {
        status().links.iter().all(|link| link.state == LinkState::Up)
    });
    let status = status();
    assert_eq!(status.service, "agent");
    assert_eq!(status.io, format!("{io:?}").to_lowercase());
    assert_eq!(status.io_reason, house.agent().io().reason);
    let to: Vec<_> = status
        .links
        .iter()
        .map(|link| (link.to.as_str(), link.addr.as_str()))
        .collect();
    assert_eq!(
        to,
        [
            ("dns", house.config.dns[0].as_str()),
            ("report", house.config.report[0].as_str())
        ]
    );
}
