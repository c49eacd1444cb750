//! A lent buffer: memory with a head, a length and a capacity, given back when it is dropped.

use super::Shared;
use super::class::BufferClass;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

/// Memory lent by a [`super::BufferPool`]. Bytes are put in at the back and taken out at the front; dropping it gives
/// it back. It cannot leave its core.
///
/// While the kernel reads or writes a buffer, its owner keeps it and calls none of its methods that touch memory.
pub struct Buffer {
    pool: Rc<Shared>,
    start: NonNull<u8>,
    capacity: usize,
    /// The class whose region of the arena it lies in; none for an allocation of its own.
    class: Option<BufferClass>,
    /// Bytes taken out at the front.
    head: usize,
    /// Bytes behind `head` that hold something.
    len: usize,
}

impl Buffer {
    /// A buffer of `capacity` initialised bytes from `start` on, which are nobody else's until it gives them back.
    #[inline]
    pub(super) fn new(
        pool: Rc<Shared>,
        start: NonNull<u8>,
        capacity: usize,
        class: Option<BufferClass>,
    ) -> Self {
        Self {
            pool,
            start,
            capacity,
            class,
            head: 0,
            len: 0,
        }
    }

    /// The bytes that were filled in and not yet consumed.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `start` is valid for `capacity` initialised bytes that are this buffer's alone (the arena is zeroed
        // by the kernel, the heap by us), `head + len <= capacity` always holds, and `&self` keeps writers out.
        unsafe { std::slice::from_raw_parts(self.start.add(self.head).as_ptr(), self.len) }
    }

    /// The room behind the data. It may hold what an earlier borrower left there: write first, then say so by
    /// [`Self::filled`].
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let used = self.head + self.len;
        // SAFETY: as in `data`, for the bytes from `used <= capacity` on; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(used).as_ptr(), self.capacity - used) }
    }

    /// Declares the first `bytes` of [`Self::spare_mut`] filled.
    #[inline]
    pub fn filled(&mut self, bytes: usize) {
        assert!(
            bytes <= self.capacity - self.head - self.len,
            "no more is filled than there was room for"
        );
        self.len += bytes;
    }

    /// Takes `bytes` out at the front. A buffer that is empty then has its whole room again.
    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.len, "no more is consumed than there is");
        self.len -= bytes;
        self.head = if self.len == 0 { 0 } else { self.head + bytes };
    }

    /// Copies as much of `bytes` behind the data as there is room for, and returns how much that is.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = bytes.len().min(spare.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// Moves the data to the front, so that all room lies behind it.
    pub fn compact(&mut self) {
        if self.head == 0 {
            return;
        }
        let start = self.start.as_ptr();
        // SAFETY: both ranges lie in this buffer's own memory (`head + len <= capacity`); `copy` lets them overlap.
        unsafe { std::ptr::copy(start.add(self.head), start, self.len) };
        self.head = 0;
    }

    /// Forgets the data.
    pub fn clear(&mut self) {
        (self.head, self.len) = (0, 0);
    }

    /// Bytes of the data.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no data.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it holds at most.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where [`Self::data`] begins in the arena; none for a buffer from the heap, which is not registered.
    #[inline]
    pub fn arena_offset(&self) -> Option<usize> {
        self.class?;
        Some(self.pool.arena.offset_of(self.start) + self.head)
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        self.pool.check_in(self.start, self.capacity, self.class);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Buffer")
            .field("class", &self.class)
            .field("head", &self.head)
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
