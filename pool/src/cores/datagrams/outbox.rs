//! One batch of answers on their way out, each to its own peer.

use super::inbox::Sender;
use super::{BATCH, OUT_BYTES_MAX};
use std::mem::zeroed;
use std::os::fd::RawFd;

/// Bytes of all answers of a batch: a full batch of short ones, or four of the longest.
const BYTES: usize = 4 * OUT_BYTES_MAX;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Answers that the kernel took.
    pub(super) taken: u64,
    /// Answers that it will never take: their peers are gone.
    pub(super) failed: u64,
    /// Whether none is left.
    pub(super) all: bool,
}

/// Answers in order, of which the first are sent already.
pub(super) struct Outbox {
    bytes: Box<[u8]>,
    used: usize,
    to: Box<[Sender]>,
    /// Where each answer ends; it begins where the one before does.
    ends: [usize; BATCH],
    next: usize,
    len: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BYTES].into_boxed_slice(),
            used: 0,
            to: vec![Sender::nobody(); BATCH].into_boxed_slice(),
            ends: [0; BATCH],
            next: 0,
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next == self.len
    }

    /// Whether any answer finds room.
    pub(super) fn has_room(&self) -> bool {
        self.len < BATCH && self.bytes.len() - self.used >= OUT_BYTES_MAX
    }

    /// Puts an answer behind the others; `fill` says how long it is, 0 for none.
    pub(super) fn put(&mut self, to: &Sender, fill: impl FnOnce(&mut [u8]) -> usize) {
        let bytes = fill(&mut self.bytes[self.used..self.used + OUT_BYTES_MAX]).min(OUT_BYTES_MAX);
        // Who did not bind an address cannot be answered.
        if bytes == 0 || to.len == 0 {
            return;
        }
        self.used += bytes;
        self.to[self.len] = *to;
        self.ends[self.len] = self.used;
        self.len += 1;
    }

    /// Gives the kernel what it takes.
    pub(super) fn send(&mut self, fd: RawFd) -> Sent {
        let (mut taken, mut failed) = (0, 0);
        while !self.is_empty() {
            match self.send_some(fd) {
                Ok(count) => {
                    taken += count as u64;
                    self.next += count;
                }
                Err(libc::EINTR) => {}
                Err(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                    return Sent {
                        taken,
                        failed,
                        all: false,
                    };
                }
                Err(_) => {
                    failed += 1;
                    self.next += 1;
                }
            }
        }
        (self.next, self.len, self.used) = (0, 0, 0);
        Sent {
            taken,
            failed,
            all: true,
        }
    }

    fn send_some(&mut self, fd: RawFd) -> Result<usize, i32> {
        let mut vectors = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: all zeros are a valid mmsghdr: no address, no vector, no control bytes.
        let mut heads: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let count = self.len - self.next;
        let mut start = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        for place in 0..count {
            let (end, to) = (self.ends[self.next + place], &mut self.to[self.next + place]);
            let piece = &mut self.bytes[start..end];
            vectors[place] = libc::iovec {
                iov_base: piece.as_mut_ptr().cast(),
                iov_len: piece.len(),
            };
            let head = &mut heads[place].msg_hdr;
            head.msg_name = (&raw mut to.addr).cast();
            head.msg_namelen = to.len;
            head.msg_iov = &raw mut vectors[place];
            head.msg_iovlen = 1;
            start = end;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `count` heads point each to its own vector and address, and every vector to its answer's bytes; all
        // live as long as the call, which writes nothing but the heads' counts.
        let result = unsafe { libc::sendmmsg(fd, heads.as_mut_ptr(), count as u32, flags) };
        usize::try_from(result).map_err(|_| {
            std::io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO)
        })
    }
}
