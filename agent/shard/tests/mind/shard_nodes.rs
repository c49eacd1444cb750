//! Nodes of a known module: judged by their calls, named by tokens, written to the board in its order, explained.

use crate::routes::{addr, news, route, with_draining};
use lars_board::{EntryNode, Rule};
use lars_shard::{Command, PolicyConfig, PolicyName, Preset, Shard, ShardConfig};
use lars_wire::caller::{Explanation, NodeView, Outcome, Report, Status};
use lars_wire::record::{Tally, Window};
use lars_wire::{ModuleId, NodeAddr, Route};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use NodeView::{Draining, Idle, Overloaded};

const A: ModuleId = ModuleId::new(1, 1);

struct Bench {
    shard: Shard,
    now: Instant,
}

fn classic() -> PolicyConfig {
    PolicyConfig {
        name: Some(PolicyName::Classic),
        ..PolicyConfig::default()
    }
}

impl Bench {
    fn new(route: &Arc<Route>) -> Self {
        Self::with_policy(route, classic())
    }

    fn with_policy(route: &Arc<Route>, policy: PolicyConfig) -> Self {
        let config = ShardConfig {
            policy: PolicyConfig::default(),
            module_policies: HashMap::from([(A, policy)]),
            modules_max: 10,
            module_idle: Duration::from_hours(1),
            not_found_memory: Duration::from_secs(1),
        };
        let (shard, now) = (Shard::new(config, 1), Instant::now());
        let mut bench = Self { shard, now };
        bench.shard.want(now, A, &mut Vec::new());
        bench.learn(1, route);
        bench
    }

    fn learn(&mut self, version: u64, route: &Arc<Route>) -> Vec<Command> {
        let mut commands = Vec::new();
        self.shard
            .learn(self.now, &news(A, version, route), &mut commands);
        commands
    }

    fn board(&mut self) -> Vec<(NodeAddr, NodeView)> {
        let mut nodes: Vec<EntryNode> = Vec::new();
        self.shard.entry(A, &mut nodes).expect("the module is known");
        nodes.iter().map(|node| (node.addr, node.view)).collect()
    }

    fn slots(&mut self) -> HashMap<NodeAddr, u32> {
        let mut nodes: Vec<EntryNode> = Vec::new();
        self.shard.entry(A, &mut nodes).expect("the module is known");
        let slot = |node: &EntryNode| Some((node.addr, node.slot.number()?));
        nodes.iter().filter_map(slot).collect()
    }

    fn report(&mut self, node: u32, outcome: Outcome, token: u64) -> Vec<Command> {
        let report = Report {
            module: A,
            node: addr(node),
            token,
            outcome,
            retcode: 0,
            latency_us: 1_000 * node,
        };
        let mut commands = Vec::new();
        self.shard.report(self.now, &report, &mut commands);
        commands
    }

    fn fail(&mut self, node: u32, times: u32) -> Vec<Command> {
        (0..times)
            .flat_map(|_| self.report(node, Outcome::Failed, 0))
            .collect()
    }

    fn pass(&mut self, seconds: u64) -> Vec<Command> {
        let (end, mut commands) = (self.now + Duration::from_secs(seconds), Vec::new());
        while let Some(at) = self.shard.next_timeout().filter(|&at| at <= end) {
            self.shard.due(at, &lars_shard::Uncounted, &mut commands);
        }
        self.now = end;
        commands
    }

    fn take(&mut self) -> Vec<Tally> {
        let mut tallies = Vec::new();
        self.shard.take_tallies(self.now, usize::MAX, &mut tallies);
        tallies
    }

    fn reasons(&self) -> Vec<(NodeView, u64, String)> {
        let lines = self
            .shard
            .explain(self.now, A, &lars_shard::Uncounted)
            .nodes
            .into_iter();
        lines
            .map(|line| (line.view, line.since_ms, line.reason))
            .collect()
    }
}

