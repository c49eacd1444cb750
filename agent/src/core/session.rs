//! One connection as its core sees it: where it stands in its conversation.

use crate::mail::Ask;
use lars_pool::Peer;
use lars_wire::session::Session as Stream;
use std::collections::VecDeque;

/// Questions of one connection that may wait at a time; one more is answered as pending at once.
pub(crate) const WAITS_MAX: u16 = 1_024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where its bytes stand.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: Peer,
    /// Whether its hello was answered.
    pub welcomed: bool,
    /// How many of its questions are not answered yet.
    pub waits: u16,
    /// How many of them, with long answers, are with an owner.
    pub bulky: u8,
    /// Questions with long answers that stand in line behind those.
    pub deferred: VecDeque<Ask>,
}

impl Session {
    /// A connection just handed to this core.
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            stream: Stream::new(),
            peer,
            welcomed: false,
            waits: 0,
            bulky: 0,
            deferred: VecDeque::new(),
        }
    }
}
