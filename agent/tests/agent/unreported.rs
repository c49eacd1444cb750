//! Calls without a report: they count as in flight for a while, and then no more; their nodes stay in use.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::ModuleId;
use lars_wire::caller::{NodeView, Outcome, Report, Status};

over_both!(pick_whose_report_never_comes_is_forgotten_and_its_node_stays_in_use);

/// Calls in flight of all nodes, as the agent counts them.
fn in_flight(caller: &mut Caller, module: ModuleId) -> u32 {
    let explanation = caller.explain(module);
    explanation.nodes.iter().map(|line| line.in_flight).sum()
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
    let mut last = [0_u32; 2];
    for round in 0..600_u32 {
        let picked = caller.pick(module);
        assert_eq!(picked.status, Status::Ok);
        if round >= 400 {
            last[usize::from(picked.node == node("10.0.0.1:80"))] += 1;
        }
        if !round.is_multiple_of(3) {
            caller.send(&Report {
                module,
                node: picked.node,
                token: picked.token,
                outcome: Outcome::Ok,
                retcode: 0,
                latency_us: 1_000,
            });
        }
        caller.ping();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let views: Vec<NodeView> = caller
        .explain(module)
        .nodes
        .iter()
        .map(|line| line.view)
        .collect();
    assert_eq!(views, [NodeView::Idle, NodeView::Idle], "neither is taken out");
    assert!(
        last.iter().all(|&picks| picks >= 50),
        "neither is hidden: {last:?}"
    );
    eventually("the last ones are forgotten too", || {
        in_flight(&mut caller, module) == 0
    });
}
