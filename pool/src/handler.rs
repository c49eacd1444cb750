//! What a service decides, apart from how bytes move: the one trait between pool and the services.

use crate::turn::Turn;
use std::net::SocketAddr;
use std::time::Instant;

/// A core, counted from 0; also the shard that it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreIndex(pub u16);

/// A connection of one core. Never reused: the generation grows when a slot is taken again, so that an answer to a
/// connection that ended reaches nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// Place in the core's table.
    pub slot: u32,
    /// How often the place was taken.
    pub generation: u32,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program on this machine, over a Unix socket.
    Unix {
        /// Its process, as the kernel says.
        pid: i32,
        /// Its user, as the kernel says.
        uid: u32,
    },
    /// A program over TCP.
    Tcp(SocketAddr),
}

impl Peer {
    /// Whether admin messages may be taken from it: the Unix socket and loopback.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix { .. } => true,
            Self::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
        }
    }
}

/// What a handler did with the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes are handled; the rest is no whole frame: show it again with what arrives behind it.
    Consumed(usize),
    /// So many bytes are handled; more whole frames wait, but others shall have their turn first.
    Yield(usize),
    /// The peer broke the rules: send what is queued for it, then close. No more of its bytes are shown.
    Close,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it.
    Peer,
    /// The handler said so.
    Handler,
    /// The peer did not read its answers: its out-queue was full for too long.
    Slow,
    /// The peer left a frame, or its first one, unfinished for too long.
    Unfinished,
    /// The socket failed.
    Error,
    /// The service stops.
    Stop,
}

/// A service's mind on one core. Called on that core's thread alone; never blocks.
pub trait Handler {
    /// What other threads may send to this core.
    type Mail: Send + 'static;

    /// A connection was handed to this core. `listener` is the tag given with its [`crate::Bind`].
    fn opened(
        &mut self,
        turn: &mut Turn<'_, Self::Mail>,
        connection: ConnectionId,
        peer: Peer,
        listener: u16,
    );

    /// Bytes arrived. `bytes` starts at the first byte not yet consumed and is contiguous.
    fn received(
        &mut self,
        turn: &mut Turn<'_, Self::Mail>,
        connection: ConnectionId,
        bytes: &[u8],
    ) -> Received;

    /// A datagram arrived. `answer` has room for any datagram; what is written there is sent to whoever sent this one,
    /// as many bytes as are returned, none for 0. `socket` is the tag given with [`crate::Plan::take_datagrams`].
    fn datagram(
        &mut self,
        turn: &mut Turn<'_, Self::Mail>,
        socket: u16,
        bytes: &[u8],
        answer: &mut [u8],
    ) -> usize {
        let _ = (turn, socket, bytes, answer);
        0
    }

    /// Mail arrived from another core or from outside.
    fn mail(&mut self, turn: &mut Turn<'_, Self::Mail>, mail: Self::Mail);

    /// A connection ended; its id means nothing from here on.
    fn closed(&mut self, turn: &mut Turn<'_, Self::Mail>, connection: ConnectionId, reason: CloseReason);

    /// The end of a turn: do what is due at `turn.now()`, and say when to be called next at the latest.
    fn settle(&mut self, turn: &mut Turn<'_, Self::Mail>) -> Option<Instant>;
}
