//! The table of a shard's modules: which there are, in which state, and how many of each. Never decides by the order
//! of a hash table: what gives way is found in a queue.

use super::ShardCounts;
use super::known::Known;
use super::ledger::Ledger;
use super::policies::Policies;
use hashbrown::HashMap;
use lars_wire::ModuleId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a module stands.
#[derive(Debug)]
pub(super) enum State {
    /// Subscribed; dns has not answered yet.
    Wanted,
    /// dns does not know it; remembered until then.
    NotFound { until: Instant },
    /// Its route is here.
    Known(Box<Known>),
}

#[derive(Debug)]
pub(super) struct Module {
    pub(super) state: State,
    /// When it was last wanted, picked from or reported of.
    pub(super) last_used: Instant,
    /// The instant of its live entry among the timers.
    pub(super) armed: Option<Instant>,
}

impl Module {
    pub(super) fn new(now: Instant, state: State) -> Self {
        Self {
            state,
            last_used: now,
            armed: None,
        }
    }

    /// What is known of it; none before its route is here.
    pub(super) fn known_mut(&mut self) -> Option<&mut Known> {
        match &mut self.state {
            State::Known(known) => Some(known),
            State::Wanted | State::NotFound { .. } => None,
        }
    }

    /// Its nodes' minds hear of the calls that wait in their accounts.
    pub(super) fn catch_up(&mut self, policies: &Policies, ledger: &mut Ledger) {
        if let State::Known(known) = &mut self.state
            && let Some(called) = known.catch_up(policies.at(known.policy), ledger)
        {
            self.last_used = self.last_used.max(called);
        }
    }

    /// When time alone does something to it.
    pub(super) fn deadline(&self, module_idle: Duration) -> Instant {
        let idle = self.last_used + module_idle;
        match &self.state {
            State::Wanted => idle,
            State::NotFound { until } => *until,
            State::Known(known) => known.ask_at.map_or(idle, |ask_at| ask_at.min(idle)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Modules {
    table: HashMap<ModuleId, Module>,
    places_max: usize,
    /// Modules not found with the instants until which they are remembered, the oldest first. Entries that no longer
    /// agree with the table are stale.
    not_found: VecDeque<(ModuleId, Instant)>,
    counts: ShardCounts,
}

impl Modules {
    pub(super) fn new(places_max: usize) -> Self {
        Self {
            table: HashMap::new(),
            places_max,
            not_found: VecDeque::new(),
            counts: ShardCounts::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.table.len() >= self.places_max
    }

    /// The gauges that this table keeps.
    pub(super) fn counts(&self) -> ShardCounts {
        self.counts
    }

    pub(super) fn get(&self, module: ModuleId) -> Option<&Module> {
        self.table.get(&module)
    }

    pub(super) fn get_mut(&mut self, module: ModuleId) -> Option<&mut Module> {
        self.table.get_mut(&module)
    }

    pub(super) fn known(&self, module: ModuleId) -> Option<&Known> {
        match &self.table.get(&module)?.state {
            State::Known(known) => Some(known),
            State::Wanted | State::NotFound { .. } => None,
        }
    }

    pub(super) fn known_mut(&mut self, module: ModuleId) -> Option<&mut Known> {
        self.table.get_mut(&module)?.known_mut()
    }

    /// The modules whose route is here, in order.
    pub(super) fn known_ids(&self) -> Vec<ModuleId> {
        let known = self.table.iter();
        let known = known.filter(|(_, held)| matches!(held.state, State::Known(_)));
        let mut ids: Vec<ModuleId> = known.map(|(&module, _)| module).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn insert(&mut self, module: ModuleId, held: Module) {
        self.remove(module);
        self.enqueue(module, &held.state);
        if let Some(gauge) = gauge(&mut self.counts, &held.state) {
            *gauge += 1;
        }
        self.table.insert(module, held);
    }

    pub(super) fn remove(&mut self, module: ModuleId) {
        if let Some(older) = self.table.remove(&module)
            && let Some(gauge) = gauge(&mut self.counts, &older.state)
        {
            *gauge -= 1;
        }
    }

    /// Changes the state of a module that is here; what it was last used for stays.
    pub(super) fn set_state(&mut self, module: ModuleId, state: State) {
        self.enqueue(module, &state);
        let Some(held) = self.table.get_mut(&module) else {
            return;
        };
        if let Some(gauge) = gauge(&mut self.counts, &held.state) {
            *gauge -= 1;
        }
        if let Some(gauge) = gauge(&mut self.counts, &state) {
            *gauge += 1;
        }
        held.state = state;
    }

    /// What is held back of a known module came or went.
    pub(super) fn count_held(&mut self, before: bool, after: bool) {
        self.counts.held = self.counts.held + u64::from(after) - u64::from(before);
    }

    /// The module that has been remembered as not found for longest.
    pub(super) fn oldest_not_found(&mut self) -> Option<ModuleId> {
        self.drop_stale();
        self.not_found.front().map(|(module, _)| *module)
    }

    fn enqueue(&mut self, module: ModuleId, state: &State) {
        if let State::NotFound { until } = state {
            self.drop_stale();
            self.not_found.push_back((module, *until));
        }
    }

    /// All are remembered equally long, so the queue is in order of time, and what is stale leaves it within that
    /// time.
    fn drop_stale(&mut self) {
        while let Some((module, until)) = self.not_found.front() {
            match self.table.get(module).map(|held| &held.state) {
                Some(State::NotFound { until: current }) if current == until => return,
                _ => drop(self.not_found.pop_front()),
            }
        }
    }
}

/// Where modules in this state are counted; none for known ones of which nothing is held back.
fn gauge<'a>(counts: &'a mut ShardCounts, state: &State) -> Option<&'a mut u64> {
    match state {
        State::Wanted => Some(&mut counts.wanted),
        State::NotFound { .. } => Some(&mut counts.not_found),
        State::Known(known) => known.guard.holds().then_some(&mut counts.held),
    }
}
