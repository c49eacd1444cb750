//! The modules that one core owns: wanted, learnt, judged, counted, dropped.

mod account;
mod accounts;
mod ahead;
mod known;
mod learning;
mod ledger;
mod modules;
mod node;
mod policies;
mod reload;
mod run;
mod timers;
mod timing;
mod watch;
mod zone;

use crate::book::RouteNews;
use crate::changes::NodeChange;
use crate::policy::{InFlight, PolicyConfig};
pub use ahead::AHEAD;
use known::Known;
use lars_board::{EntryNode, Hot, NodeSlot, Rule};
use lars_wire::caller::{Explanation, Status};
use lars_wire::record::Tally;
use lars_wire::{ModuleId, Route};
use ledger::Ledger;
use modules::{Module, Modules, State};
use policies::Policies;
pub use run::CallRun;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timers::{Timer, Timers};
use watch::Watch;
pub use zone::{ZONE_USABLE_PERCENT_DEFAULT, ZonePreference};

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
    /// Ask dns for the module and hear of its changes. Said again of a module that is subscribed to already: its
    /// route is in doubt, ask for the whole ([`crate::RouteBook::subscribe`] returns what to say in either case).
    Subscribe(ModuleId),
    /// Hear of it no more.
    Unsubscribe(ModuleId),
    /// Write [`Shard::entry`] of the module to the board. Not said again until [`Shard::entry`] was called; the entry
    /// is none when the module went away in between.
    Publish(ModuleId),
    /// Take the module off the board.
    Withdraw(ModuleId),
    /// Bring [`Shard::hot`] of the module to the board, where its entry stands already.
    Refresh(ModuleId),
    /// The next pick of the module is to go to the node of this slot: a probe.
    Grant(ModuleId, NodeSlot),
    /// The first answer for the module is here: whoever waits for it is told ok, not found or failed (nobody asked
    /// again for so long that it was dropped).
    Answer(ModuleId, Status),
}

/// What a shard holds and has refused; gauges, and totals since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Modules held, of all kinds.
    pub modules: u64,
    /// Modules that wait for their first answer.
    pub wanted: u64,
    /// Modules remembered as not found.
    pub not_found: u64,
    /// Modules of which a shrunken route is held back now.
    pub held: u64,
    /// Routes held back so far.
    pub held_total: u64,
    /// Nodes that are in no route held here and whose calls are being counted.
    pub accounts: u64,
    /// Reports refused so far: of a node that nobody could call, or of one more unknown node than there is room for.
    pub reports_refused_total: u64,
}

/// Timers that one call of [`Shard::due`] handles: with 65,536 modules one was measured at 1.4 us, so about a
/// millisecond of a turn.
const DUE_MAX: usize = 1_024;

/// One core's modules.
pub struct Shard {
    modules: Modules,
    policies: Policies,
    ledger: Ledger,
    timers: Timers,
    /// What is being handled; kept to spare the allocation.
    due: Vec<(Instant, Timer)>,
    watch: Watch,
    module_idle: Duration,
    not_found_memory: Duration,
    random: fastrand::Rng,
    held_total: u64,
    changes: Vec<NodeChange>,
    zone: ZonePreference,
}

impl Shard {
    /// An empty shard; `seed` for what is left to chance.
    pub fn new(config: ShardConfig, seed: u64) -> Self {
        Self {
            modules: Modules::new(config.modules_max as usize),
            policies: Policies::new(&config.policy, config.module_policies),
            ledger: Ledger::default(),
            timers: Timers::new(),
            due: Vec::new(),
            watch: Watch::default(),
            module_idle: config.module_idle,
            not_found_memory: config.not_found_memory,
            random: fastrand::Rng::with_seed(seed),
            held_total: 0,
            changes: Vec::new(),
            zone: ZonePreference::default(),
        }
    }

    /// Nodes of this zone come first in what is published from here on.
    pub fn prefer_zone(&mut self, zone: ZonePreference) {
        self.zone = zone;
    }

