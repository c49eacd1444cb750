//! Changes of nodes' states: listed by the agent, and brought to report once each, whatever breaks on the way.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_shard::{PolicyConfig, PolicyName};
use lars_wire::ModuleId;
use lars_wire::caller::{NodeView, Outcome};
use lars_wire::event::{ChangeRows, ListChanges, StateChange};

over_both!(changes_of_both_cores_are_listed_and_stored_once_although_connections_break);

fn list(caller: &mut Caller, module: Option<ModuleId>) -> ChangeRows {
    caller.ask(&ListChanges { module })
}

fn told(changes: &[StateChange]) -> Vec<(ModuleId, NodeView, NodeView)> {
    changes
        .iter()
        .map(|change| (change.module, change.from, change.to))
        .collect()
}

fn changes_of_both_cores_are_listed_and_stored_once_although_connections_break(io: IoChoice) {
    let mut house = House::new(io);
    house.policy = PolicyConfig {
        name: Some(PolicyName::Classic),
        ..PolicyConfig::default()
    };
    house.start();
    house.report.lose_changes(1);
    let modules = [module_of(0, 0), module_of(1, 0)];
    let mut caller = house.caller_of(0);
    let bad = node("10.0.0.2:80");
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80", "10.0.0.2:80"]);
        caller.register(module, 10_000);
        caller.report(module, bad, Outcome::Failed, 15);
        eventually("the change is listed", || {
            !list(&mut caller, Some(module)).changes.is_empty()
        });
    }
    let all = list(&mut caller, None);
    assert_eq!((all.total, all.lost), (2, 0));
    let out = |module| (module, NodeView::Idle, NodeView::Overloaded);
    assert_eq!(told(&all.changes), [out(modules[1]), out(modules[0])]);
    let of_one = list(&mut caller, Some(modules[0]));
    assert_eq!((of_one.total, told(&of_one.changes)), (2, vec![out(modules[0])]));
    let change = &of_one.changes[0];
    assert_eq!((change.number, change.node), (1, bad));
    assert!(change.reason.contains("15 failures"), "{}", change.reason);
    assert_eq!(
        told(&house.report.wait_changes(2)),
        [out(modules[0]), out(modules[1])]
    );

    // A node that is back is a change as well.
    while caller.explain(modules[0]).nodes[1].view != NodeView::Idle {
        caller.report(modules[0], bad, Outcome::Ok, 5);
    }
    let stored = house.report.wait_changes(3);
    assert_eq!(
        told(&stored[2..]),
        [(modules[0], NodeView::Overloaded, NodeView::Idle)]
    );
    assert_eq!(
        list(&mut caller, Some(modules[1])).changes.len(),
        1,
        "the other module's stay its own"
    );
}
