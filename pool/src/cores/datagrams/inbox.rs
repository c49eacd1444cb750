//! One batch of datagrams as they were taken from the kernel, with who sent each.

use super::{BATCH, IN_BYTES_MAX};
use std::mem::{size_of, zeroed};
use std::os::fd::RawFd;

/// Who sent a datagram, as the kernel says.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) addr: libc::sockaddr_storage,
    pub(super) len: libc::socklen_t,
}

impl Sender {
    pub(super) const fn nobody() -> Self {
        Self {
            // SAFETY: all zeros are a valid sockaddr_storage (of no family).
            addr: unsafe { zeroed() },
            len: 0,
        }
    }
}

/// Up to a batch of datagrams, of which the first are passed already.
pub(super) struct Inbox {
    bytes: Box<[[u8; IN_BYTES_MAX]]>,
    from: Box<[Sender]>,
    lengths: [usize; BATCH],
    /// It was longer than there is room for.
    cut: [bool; BATCH],
    next: usize,
    len: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![[0; IN_BYTES_MAX]; BATCH].into_boxed_slice(),
            from: vec![Sender::nobody(); BATCH].into_boxed_slice(),
            lengths: [0; BATCH],
            cut: [false; BATCH],
            next: 0,
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next == self.len
    }

    /// Takes what waits, without waiting; how many that were, and whether there may be more.
    pub(super) fn take(&mut self, fd: RawFd) -> (usize, bool) {
        let pieces = self.bytes.iter_mut().map(|bytes| libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: IN_BYTES_MAX,
        });
        let mut vectors = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        for (vector, piece) in vectors.iter_mut().zip(pieces) {
            *vector = piece;
        }
        // SAFETY: all zeros are a valid mmsghdr: no address, no vector, no control bytes.
        let mut heads: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for ((head, vector), from) in heads.iter_mut().zip(&mut vectors).zip(self.from.iter_mut()) {
            head.msg_hdr.msg_name = (&raw mut from.addr).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            head.msg_hdr.msg_iov = vector;
            head.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every head points to its own vector and address, and every vector to its own IN_BYTES_MAX bytes; all
        // live as long as the call and nobody else has them.
        let taken = unsafe {
            libc::recvmmsg(
                fd,
                heads.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let more = match usize::try_from(taken) {
            Ok(taken) => taken == BATCH,
            // A signal, or what an earlier answer met at its peer: no datagram is lost with it, and some may wait.
            Err(_) => std::io::Error::last_os_error().raw_os_error() != Some(libc::EAGAIN),
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        for (place, head) in heads[..taken].iter().enumerate() {
            self.from[place].len = head.msg_hdr.msg_namelen;
            self.lengths[place] = (head.msg_len as usize).min(IN_BYTES_MAX);
            self.cut[place] = head.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        (self.next, self.len) = (0, taken);
        (taken, more)
    }

    /// The oldest that was not passed; without bytes where it was too long.
    pub(super) fn first(&self) -> Option<(&Sender, Option<&[u8]>)> {
        if self.is_empty() {
            return None;
        }
        let bytes = &self.bytes[self.next][..self.lengths[self.next]];
        let bytes = if self.cut[self.next] { None } else { Some(bytes) };
        Some((&self.from[self.next], bytes))
    }

    /// The oldest is done with.
    pub(super) fn pass(&mut self) {
        self.next += 1;
    }
}
