//! The shard and the board together, under each policy: what readers pick after any history, and that each call is counted.

use crate::routes::{addr, news};
use crate::seeds::with_seeds;
use lars_board::{Board, BoardConfig, BoardReader, BoardWriter, Entry, Picked};
use lars_shard::{Command, PolicyConfig, PolicyName, Shard, ShardConfig};
use lars_wire::caller::{Outcome, Report};
use lars_wire::{ModuleId, NodeAddr, NodeState, Route, RouteNode};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

const A: ModuleId = ModuleId::new(1, 1);

struct World {
    shard: Shard,
    writer: BoardWriter,
    readers: Vec<BoardReader>,
    now: Instant,
    version: u64,
    commands: Vec<Command>,
}

impl World {
    fn new(name: PolicyName, seed: u64) -> Self {
        let now = Instant::now();
        let config = BoardConfig {
            modules_max: 4,
            shards: 1,
        };
        let (board, mut writers) = Board::create_virtual(config, now).expect("a small board");
        let config = ShardConfig {
            policy: PolicyConfig {
                name: Some(name),
                ..PolicyConfig::default()
            },
            module_policies: HashMap::new(),
            modules_max: 4,
            module_idle: Duration::from_hours(24),
            not_found_memory: Duration::from_secs(1),
        };
        let mut world = Self {
            shard: Shard::new(config, seed),
            writer: writers.pop().expect("one shard"),
            readers: (0..3).map(|reader| board.reader(seed ^ reader)).collect(),
            now,
            version: 0,
            commands: Vec::new(),
        };
        world.shard.want(now, A, &mut world.commands);
        world
    }

    fn learn(&mut self, nodes: &HashMap<u32, (u16, bool)>) {
        self.version += 1;
        let node = |(&last, &(weight, draining)): (&u32, &(u16, bool))| RouteNode {
            weight,
            state: if draining {
                NodeState::Draining
            } else {
                NodeState::Serving
            },
            ..RouteNode::new(addr(last))
        };
        let route = Arc::new(Route::new(nodes.iter().map(node).collect()));
        self.shard
            .learn(self.now, &news(A, self.version, &route), &mut self.commands);
        self.execute();
    }

    fn report(&mut self, node: NodeAddr, token: u64, outcome: Outcome, latency_us: u32) {
        let report = Report {
            module: A,
            node,
            token,
            outcome,
            retcode: 0,
            latency_us,
        };
        self.shard.report(self.now, &report, &mut self.commands);
        self.execute();
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        while self.shard.next_timeout().is_some_and(|at| at <= self.now) {
            self.shard.due(self.now, &self.writer, &mut self.commands);
            self.execute();
        }
        self.writer.beat(self.now);
    }

    /// Does what the shard says, as the agent's owner does.
    fn execute(&mut self) {
        let (mut nodes, mut hot) = (Vec::new(), Vec::new());
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Publish(module) => {
                    let Some((version, rule)) = self.shard.entry(module, &mut nodes) else {
                        continue;
                    };
                    let entry = Entry {
                        module,
                        version,
                        rule,
                        nodes: &nodes,
                    };
                    self.writer.publish(self.now, &entry).expect("room");
                }
                Command::Withdraw(module) => self.writer.withdraw(self.now, module),
                Command::Refresh(module) => {
                    self.shard.hot(module, &mut hot);
                    self.writer.refresh(self.now, module, &hot);
                }
                Command::Grant(module, slot) => self.writer.grant(module, slot),
                Command::Subscribe(_) | Command::Unsubscribe(_) | Command::Answer(..) => {}
            }
        }
    }
}

const NAMES: [PolicyName; 4] = [
    PolicyName::Adaptive,
    PolicyName::WeightedRoundRobin,
    PolicyName::ConsistentHash,
    PolicyName::Classic,
];

#[test]
fn pick_never_returns_a_removed_or_draining_node_and_every_call_is_counted() {
    with_seeds(8, |seed, mut random| {
        let mut world = World::new(NAMES[(seed % 4) as usize], seed);
        let mut nodes: HashMap<u32, (u16, bool)> = (1..=6).map(|last| (last, (100, false))).collect();
        world.learn(&nodes);
        let mut dead: HashSet<NodeAddr> = HashSet::new();
        let mut counted: HashMap<NodeAddr, [u64; 2]> = HashMap::new();
        let (mut picked, mut open) = (0_u32, Vec::new());
        for _ in 0..1_000 {
            match random.u8(..40) {
                0 => drop(nodes.remove(&random.u32(1..10))),
                1 => drop(nodes.insert(random.u32(1..10), (random.u16(1..1_000), random.u8(..4) == 0))),
                2 => drop(dead.insert(addr(random.u32(1..10)))),
                3 => drop(dead.remove(&addr(random.u32(1..10)))),
                _ => {}
            }
            if nodes.is_empty() {
                nodes.insert(random.u32(1..10), (100, false));
            }
            world.learn(&nodes);
            for _ in 0..random.u32(..20) {
                let reader = random.usize(..3);
                let (key, avoided) = (random.bool().then(|| random.u64(..)), addr(random.u32(1..10)));
                let avoid = &[avoided][..usize::from(random.u8(..5) == 0)];
                let Picked::Node(choice) = world.readers[reader].pick_keyed(A, key, avoid) else {
                    continue;
                };
                picked += 1;
                let of_route = (1..10).find(|last| addr(*last) == choice.addr);
                let (_, draining) = nodes
                    .get(&of_route.expect("a node of ours"))
                    .expect("it was removed");
                assert!(!draining, "{} drains", choice.addr);
                open.push(choice);
            }
            random.shuffle(&mut open);
            for choice in open.split_off(open.len() - random.usize(..=open.len())) {
                // One in twenty is never reported.
                if random.u8(..20) == 0 {
                    continue;
                }
                let outcome = if dead.contains(&choice.addr) {
                    Outcome::TimedOut
                } else {
                    Outcome::Ok
                };
                world.readers[0].finish(choice.token);
                world.report(choice.addr, choice.token, outcome, random.u32(1..20_000));
                counted.entry(choice.addr).or_default()[usize::from(outcome != Outcome::Ok)] += 1;
            }
            world.pass(random.u64(1..100));
        }
        let mut tallies = Vec::new();
        world.shard.take_tallies(world.now, usize::MAX, &mut tallies);
        let mut told: HashMap<NodeAddr, [u64; 2]> = HashMap::new();
        for tally in &tallies {
            let sums = told.entry(tally.node).or_default();
            sums[0] += u64::from(tally.ok);
            sums[1] += u64::from(tally.failed + tally.timed_out + tally.cancelled);
        }
        assert_eq!(told, counted);
        println!("{:?}: {picked} picks", NAMES[(seed % 4) as usize]);
        assert!(picked > 500);
    });
}
