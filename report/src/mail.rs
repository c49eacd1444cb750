//! What cores and the control thread say to each other.

use lars_pool::{ConnectionId, CoreIndex};
use lars_store::{CallBatch, ChangeRecord};

/// Who sent a batch, and how much room it takes while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The core that holds the connection.
    pub core: CoreIndex,
    /// The connection.
    pub connection: ConnectionId,
    /// The question's sequence in its frame header, to be repeated in the answer.
    pub question: u32,
    /// Of the core's room for what waits.
    pub room: u32,
}

/// A batch on its way to the store.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// What is to be stored.
    pub batch: CallBatch,
    /// Who is to be told.
    pub asker: Asker,
}

/// Changes of nodes on their way to the store.
#[derive(Debug)]
pub(crate) struct ChangesArrival {
    /// What is to be stored: one agent's, at least one.
    pub changes: Vec<ChangeRecord>,
    /// Who is to be told.
    pub asker: Asker,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored, now or before: the newest stored sequence of its incarnation.
    Stored {
        /// Whose.
        incarnation: [u8; 16],
        /// The newest that is stored.
        sequence: u64,
    },
    /// One before it is missing.
    Gap {
        /// Its own sequence.
        sequence: u64,
        /// The newest that is stored.
        newest: u64,
    },
    /// Changes of nodes are stored, now or before.
    Changes {
        /// Whose.
        incarnation: [u8; 16],
        /// The number of the last.
        number: u64,
    },
    /// The same batch waits already: its room is free again, its answer follows.
    Known,
    /// The same batch came so often meanwhile that this one is no longer answered.
    Forgotten,
}

/// What a core is told of a batch that it passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Who asked.
    pub asker: Asker,
    /// What became of it.
    pub outcome: Outcome,
}

/// Mail of a core.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Answers to batches of this core's connections.
    Answers(Vec<Answer>),
}
