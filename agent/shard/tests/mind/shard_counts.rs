//! Whatever happens to modules and nodes, what was reported is given out: over any history, counted beside it.

use crate::routes::{addr, news, route, unexplained, with_draining};
use crate::seeds::with_seeds;
use fastrand::Rng;
use lars_board::EntryNode;
use lars_shard::{Command, PolicyConfig, PolicyName, Preset, Shard, ShardConfig};
use lars_wire::caller::{NodeView, Outcome, Report};
use lars_wire::record::Tally;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

type Sums = BTreeMap<(ModuleId, NodeAddr), [u64; 6]>;

/// Ok, failed, timed out, cancelled, sum and maximum of latencies.
fn add(sums: &mut Sums, module: ModuleId, node: NodeAddr, counts: [u64; 6]) {
    let sum = sums.entry((module, node)).or_default();
    for place in 0..5 {
        sum[place] += counts[place];
    }
    sum[5] = sum[5].max(counts[5]);
}

/// One history: the shard, what was reported, what came out, and what an agent would hold.
struct History {
    shard: Shard,
    random: Rng,
    start: Instant,
    now: Instant,
    reported: Sums,
    given: Sums,
    subscribed: BTreeSet<ModuleId>,
    on_board: BTreeSet<ModuleId>,
    /// Everything that came out, to compare two runs.
    log: Vec<String>,
}

