//! What an agent counts: each counter is written by one thread with relaxed stores and summed when it is scraped.

mod scrape;

use crate::links::Links;
use lars_pool::CoreStats;
use lars_wire::caller::{Outcome, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread alone writes: no locked instruction is needed.
#[derive(Debug, Default)]
pub(crate) struct Tick(AtomicU64);

impl Tick {
    /// Adds to it.
    pub(crate) fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    /// Sets it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads it.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One core's counts, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreCounts {
    picks: [Tick; Status::ALL.len()],
    reports: [Tick; Outcome::ALL.len()],
    /// Registrations answered.
    pub registers: Tick,
    /// Connections closed for what they sent.
    pub bad_frames: Tick,
    /// Modules that found no room on the board.
    pub board_full: Tick,
    /// Routes learnt from dns.
    pub routes_learnt: Tick,
    /// Modules held now.
    pub modules: Tick,
    /// Modules of which a suddenly shrunken route is held back now.
    pub held_routes: Tick,
    /// Routes held back so far.
    pub held_total: Tick,
    /// Reports refused so far, since they named no node or one unknown node too many.
    pub reports_refused: Tick,
    /// Connections now.
    pub connections: Tick,
    /// Questions that wait for a first route now.
    pub waiting: Tick,
}

impl CoreCounts {
    /// Counts an answered pick.
    pub(crate) fn pick(&self, status: Status) {
        self.picks[usize::from(u8::from(status))].add(1);
    }

    /// Counts a report that was taken.
    pub(crate) fn report(&self, outcome: Outcome) {
        self.reports[usize::from(u8::from(outcome))].add(1);
    }
}

/// The control thread's counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ControlCounts {
    /// Tallies that report has not acknowledged yet.
    pub tallies_pending: Tick,
    /// Batches that report acknowledged.
    pub batches_acknowledged: Tick,
    /// Pushes acknowledged to dns.
    pub pushes_acknowledged: Tick,
    /// Times that the routes were written to disk.
    pub routes_written: Tick,
    /// Mail held back because a core's queue was full, now.
    pub mail_held: Tick,
}

#[derive(Debug)]
struct Counts {
    cores: Vec<Arc<CoreCounts>>,
    control: Arc<ControlCounts>,
    links: Arc<Links>,
    pool: Arc<[CoreStats]>,
}

/// The counts of a running agent, as `lars_agent_*`, and of its cores' rings and buffers, as `lars_pool_*` with the
/// label `service="agent"`. Clones show the same counts.
#[derive(Clone, Debug)]
pub struct AgentStats {
    counts: Arc<Counts>,
}

impl AgentStats {
    pub(crate) fn new(pool: Arc<[CoreStats]>, links: Arc<Links>) -> Self {
        Self {
            counts: Arc::new(Counts {
                cores: pool.iter().map(|_| Arc::default()).collect(),
                control: Arc::default(),
                links,
                pool,
            }),
        }
    }

    /// The counts that core `core` writes.
    pub(crate) fn core(&self, core: u16) -> Arc<CoreCounts> {
        Arc::clone(&self.counts.cores[usize::from(core)])
    }

    /// The counts that the control thread writes.
    pub(crate) fn control(&self) -> Arc<ControlCounts> {
        Arc::clone(&self.counts.control)
    }

    fn sum(&self, count: impl Fn(&CoreCounts) -> &Tick) -> u64 {
        self.counts.cores.iter().map(|core| count(core).get()).sum()
    }

    /// Picks answered with `status` so far.
    pub fn picks(&self, status: Status) -> u64 {
        self.sum(|core| &core.picks[usize::from(u8::from(status))])
    }

    /// Reports taken with `outcome` so far.
    pub fn reports(&self, outcome: Outcome) -> u64 {
        self.sum(|core| &core.reports[usize::from(u8::from(outcome))])
    }

    /// Connections closed so far for what they sent.
    pub fn bad_frames(&self) -> u64 {
        self.sum(|core| &core.bad_frames)
    }

    /// Modules held now.
    pub fn modules(&self) -> u64 {
        self.sum(|core| &core.modules)
    }

    /// Connections of callers now.
    pub fn connections(&self) -> u64 {
        self.sum(|core| &core.connections)
    }

    /// Tallies that report has not acknowledged yet.
    pub fn tallies_pending(&self) -> u64 {
        self.counts.control.tallies_pending.get()
    }

    /// What `status` names, in its order.
    pub(crate) fn named(&self) -> Vec<(String, u64)> {
        let control = &self.counts.control;
        let reports: u64 = Outcome::ALL.iter().map(|&outcome| self.reports(outcome)).sum();
        let picks: u64 = Status::ALL.iter().map(|&status| self.picks(status)).sum();
        [
            ("modules", self.modules()),
            ("connections", self.connections()),
            ("picks", picks),
            ("reports", reports),
            ("waiting", self.sum(|core| &core.waiting)),
            ("bad_frames", self.bad_frames()),
            ("held_routes", self.sum(|core| &core.held_routes)),
            ("board_full", self.sum(|core| &core.board_full)),
            ("tallies_pending", control.tallies_pending.get()),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .to_vec()
    }
}
