//! Where a service listens: what a connection is made to, and what an error names.

use std::fmt;
use std::path::PathBuf;

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A Unix socket of this machine: an agent.
    Unix(PathBuf),
    /// `"HOST:PORT"` (an IPv6 address in brackets), resolved at each connect: a dns or report.
    Tcp(String),
}

impl Endpoint {
    /// What to do when nobody answers here.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Unix(_) => {
                "start it with `lars up` or `lars agent --config FILE`, or name another socket (LARS_AGENT or LARS_DATA)"
            }
            Self::Tcp(_) => "start it with `lars up`, `lars dns` or `lars report`, or check the address",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(addr) => write!(f, "tcp:{addr}"),
        }
    }
}
