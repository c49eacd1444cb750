//! Calls that went well wait in their nodes' accounts until their module is looked at; whatever happens first, nothing of them
//! is lost, and nothing is judged otherwise than if they had been told at once.

use crate::routes::{addr, news, route};
use lars_board::{EntryNode, NodeSlot};
use lars_shard::{CallRun, Command, PolicyConfig, PolicyName, Shard, ShardConfig, Uncounted};
use lars_wire::ModuleId;
use lars_wire::caller::{NodeView, Outcome};
use lars_wire::record::Tally;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const A: ModuleId = ModuleId::new(1, 1);
const IDLE: Duration = Duration::from_mins(1);

struct Bench {
    shard: Shard,
    now: Instant,
    nodes: Vec<EntryNode>,
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn classic() -> PolicyConfig {
    PolicyConfig {
        name: Some(PolicyName::Classic),
        ..PolicyConfig::default()
    }
}

/// One call of that node of the module went well.
fn run(module: ModuleId, node: u32) -> CallRun {
    CallRun {
        module,
        node: addr(node),
        slot: NodeSlot::NONE,
        outcome: Outcome::Ok,
        probe: false,
        calls: 1,
        latency_sum_us: 1,
        latency_max_us: 1,
    }
}

impl Bench {
    /// Nodes 1 to `nodes` of one module, on the board.
    fn new(nodes: u32) -> Self {
        Self::with_policies(nodes, HashMap::new())
    }

    fn with_policies(nodes: u32, module_policies: HashMap<ModuleId, PolicyConfig>) -> Self {
        let config = ShardConfig {
            policy: PolicyConfig::default(),
            module_policies,
            modules_max: 10,
            module_idle: IDLE,
            not_found_memory: Duration::from_secs(1),
        };
        let (mut shard, now) = (Shard::new(config, 1), Instant::now());
        shard.want(now, A, &mut Vec::new());
        shard.learn(now, &news(A, 1, &route(1..=nodes)), &mut Vec::new());
        let mut bench = Self {
            shard,
            now,
            nodes: Vec::new(),
        };
        bench.write_board();
        bench
    }

    fn write_board(&mut self) {
        self.shard.entry(A, &mut self.nodes).expect("the module is known");
        self.nodes.sort_by_key(|node| node.addr);
    }

    /// As a ring tells of it, with the node's slot.
    fn end(&mut self, node: u32, outcome: Outcome, latency_us: u32) {
        let run = CallRun {
            slot: self.nodes[node as usize - 1].slot,
            outcome,
            latency_sum_us: latency_us.into(),
            latency_max_us: latency_us,
            ..run(A, node)
        };
        self.shard.look_ahead(&[run]);
        let mut commands = Vec::new();
        self.shard.ended(self.now, &run, &mut commands);
        if commands.contains(&Command::Publish(A)) {
            self.write_board();
        }
    }

    fn pass(&mut self, time: Duration) -> Vec<Command> {
        let (end, mut commands) = (self.now + time, Vec::new());
        while let Some(at) = self.shard.next_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.shard.due(self.now, &Uncounted, &mut commands);
            if commands.contains(&Command::Publish(A)) {
                self.write_board();
            }
        }
        self.now = end;
        commands
    }

    fn take(&mut self, most: usize) -> Vec<Tally> {
        let mut tallies = Vec::new();
        self.shard.take_tallies(self.now, most, &mut tallies);
        tallies
    }

    fn cost_us(&self, node: u32) -> u32 {
        let nodes = self.shard.explain(self.now, A, &Uncounted).nodes;
        nodes[node as usize - 1].cost_us
    }

    fn view(&self, node: u32) -> NodeView {
        self.nodes[node as usize - 1].view
    }
}

#[test]
fn calls_of_more_lengths_than_wait_cost_what_they_cost_together() {
    let (mut few, mut many) = (Bench::new(2), Bench::new(2));
    // Seven lengths do not fit where four wait; the means are the same.
    for us in [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000] {
        many.end(1, Outcome::Ok, us);
        few.end(1, Outcome::Ok, 4_000);
        many.end(2, Outcome::Ok, 1_000);
        few.end(2, Outcome::Ok, 1_000);
    }
    few.pass(ms(20));
    many.pass(ms(20));
    assert!(few.cost_us(1) > few.cost_us(2));
    assert_eq!(many.cost_us(1), few.cost_us(1));
    assert_eq!(many.cost_us(2), few.cost_us(2));
}

