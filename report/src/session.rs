//! One connection as its core sees it: where it stands in its conversation.

use lars_pool::Peer;
use lars_wire::session::Session as Stream;

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// Where its bytes stand.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: Peer,
    /// Whether its hello was answered.
    pub welcomed: bool,
    /// Batches of it that are not answered.
    pub unanswered: u16,
}

impl Session {
    /// A connection just handed to this core.
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            stream: Stream::new(),
            peer,
            welcomed: false,
            unanswered: 0,
        }
    }
}
