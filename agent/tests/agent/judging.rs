//! Nodes that fail, under the classic rule unless said otherwise: overloaded, probed, and used again when they answer.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_shard::PolicyConfig;
use lars_wire::ModuleId;
use lars_wire::caller::{Node, NodeView, Outcome, Status};

over_both!(
    fifteen_failures_overload_a_node_and_it_is_probed,
    module_whose_only_node_fails_is_overloaded_but_for_probes,
    node_that_answers_its_probes_takes_picks_again,
    adaptive_ejects_after_five_failures_and_takes_back_after_one_answered_probe,
);

fn registered(house: &House, core: u16, nodes: &[&str]) -> (ModuleId, Caller) {
    let (module, mut caller) = (module_of(core, 0), house.caller_of(0));
    house.dns().put(module, nodes);
    caller.register(module, 10_000);
    (module, caller)
}

/// Waits until the agent sees the node so.
fn wait_view(caller: &mut Caller, module: ModuleId, addr: &str, view: NodeView) {
    eventually("a node's state", || {
        let explanation = caller.explain(module);
        let line = explanation.nodes.iter().find(|line| line.node == node(addr));
        line.is_some_and(|line| line.view == view)
    });
}

fn fifteen_failures_overload_a_node_and_it_is_probed(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let (module, mut caller) = registered(&house, core, &["10.0.0.1:80", "10.0.0.2:80"]);
        let bad = node("10.0.0.2:80");
        caller.report(module, bad, Outcome::Failed, 14);
        assert_eq!(caller.explain(module).nodes[1].view, NodeView::Idle);
        caller.report(module, bad, Outcome::Failed, 1);
        wait_view(&mut caller, module, "10.0.0.2:80", NodeView::Overloaded);
        let explanation = caller.explain(module);
        assert_eq!((explanation.status, explanation.total), (Status::Ok, 2));
        assert!(!explanation.nodes[1].reason.is_empty());
        // One pick in eleven probes it.
        let to_bad = (0..110).filter(|_| caller.pick(module).node == bad).count();
        assert_eq!(to_bad, 10);
    }
}

fn module_whose_only_node_fails_is_overloaded_but_for_probes(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let (module, mut caller) = registered(&house, core, &["10.0.0.1:80"]);
        caller.report(module, node("10.0.0.1:80"), Outcome::TimedOut, 15);
        wait_view(&mut caller, module, "10.0.0.1:80", NodeView::Overloaded);
        let picks: Vec<Node> = (0..20).map(|_| caller.pick(module)).collect();
        let probes = picks.iter().filter(|picked| picked.status == Status::Ok).count();
        let refused = picks
            .iter()
            .filter(|picked| picked.status == Status::Overloaded)
            .count();
        assert_eq!((probes + refused, probes > 0, refused > 0), (20, true, true));
    }
}

fn node_that_answers_its_probes_takes_picks_again(io: IoChoice) {
    let house = House::ready(io);
    for core in [0, 1] {
        let (module, mut caller) = registered(&house, core, &["10.0.0.1:80", "10.0.0.2:80"]);
        let bad = node("10.0.0.2:80");
        caller.report(module, bad, Outcome::Failed, 15);
        wait_view(&mut caller, module, "10.0.0.2:80", NodeView::Overloaded);
        let mut picks = 0;
        while caller.explain(module).nodes[1].view != NodeView::Idle {
            let picked = caller.pick(module);
            caller.succeed(module, &picked, 100);
            picks += 1;
            assert!(picks < 1_000, "15 answered probes in a row are enough");
        }
        let to_it = (0..100).filter(|_| caller.pick(module).node == bad).count();
        assert_eq!(to_it, 50);
    }
}

fn adaptive_ejects_after_five_failures_and_takes_back_after_one_answered_probe(io: IoChoice) {
    let mut house = House::new(io);
    house.policy = PolicyConfig {
        back_off_ms: Some(50),
        probe_share: Some(1.0),
        ..PolicyConfig::default()
    };
    house.start();
    for core in [0, 1] {
        let (module, mut caller) = registered(&house, core, &["10.0.0.1:80", "10.0.0.2:80"]);
        let (good, bad) = (node("10.0.0.1:80"), node("10.0.0.2:80"));
        caller.report(module, good, Outcome::Ok, 5);
        caller.report(module, bad, Outcome::Ok, 5);
        caller.report(module, bad, Outcome::Failed, 5);
        wait_view(&mut caller, module, "10.0.0.2:80", NodeView::Overloaded);
        let explanation = caller.explain(module);
        assert_eq!(explanation.policy, "adaptive");
        let line = &explanation.nodes[1];
        assert!(line.reason.starts_with("5 failures in a row"), "{}", line.reason);
        assert!(line.next_probe_ms.is_none_or(|ms| ms <= 55), "{line:?}");
        // Some pick is granted the probe, whichever core serves it.
        eventually("the node is back", || {
            let picked = caller.pick(module);
            assert_eq!(picked.status, Status::Ok);
            caller.succeed(module, &picked, 1_000);
            caller.explain(module).nodes[1].view == NodeView::Idle
        });
        let reason = &caller.explain(module).nodes[1].reason;
        assert_eq!(reason, "a probe was answered");
    }
}