#[test]
fn success_that_waits_comes_before_the_failure_behind_it() {
    let mut bench = Bench::new(4);
    for node in [2, 3, 4] {
        (0..20).for_each(|_| bench.end(node, Outcome::Ok, 1_000));
    }
    bench.pass(ms(100));
    for _ in 0..4 {
        bench.end(1, Outcome::Failed, 1_000);
    }
    bench.end(1, Outcome::Ok, 1_000);
    for _ in 0..4 {
        bench.end(1, Outcome::Failed, 1_000);
    }
    bench.pass(ms(9));
    assert_eq!(bench.view(1), NodeView::Idle, "four in a row at most");
    bench.end(1, Outcome::Failed, 1_000);
    bench.pass(ms(1));
    assert_eq!(bench.view(1), NodeView::Overloaded);
}

#[test]
fn waiting_calls_are_counted_at_once_and_survive_their_node() {
    let mut bench = Bench::new(2);
    bench.end(1, Outcome::Ok, 300);
    bench.end(1, Outcome::Ok, 500);
    let tallies = bench.take(usize::MAX);
    assert_eq!(
        (tallies.len(), tallies[0].ok, tallies[0].latency_sum_us),
        (1, 2, 800)
    );
    bench.end(1, Outcome::Ok, 300);
    let slot = bench.nodes[0].slot;
    bench
        .shard
        .learn(bench.now, &news(A, 2, &route(2..=3)), &mut Vec::new());
    let tallies = bench.take(usize::MAX);
    assert_eq!(
        (tallies[0].node, tallies[0].ok, tallies[0].window.succ),
        (addr(1), 1, 3)
    );
    // It comes back while its window is open: the same account, and the same slot.
    bench
        .shard
        .learn(bench.now, &news(A, 3, &route(1..=3)), &mut Vec::new());
    bench.write_board();
    assert_eq!(bench.nodes[0].slot, slot);
    bench.end(1, Outcome::Ok, 300);
    let tallies = bench.take(usize::MAX);
    assert_eq!((tallies.len(), tallies[0].window.succ), (1, 4));
    assert_eq!(bench.shard.counts().accounts, 0);
}

#[test]
fn open_window_of_a_node_that_left_goes_on_and_its_account_ends_with_it() {
    let mut bench = Bench::new(2);
    bench.end(1, Outcome::Ok, 300);
    bench.take(usize::MAX);
    bench
        .shard
        .learn(bench.now, &news(A, 2, &route(2..=2)), &mut Vec::new());
    assert_eq!(
        bench.shard.counts().accounts,
        1,
        "there is nothing to give out, but a window is open"
    );
    bench.end(1, Outcome::Ok, 300);
    assert_eq!(bench.take(usize::MAX)[0].window.succ, 2);
    bench.pass(ms(14_999));
    assert_eq!(bench.shard.counts().accounts, 1);
    bench.pass(ms(1));
    assert_eq!((bench.shard.counts().accounts, bench.take(1)), (0, vec![]));
}

#[test]
fn strays_use_up_no_slots() {
    let mut bench = Bench::new(1);
    let stray = CallRun {
        slot: bench.nodes[0].slot,
        ..run(A, 0)
    };
    for number in 1_000..2_000 {
        let stray = CallRun {
            node: addr(number),
            ..stray
        };
        bench.shard.ended(bench.now, &stray, &mut Vec::new());
    }
    assert_eq!(bench.take(usize::MAX).len(), 1_000);
    bench.pass(ms(15_000));
    assert_eq!(bench.shard.counts().accounts, 0);
    bench
        .shard
        .learn(bench.now, &news(A, 2, &route(1..=1_001)), &mut Vec::new());
    bench.write_board();
    let slots = bench.nodes.iter().filter_map(|node| node.slot.number());
    assert_eq!(slots.max(), Some(1_000));
}