#[test]
fn board_holds_idle_nodes_first_then_overloaded_then_draining() {
    let mut bench = Bench::new(&with_draining(&route(1..=5), 1));
    assert_eq!(bench.fail(3, 15), []);
    assert_eq!(
        bench.board(),
        [
            (addr(2), Idle),
            (addr(4), Idle),
            (addr(5), Idle),
            (addr(3), Overloaded),
            (addr(1), Draining)
        ]
    );
    assert_eq!(bench.fail(2, 15), [Command::Publish(A)]);
    let views: Vec<NodeView> = bench.board().iter().map(|(_, view)| *view).collect();
    assert_eq!(views, [Idle, Idle, Overloaded, Overloaded, Draining]);
}

#[test]
fn state_changes_are_published_once_and_time_alone_heals() {
    let mut bench = Bench::new(&route(1..=2));
    bench.board();
    assert_eq!(bench.fail(1, 14), []);
    assert_eq!(
        bench.report(1, Outcome::TimedOut, 0),
        [Command::Publish(A)],
        "a time-out is a failure"
    );
    bench.board();
    assert_eq!(bench.fail(1, 30), []);
    assert_eq!(bench.pass(14), []);
    assert_eq!(bench.pass(1), [Command::Publish(A)]);
    assert_eq!(bench.board(), [(addr(1), Idle), (addr(2), Idle)]);
}

#[test]
fn cancelled_call_says_nothing_of_the_node_but_is_counted() {
    let mut bench = Bench::new(&route([1]));
    bench.board();
    for _ in 0..100 {
        assert_eq!(bench.report(1, Outcome::Cancelled, 0), []);
    }
    let tallies = bench.take();
    assert_eq!(
        (tallies.len(), tallies[0].cancelled, tallies[0].window),
        (1, 100, Window::default())
    );
    assert_eq!(bench.fail(1, 14), []);
    bench.report(1, Outcome::Cancelled, 0);
    assert_eq!(
        bench.fail(1, 1),
        [Command::Publish(A)],
        "it does not break a run of failures"
    );
}

#[test]
fn node_that_stays_keeps_what_is_thought_of_it_and_a_new_one_starts_idle() {
    let mut bench = Bench::new(&route([2, 4]));
    bench.fail(4, 15);
    bench.fail(2, 14);
    bench.board();
    assert_eq!(bench.learn(2, &route([1, 2, 3, 4])), [Command::Publish(A)]);
    assert_eq!(
        bench.board(),
        [
            (addr(1), Idle),
            (addr(2), Idle),
            (addr(3), Idle),
            (addr(4), Overloaded)
        ]
    );
    assert_eq!(
        bench.fail(2, 1),
        [Command::Publish(A)],
        "its run of failures went on"
    );
}

#[test]
fn token_names_a_node_by_its_slot_as_long_as_the_route_has_it() {
    let mut bench = Bench::new(&route(1..=4));
    let slots = bench.slots();
    let token = |node: u32| 1 << 63 | 1 << 40 | u64::from(slots[&addr(node)]);
    for (node, token) in [
        (2, token(2)),
        (1, token(1)),
        // Another node's, one that nobody has, none: the address decides.
        (3, token(4)),
        (3, 1 << 63 | 0x4d),
        (3, 77),
        (3, 0),
        (3, u64::MAX),
    ] {
        bench.report(node, Outcome::Ok, token);
    }
    let ok = |tallies: &[Tally], node| {
        tallies
            .iter()
            .find(|tally| tally.node == addr(node))
            .map(|tally| tally.ok)
    };
    let tallies = bench.take();
    assert_eq!(
        (ok(&tallies, 1), ok(&tallies, 2), ok(&tallies, 3), ok(&tallies, 4)),
        (Some(1), Some(1), Some(5), None)
    );
    // Nodes moved: a token from before must not name another one.
    bench.learn(2, &route([3, 4, 5, 6]));
    for node in [3, 4, 1] {
        bench.report(node, Outcome::Ok, token(node));
    }
    let kept = bench.slots();
    assert_eq!(
        (kept[&addr(3)], kept[&addr(4)]),
        (slots[&addr(3)], slots[&addr(4)])
    );
    let mut all: Vec<u32> = slots.values().chain(kept.values()).copied().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(
        all.len(),
        6,
        "the slots of 1 and 2 rest before 5 and 6 may have them"
    );
    let tallies = bench.take();
    assert_eq!(
        (ok(&tallies, 3), ok(&tallies, 4), ok(&tallies, 1)),
        (Some(1), Some(1), Some(1))
    );
}

