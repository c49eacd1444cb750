//! A module under the adaptive policy in virtual time: its shard, with calls in flight as the test says.

use crate::routes::{addr, news, route};
use lars_board::{EntryNode, NodeSlot, Token};
use lars_shard::{Command, InFlight, PolicyConfig, Shard, ShardConfig};
use lars_wire::ModuleId;
use lars_wire::caller::{NodeExplained, NodeView, Outcome, Report};
use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(crate) const A: ModuleId = ModuleId::new(1, 1);
/// What a report carries whose pick counted as in flight.
const COUNTED: u64 = 1 << 63 | 1 << 41;
/// The same of a probe.
const PROBE: u64 = COUNTED | 1 << 40;

/// What the agent was told to do about the module, as far as nodes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Publish,
    Refresh,
    /// Of the node of this number.
    Grant(u32),
}

pub(crate) struct Bench {
    pub(crate) shard: Shard,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    slots: Vec<NodeSlot>,
    /// Calls in flight, by node.
    pub(crate) in_flight: Vec<u32>,
    /// Those of them that the shard takes to be lost.
    forgiven: Vec<Cell<u32>>,
}

/// The bench's calls in flight, as the shard sees them.
struct Held<'a> {
    slots: &'a [NodeSlot],
    in_flight: &'a [u32],
    forgiven: &'a [Cell<u32>],
}

impl Held<'_> {
    fn place(&self, slot: NodeSlot) -> Option<usize> {
        self.slots.iter().position(|&other| other == slot)
    }
}

impl InFlight for Held<'_> {
    fn balance(&self, slot: NodeSlot) -> i32 {
        self.place(slot).map_or(0, |place| {
            self.in_flight[place] as i32 - self.forgiven[place].get() as i32
        })
    }

    fn forgive(&self, slot: NodeSlot, lost: u32) {
        if let Some(place) = self.place(slot) {
            self.forgiven[place].update(|forgiven| forgiven + lost);
        }
    }
}

impl Bench {
    /// Nodes 1 to `nodes`.
    pub(crate) fn new(nodes: u32, policy: PolicyConfig) -> Self {
        let config = ShardConfig {
            policy,
            module_policies: HashMap::new(),
            modules_max: 10,
            module_idle: Duration::from_hours(24),
            not_found_memory: Duration::from_secs(1),
        };
        let (mut shard, now) = (Shard::new(config, 1), Instant::now());
        let mut commands = Vec::new();
        shard.want(now, A, &mut commands);
        shard.learn(now, &news(A, 1, &route(1..=nodes)), &mut commands);
        let mut bench = Self {
            shard,
            start: now,
            now,
            slots: Vec::new(),
            in_flight: vec![0; nodes as usize],
            forgiven: vec![Cell::new(0); nodes as usize],
        };
        let mut entry = bench.entry();
        entry.sort_by_key(|node| node.addr);
        bench.slots = entry.iter().map(|node| node.slot).collect();
        bench
    }

    pub(crate) fn entry(&mut self) -> Vec<EntryNode> {
        let mut nodes = Vec::new();
        self.shard.entry(A, &mut nodes).expect("the module is known");
        nodes
    }

    /// Calls of a node ended, each after `ms`.
    pub(crate) fn end(&mut self, node: u32, outcome: Outcome, ms: u32, times: u32) {
        for _ in 0..times {
            self.report(node, outcome, ms, COUNTED);
        }
    }

    /// A probe of a node ended.
    pub(crate) fn end_probe(&mut self, node: u32, outcome: Outcome, ms: u32) {
        self.report(node, outcome, ms, PROBE);
    }

    fn report(&mut self, node: u32, outcome: Outcome, ms: u32, token: u64) {
        debug_assert_eq!(Token(token).is_probe(), token == PROBE);
        debug_assert!(Token(token).is_counted());
        let report = Report {
            module: A,
            node: addr(node),
            token,
            outcome,
            retcode: 0,
            latency_us: 1_000 * ms,
        };
        let mut commands = Vec::new();
        self.shard.report(self.now, &report, &mut commands);
        // An ejected node's probe ended: how it is seen changes at once. All else waits for the next look.
        assert!(
            commands.is_empty() || commands == [Command::Publish(A)],
            "{commands:?}"
        );
        self.entry();
    }

    /// What is due until `ms` later is done, each when it is due.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Told> {
        let (end, mut told) = (self.now + Duration::from_millis(ms), Vec::new());
        while let Some(at) = self.shard.next_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            told.extend(self.due());
        }
        self.now = end;
        told
    }

    /// Does what is due now, as the agent does: what is to be published is.
    pub(crate) fn due(&mut self) -> Vec<Told> {
        let mut commands = Vec::new();
        let held = Held {
            slots: &self.slots,
            in_flight: &self.in_flight,
            forgiven: &self.forgiven,
        };
        self.shard.due(self.now, &held, &mut commands);
        let told: Vec<Told> = commands
            .iter()
            .map(|command| match command {
                Command::Publish(A) => Told::Publish,
                Command::Refresh(A) => Told::Refresh,
                Command::Grant(A, slot) => Told::Grant(self.number(*slot)),
                other => panic!("{other:?}"),
            })
            .collect();
        if told.contains(&Told::Publish) {
            self.entry();
        }
        told
    }

    fn number(&self, slot: NodeSlot) -> u32 {
        let place = self.slots.iter().position(|&other| other == slot);
        place.expect("a node of the route") as u32 + 1
    }

    pub(crate) fn explain(&self, node: u32) -> NodeExplained {
        let nodes = self.shard.explain(self.now, A, &lars_shard::Uncounted).nodes;
        let found = nodes.into_iter().find(|line| line.node == addr(node));
        found.expect("a node of the route")
    }

    /// Of each node, in order of number.
    pub(crate) fn views(&self) -> Vec<NodeView> {
        let nodes = self.shard.explain(self.now, A, &lars_shard::Uncounted).nodes;
        nodes.iter().map(|line| line.view).collect()
    }

    /// So many rounds of 10 ms in which each of these nodes answers one call after `ms`.
    pub(crate) fn answer(&mut self, nodes: &[u32], ms: u32, rounds: u32) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..rounds {
            for &node in nodes {
                self.end(node, Outcome::Ok, ms, 1);
            }
            told.extend(self.pass(10));
        }
        told
    }
}
