//! One connection as its core sees it: how far it has come, and which answers wait for room in its out-queue.

use lars_pool::{ConnectionId, Peer};
use lars_wire::ModuleId;
use lars_wire::directory::KnownModule;
use lars_wire::session::Session;
use std::cell::Cell;
use std::collections::VecDeque;

/// An answer that is due. Kept in order; what is owed while the catalog is loading, or while the peer reads slowly,
/// waits here and is answered from the catalog as it is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The route, unless the peer holds it; "not found" in any case.
    Subscribed {
        /// What the peer holds.
        known: KnownModule,
        /// Of the question.
        sequence: u32,
    },
    /// The route, unless the peer holds it.
    Digested {
        /// What the peer holds.
        known: KnownModule,
        /// Of the question.
        sequence: u32,
    },
    /// The route, which changed while the peer had much to read.
    Push {
        /// What changed.
        module: ModuleId,
    },
    /// The route as an old agent takes it.
    Old {
        /// What it asked for.
        module: ModuleId,
    },
    /// The end of a digest's answer.
    DigestDone {
        /// Of the question.
        sequence: u32,
    },
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Speech {
    /// Too few bytes came to tell.
    #[default]
    Unclear,
    /// Our protocol, or nothing that is known here.
    Ours,
    /// What an agent of the C++ Lars speaks.
    Old,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) peer: Peer,
    pub(super) speech: Speech,
    pub(super) session: Session,
    /// It said hello.
    pub(super) greeted: bool,
    pub(super) due: VecDeque<Due>,
    /// It stands in the core's list of those that are owed something.
    pub(super) listed: bool,
    /// Modules of the digest under way that differed.
    pub(super) differing: u32,
    /// How far the store is, as the peer was told; none before its first answer.
    pub(super) told_version: Cell<Option<u64>>,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, peer: Peer) -> Self {
        Self {
            id,
            peer,
            speech: Speech::default(),
            session: Session::new(),
            greeted: false,
            due: VecDeque::new(),
            listed: false,
            differing: 0,
            told_version: Cell::new(None),
        }
    }

    /// Whether the peer has yet to hear that the store is at `version`; from here on it counts as told.
    pub(super) fn is_to_hear(&self, version: u64) -> bool {
        !self.is_old() && self.told_version.replace(Some(version)) != Some(version)
    }

    /// Whether an agent of the C++ Lars is at the other end.
    pub(super) fn is_old(&self) -> bool {
        self.speech == Speech::Old
    }
}
