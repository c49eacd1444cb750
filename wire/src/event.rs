//! Changes of nodes' states: agent and report, which stores each once; and a caller, who asks the agent for the last.

use crate::bounded;
use crate::bounds::{CHANGE_REASON_BYTES_MAX, CHANGES_MAX};
use crate::caller::NodeView;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use serde::{Deserialize, Serialize};

/// A node stands otherwise than before in an agent's eyes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Counts the changes of one incarnation of an agent from 1.
    pub number: u64,
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// How long before this was sent it happened, in milliseconds.
    pub age_ms: u64,
    /// How it stood.
    pub from: NodeView,
    /// How it stands.
    pub to: NodeView,
    /// Which rule says so, with its numbers. At most [`CHANGE_REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// Changes on their way to report; answered by [`ChangeAck`] once they are stored. Sent again they change nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeBatch {
    /// The sender's random identity; another one after each start.
    pub incarnation: [u8; 16],
    /// As in [`crate::record::TallyBatch`].
    pub caller: u32,
    /// At most [`CHANGES_MAX`], in order of their numbers.
    #[serde(deserialize_with = "bounded::seq::<CHANGES_MAX, _, _>")]
    pub changes: Vec<StateChange>,
}

/// A batch of changes is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAck {
    /// The batch's incarnation.
    pub incarnation: [u8; 16],
    /// The number of its last change.
    pub number: u64,
}

/// The last changes that the agent keeps, please. Answered by [`ChangeRows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChanges {
    /// Only of this module.
    pub module: Option<ModuleId>,
}

/// The answer to [`ListChanges`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRows {
    /// Changes of all modules since the agent started.
    pub total: u64,
    /// Of those, how many the agent forgot before report had stored them.
    pub lost: u64,
    /// At most [`CHANGES_MAX`], the newest first.
    #[serde(deserialize_with = "bounded::seq::<CHANGES_MAX, _, _>")]
    pub changes: Vec<StateChange>,
}

fn check(changes: &[StateChange]) -> Result<(), &'static str> {
    if changes.len() > CHANGES_MAX {
        return Err("changes");
    }
    let mut reasons = changes.iter().map(|change| change.reason.len());
    if reasons.any(|bytes| bytes > CHANGE_REASON_BYTES_MAX) {
        Err("reason")
    } else {
        Ok(())
    }
}

impl Message for ChangeBatch {
    const KIND: Kind = Kind::ChangeBatch;
    fn check(&self) -> Result<(), &'static str> {
        check(&self.changes)
    }
}
impl Message for ChangeAck {
    const KIND: Kind = Kind::ChangeAck;
}
impl Message for ListChanges {
    const KIND: Kind = Kind::ListChanges;
}
impl Message for ChangeRows {
    const KIND: Kind = Kind::ChangeRows;
    fn check(&self) -> Result<(), &'static str> {
        check(&self.changes)
    }
}
