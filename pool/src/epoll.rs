//! The epoll twin: the same behaviour as the ring's, for kernels and containers that forbid io_uring.

use crate::buffers::BufferPool;
use crate::cores::backend::{Backend, Event, Receive, ReceiveEnd, Sending, Wait, send_now};
use crate::cores::slots::{Inbound, SLOT_BYTES, Slots};
use crate::cores::token::{Operation, pack, unpack};
use crate::handler::ConnectionId;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Instant;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// What the kernel is asked to report about one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Interest {
    /// The generation it is for.
    generation: u32,
    fd: RawFd,
    receive: Option<Receive>,
    writable: bool,
    /// Whether epoll knows the descriptor.
    added: bool,
}

/// One core's epoll instance.
pub(crate) struct EpollBackend {
    epoll: OwnedFd,
    slots: Slots,
    free: Vec<u16>,
    /// By the connection's slot.
    interests: Vec<Interest>,
    ready: Box<[libc::epoll_event]>,
    ready_len: usize,
    next: usize,
    /// Events that came about otherwise, or together with another.
    extra: VecDeque<Event>,
    system_calls: u64,
}

impl EpollBackend {
    pub(crate) fn new(pool: &BufferPool, slots: u16) -> io::Result<Self> {
        let slots = Slots::check_out(pool, slots)?;
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: the descriptor was just made and nobody else has it.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            free: (0..slots.count() as u16).rev().collect(),
            slots,
            interests: Vec::new(),
            ready: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX].into_boxed_slice(),
            ready_len: 0,
            next: 0,
            extra: VecDeque::new(),
            system_calls: 0,
        })
    }

    /// Receives into a free slot: `None` without one, `Ok(None)` when nothing is there.
    pub(crate) fn read_slot(&mut self, fd: RawFd) -> Option<io::Result<Inbound>> {
        let slot = self.free.pop()?;
        let start = self.slots.start(slot);
        self.system_calls += 1;
        // SAFETY: the slot is free, so its SLOT_BYTES are nobody's, and valid for as long as `self.slots` lives.
        let result = unsafe { libc::recv(fd, start.cast(), SLOT_BYTES, libc::MSG_DONTWAIT) };
        let Ok(bytes) = usize::try_from(result) else {
            self.free.push(slot);
            return Some(Err(io::Error::last_os_error()));
        };
        Some(Ok(Inbound::new(slot, bytes)))
    }

    fn control(&mut self, operation: i32, fd: RawFd, events: i32, token: u64) -> io::Result<()> {
        self.system_calls += 1;
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: `event` is only read and lives as long as the call.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// The interest of a connection, a fresh one where the slot was another's before.
    fn interest(&mut self, id: ConnectionId, fd: RawFd) -> &mut Interest {
        let place = id.slot as usize;
        if self.interests.len() <= place {
            self.interests.resize(place + 1, Interest::default());
        }
        let interest = &mut self.interests[place];
        if interest.generation != id.generation || !interest.added {
            let kept = if interest.generation == id.generation {
                *interest
            } else {
                Interest::default()
            };
            *interest = Interest {
                generation: id.generation,
                fd,
                ..kept
            };
        }
        interest
    }

    fn current(&mut self, id: ConnectionId) -> Option<&mut Interest> {
        self.interests
            .get_mut(id.slot as usize)
            .filter(|interest| interest.generation == id.generation)
    }

    /// Tells the kernel what is wanted now. A descriptor of which nothing is wanted is taken out: its hang-up would be
    /// reported again and again.
    fn tell(&mut self, id: ConnectionId) {
        let Some(interest) = self.current(id) else { return };
        let mut events = 0;
        if interest.receive.is_some() {
            events |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if interest.writable {
            events |= libc::EPOLLOUT;
        }
        let operation = match (interest.added, events != 0) {
            (false, false) => return,
            (false, true) => libc::EPOLL_CTL_ADD,
            (true, true) => libc::EPOLL_CTL_MOD,
            (true, false) => libc::EPOLL_CTL_DEL,
        };
        interest.added = events != 0;
        let fd = interest.fd;
        if let Err(error) = self.control(operation, fd, events, pack(Operation::Receive(id))) {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            self.extra.push_back(Event::ReceiveEnded {
                connection: id,
                end: ReceiveEnd::Failed(errno),
            });
        }
    }

    /// A connection has something.
    fn ready_connection(&mut self, id: ConnectionId, events: i32) -> Option<Event> {
        let interest = *self.current(id)?;
        let hung_up = events & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
        if interest.writable && (hung_up || events & libc::EPOLLOUT != 0) {
            if let Some(interest) = self.current(id) {
                interest.writable = false;
            }
            self.tell(id);
            self.extra.push_back(Event::Writable(id));
        }
        let incoming = hung_up || events & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0;
        if let (Some(how), true) = (interest.receive, incoming) {
            return self.receive_ready(id, interest.fd, how);
        }
        self.extra.pop_front()
    }

    fn receive_ready(&mut self, id: ConnectionId, fd: RawFd, how: Receive) -> Option<Event> {
        let end = match self.read_slot(fd) {
            None => ReceiveEnd::NoSlot,
            Some(Ok(inbound)) if inbound.is_empty() => {
                self.release(inbound);
                ReceiveEnd::Eof
            }
            Some(Ok(inbound)) => {
                let armed = how == Receive::Many;
                if !armed {
                    self.disarm(id);
                }
                return Some(Event::Received {
                    connection: id,
                    inbound,
                    armed,
                });
            }
            Some(Err(error)) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => return self.extra.pop_front(),
                errno => ReceiveEnd::Failed(errno.unwrap_or(libc::EIO)),
            },
        };
        self.disarm(id);
        Some(Event::ReceiveEnded { connection: id, end })
    }

    fn disarm(&mut self, id: ConnectionId) {
        if let Some(interest) = self.current(id) {
            interest.receive = None;
            self.tell(id);
        }
    }
}

