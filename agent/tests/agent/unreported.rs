//! Calls without a report: they count as in flight for a while, and then no more; their nodes stay in use.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::caller::{NodeView, Status};
use lars_wire::{ModuleId, NodeAddr};
use std::time::Duration;

over_both!(pick_whose_report_never_comes_is_forgotten_and_its_node_stays_in_use);
over_both!(node_that_alone_loses_reports_is_neither_hidden_nor_taken_out);

/// Calls in flight of all nodes, as the agent counts them.
fn in_flight(caller: &mut Caller, module: ModuleId) -> u32 {
    let explanation = caller.explain(module);
    explanation.nodes.iter().map(|line| line.in_flight).sum()
}

/// How each node is seen.
fn views(caller: &mut Caller, module: ModuleId) -> Vec<NodeView> {
    let explanation = caller.explain(module);
    explanation.nodes.iter().map(|line| line.view).collect()
}

/// Calls that all go well, one behind the other: `is_lost` says of which no report is sent. Returns the nodes.
fn call(
    caller: &mut Caller,
    module: ModuleId,
    calls: u32,
    mut is_lost: impl FnMut(NodeAddr) -> bool,
) -> Vec<NodeAddr> {
    let each = (0..calls).map(|_| {
        let picked = caller.pick(module);
        assert_eq!(picked.status, Status::Ok);
        if !is_lost(picked.node) {
            caller.succeed(module, &picked, 1_000);
        }
        caller.ping();
        std::thread::sleep(Duration::from_millis(2));
        picked.node
    });
    each.collect()
}

fn pick_whose_report_never_comes_is_forgotten_and_its_node_stays_in_use(io: IoChoice) {
    let mut house = House::new(io);
    house.config.call_bound_ms = 200;
    house.policy = lars_shard::PolicyConfig::default();
    house.start();
    let module = module_of(0, 0);
    house.dns().put(module, &["10.0.0.1:80", "10.0.0.2:80"]);
    let mut caller = house.caller_of(0);
    caller.register(module, 10_000);
    for _ in 0..20 {
        assert_eq!(caller.pick(module).status, Status::Ok);
    }
    assert_eq!(in_flight(&mut caller, module), 20);
    eventually("they are forgotten", || in_flight(&mut caller, module) == 0);

    // From now on every third call is never reported, to whichever node it went.
    let mut round = 0_u32;
    let nodes = call(&mut caller, module, 600, |_| {
        round += 1;
        round.is_multiple_of(3)
    });
    assert_eq!(
        views(&mut caller, module),
        [NodeView::Idle; 2],
        "neither is taken out"
    );
    let first = nodes[400..]
        .iter()
        .filter(|&&each| each == node("10.0.0.1:80"))
        .count();
    assert!((50..=150).contains(&first), "neither is hidden: {first} of 200");
    eventually("the last ones are forgotten too", || {
        in_flight(&mut caller, module) == 0
    });
}

fn node_that_alone_loses_reports_is_neither_hidden_nor_taken_out(io: IoChoice) {
    let mut house = House::new(io);
    house.policy = lars_shard::PolicyConfig::default();
    house.start();
    let module = module_of(0, 0);
    let nodes = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    house.dns().put(module, &nodes);
    let mut caller = house.caller_of(0);
    caller.register(module, 10_000);
    let mut calls = 0_u32;
    // Of 300 calls a hundred are fair.
    let mut share_of_lossy = || {
        let picked = call(&mut caller, module, 300, |to| {
            let lossy = to == node(nodes[0]);
            calls += u32::from(lossy);
            lossy && calls.is_multiple_of(3)
        });
        picked.iter().filter(|&&each| each == node(nodes[0])).count()
    };
    // The first one that is lost looks like a call that hangs: for some seconds the node stands back.
    eventually("the node is used again", || share_of_lossy() >= 25);
    let share = share_of_lossy();
    assert!(share >= 25, "and goes on to be used: {share}");
    assert_eq!(views(&mut caller, module), [NodeView::Idle; 3]);
}