#[test]
fn token_that_names_another_node_judges_the_one_that_was_reported() {
    let mut bench = Bench::new(&route(1..=3));
    let token_of_node_1 = 1 << 63 | u64::from(bench.slots()[&addr(1)]);
    for _ in 0..15 {
        bench.report(3, Outcome::Failed, token_of_node_1);
    }
    assert_eq!(
        bench.board(),
        [(addr(1), Idle), (addr(2), Idle), (addr(3), Overloaded)]
    );
}

#[test]
fn calls_to_removed_nodes_and_unknown_modules_are_counted() {
    let mut bench = Bench::new(&route([1, 2, 3]));
    bench.report(1, Outcome::Ok, 0);
    bench.learn(2, &route([2, 3]));
    bench.report(1, Outcome::Ok, 0);
    bench.learn(3, &route([]));
    bench.report(1, Outcome::Failed, 0);
    let tallies = bench.take();
    assert_eq!(tallies.len(), 1, "one account, whatever became of the node");
    assert_eq!(
        (tallies[0].ok, tallies[0].failed, tallies[0].latency_sum_us),
        (2, 1, 2_000)
    );
    assert_eq!(
        tallies[0].window,
        Window {
            succ: 2,
            err: 1,
            overloaded: false
        }
    );
    assert_eq!(bench.shard.counts().reports_refused_total, 0);
}

#[test]
fn strays_are_bounded_and_their_room_is_given_back() {
    let mut bench = Bench::new(&route([1]));
    for node in 100..100 + 16_384 + 5 {
        bench.report(node, Outcome::Ok, 0);
    }
    assert_eq!(
        bench.report(1, Outcome::Ok, 0),
        [],
        "a node of a route always has its place"
    );
    assert_eq!(bench.shard.counts().reports_refused_total, 5);
    assert_eq!(bench.take().len(), 16_384 + 1);
    bench.report(1_000_000, Outcome::Ok, 0);
    assert_eq!(bench.take().len(), 1);
    bench.pass(15);
    assert_eq!((bench.take(), bench.shard.counts().accounts), (vec![], 0));
}

#[test]
fn report_of_no_node_is_refused() {
    let mut bench = Bench::new(&route([1]));
    let report = Report {
        module: A,
        node: NodeAddr::NONE,
        token: 0,
        outcome: Outcome::Ok,
        retcode: 0,
        latency_us: 0,
    };
    bench.shard.report(bench.now, &report, &mut Vec::new());
    assert_eq!(
        (bench.take(), bench.shard.counts().reports_refused_total),
        (vec![], 1)
    );
}

#[test]
fn status_window_opens_with_a_call_is_sent_whole_and_closes_after_its_time() {
    let mut bench = Bench::new(&route([1]));
    let window = |succ, err, overloaded| Window {
        succ,
        err,
        overloaded,
    };
    bench.pass(7);
    bench.report(1, Outcome::Ok, 0);
    assert_eq!(bench.take()[0].window, window(1, 0, false));
    assert_eq!(bench.take(), [], "nothing changed");
    bench.pass(5);
    bench.fail(1, 14);
    assert_eq!(
        (bench.take()[0].window, bench.take()),
        (window(1, 14, false), vec![])
    );
    bench.fail(1, 1);
    let tallies = bench.take();
    assert_eq!((tallies[0].failed, tallies[0].window), (1, window(1, 15, true)));
    // 22 s: the window closed. The next call opens another.
    bench.pass(10);
    bench.report(1, Outcome::Ok, 0);
    assert_eq!(bench.take()[0].window, window(1, 0, true));
    // 27 s: overload ends, which an open window says without a call.
    bench.pass(5);
    let tallies = bench.take();
    assert_eq!(
        (tallies.len(), tallies[0].ok, tallies[0].window),
        (1, 0, window(1, 0, false))
    );
    bench.pass(30);
    assert_eq!((bench.take(), bench.shard.counts().accounts), (vec![], 0));
}

#[test]
fn open_status_window_says_that_a_bad_window_overloaded_the_node() {
    let mut bench = Bench::new(&route([1]));
    bench.board();
    bench.pass(10);
    bench.fail(1, 3);
    bench.take();
    assert_eq!(bench.pass(5), [Command::Publish(A)]);
    let tallies = bench.take();
    let window = Window {
        succ: 0,
        err: 3,
        overloaded: true,
    };
    assert_eq!(
        (tallies.len(), tallies[0].failed, tallies[0].window),
        (1, 0, window)
    );
}

