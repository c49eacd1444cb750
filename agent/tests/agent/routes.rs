//! Routes that change: seen by the next pick once dns has heard that they are, and repaired when a push is lost.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::caller::{GetRoute, Status};
use lars_wire::directory::RoutePage;
use lars_wire::{ModuleId, NodeAddr};
use std::time::{Duration, Instant};

over_both!(
    push_is_acknowledged_only_after_every_core_picks_from_it,
    delta_changes_the_route_like_the_whole_would,
    route_that_went_away_is_not_found,
    lost_push_is_repaired_by_the_digest,
    change_made_while_dns_was_away_is_learnt_after_it,
    suddenly_shrunken_route_is_held_back_until_it_is_explained,
    route_of_many_pages_is_whole,
    many_long_routes_asked_for_at_once_are_all_answered,
    picks_are_answered_between_long_routes_that_nobody_reads,
    callers_that_read_no_routes_hold_no_more_than_the_agent_allows,
);

/// Nodes that this many picks find, in order of address.
fn picked(caller: &mut Caller, module: ModuleId, picks: usize) -> Vec<NodeAddr> {
    let mut nodes: Vec<_> = (0..picks).map(|_| caller.pick(module).node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn push_is_acknowledged_only_after_every_core_picks_from_it(io: IoChoice) {
    let house = House::ready(io);
    let modules = [module_of(0, 0), module_of(1, 0)];
    let mut callers = [house.caller_of(0), house.caller_of(1)];
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80"]);
        callers[0].register(module, 10_000);
    }
    for round in 2..=200u32 {
        let addr = format!("10.0.0.{round}:80");
        for module in modules {
            let version = house.dns().put(module, &[&addr]);
            house.dns().wait_ack(module, version);
            for caller in &mut callers {
                let picked = caller.pick(module);
                assert_eq!((picked.node, picked.version), (node(&addr), version));
            }
        }
    }
}

fn delta_changes_the_route_like_the_whole_would(io: IoChoice) {
    let house = House::ready(io);
    house.dns().state().deltas = true;
    let (module, mut caller) = (module_of(1, 0), house.caller_of(0));
    let all: Vec<String> = (1..=20).map(|last| format!("10.0.0.{last}:80")).collect();
    let some = |range: std::ops::Range<usize>| all[range].iter().map(String::as_str).collect::<Vec<_>>();
    house.dns().put(module, &some(0..18));
    caller.register(module, 10_000);
    for range in [0..19, 2..20, 1..17] {
        let version = house.dns().put(module, &some(range.clone()));
        house.dns().wait_ack(module, version);
        let wanted: Vec<_> = some(range).into_iter().map(node).collect();
        assert_eq!(picked(&mut caller, module, 20), wanted);
    }
}

fn route_that_went_away_is_not_found(io: IoChoice) {
    let house = House::ready(io);
    let (module, mut caller) = (module_of(1, 0), house.caller_of(0));
    house.dns().put(module, &["10.0.0.1:80"]);
    caller.register(module, 10_000);
    let version = house.dns().put(module, &[]);
    house.dns().wait_ack(module, version);
    assert_eq!(caller.pick_within(module, 10_000).status, Status::NotFound);
    assert_eq!(caller.route(module, 0).0.status, Status::NotFound);
}

fn lost_push_is_repaired_by_the_digest(io: IoChoice) {
    let mut house = House::new(io);
    house.config.digest_interval_s = 1;
    house.start();
    let (module, mut caller) = (module_of(0, 0), house.caller());
    house.dns().put(module, &["10.0.0.1:80"]);
    caller.register(module, 10_000);
    house.dns().state().mute = true;
    let version = house.dns().put(module, &["10.0.0.2:80"]);
    house.dns().wait_ack(module, version);
    assert!(house.dns().state().digests > 0);
    assert_eq!(caller.pick(module).node, node("10.0.0.2:80"));
}

fn change_made_while_dns_was_away_is_learnt_after_it(io: IoChoice) {
    let house = House::ready(io);
    let (module, mut caller) = (module_of(0, 0), house.caller());
    house.dns().put(module, &["10.0.0.1:80"]);
    caller.register(module, 10_000);
    house.dns().state().mute = true;
    let version = house.dns().put(module, &["10.0.0.2:80"]);
    house.dns().state().mute = false;
    house.dns().cut();
    house.dns().wait_ack(module, version);
    assert_eq!(caller.pick(module).node, node("10.0.0.2:80"));
}

fn suddenly_shrunken_route_is_held_back_until_it_is_explained(io: IoChoice) {
    let house = House::ready(io);
    let (module, mut caller) = (module_of(1, 0), house.caller_of(0));
    let nodes = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
    house.dns().put(module, &nodes);
    caller.register(module, 10_000);
    house.dns().state().unexplained = true;
    let version = house.dns().put(module, &[]);
    house.dns().wait_ack(module, version);
    assert_eq!(picked(&mut caller, module, 20), nodes.map(node));
    let held = |house: &House| {
        let counts = house.agent().status().counts;
        counts
            .iter()
            .any(|(name, count)| name == "held_routes" && *count == 1)
    };
    eventually("it is shown", || held(&house));
    house.dns().state().unexplained = false;
    let version = house.dns().put(module, &nodes[..1]);
    house.dns().wait_ack(module, version);
    assert_eq!(picked(&mut caller, module, 20), [node(nodes[0])]);
    eventually("it is shown no more", || !held(&house));
}

fn many_nodes(count: u32) -> Vec<NodeAddr> {
    (0..count)
        .map(|number| NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80))
        .collect()
}

