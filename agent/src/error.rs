//! Why an agent does not start.

use lars_board::BoardError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`crate::Agent::start`] failed. All are for the operator to mend; once started, an agent does not fail.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A key of the configuration is out of range: the operator's fault.
    #[error("[agent] {0}")]
    Config(String),
    /// A socket cannot be listened on; most often another agent lives there.
    #[error("cannot listen on {path}: {source}; stop the agent that owns it, or set another `socket`", path = .path.display())]
    Listen {
        /// The socket's path.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A key of `[compat]` is out of range: the operator's fault.
    #[error("[compat] {0}")]
    Compat(String),
    /// A port for callers of the C++ Lars is taken; most often its agent still runs.
    #[error(
        "cannot listen on UDP {addr}: {source}; stop the C++ agent there first, or set another [compat] udp_base"
    )]
    ListenUdp {
        /// The address.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// There is no memory for the board.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// The system refused something else that is needed at start.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}