#[test]
fn slot_of_a_node_that_left_counts_for_nobody_else() {
    let mut bench = Bench::new(2);
    let gone = bench.nodes[0];
    bench
        .shard
        .learn(bench.now, &news(A, 2, &route(2..=3)), &mut Vec::new());
    bench.pass(Duration::from_secs(59));
    bench
        .shard
        .learn(bench.now, &news(A, 3, &route(2..=4)), &mut Vec::new());
    bench.write_board();
    assert!(bench.nodes.iter().all(|node| node.slot != gone.slot), "it rests");
    // The rest is over: another node has the slot, and a late report of the first is not taken for one of it.
    bench.end(1, Outcome::Ok, 300);
    bench.pass(Duration::from_secs(59));
    bench.end(1, Outcome::Ok, 300);
    bench
        .shard
        .learn(bench.now, &news(A, 4, &route(2..=6)), &mut Vec::new());
    bench.write_board();
    let heir = bench
        .nodes
        .iter()
        .find(|node| node.slot == gone.slot)
        .expect("it is lent again");
    let late = CallRun {
        node: gone.addr,
        slot: gone.slot,
        calls: 5,
        ..run(A, 1)
    };
    let heir = heir.addr;
    bench.shard.ended(bench.now, &late, &mut Vec::new());
    let tallies = bench.take(usize::MAX);
    assert!(tallies.iter().all(|tally| tally.node != heir || tally.ok == 0));
    let of_gone = tallies.iter().filter(|tally| tally.node == gone.addr);
    assert_eq!(of_gone.map(|tally| tally.ok).sum::<u32>(), 5 + 2);
}

#[test]
fn module_of_which_calls_wait_is_in_use_until_the_last_of_them() {
    let mut bench = Bench::new(1);
    bench.pass(ms(59_500));
    bench.end(1, Outcome::Ok, 300);
    bench.pass(ms(4));
    bench.end(1, Outcome::Ok, 300);
    // Behind the call that says that it is in use, and before the look that it calls for.
    bench.pass(ms(4));
    bench.end(1, Outcome::Ok, 300);
    bench.pass(ms(59_999));
    assert_eq!(bench.shard.modules(), 1);
    bench.pass(ms(1));
    assert_eq!(bench.shard.modules(), 0);
}

#[test]
fn calls_that_wait_are_told_by_the_rule_that_was_in_force_and_the_next_begins_anew() {
    let mut bench = Bench::new(2);
    bench.end(1, Outcome::Ok, 300);
    bench
        .shard
        .set_policies(bench.now, &classic(), HashMap::new(), &mut Vec::new());
    bench.write_board();
    // A classic rule looks at each call by itself: nothing waits.
    for _ in 0..15 {
        bench.end(1, Outcome::Failed, 300);
    }
    assert_eq!(bench.view(1), NodeView::Overloaded);
    for _ in 0..15 {
        bench.end(1, Outcome::Ok, 300);
    }
    assert_eq!(bench.view(1), NodeView::Idle);
    assert_eq!(
        bench.take(usize::MAX).iter().map(|tally| tally.ok).sum::<u32>(),
        16
    );
}

#[test]
fn module_that_loses_its_own_policy_goes_on_by_the_common_one() {
    let own = HashMap::from([(A, PolicyConfig::default())]);
    let mut bench = Bench::with_policies(1, own);
    bench.end(1, Outcome::Ok, 300);
    let policy = PolicyConfig::default();
    bench
        .shard
        .set_policies(bench.now, &policy, HashMap::new(), &mut Vec::new());
    bench.end(1, Outcome::Ok, 300);
    assert_eq!(bench.take(usize::MAX)[0].ok, 2);
}

#[test]
fn counts_are_taken_of_as_many_nodes_as_were_asked_for_and_the_longest_gathered_first() {
    let mut bench = Bench::new(5);
    for node in [3, 1, 5, 3, 2] {
        bench.end(node, Outcome::Ok, 300);
    }
    assert_eq!(bench.shard.tallies_waiting(), 4);
    let nodes =
        |tallies: Vec<Tally>| -> Vec<_> { tallies.iter().map(|tally| (tally.node, tally.ok)).collect() };
    assert_eq!(nodes(bench.take(2)), [(addr(3), 2), (addr(1), 1)]);
    bench.end(3, Outcome::Ok, 300);
    assert_eq!(nodes(bench.take(2)), [(addr(5), 1), (addr(2), 1)]);
    assert_eq!(nodes(bench.take(2)), [(addr(3), 1)]);
    assert_eq!((bench.take(2), bench.shard.tallies_waiting()), (vec![], 0));
}

#[test]
fn slot_that_a_caller_made_up_is_no_way_to_another_module() {
    let mut bench = Bench::new(1);
    let slot = bench.nodes[0].slot;
    let made_up = CallRun {
        slot,
        outcome: Outcome::Failed,
        calls: 1_000,
        ..run(ModuleId::new(9, 9), 1)
    };
    bench.shard.ended(bench.now, &made_up, &mut Vec::new());
    bench.pass(ms(20));
    assert_eq!(bench.view(1), NodeView::Idle);
    let tallies = bench.take(usize::MAX);
    assert_eq!(
        (tallies.len(), tallies[0].module, tallies[0].failed),
        (1, ModuleId::new(9, 9), 1_000)
    );
}
