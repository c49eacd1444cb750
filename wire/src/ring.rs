//! Caller and agent: call rings change hands. These frames travel as packets of a socket of their own
//! (`agent.sock.board`), where a packet can carry a file; everything else about them is as on every connection.

use crate::codec::Message;
use crate::frame::Kind;
use serde::{Deserialize, Serialize};

/// Here is a ring of mine: drain it. The packet carries the ring's file. Answered by [`RingTaken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingOffer {
    /// The caller's own number of the ring, new for each ring of a connection.
    pub ring: u32,
}

/// The answer to [`RingOffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingTaken {
    /// The caller's number.
    pub ring: u32,
    /// Whether it is drained from now on. If not, the agent has as many rings as it may, or this was none.
    pub taken: bool,
}

/// The ring is half full: drain it soon. Not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingHalfFull {
    /// The caller's number.
    pub ring: u32,
}

impl Message for RingOffer {
    const KIND: Kind = Kind::RingOffer;
}
impl Message for RingTaken {
    const KIND: Kind = Kind::RingTaken;
}
impl Message for RingHalfFull {
    const KIND: Kind = Kind::RingHalfFull;
}
