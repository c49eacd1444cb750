//! What travels between threads: mail into a core, and memos from a core to the control thread.

use crate::tap::Tapped;
use bytes::Bytes;
use lars_board::Grant;
use lars_pool::{ConnectionId, CoreIndex};
use lars_shard::{CallRun, NodeChange, PolicyConfig, RouteNews};
use lars_wire::ModuleId;
use lars_wire::caller::{Report, Status};
use lars_wire::directory::PushAck;
use lars_wire::record::Tally;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use lars_wire::caller::Avoid;

/// Memos that wait for the control thread at most; a core that finds no room keeps its own and tries again.
pub(crate) const MEMOS_MAX: usize = 1_024;

/// Who asked: where the answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// The core that serves the connection.
    pub core: CoreIndex,
    /// The connection.
    pub connection: ConnectionId,
    /// The sequence of the question's frame.
    pub sequence: u32,
}

/// What was asked of a module that only its owner can answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// A node, by key and nodes to avoid; picked by the asking core once the owner says ok.
    Pick(Option<u64>, Avoid),
    /// Tell when the first route is there.
    Register,
    /// All nodes.
    Route,
    /// Why the nodes stand as they do.
    Explain,
}

impl Question {
    /// Whether the answer is much longer than the question.
    pub(crate) const fn is_bulky(&self) -> bool {
        matches!(self, Self::Route | Self::Explain)
    }
}

/// A question on its way to the owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Who asked.
    pub asker: Asker,
    /// About which module.
    pub module: ModuleId,
    /// What.
    pub question: Question,
    /// How long the answer may wait for a first route, in milliseconds.
    pub deadline_ms: u32,
}

/// The owner's answer on its way back.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// The question.
    pub ask: Ask,
    /// How it was answered.
    pub status: Status,
    /// Version of the route; 0 where there is none.
    pub version: u64,
    /// The answer's frames, where the owner made them (route and explanation); else empty.
    pub frames: Bytes,
}

/// How nodes are to be judged from here on.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicySet {
    /// Where no module says otherwise.
    pub policy: PolicyConfig,
    /// Of single modules.
    pub modules: HashMap<ModuleId, PolicyConfig>,
}

/// A push that dns wants to hear of once it is on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirm {
    /// The connection to dns that it came over, counted from 1: an older one is not told.
    pub link: u64,
    /// What dns is told.
    pub ack: PushAck,
}

/// Mail into a core.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A question to the owner.
    Ask(Box<Ask>),
    /// Somebody wants a module that is not on the board, and waits for no answer.
    Want(ModuleId),
    /// Its answer.
    Answered(Box<Answered>),
    /// A report of a module that this core owns. One by one: the queue between two cores takes them by value, so that
    /// none is allocated for, and the core is woken once for all of a turn.
    Report(Report),
    /// Calls of modules that this core owns, as rings told.
    Calls(Vec<CallRun>),
    /// A probe that this core wanted made, and that no caller with the board makes.
    Probe(Grant),
    /// Modules of this core that another core's callers picked from.
    Used(Vec<ModuleId>),
    /// A route from dns.
    Learn(RouteNews, Confirm),
    /// Nodes are judged by these policies from here on.
    Policies(Arc<PolicySet>),
    /// Calls for the recording that this core keeps.
    Tapped(Box<Tapped>),
    /// The agent stops: take no more reports, and give all counts once every core has said [`Mail::Drained`].
    Drain,
    /// A core, or the callers' thread, has posted its last report.
    Drained,
}

/// What a core wants done at dns, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Hear of the module.
    Subscribe(ModuleId),
    /// Hear of it no more.
    Unsubscribe(ModuleId),
    /// The push is on the board.
    Applied(Confirm),
}

/// From a core to the control thread.
#[derive(Debug)]
pub(crate) enum Memo {
    /// For dns.
    Orders(Vec<Order>),
    /// For report.
    Tallies(Vec<Tally>),
    /// Nodes stand otherwise than before.
    Changes(Vec<NodeChange>),
    /// This core has given its last counts.
    Drained,
}
