//! Servers that take the bytes of a pick and give back the bytes of an answer, and do nothing between: the floors
//! beside which a service stands.

pub mod blocking;
pub mod datagrams;
pub mod pooled;

use crate::exchange::Ask;
use crate::load::place::Place;
use serde::{Deserialize, Serialize};

/// Where to listen, and how bytes move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EchoTask {
    /// Where; a TCP port of 0 takes a free one.
    pub place: Place,
    /// The pool's way to move bytes; the blocking echo has none.
    pub io: Io,
    /// Whose bytes are exchanged.
    pub ask: Ask,
}

/// The pool's ways to move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// `io_uring`.
    Uring,
    /// `epoll`.
    Epoll,
}

impl Io {
    /// The word for it in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}
