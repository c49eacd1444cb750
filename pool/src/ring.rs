//! One core's ring: multishot receives into provided slots, writes from the registered arena, one submit a turn.

mod alarms;
mod provided;

use crate::buffers::BufferPool;
use crate::cores::backend::{Backend, Event, Receive, ReceiveEnd, Sending, Wait, send_now};
use crate::cores::slots::{Inbound, SLOT_BYTES, Slots};
use crate::cores::token::{Operation, pack, unpack};
use crate::handler::{ConnectionId, CoreIndex};
use crate::ladder::{self, NoRing};
use crate::stats::CoreStats;
use alarms::Alarms;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode};
use provided::{GROUP, ProvidedRing};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Never waits, never raises SIGPIPE, and takes less than everything for a failure, so that it is reported.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// The arena is the only registered buffer.
const ARENA: u16 = 0;
/// Rounds in which completions that did not fit the queue are fetched at once; what is left comes with the next wait.
const OVERFLOW_ROUNDS_MAX: usize = 16;
/// How often, and how long each time, the end of the polls of datagram sockets is waited for: they end at once.
const LEAVE_ROUNDS_MAX: usize = 8;
const LEAVE_ROUND: Duration = Duration::from_millis(5);

/// One core's ring.
pub(crate) struct RingBackend {
    // Dropped first: the kernel is done with slots and arena when the ring is closed.
    ring: IoUring,
    provided: ProvidedRing,
    alarms: Alarms,
    slots: Slots,
    /// Keeps the registered arena mapped.
    _pool: BufferPool,
    /// The addresses of the arena, once it is registered and the kernel writes from it without waiting.
    registered: Range<usize>,
    events: VecDeque<Event>,
    waker: RawFd,
    waker_armed: bool,
    /// Datagram sockets by their number, and those whose poll ended.
    datagrams: Vec<RawFd>,
    unwatched: Vec<u16>,
    core: CoreIndex,
    all_stats: Arc<[CoreStats]>,
    system_calls: u64,
}

impl RingBackend {
    /// Opens a ring on this thread, which alone may use it. Returns it with what people should know about it.
    pub(crate) fn open(
        pool: &BufferPool,
        slots: u16,
        core: CoreIndex,
        all_stats: Arc<[CoreStats]>,
    ) -> io::Result<(Self, String)> {
        let ring = ladder::open().map_err(io::Error::from)?;
        let slots = Slots::check_out(pool, slots)?;
        let provided = ladder::with_patience(|| ProvidedRing::register(&ring, &slots))
            .map_err(NoRing::at("registering the receive slots"))
            .map_err(io::Error::from)?;
        let mut backend = Self {
            ring,
            provided,
            alarms: Alarms::default(),
            slots,
            _pool: pool.clone(),
            registered: 0..0,
            events: VecDeque::new(),
            waker: -1,
            // Nothing is to be armed before there is a waker.
            waker_armed: true,
            datagrams: Vec::new(),
            unwatched: Vec::new(),
            core,
            all_stats,
            system_calls: 0,
        };
        let told = match backend.register_arena(pool) {
            Ok(()) => "buffers are registered".to_owned(),
            Err(error) => format!("buffers are not registered: {error} ({})", ladder::MEMLOCK_CURE),
        };
        Ok((backend, told))
    }

    /// Registers the arena and tries a write from it.
    fn register_arena(&mut self, pool: &BufferPool) -> io::Result<()> {
        let (start, bytes) = pool.arena();
        let arena = libc::iovec {
            iov_base: start.cast(),
            iov_len: bytes,
        };
        // SAFETY: the arena stays mapped while `_pool` lives, which is dropped after the ring.
        ladder::with_patience(|| unsafe { self.ring.submitter().register_buffers(&[arena]) })?;
        let (ours, mut theirs) = UnixStream::pair()?;
        let mut trial = pool.check_out(1).ok_or(io::ErrorKind::OutOfMemory)?;
        trial.put(b"?");
        let entry = write_fixed(ours.as_raw_fd(), trial.data()).user_data(pack(Operation::Ignored));
        self.push(&entry);
        self.ring.submit_and_wait(1)?;
        let completion = self.ring.completion().next();
        let result = completion.map_or(-libc::EIO, |completion| completion.result());
        if result != 1 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let mut byte = [0];
        theirs.read_exact(&mut byte)?;
        self.registered = start as usize..start as usize + bytes;
        Ok(())
    }

    fn stats(&self) -> &CoreStats {
        &self.all_stats[usize::from(self.core.0)]
    }

