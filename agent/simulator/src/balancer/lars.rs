//! One agent as it is: its shard, its board, and the readers of the callers' threads. Only sockets, rings and the clock
//! are missing; what the shard commands is done as the agent's owner core does it.

use super::{Ended, Pick, Shift, Standing};
use crate::run::SimulateError;
use fastrand::Rng;
use lars_board::{Board, BoardConfig, BoardReader, BoardWriter, Entry, EntryNode, Hot, Picked};
use lars_shard::{Command, PolicyConfig, RouteNews, Shard, ShardConfig, ZonePreference};
use lars_wire::caller::{NodeView, Report, Status};
use lars_wire::{ModuleId, NodeAddr, NodeState, Route, RouteNode};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The one module of a scenario.
const MODULE: ModuleId = ModuleId::new(1, 1);
/// Node n is 10.0.0.1 and n more.
const FIRST_IPV4: u32 = 0x0a00_0001;
const PORT: u16 = 7_000;
/// Longer than any run: the module of a scenario is never dropped.
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// One agent.
pub struct Lars {
    origin: Instant,
    shard: Shard,
    writer: BoardWriter,
    readers: Vec<BoardReader>,
    version: u64,
    commands: Vec<Command>,
    nodes: Vec<EntryNode>,
    hot: Vec<Hot>,
    /// By node: whether it was ejected when last published.
    ejected: Vec<bool>,
}

impl Lars {
    /// An agent without a route, `now` being zero.
    pub(super) fn new(
        config: &PolicyConfig,
        readers: u32,
        nodes: usize,
        mut random: Rng,
        origin: Instant,
    ) -> Result<Self, SimulateError> {
        let (board, mut writers) = Board::create_virtual(
            BoardConfig {
                modules_max: 1,
                shards: 1,
            },
            origin,
        )?;
        let writer = writers.pop().ok_or(SimulateError::NoWriter)?;
        let config = ShardConfig {
            policy: config.clone(),
            module_policies: HashMap::new(),
            modules_max: 1,
            module_idle: FOREVER,
            not_found_memory: Duration::from_secs(1),
        };
        let mut shard = Shard::new(config, random.u64(..));
        let mut commands = Vec::new();
        shard.want(origin, MODULE, &mut commands);
        Ok(Self {
            origin,
            shard,
            writer,
            readers: (0..readers).map(|_| board.reader(random.u64(..))).collect(),
            version: 0,
            commands: Vec::new(),
            nodes: Vec::new(),
            hot: Vec::new(),
            ejected: vec![false; nodes],
        })
    }

    pub(super) fn prefer_zone(&mut self, zone: &str) {
        self.shard.prefer_zone(ZonePreference {
            zone: zone.into(),
            ..ZonePreference::default()
        });
    }

    pub(super) fn learn(&mut self, now: u64, route: &[Standing]) {
        self.version += 1;
        let nodes = route.iter().map(|standing| RouteNode {
            weight: standing.weight,
            zone: Arc::from(standing.zone.as_str()),
            state: if standing.draining {
                NodeState::Draining
            } else {
                NodeState::Serving
            },
            ..RouteNode::new(addr(standing.node))
        });
        let news = RouteNews {
            module: MODULE,
            status: if route.is_empty() {
                Status::NotFound
            } else {
                Status::Ok
            },
            version: self.version,
            explained: true,
            route: Arc::new(Route::new(nodes.collect())),
        };
        let now = self.instant(now);
        self.shard.learn(now, &news, &mut self.commands);
        self.execute(now, &mut Vec::new());
        for (node, ejected) in self.ejected.iter_mut().enumerate() {
            *ejected &= news.route.node(addr(node as u32)).is_some();
        }
    }

    pub(super) fn pick(&mut self, reader: u32, key: u64) -> Pick {
        match self.readers[reader as usize].pick_keyed(MODULE, Some(key), &[]) {
            Picked::Node(choice) => Pick::Node {
                node: number(choice.addr),
                token: choice.token,
            },
            Picked::Overloaded { .. } | Picked::Absent => Pick::Refused,
        }
    }

    /// The call is in flight no more, as far as the readers of its process are concerned.
    pub(super) fn finish(&mut self, reader: u32, ended: &Ended) {
        self.readers[reader as usize].finish(ended.token);
    }

    pub(super) fn report(&mut self, now: u64, ended: &Ended) {
        let report = Report {
            module: MODULE,
            node: addr(ended.node),
            token: ended.token,
            outcome: ended.outcome,
            retcode: 0,
            latency_us: u32::try_from(ended.latency / 1_000).unwrap_or(u32::MAX),
        };
        let now = self.instant(now);
        self.shard.report(now, &report, &mut self.commands);
    }

    pub(super) fn turn(&mut self, now: u64, shifts: &mut Vec<Shift>) {
        let now = self.instant(now);
        while self.shard.next_timeout().is_some_and(|due| due <= now) {
            self.shard.due(now, &self.writer, &mut self.commands);
        }
        if !self.commands.is_empty() {
            self.execute(now, shifts);
        }
        self.writer.beat(now);
    }

    fn instant(&self, now: u64) -> Instant {
        self.origin + Duration::from_nanos(now)
    }

    fn execute(&mut self, now: Instant, shifts: &mut Vec<Shift>) {
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Publish(module) => self.publish(now, module, shifts),
                Command::Withdraw(module) => self.writer.withdraw(now, module),
                Command::Refresh(module) => {
                    self.shard.hot(module, &mut self.hot);
                    self.writer.refresh(now, module, &self.hot);
                }
                Command::Grant(module, slot) => self.writer.grant(module, slot),
                // Nobody but this world says a route, and nobody waits for one.
                Command::Subscribe(_) | Command::Unsubscribe(_) | Command::Answer(..) => {}
            }
        }
    }

    fn publish(&mut self, now: Instant, module: ModuleId, shifts: &mut Vec<Shift>) {
        let Some((version, rule)) = self.shard.entry(module, &mut self.nodes) else {
            return;
        };
        let entry = Entry {
            module,
            version,
            rule,
            nodes: &self.nodes,
        };
        if self.writer.publish(now, &entry).is_err() {
            self.writer.withdraw(now, module);
        }
        for node in &self.nodes {
            let number = number(node.addr);
            let ejected = &mut self.ejected[number as usize];
            let is_ejected = match node.view {
                NodeView::Idle => false,
                NodeView::Overloaded | NodeView::Probing => true,
                NodeView::Draining => continue,
            };
            if std::mem::replace(ejected, is_ejected) != is_ejected {
                shifts.push(if is_ejected {
                    Shift::Ejected(number)
                } else {
                    Shift::Readmitted(number)
                });
            }
        }
    }
}

fn addr(node: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(FIRST_IPV4 + node, PORT)
}

fn number(addr: NodeAddr) -> u32 {
    addr.ipv4_number().unwrap_or(FIRST_IPV4) - FIRST_IPV4
}
