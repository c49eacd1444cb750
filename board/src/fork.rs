//! A page that a child process finds wiped: how what must not be shared after a fork notices one, at the price of
//! reading one word.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the page; the kernel rounds up to its own.
const PAGE_BYTES: usize = 4_096;

/// One word that is 0 in every child of the process that made it. Nothing else is ordered by it.
#[derive(Debug)]
pub struct ForkWord {
    page: NonNull<AtomicU64>,
}

// SAFETY: the page belongs to no thread, and what it holds is an atomic, which any thread may use.
unsafe impl Send for ForkWord {}
// SAFETY: as above.
unsafe impl Sync for ForkWord {}

impl ForkWord {
    /// A word of 1.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice; it overlaps nothing that we have.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = NonNull::new(page.cast()).ok_or_else(|| io::Error::other("mmap gave address zero"))?;
        let word = Self { page };
        // SAFETY: advice about a mapping that is ours; it changes nothing in this process.
        if unsafe { libc::madvise(word.page.as_ptr().cast(), PAGE_BYTES, libc::MADV_WIPEONFORK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        word.set(1);
        Ok(word)
    }

    /// The word; 0 in a child.
    #[inline]
    pub fn get(&self) -> u64 {
        self.word().load(Ordering::Relaxed)
    }

    /// Another word, above 0.
    pub fn set(&self, word: u64) {
        self.word().store(word, Ordering::Relaxed);
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped until `self` is dropped, aligned, and any bits are a valid AtomicU64.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for ForkWord {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_finds_the_word_wiped_and_its_parent_keeps_it() {
        let word = ForkWord::new().expect("a page");
        word.set(7);
        // SAFETY: the child calls nothing but `_exit`, which is safe behind a fork of a program with threads.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let wiped = i32::from(word.get() != 0);
            // SAFETY: ends the child at once, without running anything of the parent's.
            unsafe { libc::_exit(wiped) };
        }
        let mut status = -1;
        // SAFETY: the kernel writes the status of our own child into the number that we lend it.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!((status, word.get()), (0, 7));
    }
}