    /// Whether nothing came since completions were last taken.
    fn is_quiet(&mut self) -> bool {
        self.ring.completion().is_empty() && !self.ring.submission().taskrun()
    }

    /// Puts an entry into the submission queue; a full queue is submitted first.
    fn push(&mut self, entry: &Entry) {
        // SAFETY: see each entry's maker: what it points to stays until the operation is over.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.stats().submission_full.add(1);
            // Nothing is lost where this fails: the entries stay, and the next round tries again. What the kernel
            // could lack is memory, or room for completions, which this makes.
            self.system_calls += 1;
            if self.ring.submit().is_err() {
                self.collect();
            }
        }
    }

    /// Takes all completions out of the queue.
    fn collect(&mut self) {
        let mut completions = self.ring.completion();
        completions.sync();
        for completion in completions {
            let (result, flags) = (completion.result(), completion.flags());
            match unpack(completion.user_data()) {
                Operation::Wake => {
                    self.waker_armed = cqueue::more(flags);
                    self.events.push_back(Event::Woken);
                }
                Operation::Accept(listener) => self.events.push_back(Event::Acceptable(listener)),
                Operation::Datagrams(socket) => {
                    if !cqueue::more(flags) {
                        self.unwatched.push(socket);
                    }
                    self.events.push_back(Event::Datagrams(socket));
                }
                Operation::Receive(connection) => {
                    let slot = cqueue::buffer_select(flags);
                    if let Some(slot) = slot {
                        self.provided.taken();
                        if result <= 0 {
                            self.provided.provide(slot, &self.slots);
                        }
                    }
                    self.events
                        .push_back(received(connection, result, slot, cqueue::more(flags)));
                }
                Operation::Send(connection) => {
                    let result = usize::try_from(result).map_err(|_| -result);
                    self.events.push_back(Event::Sent { connection, result });
                }
                Operation::Writable(connection) => self.events.push_back(Event::Writable(connection)),
                Operation::Alarm => self.alarms.rang(),
                Operation::Ignored => {}
            }
        }
    }

    /// Completions that did not fit the queue wait in the kernel; fetches them.
    fn collect_overflow(&mut self) {
        for _ in 0..OVERFLOW_ROUNDS_MAX {
            if !self.ring.submission().cq_overflow() {
                return;
            }
            self.system_calls += 1;
            if self.ring.submit_and_wait(0).is_err() {
                return;
            }
            self.collect();
        }
    }

    /// Submits, and waits for a completion if `wait` allows.
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if let Wait::Until(at) = wait
            && let Some(alarm) = self.alarms.set(at)
        {
            self.push(&alarm);
        }
        let mut submission = self.ring.submission();
        submission.sync();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        if idle && wait == Wait::No {
            return Ok(());
        }
        self.system_calls += 1;
        match self.ring.submit_and_wait(usize::from(wait != Wait::No)) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // A signal came; the kernel lacks memory, or room for completions, for a moment.
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Multishot polls end when the kernel lacks room for completions. One that is armed anew reports at once what
    /// arrived meanwhile.
    fn watch_again(&mut self) {
        while let Some(socket) = self.unwatched.pop() {
            let Some(&fd) = self.datagrams.get(usize::from(socket)) else {
                continue;
            };
            let poll = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true);
            self.push(&poll.build().user_data(pack(Operation::Datagrams(socket))));
        }
    }

    fn arm_waker(&mut self) {
        self.waker_armed = true;
        // Multishot polls are edge-triggered: each write is reported once, and the counter need not be read.
        let poll = opcode::PollAdd::new(Fd(self.waker), libc::POLLIN as u32).multi(true);
        self.push(&poll.build().user_data(pack(Operation::Wake)));
    }
}

/// A write from the arena that never waits.
fn write_fixed(fd: RawFd, bytes: &[u8]) -> Entry {
    opcode::WriteFixed::new(Fd(fd), bytes.as_ptr(), bytes.len() as u32, ARENA)
        .rw_flags(libc::RWF_NOWAIT)
        .build()
}

/// What a completion of a receive means.
fn received(connection: ConnectionId, result: i32, slot: Option<u16>, more: bool) -> Event {
    match (usize::try_from(result), slot) {
        (Ok(bytes @ 1..), Some(slot)) => Event::Received {
            connection,
            inbound: Inbound::new(slot, bytes),
            armed: more,
        },
        (Ok(_), _) => Event::ReceiveEnded {
            connection,
            end: ReceiveEnd::Eof,
        },
        (Err(_), _) => {
            let end = match -result {
                libc::ENOBUFS => ReceiveEnd::NoSlot,
                libc::ECANCELED | libc::EAGAIN | libc::EINTR => ReceiveEnd::Stopped,
                errno => ReceiveEnd::Failed(errno),
            };
            Event::ReceiveEnded { connection, end }
        }
    }
}

