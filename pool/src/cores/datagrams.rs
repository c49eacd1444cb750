//! Datagram sockets of one core: what waits is taken in batches, answered by the handler one by one, and the answers are
//! sent in batches. The same over both backends, which only tell that something arrived.
//!
//! An answer is never given up because the kernel takes none now: it is tried again, and no more is taken from that
//! socket until it is out. No datagram costs an allocation.

mod inbox;
mod outbox;

use super::backend::Backend;
use super::core_loop::{CoreLoop, RETRY_INTERVAL};
use crate::handler::Handler;
use crate::stats::CoreStats;
use crate::turn::Turn;
use inbox::Inbox;
use outbox::{Outbox, Sent};
use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// Datagrams taken or sent with one system call.
const BATCH: usize = 64;
/// Batches of one socket in a turn, before others have theirs.
const BATCHES_PER_TURN_MAX: usize = 4;
/// Bytes of a datagram that is taken; a longer one is left out.
const IN_BYTES_MAX: usize = 2_048;
/// Bytes of the longest answer: what a datagram over IPv4 holds.
pub(crate) const OUT_BYTES_MAX: usize = 65_507;
/// What the kernel may hold until a core takes it: at 300 bytes of its memory for the smallest datagram, ten thousand
/// callers that ask at the same moment.
const KERNEL_BYTES: i32 = 8 << 20;
/// How often the kernel is asked how much it dropped.
const DROPS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a stopping core goes on answering what is queued: a full queue is answered in a tenth of that.
const STOP_ANSWER_MAX: Duration = Duration::from_secs(1);

/// A bound socket on its way to its core.
#[derive(Debug)]
pub(crate) struct BoundDatagrams {
    socket: UdpSocket,
    tag: u16,
}

impl BoundDatagrams {
    /// Binds; port 0 takes a free one.
    pub(crate) fn bind(addr: SocketAddr, tag: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        enlarge(socket.as_raw_fd());
        Ok(Self { socket, tag })
    }

    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Asks for a larger queue in the kernel: beyond its limit where we may, else up to it.
fn enlarge(fd: RawFd) {
    let bytes = KERNEL_BYTES;
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        let size = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the option's value is one i32, which lives as long as the call. Where it fails the default stays.
        let result =
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const bytes).cast(), size) };
        if result == 0 {
            return;
        }
    }
}

/// A socket of this core.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    tag: u16,
    inbox: Inbox,
    outbox: Outbox,
    /// The kernel may have more than was taken.
    readable: bool,
    /// The kernel takes no answers now.
    blocked: bool,
    drops_seen: u32,
    next_drops: Option<Instant>,
}

