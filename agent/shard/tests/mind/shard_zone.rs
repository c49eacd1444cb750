//! Own zone first: the order in which nodes stand on the board, and that it follows their states.

use crate::routes::{addr, news};
use lars_board::EntryNode;
use lars_shard::{PolicyConfig, PolicyName, Shard, ShardConfig, ZonePreference};
use lars_wire::caller::{NodeView, Outcome, Report};
use lars_wire::{ModuleId, NodeAddr, Route, RouteNode};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use NodeView::{Idle, Overloaded};

const A: ModuleId = ModuleId::new(1, 1);

/// Nodes 1 and 2 far, 3 and 4 near.
fn shard(now: Instant, usable_percent: u8) -> Shard {
    let policy = PolicyConfig {
        name: Some(PolicyName::Classic),
        ..PolicyConfig::default()
    };
    let config = ShardConfig {
        policy,
        module_policies: HashMap::new(),
        modules_max: 10,
        module_idle: Duration::from_hours(1),
        not_found_memory: Duration::from_secs(1),
    };
    let mut shard = Shard::new(config, 1);
    shard.prefer_zone(ZonePreference {
        zone: "near".into(),
        usable_percent,
    });
    let zoned = (1..=4).map(|last| RouteNode {
        zone: if last > 2 { "near" } else { "far" }.into(),
        ..RouteNode::new(addr(last))
    });
    let route = Arc::new(Route::new(zoned.collect()));
    shard.learn(now, &news(A, 1, &route), &mut Vec::new());
    shard
}

fn board(shard: &mut Shard) -> Vec<(NodeAddr, NodeView)> {
    let mut nodes: Vec<EntryNode> = Vec::new();
    shard.entry(A, &mut nodes).expect("the module is known");
    nodes.iter().map(|node| (node.addr, node.view)).collect()
}

/// Idle nodes that are kept in reserve.
fn reserve(shard: &mut Shard) -> Vec<NodeAddr> {
    let mut nodes: Vec<EntryNode> = Vec::new();
    shard.entry(A, &mut nodes).expect("the module is known");
    let kept = nodes.iter().filter(|node| node.in_reserve);
    kept.map(|node| node.addr).collect()
}

fn fail(shard: &mut Shard, now: Instant, node: u32) {
    let report = Report {
        module: A,
        node: addr(node),
        token: 0,
        outcome: Outcome::Failed,
        retcode: 1,
        latency_us: 10,
    };
    for _ in 0..15 {
        shard.report(now, &report, &mut Vec::new());
    }
}

#[test]
fn far_nodes_stand_in_reserve_behind_what_is_probed_while_near_ones_suffice() {
    let now = Instant::now();
    let mut shard = shard(now, 50);
    let [far1, far2, near3, near4] = [1, 2, 3, 4].map(addr);
    assert_eq!(
        board(&mut shard),
        [(near3, Idle), (near4, Idle), (far1, Idle), (far2, Idle)]
    );
    assert_eq!(
        reserve(&mut shard),
        [far1, far2],
        "none is overloaded between them"
    );
    fail(&mut shard, now, 4);
    assert_eq!(
        board(&mut shard),
        [(near3, Idle), (near4, Overloaded), (far1, Idle), (far2, Idle)],
        "half is enough"
    );
    fail(&mut shard, now, 3);
    assert_eq!(
        board(&mut shard),
        [
            (far1, Idle),
            (far2, Idle),
            (near3, Overloaded),
            (near4, Overloaded)
        ]
    );
    assert_eq!(reserve(&mut shard), []);
    // Back after their time: near ones first again.
    let later = now + Duration::from_secs(15);
    shard.due(later, &lars_shard::Uncounted, &mut Vec::new());
    assert_eq!(
        board(&mut shard),
        [(near3, Idle), (near4, Idle), (far1, Idle), (far2, Idle)]
    );
}

#[test]
fn all_are_used_alike_once_near_ones_are_too_few() {
    let now = Instant::now();
    let mut shard = shard(now, 51);
    fail(&mut shard, now, 4);
    let [far1, far2, near3, near4] = [1, 2, 3, 4].map(addr);
    assert_eq!(
        board(&mut shard),
        [(far1, Idle), (far2, Idle), (near3, Idle), (near4, Overloaded)]
    );
}
