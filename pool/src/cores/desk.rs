//! What a handler can reach during a turn: its core's connections, buffers and the ways to the other cores.

use super::connection::{Connections, Stage};
use super::memory::Memory;
use super::out_queue::{OutQueue, Source};
use super::posts::Posts;
use super::unsent::Unsent;
use crate::handler::{CloseReason, ConnectionId, CoreIndex};
use crate::stats::CoreStats;
use std::sync::Arc;

/// One core's things, apart from the kernel's side.
pub(crate) struct Desk<M> {
    pub(crate) core: CoreIndex,
    pub(crate) connections: Connections,
    pub(crate) memory: Memory,
    /// What waits for peers to read it.
    pub(crate) unsent: Unsent,
    pub(crate) posts: Posts<M>,
    /// Connections with something to send or to end, each once.
    pub(crate) dirty: Vec<ConnectionId>,
    /// Every core's counts; this core writes its own alone.
    pub(crate) all_stats: Arc<[CoreStats]>,
}

impl<M> Desk<M> {
    /// This core's counts.
    pub(crate) fn stats(&self) -> &CoreStats {
        &self.all_stats[usize::from(self.core.0)]
    }

    /// Puts something at the end of an open connection's out-queue. Where it is full the connection is lost.
    pub(crate) fn queue(
        &mut self,
        id: ConnectionId,
        bytes_max: usize,
        put: impl FnOnce(&mut OutQueue, &Memory, &mut Unsent) -> Source,
    ) -> bool {
        if self.unsent.is_full_with(bytes_max) {
            self.end_those_who_hold_most(bytes_max);
        }
        let Some(connection) = self.connections.open_mut(id) else {
            return false;
        };
        if connection.out.room() < bytes_max {
            connection.stage = Stage::Doomed(CloseReason::Slow);
            self.touch(id);
            return false;
        }
        if put(&mut connection.out, &self.memory, &mut self.unsent) == Source::Beyond {
            self.stats().replies_beyond.add(1);
        }
        self.touch(id);
        true
    }

    /// Ends the connections that hold most until there is room for `bytes` and some more.
    #[cold]
    fn end_those_who_hold_most(&mut self, bytes: usize) {
        let mut holders = self.connections.holders();
        holders.sort_unstable_by_key(|(held, _)| std::cmp::Reverse(*held));
        for (_, id) in holders {
            if self.unsent.has_room_for(bytes) {
                return;
            }
            self.doom(id, CloseReason::Slow);
            if let Some(connection) = self.connections.get_mut(id) {
                connection.out.give_up(&mut self.unsent);
                self.stats().closed_crowding.add(1);
            }
        }
    }

    /// Lets an open connection end for `reason` when what is queued is sent.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        if let Some(connection) = self.connections.open_mut(id) {
            connection.stage = Stage::Closing(reason);
            self.touch(id);
        }
    }

    /// Lets an open or closing connection end for `reason` at the end of this turn.
    pub(crate) fn doom(&mut self, id: ConnectionId, reason: CloseReason) {
        if let Some(connection) = self.connections.get_mut(id)
            && matches!(connection.stage, Stage::Open | Stage::Closing(_))
        {
            connection.stage = Stage::Doomed(reason);
            self.touch(id);
        }
    }

    /// Lets the end of the turn look at it.
    pub(crate) fn touch(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }
}
