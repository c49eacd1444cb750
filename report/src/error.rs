//! Why report does not start.

use lars_store::StoreError;
use std::io;
use std::net::SocketAddr;

/// Why report does not start.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The configuration is wrong: it names the key.
    #[error("[report] {0}")]
    Config(String),
    /// The address is taken, or none of this machine.
    #[error("report cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The store refuses, and will again. One that is merely away is waited for.
    #[error("report's store: {0}")]
    Store(StoreError),
    /// The machine refuses what a service needs.
    #[error("{what}: {source}")]
    System {
        /// What was needed.
        what: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}
