//! A recording: every call that is reported to an agent for a while, one by one, for whoever asks for it.

use crate::bounded;
use crate::bounds::SEEN_MAX;
use crate::caller::Outcome;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use serde::{Deserialize, Serialize};

/// Record, please. Answered by frames of [`Seen`], the last of which says so. One recording at a time; it ends early
/// with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Only calls of this module.
    pub module: Option<ModuleId>,
    /// For how long, in milliseconds; at most an hour.
    pub duration_ms: u32,
}

/// Calls that ended alike, as they were reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCall {
    /// Since the recording began, in microseconds: when the report reached the agent.
    pub t_us: u64,
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// How they ended.
    pub outcome: Outcome,
    /// How long each took, in microseconds; the mean where a caller had to sum several up.
    pub latency_us: u32,
    /// How many; more than one where a caller had to sum several up.
    pub calls: u32,
}

/// A part of the answer to [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Calls that could not be told so far: more came than the connection took.
    pub lost: u64,
    /// Whether this was the last.
    pub done: bool,
    /// At most [`SEEN_MAX`].
    #[serde(deserialize_with = "bounded::seq::<SEEN_MAX, _, _>")]
    pub calls: Vec<SeenCall>,
}

impl Message for Record {
    const KIND: Kind = Kind::Record;
}
impl Message for Seen {
    const KIND: Kind = Kind::Seen;
    fn check(&self) -> Result<(), &'static str> {
        if self.calls.len() > SEEN_MAX {
            Err("calls")
        } else {
            Ok(())
        }
    }
}
