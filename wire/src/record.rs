//! Agent and report: counts of calls, each stored exactly once however often it is sent.

use crate::bounded;
use crate::bounds::TALLIES_MAX;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use serde::{Deserialize, Serialize};

/// Counts of calls to one node since the last tally of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// How long before the batch was first sent the calls were reported, in milliseconds: report computes the minute.
    pub age_ms: u32,
    /// Calls that succeeded.
    pub ok: u32,
    /// Calls that failed.
    pub failed: u32,
    /// Calls that timed out.
    pub timed_out: u32,
    /// Calls that the caller gave up.
    pub cancelled: u32,
    /// Sum of latencies of the calls that succeeded, in microseconds.
    pub latency_sum_us: u64,
    /// Largest latency of them, in microseconds.
    pub latency_max_us: u32,
    /// The status window of the node as it stands now.
    pub window: Window,
}

/// The last window of a node, as `ServerCallStatus` keeps it: starts with the node's first call after the window
/// before it closed, and is sent whole each time, so that sending it again changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Successes since the window opened.
    pub succ: u32,
    /// Failures and time-outs since the window opened.
    pub err: u32,
    /// Whether the node is overloaded.
    pub overloaded: bool,
}

/// Tallies of one agent; answered by [`TallyAck`] once they are stored. A batch that was sent is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyBatch {
    /// The sender's random identity; another one after each start.
    pub incarnation: [u8; 16],
    /// Counts batches of this incarnation from 1, without a gap.
    pub sequence: u64,
    /// What `ServerCallStatus` names the caller: the agent's IPv4 address as a number.
    pub caller: u32,
    /// How long ago the batch was frozen, in milliseconds; added to each tally's age. Grows when it is sent again.
    pub age_ms: u64,
    /// At most [`TALLIES_MAX`].
    #[serde(deserialize_with = "bounded::seq::<TALLIES_MAX, _, _>")]
    pub tallies: Vec<Tally>,
}

/// A batch is stored, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyAck {
    /// The batch's incarnation.
    pub incarnation: [u8; 16],
    /// The newest stored sequence of that incarnation.
    pub sequence: u64,
}

impl Message for TallyBatch {
    const KIND: Kind = Kind::TallyBatch;
    fn check(&self) -> Result<(), &'static str> {
        if self.sequence == 0 {
            return Err("sequence");
        }
        if self.tallies.len() > TALLIES_MAX {
            Err("tallies")
        } else {
            Ok(())
        }
    }
}
impl Message for TallyAck {
    const KIND: Kind = Kind::TallyAck;
}
