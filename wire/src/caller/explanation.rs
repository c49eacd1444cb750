//! Why a module's nodes stand as they do: the question and its answer, for people and not for the path of a call.

use super::Status;
use crate::bounded;
use crate::bounds::{EXPLAINED_MAX, TEXT_BYTES_MAX};
use crate::byte_enum::byte_enum;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use serde::{Deserialize, Serialize};

/// Why does each node of the module stand as it does? Answered by [`Explanation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// The module.
    pub module: ModuleId,
}

byte_enum! {
    /// A node as the agent sees it.
    pub enum NodeView {
        /// Takes picks.
        Idle = 0,
        /// Gets probes alone.
        Overloaded = 1,
        /// Overloaded, with a probe under way.
        Probing = 2,
        /// Gets no new picks, by the operator's wish.
        Draining = 3,
    }
}

/// The answer to [`Explain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Ok, not found or pending.
    pub status: Status,
    /// Version of the route.
    pub version: u64,
    /// The policy's name. At most [`TEXT_BYTES_MAX`] bytes, as each reason.
    pub policy: String,
    /// How many nodes the module has; `nodes` holds the first of them that fit.
    pub total: u32,
    /// One line a node; at most [`EXPLAINED_MAX`].
    #[serde(deserialize_with = "bounded::seq::<EXPLAINED_MAX, _, _>")]
    pub nodes: Vec<NodeExplained>,
}

/// One node of an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeExplained {
    /// The node.
    pub node: NodeAddr,
    /// How the agent sees it.
    pub view: NodeView,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// Which rule put it there, with its numbers.
    pub reason: String,
    /// What a call to it is expected to cost, as a latency in microseconds; 1 where its policy does not look at that.
    pub cost_us: u32,
    /// Calls that it has in flight, as far as the agent's own cores picked them.
    pub in_flight: u32,
    /// Until it is probed, in milliseconds; none while it is used, or a probe is under way.
    pub next_probe_ms: Option<u64>,
}

impl Message for Explain {
    const KIND: Kind = Kind::Explain;
}
impl Message for Explanation {
    const KIND: Kind = Kind::Explanation;
    fn check(&self) -> Result<(), &'static str> {
        if self.nodes.len() > EXPLAINED_MAX {
            return Err("nodes");
        }
        if self.policy.len() > TEXT_BYTES_MAX {
            return Err("policy");
        }
        if self.nodes.iter().any(|node| node.reason.len() > TEXT_BYTES_MAX) {
            Err("reason")
        } else {
            Ok(())
        }
    }
}