impl Backend for EpollBackend {
    fn watch_waker(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // Edge-triggered: each write is reported once, and the counter need not be read.
        let events = libc::EPOLLIN | libc::EPOLLET;
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events, pack(Operation::Wake))
    }

    fn await_connection(&mut self, listener: u16, fd: RawFd) -> io::Result<()> {
        let (events, token) = (
            libc::EPOLLIN | libc::EPOLLONESHOT,
            pack(Operation::Accept(listener)),
        );
        match self.control(libc::EPOLL_CTL_MOD, fd, events, token) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                self.control(libc::EPOLL_CTL_ADD, fd, events, token)
            }
            result => result,
        }
    }

    fn watch_datagrams(&mut self, socket: u16, fd: RawFd) -> io::Result<()> {
        // Edge-triggered: who serves the socket takes all that waits.
        let events = libc::EPOLLIN | libc::EPOLLET;
        self.control(
            libc::EPOLL_CTL_ADD,
            fd,
            events,
            pack(Operation::Datagrams(socket)),
        )
    }

    fn leave_datagrams(&mut self) {
        // What epoll watches it does not keep open.
    }

    fn receive(&mut self, connection: ConnectionId, fd: RawFd, how: Receive) {
        self.interest(connection, fd).receive = Some(how);
        self.tell(connection);
    }

    fn stop_receiving(&mut self, connection: ConnectionId, _: RawFd) {
        self.disarm(connection);
        self.extra.push_back(Event::ReceiveEnded {
            connection,
            end: ReceiveEnd::Stopped,
        });
    }

    fn send(&mut self, _: ConnectionId, fd: RawFd, bytes: &[u8], _: bool) -> Sending {
        self.system_calls += 1;
        send_now(fd, bytes)
    }

    fn await_writable(&mut self, connection: ConnectionId, fd: RawFd) {
        self.interest(connection, fd).writable = true;
        self.tell(connection);
    }

    fn forget(&mut self, connection: ConnectionId, _: RawFd) -> bool {
        if let Some(interest) = self.current(connection) {
            (interest.receive, interest.writable) = (None, false);
            self.tell(connection);
        }
        true
    }

    fn slots_free(&self) -> usize {
        self.free.len()
    }

    fn slots(&self) -> usize {
        self.slots.count()
    }

    fn bytes(&self, inbound: &Inbound) -> &[u8] {
        self.slots.bytes(inbound)
    }

    fn release(&mut self, inbound: Inbound) {
        self.free.push(inbound.slot());
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let milliseconds = match wait {
            _ if !self.extra.is_empty() => 0,
            Wait::No => 0,
            Wait::Ever => -1,
            // Rounded up: a core that wakes too early would spin until it is time.
            Wait::Until(at) => {
                let left = at.saturating_duration_since(Instant::now());
                i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
            }
        };
        (self.next, self.ready_len) = (0, 0);
        self.system_calls += 1;
        let (start, most) = (self.ready.as_mut_ptr(), self.ready.len() as i32);
        // SAFETY: `ready` holds `most` events, lives as long as the call and is nobody else's.
        let result = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), start, most, milliseconds) };
        match usize::try_from(result) {
            Ok(count) => self.ready_len = count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn has_events(&self) -> bool {
        self.next < self.ready_len || !self.extra.is_empty()
    }

    fn system_calls(&self) -> u64 {
        self.system_calls
    }

    fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.extra.pop_front() {
                return Some(event);
            }
            if self.next == self.ready_len {
                return None;
            }
            let libc::epoll_event { events, u64: token } = self.ready[self.next];
            self.next += 1;
            let event = match unpack(token) {
                Operation::Wake => Some(Event::Woken),
                Operation::Accept(listener) => Some(Event::Acceptable(listener)),
                Operation::Datagrams(socket) => Some(Event::Datagrams(socket)),
                Operation::Receive(id) => self.ready_connection(id, events as i32),
                _ => None,
            };
            if event.is_some() {
                return event;
            }
        }
    }
}