fn route_of_many_pages_is_whole(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let (module, mut caller) = (module_of(core, 0), house.caller_of(0));
        house.dns().put_route(module, many_nodes(10_000));
        let (first, route) = caller.route(module, 10_000);
        assert_eq!((first.status, first.total), (Status::Ok, 10_000));
        assert_eq!(first.hash, route.content_hash());
        assert_eq!(picked(&mut caller, module, 10_000).len(), 10_000);
    }
}

fn many_long_routes_asked_for_at_once_are_all_answered(io: IoChoice) {
    const QUESTIONS: u32 = 100;
    let house = House::ready(io);
    let modules = [module_of(0, 0), module_of(1, 0)];
    let mut caller = house.caller_of(0);
    for module in modules {
        house.dns().put_route(module, many_nodes(5_000));
        caller.register(module, 10_000);
    }
    // Twelve megabytes of answers: more than the agent lets stand for one caller.
    for question in 0..QUESTIONS {
        let module = modules[question as usize % 2];
        caller.send(&GetRoute {
            module,
            deadline_ms: 0,
        });
    }
    let mut nodes = 0;
    while nodes < QUESTIONS as usize * 5_000 {
        let page: RoutePage = caller.receive().expect("a page").decode();
        assert_eq!(page.status, Status::Ok);
        nodes += page.nodes.len();
    }
    eventually("nothing waits", || house.agent().stats().connections() == 1);
    caller.ping();
}

fn picks_are_answered_between_long_routes_that_nobody_reads(io: IoChoice) {
    let house = House::ready(io);
    let module = module_of(0, 0);
    house.dns().put_route(module, many_nodes(10_000));
    let mut picker = house.caller_of(0);
    picker.register(module, 10_000);
    let mut silent: Vec<Caller> = (0..50).map(|_| house.caller_of(0)).collect();
    for caller in &mut silent {
        for _ in 0..20 {
            caller.send(&GetRoute {
                module,
                deadline_ms: 0,
            });
        }
    }
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(picker.pick(module).status, Status::Ok);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

fn callers_that_read_no_routes_hold_no_more_than_the_agent_allows(io: IoChoice) {
    const DEAF: usize = 60;
    let mut house = House::new(io);
    house.config.unsent_max_mib = 4;
    house.start();
    let module = module_of(0, 0);
    house.dns().put_route(module, many_nodes(16_000));
    let mut picker = house.caller_of(0);
    picker.register(module, 10_000);
    // Twenty-two megabytes, of which each socket takes some two hundred kilobytes.
    let mut deaf: Vec<Caller> = (0..DEAF).map(|_| house.caller_of(0)).collect();
    for caller in &mut deaf {
        caller.send(&GetRoute {
            module,
            deadline_ms: 0,
        });
    }
    let unsent = || house.scraped("lars_pool_unsent_bytes{service=\"agent\"}");
    let mut most = 0;
    eventually("those that hold most are closed", || {
        let asked = Instant::now();
        assert_eq!(picker.pick(module).status, Status::Ok);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        most = most.max(unsent());
        house.scraped("lars_pool_connections_closed_crowding_total{service=\"agent\"}") >= 5
    });
    assert!(most <= 4 << 20, "{most} bytes waited on one core");
    assert_eq!(picker.route(module, 0).0.total, 16_000);
}
