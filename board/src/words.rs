//! The board's memory as words. Every access is checked against its length, so that whatever stands in the memory,
//! nothing outside of it is ever read. Under the model checker (and Miri) the words live on the heap.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::board::BoardError;
#[cfg(not(any(loom, miri)))]
use crate::memfd::{Memfd, Purpose};
#[cfg(not(any(loom, miri)))]
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

#[cfg(not(any(loom, miri)))]
type Body = Memfd;
#[cfg(any(loom, miri))]
type Body = Box<[AtomicU64]>;

/// The memory of one board or ring. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub(crate) struct Words {
    body: Arc<Body>,
}

impl Words {
    /// `len` words, all zero.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn zeroed(len: usize) -> Result<Self, BoardError> {
        let body = Arc::new(Body::create(len, Purpose::Board)?);
        Ok(Self { body })
    }

    /// `len` words, all zero, that no other process sees.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn private(len: usize) -> Result<Self, BoardError> {
        let body = Arc::new(Body::private(len)?);
        Ok(Self { body })
    }

    /// `len` words, all zero, that another process may write too, and a child process does not inherit.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn zeroed_ring(len: usize) -> Result<Self, BoardError> {
        let mut body = Body::create(len, Purpose::Ring)?;
        body.keep_from_children()?;
        let body = Arc::new(body);
        Ok(Self { body })
    }

    /// The words of a file that another process passed, at most `len_max`.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn open(file: OwnedFd, purpose: Purpose, len_max: usize) -> Result<Self, BoardError> {
        let body = Arc::new(Body::open(file, purpose, len_max)?);
        Ok(Self { body })
    }

    /// `len` words, all zero.
    #[cfg(any(loom, miri))]
    #[expect(clippy::unnecessary_wraps, reason = "the other body can fail")]
    pub(crate) fn zeroed(len: usize) -> Result<Self, BoardError> {
        let body = Arc::new((0..len).map(|_| AtomicU64::new(0)).collect());
        Ok(Self { body })
    }

    /// `len` words, all zero.
    #[cfg(any(loom, miri))]
    pub(crate) fn private(len: usize) -> Result<Self, BoardError> {
        Self::zeroed(len)
    }

    /// `len` words, all zero.
    #[cfg(any(loom, miri))]
    pub(crate) fn zeroed_ring(len: usize) -> Result<Self, BoardError> {
        Self::zeroed(len)
    }

    /// As `Memfd::prefer_huge`.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn prefer_huge(&self, words: std::ops::Range<usize>) {
        self.body.prefer_huge(words);
    }

    /// As `Memfd::make_huge`.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn make_huge(&self, words: std::ops::Range<usize>) -> bool {
        self.body.make_huge(words)
    }

    /// Plain memory has no pages.
    #[cfg(any(loom, miri))]
    pub(crate) fn prefer_huge(&self, _: std::ops::Range<usize>) {}

    /// As above.
    #[cfg(any(loom, miri))]
    pub(crate) fn make_huge(&self, _: std::ops::Range<usize>) -> bool {
        false
    }

    /// The file behind the memory.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.body.file()
    }

    /// `len` words from `start`; none where they are not all inside.
    #[inline]
    pub(crate) fn span(&self, start: usize, len: usize) -> Option<&[AtomicU64]> {
        self.all().get(start..start.checked_add(len)?)
    }

    /// How many words there are.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    /// One word, ordered as asked; none outside.
    #[inline]
    pub(crate) fn load(&self, place: usize, ordering: Ordering) -> Option<u64> {
        self.all().get(place).map(|word| word.load(ordering))
    }

    /// Writes one word.
    ///
    /// # Panics
    ///
    /// Outside of the memory: only writers call this, with places that they computed themselves.
    #[inline]
    pub(crate) fn store(&self, place: usize, value: u64, ordering: Ordering) {
        self.all()[place].store(value, ordering);
    }

    /// All of them: whoever reads several looks the memory up once.
    #[inline]
    pub(crate) fn all(&self) -> &[AtomicU64] {
        #[cfg(not(any(loom, miri)))]
        return self.body.words();
        #[cfg(any(loom, miri))]
        return &self.body;
    }
}

/// Asks for the line of a word that may be read soon; nothing happens where there is no such word.
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
#[inline(always)]
pub(crate) fn prefetch(words: &[AtomicU64], at: usize) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint; it reads nothing that the program sees and never faults, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().wrapping_add(at).cast()) };
}

/// Other processors find out by themselves.
#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
#[inline(always)]
pub(crate) fn prefetch(_: &[AtomicU64], _: usize) {}
