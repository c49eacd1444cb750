//! What an agent counts: each counter is written by one thread with relaxed stores and summed when it is scraped.

mod scrape;

use crate::links::Links;
use crate::spool_state::SpoolState;
use lars_pool::{CoreStats, Count};
use lars_wire::caller::{Outcome, Status};
use std::sync::Arc;

/// One core's counts, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreCounts {
    picks: [Count; Status::ALL.len()],
    reports: [Count; Outcome::ALL.len()],
    /// Registrations answered.
    pub registers: Count,
    /// Connections closed for what they sent.
    pub bad_frames: Count,
    /// Modules that found no room on the board.
    pub board_full: Count,
    /// Routes learnt from dns.
    pub routes_learnt: Count,
    /// Modules held now.
    pub modules: Count,
    /// Modules of which a suddenly shrunken route is held back now.
    pub held_routes: Count,
    /// Routes held back so far.
    pub held_total: Count,
    /// Reports refused so far, since they named no node or one unknown node too many.
    pub reports_refused: Count,
    /// Questions for a node that callers of the C++ Lars asked.
    pub old_hosts: Count,
    /// Questions of theirs for a route.
    pub old_routes: Count,
    /// Reports of theirs that name no node, or came while the agent stopped.
    pub old_reports_left_out: Count,
    /// Datagrams that are none of their messages, left out.
    pub old_bad: Count,
    /// Messages of theirs that an agent does not take.
    pub old_skipped: Count,
    /// Connections now.
    pub connections: Count,
    /// Questions that wait for a first route now.
    pub waiting: Count,
}

impl CoreCounts {
    /// Counts an answered pick.
    pub(crate) fn pick(&self, status: Status) {
        self.picks[usize::from(u8::from(status))].add(1);
    }

    /// Counts a report that was taken.
    pub(crate) fn report(&self, outcome: Outcome) {
        self.reports(outcome, 1);
    }

    /// Counts reports that were taken.
    pub(crate) fn reports(&self, outcome: Outcome, calls: u32) {
        self.reports[usize::from(u8::from(outcome))].add(u64::from(calls));
    }
}

/// The control thread's counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ControlCounts {
    /// Tallies that report has not acknowledged yet.
    pub tallies_pending: Count,
    /// Those of them that are not on disk either.
    pub tallies_unsaved: Count,
    /// Batches that report acknowledged.
    pub batches_acknowledged: Count,
    /// Pushes acknowledged to dns.
    pub pushes_acknowledged: Count,
    /// Pages and deltas passed over because their dns was not believed.
    pub pushes_doubted: Count,
    /// Times that the routes were written to disk.
    pub routes_written: Count,
    /// Mail held back because a core's queue was full, now.
    pub mail_held: Count,
}

/// The counts of the thread that hands out the board.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CallerCounts {
    /// Callers that have the board, now.
    pub callers: Count,
    /// Rings that are drained, now.
    pub rings: Count,
    /// Records drained from rings so far.
    pub ring_records: Count,
    /// Rings not taken, or given up, for what stood in them.
    pub rings_broken: Count,
}

#[derive(Debug)]
struct Counts {
    cores: Vec<Arc<CoreCounts>>,
    control: Arc<ControlCounts>,
    callers: Arc<CallerCounts>,
    links: Arc<Links>,
    spool: Arc<SpoolState>,
    pool: Arc<[CoreStats]>,
}

/// The counts of a running agent, as `lars_agent_*`, and of its cores' rings and buffers, as `lars_pool_*` with the
/// label `service="agent"`. Clones show the same counts.
#[derive(Clone, Debug)]
pub struct AgentStats {
    counts: Arc<Counts>,
}

impl AgentStats {
    pub(crate) fn new(pool: Arc<[CoreStats]>, links: Arc<Links>, spool: Arc<SpoolState>) -> Self {
        Self {
            counts: Arc::new(Counts {
                cores: pool.iter().map(|_| Arc::default()).collect(),
                control: Arc::default(),
                callers: Arc::default(),
                links,
                spool,
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

    /// The counts that the thread that hands out the board writes.
    pub(crate) fn callers(&self) -> Arc<CallerCounts> {
        Arc::clone(&self.counts.callers)
    }

    /// Rings of callers that are drained now.
    pub fn rings(&self) -> u64 {
        self.counts.callers.rings.get()
    }

    /// Rings not taken, or given up, for what stood in them.
    pub fn rings_broken(&self) -> u64 {
        self.counts.callers.rings_broken.get()
    }

    /// Records drained from rings so far.
    pub fn ring_records(&self) -> u64 {
        self.counts.callers.ring_records.get()
    }

    fn sum(&self, count: impl Fn(&CoreCounts) -> &Count) -> u64 {
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

    /// Those of them that are not on disk either: what the agent's sudden end would lose.
    pub fn tallies_unsaved(&self) -> u64 {
        self.counts.control.tallies_unsaved.get()
    }

    /// Bytes of counts on disk that report has not acknowledged yet.
    pub fn spool_bytes(&self) -> u64 {
        self.counts.spool.bytes.get()
    }

    /// What `status` names, in its order.
    pub(crate) fn named(&self) -> Vec<(String, u64)> {
        let control = &self.counts.control;
        let reports: u64 = Outcome::ALL.iter().map(|&outcome| self.reports(outcome)).sum();
        let picks: u64 = Status::ALL.iter().map(|&status| self.picks(status)).sum();
        [
            ("modules", self.modules()),
            ("connections", self.connections()),
            ("rings", self.rings()),
            ("picks", picks),
            ("reports", reports),
            ("waiting", self.sum(|core| &core.waiting)),
            ("bad_frames", self.bad_frames()),
            ("held_routes", self.sum(|core| &core.held_routes)),
            ("board_full", self.sum(|core| &core.board_full)),
            ("tallies_pending", control.tallies_pending.get()),
            ("spool_bytes", self.spool_bytes()),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .to_vec()
    }
}
