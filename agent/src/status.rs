//! The answer to "how does the agent do?".

use crate::links::Links;
use crate::spool_state::SpoolState;
use crate::stats::AgentStats;
use arc_swap::ArcSwap;
use lars_pool::IoInUse;
use lars_shard::ChangeLog;
use lars_wire::admin::{StatusText, bounded_text};
use std::sync::{Arc, Mutex, PoisonError};

/// The last changes of nodes' states: written by the control thread, read by a core when somebody asks. Clones share
/// them.
#[derive(Clone, Debug)]
pub(crate) struct KeptChanges(Arc<Mutex<ChangeLog>>);

impl KeptChanges {
    pub(crate) fn new(log: ChangeLog) -> Self {
        Self(Arc::new(Mutex::new(log)))
    }

    /// Held for as long as `act` takes: no pick and no report ever waits here.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut ChangeLog) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a status is made of. Clones show the same agent.
#[derive(Clone, Debug)]
pub(crate) struct StatusSource {
    /// The counts.
    pub stats: AgentStats,
    /// The links.
    pub links: Arc<Links>,
    /// How bytes are moved: what was planned, then what the cores found when they started.
    pub io: Arc<ArcSwap<IoInUse>>,
    /// How the spool does.
    pub spool: Arc<SpoolState>,
    /// The last changes of nodes' states.
    pub changes: KeptChanges,
    /// States that are no number and do not change: name and text.
    pub notes: Arc<Vec<(String, String)>>,
}

impl StatusSource {
    /// The status as it stands now.
    pub(crate) fn text(&self) -> StatusText {
        let in_use = self.io.load();
        let mut notes = Vec::clone(&self.notes);
        notes.push(("spool".to_owned(), bounded_text(self.spool.line())));
        StatusText {
            service: "agent".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            io: in_use.kind.name().to_owned(),
            io_reason: bounded_text(in_use.reason.clone()),
            counts: self.stats.named(),
            notes,
            links: self.links.rows(),
        }
    }
}
