//! What cores and the control thread tell each other.

use crate::confirmations::Settled;
use crate::publication::{EditId, Publication};
use bytes::Bytes;
use lars_pool::{ConnectionId, CoreIndex};
use lars_wire::admin::RouteEdit;
use lars_wire::held::ListHeld;
use lars_wire::names::{ListNames, SetName};
use std::sync::Arc;

/// Requests that may wait for the control thread; more are answered as unavailable.
pub(crate) const REQUESTS_WAITING_MAX: usize = 64;

/// From the control thread to a core.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    /// The catalog is there: answer those who wait for it.
    Loaded,
    /// The catalog changed: push.
    Published(Arc<Publication>),
    /// The store's version moved behind a publication: what was pushed may have been read of the newer one. Those who
    /// were told that version are told anew.
    Moved {
        /// The version under which was pushed.
        told: u64,
    },
    /// An edit is done, or cannot be.
    Answer {
        /// Who asked.
        connection: ConnectionId,
        /// The frame.
        frame: Bytes,
        /// Whether the connection is closed behind it.
        close: bool,
    },
}

/// A question that only the store, or its keeper, can answer.
#[derive(Debug)]
pub(crate) struct Request {
    /// Who asked.
    pub(crate) asker: Asker,
    pub(crate) asked: Asked,
}

/// What was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Change routes.
    Edit(Vec<RouteEdit>),
    /// List names.
    Names(ListNames),
    /// Change a name.
    Name(SetName),
    /// List what is held back.
    Held(ListHeld),
    /// Release what is held back.
    Accept {
        /// Who said so, for the log.
        by: String,
    },
}

/// Where an answer of the control thread goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) core: CoreIndex,
    pub(crate) connection: ConnectionId,
    pub(crate) sequence: u32,
}

/// From a core, or from the service's owner, to the control thread. At most one a core for each edit under way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// This core's pushes of an edit are acknowledged, or were waited for long enough.
    Settled(Settled),
    /// End.
    Stop,
}

/// An edit whose pushes are out.
#[derive(Debug)]
pub(crate) struct EditUnderWay {
    pub(crate) edit: EditId,
    pub(crate) asker: Asker,
    /// Cores that have not said their word yet.
    pub(crate) cores_left: u16,
    /// Connections that did not confirm, of the cores that have.
    pub(crate) unconfirmed: u32,
}