    /// A caller asked for a module that is not on the board. Returns what to answer at once: pending, not found
    /// (remembered), ok (it is on the board after all) or failed (no room).
    pub fn want(&mut self, now: Instant, module: ModuleId, commands: &mut Vec<Command>) -> Status {
        if let Some(held) = self.modules.get_mut(module) {
            held.last_used = now;
            match held.state {
                State::Wanted => return Status::Pending,
                State::Known(_) => return Status::Ok,
                State::NotFound { until } if until > now => return Status::NotFound,
                State::NotFound { .. } => self.forget(now, module, commands),
            }
        }
        if !self.make_room(now, commands) {
            return Status::Failed;
        }
        self.insert(now, module, State::Wanted);
        commands.push(Command::Subscribe(module));
        Status::Pending
    }

    /// dns answered or pushed, or the disk remembered. A route of a module that is not held makes it held; that it
    /// is not found is then ignored.
    pub fn learn(&mut self, now: Instant, news: &RouteNews, commands: &mut Vec<Command>) {
        let found = match news.status {
            Status::Ok => !news.route.is_empty(),
            Status::NotFound => false,
            // What a dns never says of a route.
            Status::Overloaded | Status::Pending | Status::Failed => return,
        };
        let module = news.module;
        match self.modules.get_mut(module).map(|held| &mut held.state) {
            None if found => self.learn_unasked(now, news, commands),
            Some(State::Known(_)) => self.learn_again(now, news, found, commands),
            Some(State::Wanted) if found => {
                self.publish_first(now, news, commands);
                commands.push(Command::Answer(module, Status::Ok));
            }
            Some(State::Wanted) => {
                self.set_not_found(now, module);
                commands.push(Command::Answer(module, Status::NotFound));
            }
            Some(State::NotFound { .. }) if found => self.publish_first(now, news, commands),
            None | Some(State::NotFound { .. }) => {}
        }
    }

    /// Some reader picked from this module since it last said so.
    pub fn used(&mut self, now: Instant, module: ModuleId) {
        if let Some(held) = self.modules.get_mut(module) {
            held.last_used = now;
        }
    }

    /// When [`Self::due`] wants to be called next; never later than needed, sometimes earlier.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what time alone brings about: at most 1,024 things, so while [`Self::next_timeout`] has passed, call again.
    ///
    /// `in_flight` is asked about nodes of modules held here alone.
    pub fn due(&mut self, now: Instant, in_flight: &dyn InFlight, commands: &mut Vec<Command>) {
        let (mut left, mut due) = (DUE_MAX, std::mem::take(&mut self.due));
        while left > 0 {
            // Several are taken at a time where looking ahead is worth it, and that is not where they are few.
            let most = if self.watch.is_crowded() { AHEAD } else { 1 };
            due.extend((0..most.min(left)).map_while(|_| self.timers.pop_due(now)));
            if due.is_empty() {
                break;
            }
            left -= due.len();
            self.look_ahead_at(&due);
            for (at, timer) in due.drain(..) {
                self.handle(now, at, timer, in_flight, commands);
            }
        }
        self.due = due;
        self.sweep_timers();
    }

    /// What to write to the board: version, rule and nodes in the board's order (filled into `nodes`, cleared
    /// before). None unless the module's route is known.
    pub fn entry(&mut self, module: ModuleId, nodes: &mut Vec<EntryNode>) -> Option<(u64, Rule)> {
        let rule = self.policies.of(module).board_rule();
        let known = self.modules.known_mut(module)?;
        known.fill_entry(&self.zone, nodes);
        known.note_changes(module, self.policies.at(known.policy), &mut self.changes);
        Some((known.version, rule))
    }

    /// Takes the changes of nodes' states that [`Self::entry`] has brought to light since the last call, appended to
    /// `changes`: so what is told is what readers were told.
    pub fn take_changes(&mut self, changes: &mut Vec<NodeChange>) {
        changes.append(&mut self.changes);
    }

