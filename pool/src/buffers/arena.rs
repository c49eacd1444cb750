//! One anonymous mapping: page-aligned memory whose address never changes, so that the kernel may be told of it once.

use std::io;
use std::ptr::NonNull;

/// Mapped memory, zeroed by the kernel, unmapped on drop.
#[derive(Debug)]
pub(super) struct Arena {
    start: NonNull<u8>,
    bytes: usize,
}

impl Arena {
    /// Maps `bytes`, which must not be 0.
    pub(super) fn map(bytes: usize) -> io::Result<Self> {
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory of ours.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(address.cast::<u8>())
            .ok_or_else(|| io::Error::other("the kernel mapped the buffers at address 0"))?;
        Ok(Self { start, bytes })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of the byte at `offset`.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.bytes, "a buffer lies in its arena");
        // SAFETY: `offset` lies inside the one mapping that `start` begins (asserted above).
        unsafe { self.start.add(offset) }
    }

    /// Where a byte of the arena lies in it.
    #[inline]
    pub(super) fn offset_of(&self, byte: NonNull<u8>) -> usize {
        byte.addr().get() - self.start.addr().get()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and nobody else's: buffers into it hold it alive.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(result, 0, "our own mapping can be unmapped");
    }
}