impl Datagrams {
    pub(crate) fn new(bound: BoundDatagrams) -> Self {
        Self {
            socket: bound.socket,
            tag: bound.tag,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            readable: true,
            blocked: false,
            drops_seen: 0,
            next_drops: None,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Something arrived.
    pub(crate) fn arrived(&mut self) {
        self.readable = true;
    }

    /// The last time that something arrived: from here on the kernel refuses what comes, which a connected caller is
    /// told, and what it queued before can be answered to its end. Without this, a question that comes between the last
    /// look and the closing of the socket would never be answered.
    fn refuse_more(&mut self) {
        self.readable = true;
        // A socket that is connected takes datagrams of its peer alone; here that is itself. One that is bound to every
        // address would answer under another one from then on.
        if let Ok(own) = self.socket.local_addr()
            && !own.ip().is_unspecified()
        {
            // Where it fails, all stays as it was.
            let _ = self.socket.connect(own);
        }
    }

    /// Whether the next turn can go on at once.
    pub(crate) fn is_ready(&self) -> bool {
        !self.blocked && (self.readable || !self.inbox.is_empty() || !self.outbox.is_empty())
    }

    /// Whether answers wait for the kernel.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Takes, answers and sends, at most `batches` times. `answer` gets a datagram and where to write what answers it,
    /// and returns how many bytes that has; 0 for no answer.
    fn serve(
        &mut self,
        batches: usize,
        stats: &CoreStats,
        mut answer: impl FnMut(&[u8], &mut [u8]) -> usize,
    ) {
        for _ in 0..batches {
            if !self.send(stats) {
                return;
            }
            if self.inbox.is_empty() {
                if !self.readable {
                    return;
                }
                // Where there was no more, what comes from here on is told.
                let (taken, more) = self.inbox.take(self.fd());
                stats.datagrams_received.add(taken as u64);
                self.readable = more;
            }
            while let Some((from, bytes)) = self.inbox.first() {
                if !self.outbox.has_room() {
                    break;
                }
                match bytes {
                    Some(bytes) => self.outbox.put(from, |out| answer(bytes, out)),
                    None => stats.datagrams_too_long.add(1),
                }
                self.inbox.pass();
            }
        }
        self.send(stats);
    }

    /// Sends the answers; whether all are out.
    fn send(&mut self, stats: &CoreStats) -> bool {
        if self.outbox.is_empty() {
            self.blocked = false;
            return true;
        }
        let Sent { taken, failed, all } = self.outbox.send(self.fd());
        stats.datagrams_sent.add(taken);
        stats.datagrams_unsent.add(failed);
        self.blocked = !all;
        all
    }

    /// Counts what the kernel dropped, now and then.
    fn look_for_drops(&mut self, now: Instant, stats: &CoreStats) {
        if self.next_drops.is_some_and(|next| now < next) {
            return;
        }
        self.next_drops = Some(now + DROPS_INTERVAL);
        if let Some(drops) = drops(self.fd()) {
            stats
                .datagrams_dropped
                .add(u64::from(drops.wrapping_sub(self.drops_seen)));
            self.drops_seen = drops;
        }
    }
}

/// How many datagrams the kernel dropped at this socket, modulo 2^32.
fn drops(fd: RawFd) -> Option<u32> {
    /// Place of the count among the figures of `SO_MEMINFO`, and how many those are.
    const DROPS: usize = 8;
    let mut figures = [0_u32; DROPS + 1];
    let mut size = size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes into `figures`, and both live as long as the call.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    (result == 0 && size as usize == size_of_val(&figures)).then(|| figures[DROPS])
}

impl<H: Handler, B: Backend> CoreLoop<H, B> {
    /// Asks to be told of what arrives.
    pub(super) fn watch_datagrams(&mut self) -> io::Result<()> {
        for (index, datagrams) in (0..).zip(&self.datagrams) {
            self.backend.watch_datagrams(index, datagrams.fd())?;
        }
        Ok(())
    }

    /// Serves every socket that has something.
    pub(super) fn serve_datagrams(&mut self) {
        for place in 0..self.datagrams.len() {
            if self.datagrams[place].is_ready() || self.datagrams[place].is_blocked() {
                self.serve_one(place, BATCHES_PER_TURN_MAX);
            }
        }
    }

    fn serve_one(&mut self, place: usize, batches: usize) {
        let Some(datagrams) = self.datagrams.get_mut(place) else {
            return;
        };
        let (handler, now, tag) = (&mut self.handler, self.now, datagrams.tag);
        let stats = &self.all_stats[usize::from(self.desk.core.0)];
        let turn = &mut Turn::new(now, &mut self.desk);
        datagrams.serve(batches, stats, |bytes, out| {
            handler.datagram(turn, tag, bytes, out)
        });
        datagrams.look_for_drops(now, stats);
    }

    /// The core ends: what the kernel has queued is answered first.
    pub(super) fn finish_datagrams(&mut self) {
        self.backend.leave_datagrams();
        self.datagrams.iter_mut().for_each(Datagrams::refuse_more);
        let deadline = Instant::now() + STOP_ANSWER_MAX;
        loop {
            self.serve_datagrams();
            let ready = self.datagrams.iter().any(Datagrams::is_ready);
            let blocked = self.datagrams.iter().any(Datagrams::is_blocked);
            if !(ready || blocked) || Instant::now() >= deadline {
                break;
            }
            if !ready {
                std::thread::sleep(RETRY_INTERVAL);
            }
        }
        self.datagrams.clear();
    }
}

#[cfg(test)]
mod tests;
