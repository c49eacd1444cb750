//! What a core's loop asks of the kernel, whichever way: the private trait that the ring and its epoll twin share.

use super::slots::Inbound;
use crate::handler::ConnectionId;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Instant;

/// What the kernel reports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Another thread rang the bell.
    Woken,
    /// A connection may be accepted; reported once for each [`Backend::await_connection`].
    Acceptable(u16),
    /// Datagrams arrived at a socket since this was last reported.
    Datagrams(u16),
    /// Bytes arrived. Give the slot back by [`Backend::release`].
    Received {
        connection: ConnectionId,
        inbound: Inbound,
        /// Whether the receive goes on by itself.
        armed: bool,
    },
    /// A receive is over.
    ReceiveEnded {
        connection: ConnectionId,
        end: ReceiveEnd,
    },
    /// The kernel took so many bytes of the last [`Sending::Started`], or failed with this errno.
    Sent {
        connection: ConnectionId,
        result: Result<usize, i32>,
    },
    /// Bytes may be taken again; reported once for each [`Backend::await_writable`].
    Writable(ConnectionId),
}

/// Why a receive is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveEnd {
    /// The peer sends no more.
    Eof,
    /// The kernel ended it, because we asked or for its own reasons: arm it again when bytes are wanted.
    Stopped,
    /// There was no free slot: arm it again when there is one.
    NoSlot,
    /// The socket failed with this errno.
    Failed(i32),
}

/// How to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receive {
    /// Again and again, until stopped.
    Many,
    /// One slot, for a peer that sends faster than it is served: more could not be held back.
    Once,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// So many bytes were taken.
    Done(usize),
    /// None can be taken now.
    Blocked,
    /// [`Event::Sent`] will tell. The bytes must stay until then.
    Started,
    /// The socket failed with this errno.
    Failed(i32),
}

/// How long to wait for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until this moment.
    Until(Instant),
    /// For ever.
    Ever,
}

/// One core's way to move bytes.
pub(crate) trait Backend {
    /// Reports [`Event::Woken`] whenever this eventfd is written. Its counter need not be read.
    fn watch_waker(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Reports [`Event::Acceptable`] once.
    fn await_connection(&mut self, listener: u16, fd: RawFd) -> io::Result<()>;

    /// Reports [`Event::Datagrams`] whenever something arrives.
    fn watch_datagrams(&mut self, socket: u16, fd: RawFd) -> io::Result<()>;

    /// Reports no more of any datagram socket: from here on nothing but its owner keeps one open.
    fn leave_datagrams(&mut self);

    /// Receives into slots.
    fn receive(&mut self, connection: ConnectionId, fd: RawFd, how: Receive);

    /// Ends a receive that is under way; what the kernel had taken already still arrives, then
    /// [`Event::ReceiveEnded`].
    fn stop_receiving(&mut self, connection: ConnectionId, fd: RawFd);

    /// Sends without ever waiting for the peer. `alone` says that nothing else is sent in this turn.
    fn send(&mut self, connection: ConnectionId, fd: RawFd, bytes: &[u8], alone: bool) -> Sending;

    /// Reports [`Event::Writable`] once.
    fn await_writable(&mut self, connection: ConnectionId, fd: RawFd);

    /// The socket was shut down and is to be closed. Returns whether nothing is reported about it from here on;
    /// otherwise whatever is under way ends with its event, and the socket must stay open until then.
    fn forget(&mut self, connection: ConnectionId, fd: RawFd) -> bool;

    /// Receive slots that are not in our hands.
    fn slots_free(&self) -> usize;

    /// All receive slots.
    fn slots(&self) -> usize;

    /// What arrived.
    fn bytes(&self, inbound: &Inbound) -> &[u8];

    /// Gives a slot back.
    fn release(&mut self, inbound: Inbound);

    /// Submits what was asked for and waits for an event, a wake-up or the end of `wait`. May return earlier, and does so
    /// at once where something was sent, so that it is known to be before a sleep.
    fn wait(&mut self, wait: Wait) -> io::Result<()>;

    /// Whether [`Self::next_event`] has something.
    fn has_events(&self) -> bool;

    /// System calls made so far.
    fn system_calls(&self) -> u64;

    /// The next thing that [`Self::wait`] brought.
    fn next_event(&mut self) -> Option<Event>;
}

/// Sends in a system call of its own.
pub(crate) fn send_now(fd: RawFd, bytes: &[u8]) -> Sending {
    let (start, flags) = (bytes.as_ptr(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    // SAFETY: the bytes are only read and live as long as the call.
    let result = unsafe { libc::send(fd, start.cast(), bytes.len(), flags) };
    if let Ok(taken) = usize::try_from(result) {
        return Sending::Done(taken);
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Sending::Blocked,
        errno => Sending::Failed(errno.unwrap_or(libc::EIO)),
    }
}