#[test]
fn counts_taken_after_the_window_closed_still_carry_it() {
    let mut bench = Bench::new(&route([1]));
    bench.report(1, Outcome::Ok, 0);
    bench.pass(15);
    let tallies = bench.take();
    assert_eq!((tallies[0].ok, tallies[0].window.succ), (1, 1));
    assert_eq!(bench.shard.counts().accounts, 0);
}

#[test]
fn late_agent_opens_a_new_window_with_the_first_call_after_the_old_one() {
    let mut bench = Bench::new(&route([1]));
    bench.report(1, Outcome::Ok, 0);
    bench.now += Duration::from_secs(15);
    bench.report(1, Outcome::Ok, 0);
    let tallies = bench.take();
    assert_eq!((tallies[0].ok, tallies[0].window.succ), (2, 1));
    // The first window's timer comes late and must leave the second alone.
    assert_eq!(bench.pass(14), []);
    bench.report(1, Outcome::Ok, 0);
    assert_eq!(bench.take()[0].window.succ, 2);
}

#[test]
fn explanation_gives_view_time_and_rule_with_numbers() {
    let mut bench = Bench::new(&with_draining(&route(1..=3), 3));
    bench.pass(2);
    bench.fail(2, 15);
    bench.pass(3);
    assert_eq!(
        bench.reasons(),
        [
            (Idle, 5_000, "new in the route".to_owned()),
            (Overloaded, 3_000, "15 failures in a row".to_owned()),
            (Draining, 5_000, "draining by the operator's wish".to_owned()),
        ]
    );
    bench.pass(20);
    assert_eq!(
        bench.reasons()[1],
        (Idle, 8_000, "15 s overloaded have passed".to_owned())
    );
    let explanation = bench.shard.explain(bench.now, A, &lars_shard::Uncounted);
    assert_eq!(
        (
            explanation.status,
            explanation.version,
            explanation.policy.as_str(),
            explanation.total
        ),
        (Status::Ok, 1, "classic", 3)
    );
}

#[test]
fn explanation_of_a_large_module_fits_a_frame() {
    let mut bench = Bench::new(&route(1..=16_384));
    for node in (1..=400).map(|step| step * 3) {
        bench.fail(node, 15);
    }
    let explanation = bench.shard.explain(bench.now, A, &lars_shard::Uncounted);
    assert_eq!(explanation.total, 16_384);
    let mut frame = vec![0; lars_wire::bounds::FRAME_BYTES_MAX];
    let length = lars_wire::codec::encode(&explanation, 0, &mut frame).expect("it fits");
    assert!(length > frame.len() - 256, "as many lines as fit: {length}");
    assert_eq!(
        lars_wire::codec::decode::<Explanation>(&frame[lars_wire::bounds::HEADER_BYTES..length]),
        Ok(explanation)
    );
}

#[test]
fn explanation_tells_wanted_from_unknown() {
    let mut bench = Bench::new(&route([1]));
    let other = ModuleId::new(5, 5);
    assert_eq!(
        bench
            .shard
            .explain(bench.now, other, &lars_shard::Uncounted)
            .status,
        Status::NotFound
    );
    bench.shard.want(bench.now, other, &mut Vec::new());
    assert_eq!(
        bench
            .shard
            .explain(bench.now, other, &lars_shard::Uncounted)
            .status,
        Status::Pending
    );
}

#[test]
fn module_of_its_own_policy_is_judged_and_picked_by_it() {
    let policy = PolicyConfig {
        preset: Some(Preset::Elb),
        contin_err_limit: Some(3),
        probe_num: Some(5),
        ..classic()
    };
    let mut bench = Bench::with_policy(&route(1..=2), policy);
    let rule = Rule::Classic {
        probe_num: 5,
        forget_probe_count: true,
    };
    assert_eq!(bench.shard.entry(A, &mut Vec::new()), Some((1, rule)));
    assert_eq!(bench.fail(1, 3), [Command::Publish(A)]);
}