    /// What changes often about the module's nodes, in the order of the entry last taken (`hot` is cleared before; it
    /// stays empty where the module's route is not known).
    pub fn hot(&self, module: ModuleId, hot: &mut Vec<Hot>) {
        hot.clear();
        if let Some(known) = self.modules.known(module) {
            known.fill_hot(hot);
        }
    }

    /// The route as dns gave it; while a shrunken one is held back, the one before.
    pub fn route(&self, module: ModuleId) -> Option<(u64, &Arc<Route>)> {
        let known = self.modules.known(module)?;
        Some((known.version, &known.route))
    }

    /// Why each node stands as it does. A module that nobody asked for is not found.
    pub fn explain(&self, now: Instant, module: ModuleId, in_flight: &dyn InFlight) -> Explanation {
        let policy = self.policies.of(module);
        let mut explanation = Explanation {
            status: Status::NotFound,
            version: 0,
            policy: policy.name().to_owned(),
            total: 0,
            nodes: Vec::new(),
        };
        match self.modules.get(module).map(|held| &held.state) {
            None | Some(State::NotFound { .. }) => {}
            Some(State::Wanted) => explanation.status = Status::Pending,
            Some(State::Known(known)) => {
                explanation.status = Status::Ok;
                explanation.version = known.version;
                explanation.total = known.nodes.len() as u32;
                explanation.nodes = known.explain(now, policy, in_flight);
            }
        }
        explanation
    }

    /// Nodes at most of which there are counts to take.
    pub fn tallies_waiting(&self) -> usize {
        self.ledger.waiting()
    }

    /// Takes the counts gathered since the last call of `most` nodes, the longest gathered first, appended to `tallies` (ages
    /// are 0: they are fresh). Visits only what has something to give.
    pub fn take_tallies(&mut self, now: Instant, most: usize, tallies: &mut Vec<Tally>) {
        self.ledger.take(&mut self.timers, now, most, tallies);
    }

    /// How many modules are held.
    pub fn modules(&self) -> usize {
        self.modules.len()
    }

    /// What is held and was refused, for metrics and `status`.
    pub fn counts(&self) -> ShardCounts {
        ShardCounts {
            modules: self.modules.len() as u64,
            held_total: self.held_total,
            accounts: self.ledger.loose() as u64,
            reports_refused_total: self.ledger.refused(),
            ..self.modules.counts()
        }
    }

    /// Whether a shrunken route of this module is held back until it is said again.
    pub fn is_held(&self, module: ModuleId) -> bool {
        self.modules
            .known(module)
            .is_some_and(|known| known.guard.holds())
    }
}

/// Modules come and go.
impl Shard {
    fn insert(&mut self, now: Instant, module: ModuleId, state: State) {
        self.modules.insert(module, Module::new(now, state));
        self.arm_module(module);
    }

    fn forget(&mut self, now: Instant, module: ModuleId, commands: &mut Vec<Command>) {
        self.give_back(now, module);
        let armed = self.modules.get(module).is_some_and(|held| held.armed.is_some());
        self.timers.outdate(usize::from(armed));
        self.modules.remove(module);
        commands.push(Command::Unsubscribe(module));
    }

    /// What a known module has of the shard, before it goes.
    fn give_back(&mut self, now: Instant, module: ModuleId) {
        if let Some(known) = self.modules.known_mut(module) {
            self.watch.end(&mut known.watched);
            self.timers.outdate(usize::from(known.armed.is_some()));
            for node in &known.nodes {
                node.leave(now, &mut self.ledger, &mut self.timers);
            }
        }
    }

    /// Whether one more module may be held; the oldest that was not found gives way.
    fn make_room(&mut self, now: Instant, commands: &mut Vec<Command>) -> bool {
        while self.modules.is_full() {
            let Some(oldest) = self.modules.oldest_not_found() else {
                return false;
            };
            self.forget(now, oldest, commands);
        }
        true
    }
}

fn publish(known: &mut Known, module: ModuleId, commands: &mut Vec<Command>) {
    if !known.publish_due {
        known.publish_due = true;
        commands.push(Command::Publish(module));
    }
}
