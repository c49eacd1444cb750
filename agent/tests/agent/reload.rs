//! Policies that change while the agent runs.

use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_shard::{PolicyConfig, PolicyName};
use lars_wire::caller::{NodeView, Outcome, Status};
use std::collections::HashMap;

over_both!(policies_change_on_every_core_and_routes_and_states_stay);

fn classic(contin_err_limit: u32) -> PolicyConfig {
    PolicyConfig {
        name: Some(PolicyName::Classic),
        contin_err_limit: Some(contin_err_limit),
        // Only runs of failures count here.
        err_rate: Some(1.0),
        ..PolicyConfig::default()
    }
}

fn policies_change_on_every_core_and_routes_and_states_stay(io: IoChoice) {
    let mut house = House::new(io);
    house.policy = classic(10);
    house.start();
    let modules = [module_of(0, 0), module_of(1, 0), module_of(0, 1)];
    let mut caller = house.caller_of(0);
    let bad = node("10.0.0.2:80");
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80", "10.0.0.2:80"]);
        caller.register(module, 10_000);
    }
    caller.report(modules[0], bad, Outcome::Failed, 10);
    caller.report(modules[1], bad, Outcome::Failed, 3);
    caller.report(modules[2], bad, Outcome::Failed, 3);
    house
        .agent()
        .policies()
        .set(&classic(3), HashMap::from([(modules[2], classic(1_000))]));
    // What was counted before is judged with the next call.
    for (module, expected) in modules.into_iter().zip([true, true, false]) {
        let mut caller = house.caller_of(1);
        let mut reported = 0;
        eventually("the new limit judges", || {
            let view = caller.explain(module).nodes[1].view;
            if view != NodeView::Overloaded {
                caller.report(module, bad, Outcome::Failed, 1);
                reported += 1;
            }
            view == NodeView::Overloaded || reported == 100
        });
        assert_eq!(
            caller.explain(module).nodes[1].view == NodeView::Overloaded,
            expected,
            "module {module}"
        );
        assert_eq!(caller.pick(module).status, Status::Ok, "the route is kept");
    }
}
