//! Why dns does not start.

use std::io;
use std::net::SocketAddr;

/// Why [`crate::Dns::start`] failed. All are for the operator to mend; once started, dns does not fail.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A key of the configuration is out of range: the operator's fault.
    #[error("[dns] {0}")]
    Config(String),
    /// The address cannot be listened on; most often another program does.
    #[error("cannot listen on {listen}: {source}; stop the program that does, or set another `listen`")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The store will not do as it is; one that is only away is waited for instead.
    #[error("[store] {0}")]
    Store(String),
    /// The system refused something else that is needed at start.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}
