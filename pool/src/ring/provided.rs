//! The provided-buffer ring: free receive slots, from which the kernel takes one when bytes arrive.

use crate::cores::slots::{SLOT_BYTES, Slots};
use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// The group that receives name.
pub(super) const GROUP: u16 = 0;

/// Bytes of an entry, as the kernel defines it.
const ENTRY_BYTES: usize = 16;
const _: () = assert!(size_of::<BufRingEntry>() == ENTRY_BYTES);

/// The memory shared with the kernel. It must outlive the ring that it was registered with.
#[derive(Debug)]
pub(super) struct ProvidedRing {
    entries: NonNull<BufRingEntry>,
    bytes: usize,
    mask: u16,
    tail: u16,
    /// Slots that the kernel has.
    free: usize,
}

impl ProvidedRing {
    /// Registers a ring for all of `slots`, whose number is a power of two, and fills it.
    pub(super) fn register(ring: &IoUring, slots: &Slots) -> io::Result<Self> {
        let count = slots.count();
        assert!(
            count.is_power_of_two(),
            "a provided-buffer ring has a power of two of entries"
        );
        let bytes = (count * ENTRY_BYTES).next_multiple_of(4096);
        // SAFETY: a new anonymous mapping; no memory of ours is touched.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        let entries = if start == libc::MAP_FAILED {
            None
        } else {
            NonNull::new(start.cast())
        };
        let mut provided = Self {
            entries: entries.ok_or_else(io::Error::last_os_error)?,
            bytes,
            mask: count as u16 - 1,
            tail: 0,
            free: 0,
        };
        let address = provided.entries.as_ptr() as u64;
        // SAFETY: the mapping is page-aligned, holds `count` entries, and is unmapped only after the ring is closed
        // (the owner drops the ring first).
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, count as u16, GROUP, 0)
        }?;
        for slot in 0..count as u16 {
            provided.provide(slot, slots);
        }
        Ok(provided)
    }

    /// Gives a slot to the kernel.
    pub(super) fn provide(&mut self, slot: u16, slots: &Slots) {
        let place = usize::from(self.tail & self.mask);
        // SAFETY: `place` is below the number of entries. The kernel reads an entry only below the tail, and there are
        // no more slots than entries, so it is done with this one.
        let entry = unsafe { &mut *self.entries.as_ptr().add(place) };
        entry.set_addr(slots.start(slot) as u64);
        entry.set_len(SLOT_BYTES as u32);
        entry.set_bid(slot);
        self.tail = self.tail.wrapping_add(1);
        self.free += 1;
        // SAFETY: `entries` is the address of the first entry, whose reserved field is the tail by the kernel's
        // definition: two aligned bytes that only we write, and the kernel reads at the same time.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The kernel filled a slot, which is ours until it is provided again.
    pub(super) fn taken(&mut self) {
        self.free -= 1;
    }

    /// Slots that the kernel has.
    pub(super) fn free(&self) -> usize {
        self.free
    }
}

impl Drop for ProvidedRing {
    fn drop(&mut self) {
        // SAFETY: `register` mapped exactly this, and the ring that read it is closed.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), self.bytes) };
    }
}
