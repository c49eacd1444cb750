//! The modules that one core owns: wanted, learnt, judged, counted, dropped.

use crate::book::RouteNews;
use crate::policy::PolicyConfig;
use lars_board::{EntryNode, Rule};
use lars_wire::caller::{Explanation, Report, Status};
use lars_wire::record::Tally;
use lars_wire::{ModuleId, Route};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a shard is told once.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// The policy of modules that have none of their own.
    pub policy: PolicyConfig,
    /// Policies of modules that have one.
    pub module_policies: HashMap<ModuleId, PolicyConfig>,
    /// Modules held at most, of all kinds; beyond it new ones are answered as failed.
    pub modules_max: u32,
    /// How long a module stays after it was last wanted or picked.
    pub module_idle: Duration,
    /// How long a not-found answer is remembered: 1 s.
    pub not_found_memory: Duration,
}

/// What the agent is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask dns for the module and hear of its changes.
    Subscribe(ModuleId),
    /// Hear of it no more.
    Unsubscribe(ModuleId),
    /// Write [`Shard::entry`] of the module to the board, and tell [`Shard::published`] its generation.
    Publish(ModuleId),
    /// Take the module off the board.
    Withdraw(ModuleId),
    /// The first answer for the module is here: whoever waits for it is told ok, not found or failed.
    Answer(ModuleId, Status),
}

/// One core's modules.
pub struct Shard {}

impl Shard {
    /// An empty shard; `seed` for what is left to chance.
    pub fn new(config: ShardConfig, seed: u64) -> Self {
        let _ = (config, seed);
        todo!()
    }

    /// A caller asked for a module that is not on the board. Returns what to answer at once: pending, not found
    /// (remembered), ok (it is on the board after all) or failed (no room).
    pub fn want(&mut self, now: Instant, module: ModuleId, commands: &mut Vec<Command>) -> Status {
        let _ = (now, module, commands);
        todo!()
    }

    /// dns answered or pushed, or the disk remembered.
    pub fn learn(&mut self, now: Instant, news: &RouteNews, commands: &mut Vec<Command>) {
        let _ = (now, news, commands);
        todo!()
    }

    /// A call ended.
    pub fn report(&mut self, now: Instant, report: &Report, commands: &mut Vec<Command>) {
        let _ = (now, report, commands);
        todo!()
    }

    /// Some reader picked from this module since it last said so.
    pub fn used(&mut self, now: Instant, module: ModuleId) {
        let _ = (now, module);
        todo!()
    }

    /// When [`Self::due`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Does what time alone brings about.
    pub fn due(&mut self, now: Instant, commands: &mut Vec<Command>) {
        let _ = (now, commands);
        todo!()
    }

    /// What to write to the board: version, rule and nodes in the board's order (filled into `nodes`).
    pub fn entry(&mut self, module: ModuleId, nodes: &mut Vec<EntryNode>) -> Option<(u64, Rule)> {
        let _ = (module, nodes);
        todo!()
    }

    /// The generation under which the entry last taken was published; tokens of it name nodes by place.
    pub fn published(&mut self, module: ModuleId, generation: u32) {
        let _ = (module, generation);
        todo!()
    }

    /// The route as dns gave it.
    pub fn route(&self, module: ModuleId) -> Option<(u64, &Arc<Route>)> {
        let _ = module;
        todo!()
    }

    /// Why each node stands as it does.
    pub fn explain(&self, now: Instant, module: ModuleId) -> Explanation {
        let _ = (now, module);
        todo!()
    }

    /// Takes the counts gathered since the last call, appended to `tallies` (ages are 0: they are fresh).
    pub fn take_tallies(&mut self, now: Instant, tallies: &mut Vec<Tally>) {
        let _ = (now, tallies);
        todo!()
    }

    /// How many modules are held.
    pub fn modules(&self) -> usize {
        todo!()
    }
}