impl History {
    fn new(seed: u64, start: Instant) -> Self {
        let elb = PolicyConfig {
            name: Some(PolicyName::Classic),
            preset: Some(Preset::Elb),
            idle_timeout_ms: Some(3_000),
            ..PolicyConfig::default()
        };
        let config = ShardConfig {
            policy: PolicyConfig {
                name: Some(PolicyName::Classic),
                ..PolicyConfig::default()
            },
            module_policies: HashMap::from([(module(1), elb)]),
            modules_max: 6,
            module_idle: Duration::from_secs(40),
            not_found_memory: Duration::from_secs(1),
        };
        Self {
            shard: Shard::new(config, seed),
            random: Rng::with_seed(seed),
            start,
            now: start,
            reported: Sums::new(),
            given: Sums::new(),
            subscribed: BTreeSet::new(),
            on_board: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn step(&mut self) {
        let module = module(self.random.u32(..8));
        let mut commands = Vec::new();
        match self.random.u32(..100) {
            0..=4 => drop(self.shard.want(self.now, module, &mut commands)),
            5..=9 => self.learn(module, &mut commands),
            10..=11 => self.shard.used(self.now, module),
            12..=14 => self.take(),
            15..=19 => self.pass(&mut commands),
            _ => self.report(module, &mut commands),
        }
        self.obey(&commands);
        assert_eq!(
            self.shard.modules(),
            self.subscribed.len(),
            "what is held is subscribed to, and nothing else"
        );
        assert!(self.shard.modules() <= 6);
    }

    fn learn(&mut self, module: ModuleId, commands: &mut Vec<Command>) {
        let nodes = route((0..12).filter(|_| self.random.u32(..3) > 0));
        let nodes = match self.random.u32(..8) {
            0 => route([]),
            1 => with_draining(&nodes, self.random.u32(..12)),
            _ => nodes,
        };
        let version = self.random.u64(..5);
        let say = if self.random.bool() { news } else { unexplained };
        let said = say(module, version, &nodes);
        self.shard.learn(self.now, &said, commands);
    }

    fn report(&mut self, module: ModuleId, commands: &mut Vec<Command>) {
        let random = &mut self.random;
        let outcome = Outcome::ALL[random.usize(..4)];
        let report = Report {
            module,
            node: addr(random.u32(..14)),
            token: [0, random.u64(..1 << 41), random.u64(..20) | 1 << 63][random.usize(..3)],
            outcome: if random.bool() { Outcome::Failed } else { outcome },
            retcode: 0,
            latency_us: random.u32(..3_000_000),
        };
        let mut counts = [0; 6];
        counts[usize::from(u8::from(report.outcome))] = 1;
        if report.outcome == Outcome::Ok {
            (counts[4], counts[5]) = (report.latency_us.into(), report.latency_us.into());
        }
        add(&mut self.reported, module, report.node, counts);
        self.shard.report(self.now, &report, commands);
    }

    fn take(&mut self) {
        let mut tallies = Vec::new();
        self.shard.take_tallies(self.now, usize::MAX, &mut tallies);
        let mut seen = BTreeSet::new();
        for tally in &tallies {
            assert!(seen.insert((tally.module, tally.node)), "one tally a node");
            add(&mut self.given, tally.module, tally.node, counts(tally));
        }
        self.log.push(format!("{tallies:?}"));
        // Nodes whose standing changed are given out without a call.
        self.given.retain(|_, sum| *sum != [0; 6]);
        assert_eq!(self.given, self.reported);
        let mut again = Vec::new();
        self.shard.take_tallies(self.now, usize::MAX, &mut again);
        assert_eq!(again, []);
    }

    fn pass(&mut self, commands: &mut Vec<Command>) {
        let most = if self.random.u8(..10) == 0 { 60_000 } else { 2_000 };
        self.now += Duration::from_millis(self.random.u64(..most));
        // Sometimes the agent is late and looks once, sometimes it has not looked at all when the next call comes.
        if self.random.u8(..4) > 0 {
            while self.shard.next_timeout().is_some_and(|at| at <= self.now) {
                self.shard.due(self.now, &lars_shard::Uncounted, commands);
            }
        }
    }

    fn obey(&mut self, commands: &[Command]) {
        for command in commands {
            match *command {
                Command::Subscribe(module) => drop(self.subscribed.insert(module)),
                // Told twice to be sure when there is no room for what was pushed.
                Command::Unsubscribe(module) => drop(self.subscribed.remove(&module)),
                Command::Publish(module) => self.publish(module),
                Command::Withdraw(module) => assert!(self.on_board.remove(&module), "it was on the board"),
                Command::Answer(..) | Command::Refresh(_) | Command::Grant(..) => {}
            }
        }
        let since = self.now.duration_since(self.start);
        self.log.push(format!("{since:?} {commands:?}"));
    }

    fn publish(&mut self, module: ModuleId) {
        let mut nodes = Vec::new();
        let Some((version, _)) = self.shard.entry(module, &mut nodes) else {
            // It went away in the same breath: a withdrawal follows.
            self.on_board.insert(module);
            return;
        };
        self.on_board.insert(module);
        let (known, route) = self.shard.route(module).expect("it has an entry");
        assert_eq!(version, known);
        let rank = |node: &EntryNode| match node.view {
            NodeView::Idle => 0,
            NodeView::Overloaded | NodeView::Probing => 1,
            NodeView::Draining => 2,
        };
        assert!(nodes.is_sorted_by_key(|node| (rank(node), node.addr)));
        nodes.sort_by_key(|node| node.addr);
        let addrs = nodes.iter().map(|node| node.addr);
        assert!(
            addrs.eq(route.nodes().iter().map(|node| node.addr)),
            "every node, once"
        );
    }
}

fn module(cmdid: u32) -> ModuleId {
    ModuleId::new(1, cmdid)
}

fn counts(tally: &Tally) -> [u64; 6] {
    let few = [tally.ok, tally.failed, tally.timed_out, tally.cancelled].map(u64::from);
    [
        few[0],
        few[1],
        few[2],
        few[3],
        tally.latency_sum_us,
        tally.latency_max_us.into(),
    ]
}

fn run(seed: u64, start: Instant) -> Vec<String> {
    let mut history = History::new(seed, start);
    for _ in 0..2_000 {
        history.step();
    }
    history.take();
    assert!(!history.reported.is_empty());
    history.log
}

#[test]
fn what_was_reported_is_given_out_over_any_history_and_a_seed_replays_it() {
    let start = Instant::now();
    with_seeds(30, |seed, _| {
        // Tables hash with another key in each shard: equal logs show that no order of a table decides.
        assert_eq!(run(seed, start), run(seed, start), "seed {seed}");
    });
}
