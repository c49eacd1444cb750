//! The connections of one core: where each stands in its conversation.

use lars_pool::{ConnectionId, Peer};
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

/// All connections of one core, by the pool's slot.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Vec<Option<(u32, Session)>>,
    open: usize,
}

impl Sessions {
    /// A connection was handed to this core.
    pub(crate) fn open(&mut self, id: ConnectionId, peer: Peer) {
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, None);
        }
        let session = Session {
            stream: Stream::new(),
            peer,
            welcomed: false,
            unanswered: 0,
        };
        if self.slots[slot].replace((id.generation, session)).is_none() {
            self.open += 1;
        }
    }

    /// A connection ended.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        if self.get(id).is_some() {
            self.slots[id.slot as usize] = None;
            self.open -= 1;
        }
    }

    /// The connection, while it is open.
    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut Session> {
        match self.slots.get_mut(id.slot as usize)? {
            Some((generation, session)) if *generation == id.generation => Some(session),
            _ => None,
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_to_a_connection_that_ended_reaches_nobody_else() {
        let mut sessions = Sessions::default();
        let peer = Peer::Unix { pid: 1, uid: 1 };
        let older = ConnectionId {
            slot: 3,
            generation: 1,
        };
        let newer = ConnectionId {
            slot: 3,
            generation: 2,
        };
        sessions.open(older, peer);
        sessions.close(older);
        sessions.open(newer, peer);
        assert!(sessions.get(older).is_none());
        sessions.close(older);
        assert!(sessions.get(newer).is_some());
        assert_eq!(sessions.len(), 1);
    }
}
