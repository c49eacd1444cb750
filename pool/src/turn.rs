//! What a handler can do during one turn: answer, post, close. Everything is gathered and submitted once at the end.

use crate::handler::{ConnectionId, CoreIndex};
use bytes::Bytes;
use std::marker::PhantomData;
use std::time::Instant;

/// One pass of a core's loop, as its handler sees it.
pub struct Turn<'a, M> {
    now: Instant,
    todo: PhantomData<&'a mut M>,
}

impl<M> Turn<'_, M> {
    /// The time at which this turn began; read once.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Gives `fill` at least `bytes_max` bytes of the connection's registered out-buffer; what it returns is how many
    /// it wrote, which are sent at the end of the turn together with what was queued before. Returns false, and does
    /// not call `fill`, where the connection is gone or its out-queue is full (it is then closed as slow).
    pub fn reply(&mut self, connection: ConnectionId, bytes_max: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let _ = (connection, bytes_max, fill);
        todo!()
    }

    /// Queues bytes that other connections send too (a push encoded once), behind what was queued before.
    pub fn reply_shared(&mut self, connection: ConnectionId, bytes: Bytes) -> bool {
        let _ = (connection, bytes);
        todo!()
    }

    /// Sends what is queued, then closes.
    pub fn close(&mut self, connection: ConnectionId) {
        let _ = connection;
        todo!()
    }

    /// Sends mail to another core (or to this one: it arrives next turn). Never fails and keeps the order for each
    /// destination; while too much is held back, this core takes no bytes from its connections.
    pub fn post(&mut self, core: CoreIndex, mail: M) {
        let _ = (core, mail);
        todo!()
    }

    /// This core.
    pub fn core(&self) -> CoreIndex {
        todo!()
    }

    /// How many cores there are.
    pub fn cores(&self) -> u16 {
        todo!()
    }
}
