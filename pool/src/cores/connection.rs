//! A core's connections: one table with generations, so that an id never means another connection.

use super::inflow::Inflow;
use super::out_queue::OutQueue;
use crate::handler::{CloseReason, ConnectionId};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slot is free.
    Free,
    /// Served.
    Open,
    /// Sends what is queued, then ends for this reason.
    Closing(CloseReason),
    /// Ends at the end of this turn, whatever is queued.
    Doomed(CloseReason),
    /// The handler knows it no more. The peer may still read what was sent: closing at once would take it away where
    /// bytes of the peer's are unread.
    Lingering,
    /// Shut down; the descriptor stays until the kernel has reported what is under way.
    Ending,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    generation: u32,
    pub(crate) stage: Stage,
    socket: Option<OwnedFd>,
    pub(crate) out: OutQueue,
    pub(crate) inflow: Inflow,
    /// A receive is under way.
    pub(crate) receiving: bool,
    /// That receive was asked to stop.
    pub(crate) stopping: bool,
    /// It had too much unhandled before: receive one slot at a time until it is calm.
    pub(crate) flooding: bool,
    /// The kernel has the front of the out-queue.
    pub(crate) sending: bool,
    /// The kernel took no more; it reports when it does.
    pub(crate) blocked: bool,
    /// When the kernel last took something, while blocked.
    pub(crate) progress: Instant,
    /// When the handler last took bytes.
    pub(crate) handled: Instant,
    /// Since when the peer owes the rest of a frame; its first one from the start.
    pub(crate) owes: Option<Instant>,
    /// A timer for that is set.
    pub(crate) owe_timer: bool,
    /// The handler lets it stay silent, and it has been so far.
    pub(crate) may_be_silent: bool,
    /// A stall timer is set.
    pub(crate) stall_timer: bool,
    /// No more bytes come, and how it ends therefore.
    pub(crate) ended: Option<CloseReason>,
    /// Its bytes are not handled until its out-queue is shorter.
    pub(crate) paused: bool,
    /// Stands in the list of those whose bytes wait.
    pub(crate) waiting: bool,
    /// Stands in the list of those with something to send or to end.
    pub(crate) dirty: bool,
    /// Stands in the list of those whose receive is to be armed.
    pub(crate) rearm: bool,
}

impl Connection {
    fn new(generation: u32, socket: Option<OwnedFd>, stage: Stage, now: Instant) -> Self {
        Self {
            generation,
            stage,
            socket,
            out: OutQueue::default(),
            inflow: Inflow::default(),
            receiving: false,
            stopping: false,
            flooding: false,
            sending: false,
            blocked: false,
            progress: now,
            handled: now,
            owes: Some(now),
            owe_timer: false,
            may_be_silent: false,
            stall_timer: false,
            ended: None,
            paused: false,
            waiting: false,
            dirty: false,
            rearm: false,
        }
    }

    /// The socket's descriptor. Every connection of the table that is not free has one.
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Whether the kernel has nothing of it any more.
    pub(crate) fn is_quiet(&self) -> bool {
        !(self.receiving || self.sending || self.blocked)
    }
}

/// All connections of a core.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Connection>,
    free: Vec<u32>,
}

impl Connections {
    /// Takes a socket in.
    pub(crate) fn insert(&mut self, socket: OwnedFd, now: Instant) -> ConnectionId {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let generation = self.slots.get(slot as usize).map_or(0, |old| old.generation);
        let connection = Connection::new(generation, Some(socket), Stage::Open, now);
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = connection,
            None => self.slots.push(connection),
        }
        ConnectionId { slot, generation }
    }

    /// The connection, unless it is gone.
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|connection| connection.generation == id.generation && connection.stage != Stage::Free)
    }

    /// The connection, if it is served: what is written to another reaches nobody.
    pub(crate) fn open_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.get_mut(id)
            .filter(|connection| connection.stage == Stage::Open)
    }

    /// Closes the descriptor and frees the slot for another, under another generation.
    pub(crate) fn remove(&mut self, id: ConnectionId, now: Instant) {
        if self.get_mut(id).is_some() {
            let generation = id.generation.wrapping_add(1);
            self.slots[id.slot as usize] = Connection::new(generation, None, Stage::Free, now);
            self.free.push(id.slot);
        }
    }

    /// Those that have something queued, and how many bytes.
    pub(crate) fn holders(&self) -> Vec<(usize, ConnectionId)> {
        let all = self.slots.iter().enumerate();
        let holder = |(slot, connection): (usize, &Connection)| {
            let id = ConnectionId {
                slot: slot as u32,
                generation: connection.generation,
            };
            (!connection.out.is_empty()).then_some((connection.out.bytes(), id))
        };
        all.filter_map(holder).collect()
    }

    /// How many are in the table.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All that are in the table now.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let taken = |(slot, connection): (usize, &Connection)| {
            (connection.stage != Stage::Free).then_some(ConnectionId {
                slot: slot as u32,
                generation: connection.generation,
            })
        };
        self.slots.iter().enumerate().filter_map(taken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn id_of_an_ended_connection_reaches_nobody() {
        let mut connections = Connections::default();
        let socket = || UnixStream::pair().expect("a pair of sockets").0.into();
        let first = connections.insert(socket(), Instant::now());
        connections.remove(first, Instant::now());
        let second = connections.insert(socket(), Instant::now());
        assert_eq!((first.slot, second.slot), (0, 0));
        assert!(connections.get_mut(first).is_none());
        assert!(connections.open_mut(second).is_some());
        connections.remove(first, Instant::now());
        assert_eq!(connections.ids(), [second]);
    }
}
