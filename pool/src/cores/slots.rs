//! The receive slots: small buffers of the pool that stay with the backend, known by number while the kernel or the
//! loop has them.

use crate::buffers::{Buffer, BufferClass, BufferPool};
use std::io;

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = BufferClass::Small.bytes();

/// Bytes that arrived in a slot and are not yet handled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    slot: u16,
    start: u16,
    end: u16,
}

impl Inbound {
    pub(crate) fn new(slot: u16, bytes: usize) -> Self {
        assert!(bytes <= SLOT_BYTES, "a slot holds what the kernel put into it");
        Self {
            slot,
            start: 0,
            end: bytes as u16,
        }
    }

    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.end - self.start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes bytes out at the front.
    pub(crate) fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.len(), "no more is consumed than there is");
        self.start += bytes as u16;
    }
}

/// All slots of a core.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Where each slot begins.
    starts: Vec<*mut u8>,
    /// Keeps the slots lent. None of a buffer's methods that touch memory is called while it is here.
    _buffers: Vec<Buffer>,
}

impl Slots {
    /// Takes `count` slots from the pool, which must have them: they are the first term of its configuration.
    pub(crate) fn check_out(pool: &BufferPool, count: u16) -> io::Result<Self> {
        let mut buffers = Vec::with_capacity(count.into());
        for _ in 0..count {
            let buffer = pool.check_out(SLOT_BYTES).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::OutOfMemory,
                    "the pool has fewer small buffers than receive slots",
                )
            })?;
            buffers.push(buffer);
        }
        let starts = buffers
            .iter_mut()
            .map(|buffer| buffer.spare_mut().as_mut_ptr())
            .collect();
        Ok(Self {
            starts,
            _buffers: buffers,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Where a slot begins; [`SLOT_BYTES`] are valid from there for as long as `self` lives.
    pub(crate) fn start(&self, slot: u16) -> *mut u8 {
        self.starts[usize::from(slot)]
    }

    /// What arrived.
    pub(crate) fn bytes(&self, inbound: &Inbound) -> &[u8] {
        let start = self.start(inbound.slot);
        // SAFETY: the slot's buffer is lent for as long as `self` lives and holds SLOT_BYTES, which `end` does not
        // exceed. Who has the `Inbound` has the slot: nobody writes it before it is given back, which takes the value.
        unsafe { std::slice::from_raw_parts(start.add(usize::from(inbound.start)), inbound.len()) }
    }
}
