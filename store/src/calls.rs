//! What report needs of a store: batches of tallies, each stored exactly once.

use crate::error::StoreError;
use lars_wire::record::Window;
use lars_wire::{ModuleId, NodeAddr};

/// Rows that one [`CallStore::prune`] deletes at most: some ten milliseconds of holding the store.
pub const PRUNE_ROWS_MAX: u32 = 10_000;

/// One tally as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// The minute of the calls: Unix time in seconds, divided by 60.
    pub minute: u64,
    /// Calls that succeeded.
    pub ok: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that timed out.
    pub timed_out: u64,
    /// Calls that the caller gave up.
    pub cancelled: u64,
    /// Sum of latencies of the calls that succeeded, in microseconds.
    pub latency_sum_us: u64,
    /// Largest of them.
    pub latency_max_us: u32,
    /// The node's window.
    pub window: Window,
    /// The Unix time of the window's last change, in seconds.
    pub window_ts: u64,
}

/// One agent's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallBatch {
    /// Whose.
    pub incarnation: [u8; 16],
    /// Which, from 1; [`Self::UNNUMBERED`] for one that nobody will send again.
    pub sequence: u64,
    /// What `ServerCallStatus` names the caller: an IPv4 address as a number.
    pub caller: u32,
    /// The counts.
    pub records: Vec<CallRecord>,
}

impl CallBatch {
    /// The sequence of windows alone, from an agent that expects no acknowledgement: none is kept.
    pub const UNNUMBERED: u64 = 0;

    /// Whether no acknowledgement is expected.
    pub fn is_unnumbered(&self) -> bool {
        self.sequence == Self::UNNUMBERED
    }
}

/// What became of a batch. Each says the newest stored sequence of its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was stored now.
    Now(u64),
    /// It had been stored before; nothing was changed.
    Before(u64),
    /// One before it is missing; nothing was changed. A batch of an incarnation never seen is taken whatever its
    /// sequence (its acknowledgement row may have been purged).
    Gap(u64),
}

/// One row of `ServerCallStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallStatus {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// The agent's IPv4 address as a number.
    pub caller: u32,
    /// Successes in the last window.
    pub succ: u64,
    /// Failures in the last window.
    pub err: u64,
    /// Unix time in seconds.
    pub ts: u64,
    /// Whether the agent sees the node as overloaded.
    pub overloaded: bool,
}

/// One minute of one node, summed over callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// Unix time in seconds, divided by 60.
    pub minute: u64,
    /// Calls that succeeded.
    pub ok: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that timed out.
    pub timed_out: u64,
    /// Calls that the caller gave up.
    pub cancelled: u64,
    /// Sum of latencies of the calls that succeeded, in microseconds.
    pub latency_sum_us: u64,
    /// Largest of them.
    pub latency_max_us: u32,
}

/// The call records of a store. One connection; used by one task.
pub trait CallStore {
    /// Stores each batch with its acknowledgement in one transaction. On an error none is known to be stored; one that
    /// was (its transaction went through, and the word of it was lost) is known again when it comes again. Records of
    /// one key are added to what history has; a window is written only over an older or equal ts, and one without calls
    /// (neither successes nor failures) writes nothing. An unnumbered batch needs no acknowledgement, and its windows are
    /// written also where they are without calls.
    fn store(&mut self, batches: &[CallBatch]) -> impl Future<Output = Result<Vec<Stored>, StoreError>>;

    /// `ServerCallStatus` and its twin for IPv6 nodes, of one module or all, in order of module, node and caller.
    fn call_status(
        &mut self,
        module: Option<ModuleId>,
    ) -> impl Future<Output = Result<Vec<CallStatus>, StoreError>>;

    /// History from `minute_first` on, of one module or all, in order of module, node and minute.
    fn history(
        &mut self,
        module: Option<ModuleId>,
        minute_first: u64,
    ) -> impl Future<Output = Result<Vec<HistoryRow>, StoreError>>;

    /// Deletes history older than `minute_first` and acknowledgements idle for longer than `ack_idle_s`, at most
    /// [`PRUNE_ROWS_MAX`] rows of each; returns how many. Call again until it returns 0: others write in between.
    fn prune(&mut self, minute_first: u64, ack_idle_s: u64) -> impl Future<Output = Result<u64, StoreError>>;
}