impl Backend for RingBackend {
    fn watch_waker(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.waker = fd.as_raw_fd();
        self.arm_waker();
        Ok(())
    }

    fn await_connection(&mut self, listener: u16, fd: RawFd) -> io::Result<()> {
        let poll = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        self.push(&poll.user_data(pack(Operation::Accept(listener))));
        Ok(())
    }

    fn watch_datagrams(&mut self, socket: u16, fd: RawFd) -> io::Result<()> {
        let place = usize::from(socket);
        if self.datagrams.len() <= place {
            self.datagrams.resize(place + 1, -1);
        }
        self.datagrams[place] = fd;
        self.unwatched.push(socket);
        Ok(())
    }

    fn leave_datagrams(&mut self) {
        // Polls keep their sockets open, and a ring is taken apart only some time after it was closed: until then
        // questions would go to a socket that nobody answers.
        for socket in 0..self.datagrams.len() as u16 {
            let cancel = opcode::AsyncCancel::new(pack(Operation::Datagrams(socket))).build();
            self.push(&cancel.user_data(pack(Operation::Ignored)));
        }
        for _ in 0..LEAVE_ROUNDS_MAX {
            if self.unwatched.len() >= self.datagrams.len()
                || self.enter(Wait::Until(Instant::now() + LEAVE_ROUND)).is_err()
            {
                break;
            }
            self.collect();
        }
        self.datagrams.clear();
        self.unwatched.clear();
    }

    fn receive(&mut self, connection: ConnectionId, fd: RawFd, how: Receive) {
        let entry = match how {
            Receive::Many => opcode::RecvMulti::new(Fd(fd), GROUP).build(),
            Receive::Once => opcode::Recv::new(Fd(fd), std::ptr::null_mut(), SLOT_BYTES as u32)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT),
        };
        self.push(&entry.user_data(pack(Operation::Receive(connection))));
    }

    fn stop_receiving(&mut self, connection: ConnectionId, _: RawFd) {
        let cancel = opcode::AsyncCancel::new(pack(Operation::Receive(connection))).build();
        self.push(
            &cancel
                .user_data(pack(Operation::Ignored))
                .flags(Flags::SKIP_SUCCESS),
        );
    }

    fn send(&mut self, connection: ConnectionId, fd: RawFd, bytes: &[u8], alone: bool) -> Sending {
        // Through the ring a send ends the wait that submits it, so that the core enters the kernel once more to
        // sleep. The one send of a turn costs less by itself, unless more has come meanwhile: then that does not sleep.
        if alone && self.is_quiet() {
            self.system_calls += 1;
            return send_now(fd, bytes);
        }
        // Other memory looks the same from here: the heap, shared bytes, reserves.
        let entry = if self.registered.contains(&(bytes.as_ptr() as usize)) {
            write_fixed(fd, bytes)
        } else {
            opcode::Send::new(Fd(fd), bytes.as_ptr(), bytes.len() as u32)
                .flags(SEND_FLAGS)
                .build()
        };
        self.push(&entry.user_data(pack(Operation::Send(connection))));
        Sending::Started
    }

    fn await_writable(&mut self, connection: ConnectionId, fd: RawFd) {
        let poll = opcode::PollAdd::new(Fd(fd), libc::POLLOUT as u32).build();
        self.push(&poll.user_data(pack(Operation::Writable(connection))));
    }

    fn forget(&mut self, _: ConnectionId, _: RawFd) -> bool {
        // The shutdown ends the receive and the poll; each reports it.
        false
    }

    fn slots_free(&self) -> usize {
        self.provided.free()
    }

    fn slots(&self) -> usize {
        self.slots.count()
    }

    fn bytes(&self, inbound: &Inbound) -> &[u8] {
        self.slots.bytes(inbound)
    }

    fn release(&mut self, inbound: Inbound) {
        self.provided.provide(inbound.slot(), &self.slots);
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        if !self.waker_armed {
            self.arm_waker();
        }
        self.watch_again();
        // Where something is sent this does not sleep: sends are tried while they are submitted, and complete at once.
        self.enter(if self.events.is_empty() { wait } else { Wait::No })?;
        self.collect();
        self.collect_overflow();
        Ok(())
    }

    fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    fn system_calls(&self) -> u64 {
        self.system_calls
    }

    fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
