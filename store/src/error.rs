//! What a store can fail with, by what the caller of it should do.

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or is busy: the same call may go through later.
    #[error("the store is away: {0}")]
    Away(String),
    /// It refuses, and will again: a missing table, missing rights, a wrong path. Says what would mend it.
    #[error("{0}")]
    Unfit(String),
    /// The request cannot be done as it stands.
    #[error("{0}")]
    Refused(String),
}
