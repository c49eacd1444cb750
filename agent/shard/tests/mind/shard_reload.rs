//! Other policies while a shard runs: what is kept, what begins anew, and what readers are told.

use crate::routes::{addr, news, route};
use lars_board::{EntryNode, Rule};
use lars_shard::{Command, PolicyConfig, PolicyName, Shard, ShardConfig};
use lars_wire::ModuleId;
use lars_wire::caller::{NodeView, Outcome, Report};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const A: ModuleId = ModuleId::new(1, 1);
const B: ModuleId = ModuleId::new(1, 2);

fn classic(change: impl Fn(&mut PolicyConfig)) -> PolicyConfig {
    let mut config = PolicyConfig {
        name: Some(PolicyName::Classic),
        ..PolicyConfig::default()
    };
    change(&mut config);
    config
}

/// A shard with two modules of two nodes each, judged by the classic rule.
fn shard(now: Instant) -> Shard {
    let config = ShardConfig {
        policy: classic(|_| ()),
        module_policies: HashMap::new(),
        modules_max: 10,
        module_idle: Duration::from_hours(1),
        not_found_memory: Duration::from_secs(1),
    };
    let mut shard = Shard::new(config, 1);
    for module in [A, B] {
        shard.learn(now, &news(module, 7, &route([1, 2])), &mut Vec::new());
        views(&mut shard, module);
    }
    shard
}

fn views(shard: &mut Shard, module: ModuleId) -> Vec<NodeView> {
    let mut nodes: Vec<EntryNode> = Vec::new();
    shard.entry(module, &mut nodes).expect("the module is known");
    nodes.sort_by_key(|node| node.addr);
    nodes.iter().map(|node| node.view).collect()
}

fn fail(shard: &mut Shard, now: Instant, module: ModuleId, calls: u32) {
    let report = Report {
        module,
        node: addr(2),
        token: 0,
        outcome: Outcome::Failed,
        retcode: 1,
        latency_us: 100,
    };
    for _ in 0..calls {
        shard.report(now, &report, &mut Vec::new());
    }
    views(shard, module);
}

fn set(
    shard: &mut Shard,
    now: Instant,
    policy: &PolicyConfig,
    own: &[(ModuleId, PolicyConfig)],
) -> Vec<Command> {
    let mut commands = Vec::new();
    shard.set_policies(now, policy, own.iter().cloned().collect(), &mut commands);
    commands
}

#[test]
fn new_thresholds_judge_the_next_call_and_what_was_known_stays() {
    let now = Instant::now();
    let mut shard = shard(now);
    fail(&mut shard, now, A, 15);
    fail(&mut shard, now, B, 4);
    assert_eq!(views(&mut shard, A), [NodeView::Idle, NodeView::Overloaded]);
    let commands = set(
        &mut shard,
        now,
        &classic(|policy| policy.contin_err_limit = Some(5)),
        &[],
    );
    assert_eq!(commands, [Command::Publish(A), Command::Publish(B)]);
    assert_eq!(
        views(&mut shard, A),
        [NodeView::Idle, NodeView::Overloaded],
        "overloaded it stays"
    );
    fail(&mut shard, now, B, 1);
    assert_eq!(
        views(&mut shard, B),
        [NodeView::Idle, NodeView::Overloaded],
        "the four failures before still count"
    );
    let (version, _) = shard.route(A).expect("the route is kept");
    assert_eq!(version, 7);
    let mut tallies = Vec::new();
    shard.take_tallies(now, usize::MAX, &mut tallies);
    let failed: u32 = tallies.iter().map(|tally| tally.failed).sum();
    assert_eq!(failed, 20);
}

#[test]
fn only_modules_whose_policy_changed_are_published() {
    let now = Instant::now();
    let mut shard = shard(now);
    let probing = classic(|policy| policy.probe_num = Some(3));
    assert_eq!(
        set(&mut shard, now, &classic(|_| ()), &[(B, probing)]),
        [Command::Publish(B)]
    );
    let mut nodes = Vec::new();
    let rule = |probe_num| Rule::Classic {
        probe_num,
        forget_probe_count: false,
    };
    assert_eq!(shard.entry(B, &mut nodes), Some((7, rule(3))));
    assert_eq!(shard.entry(A, &mut nodes), Some((7, rule(10))));
    assert_eq!(
        set(&mut shard, now, &classic(|_| ()), &[]),
        [Command::Publish(B)],
        "back to that of all"
    );
}

#[test]
fn shorter_time_out_acts_when_it_is_over_and_not_when_the_longer_one_would_be() {
    let now = Instant::now();
    let mut shard = shard(now);
    fail(&mut shard, now, A, 15);
    let shorter = classic(|policy| policy.overload_timeout_ms = Some(2_000));
    set(&mut shard, now, &shorter, &[]);
    views(&mut shard, A);
    let early = now + Duration::from_millis(1_999);
    let due = now + Duration::from_secs(2);
    for (at, view) in [(early, NodeView::Overloaded), (due, NodeView::Idle)] {
        shard.due(at, &lars_shard::Uncounted, &mut Vec::new());
        assert_eq!(views(&mut shard, A)[1], view);
    }
}

#[test]
fn rule_of_another_kind_begins_anew_and_judges_the_next_calls() {
    let now = Instant::now();
    let mut shard = shard(now);
    fail(&mut shard, now, A, 15);
    let adaptive = PolicyConfig::default();
    assert_eq!(
        set(&mut shard, now, &adaptive, &[]),
        [Command::Publish(A), Command::Publish(B)]
    );
    assert_eq!(
        views(&mut shard, A),
        [NodeView::Idle; 2],
        "what was known is of another kind"
    );
    let mut nodes = Vec::new();
    let rule = shard.entry(A, &mut nodes).map(|(_, rule)| rule);
    assert!(matches!(rule, Some(Rule::Adaptive(_))), "{rule:?}");
    let report = |node, outcome| Report {
        module: A,
        node: addr(node),
        token: 0,
        outcome,
        retcode: 0,
        latency_us: 100,
    };
    shard.report(now, &report(1, Outcome::Ok), &mut Vec::new());
    fail(&mut shard, now, A, 5);
    shard.due(now, &lars_shard::Uncounted, &mut Vec::new());
    assert_eq!(views(&mut shard, A), [NodeView::Idle, NodeView::Overloaded]);
}
