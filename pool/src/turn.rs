//! What a handler can do during one turn: answer, post, close. Everything is gathered and submitted once at the end.

use crate::cores::Desk;
use crate::handler::{CloseReason, ConnectionId, CoreIndex};
use bytes::Bytes;
use std::time::Instant;

/// One pass of a core's loop, as its handler sees it.
pub struct Turn<'a, M> {
    now: Instant,
    desk: &'a mut Desk<M>,
}

impl<'a, M> Turn<'a, M> {
    pub(crate) fn new(now: Instant, desk: &'a mut Desk<M>) -> Self {
        Self { now, desk }
    }

    /// The time at which this turn began; read once.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Gives `fill` at least `bytes_max` bytes of the connection's registered out-buffer; what it returns is how many
    /// it wrote, which are sent at the end of the turn together with what was queued before. Returns false, and does
    /// not call `fill`, where the connection is gone or its out-queue is full (it is then closed as slow).
    pub fn reply(
        &mut self,
        connection: ConnectionId,
        bytes_max: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> bool {
        self.desk.queue(connection, bytes_max, |out, memory, unsent| {
            out.append(memory, unsent, bytes_max, fill)
        })
    }

    /// Queues bytes that other connections send too (a push encoded once), behind what was queued before.
    pub fn reply_shared(&mut self, connection: ConnectionId, bytes: Bytes) -> bool {
        self.desk.queue(connection, bytes.len(), |out, memory, unsent| {
            out.append_shared(memory, unsent, bytes)
        })
    }

    /// How many more bytes the connection's out-queue takes; 0 where the connection is gone, or has not read its last
    /// answer while the core has too much unsent. A handler whose answers
    /// are much longer than their questions looks here and leaves the rest for another turn
    /// ([`crate::Received::Yield`]): bytes are shown again when the peer has read.
    pub fn room(&mut self, connection: ConnectionId) -> usize {
        let crowded = self.desk.unsent.is_crowded();
        match self.desk.connections.open_mut(connection) {
            Some(connection) if !crowded || connection.out.is_empty() => connection.out.room(),
            _ => 0,
        }
    }

    /// How many bytes wait for the connection's peer to read them; none where it is gone.
    pub fn unsent(&mut self, connection: ConnectionId) -> usize {
        let connection = self.desk.connections.open_mut(connection);
        connection.map_or(0, |connection| connection.out.bytes())
    }

    /// Lets a connection stay silent from its start, for as long as fewer than half of the service's places are taken:
    /// for peers that connect long before they have something to say. Its first frame is due once it began.
    pub fn allow_silence(&mut self, connection: ConnectionId) {
        if let Some(connection) = self.desk.connections.open_mut(connection) {
            connection.may_be_silent = true;
        }
    }

    /// Sends what is queued, then closes. From here on the connection takes no replies, and its bytes are not shown.
    pub fn close(&mut self, connection: ConnectionId) {
        self.desk.close(connection, CloseReason::Handler);
    }

    /// Sends mail to another core (or to this one: it arrives next turn). Never fails and keeps the order for each
    /// destination; while too much is held back, this core takes no bytes from its connections.
    pub fn post(&mut self, core: CoreIndex, mail: M) {
        self.desk.posts.mail(core, mail);
    }

    /// This core.
    pub fn core(&self) -> CoreIndex {
        self.desk.core
    }

    /// How many cores there are.
    pub fn cores(&self) -> u16 {
        self.desk.all_stats.len() as u16
    }
}
