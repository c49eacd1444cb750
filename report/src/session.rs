//! One connection as its core sees it: where it stands in its conversation.

use lars_pool::Peer;
use lars_wire::session::Session as Stream;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Too few bytes came to tell.
    #[default]
    Unclear,
    /// Our protocol, or nothing that is known here.
    Ours,
    /// What an agent of the C++ Lars speaks.
    Old,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// What is spoken; the first bytes tell.
    pub speech: Speech,
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
            speech: Speech::default(),
            stream: Stream::new(),
            peer,
            welcomed: false,
            unanswered: 0,
        }
    }
}
