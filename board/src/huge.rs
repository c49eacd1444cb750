//! How a shard's part of a large board gets into huge pages: piece by piece, behind the writer, so that no beat of its owner
//! takes longer than one piece does. And how other memory does, which nobody has touched yet.

use crate::layout::{HUGE_WORDS, SMALL_WORDS};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Memory that was not touched yet is to be given in huge pages, as far as it fills such and the kernel has any for whoever
/// asks. An access to it at random then costs one miss instead of two or three.
pub fn prefer_huge_pages<T>(room: &mut [MaybeUninit<T>]) {
    const HUGE_BYTES: usize = HUGE_WORDS * size_of::<u64>();
    let range = room.as_mut_ptr_range();
    let start = range.start.addr().next_multiple_of(HUGE_BYTES);
    let end = range.end.addr() / HUGE_BYTES * HUGE_BYTES;
    if start < end {
        // SAFETY: advice about memory that is ours alone while it is borrowed, and that changes nothing in it. A kernel that
        // has no huge pages refuses it.
        unsafe {
            libc::madvise(
                range.start.with_addr(start).cast(),
                end - start,
                libc::MADV_HUGEPAGE,
            )
        };
    }
}

/// What is next of one part of the board that fills from its start.
#[derive(Debug)]
pub(crate) struct HugePages {
    /// Where the part starts, and where the next piece does.
    start: usize,
    next: usize,
}

impl HugePages {
    /// Of a part that starts there; the first words stay as they are.
    pub(crate) fn of(start: usize) -> Self {
        Self {
            start,
            next: (start + SMALL_WORDS).next_multiple_of(HUGE_WORDS),
        }
    }

    /// The next piece, where all of it lies within `filled`, which another part may start behind.
    pub(crate) fn next(&mut self, filled: Range<usize>) -> Option<Range<usize>> {
        if filled.start != self.start {
            *self = Self::of(filled.start);
        }
        let end = self.next + HUGE_WORDS;
        (end <= filled.end).then(|| std::mem::replace(&mut self.next, end)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_what_is_filled_and_begin_anew_with_another_part() {
        let mut huge = HugePages::of(100);
        let filled = |pages: usize| 100..pages * HUGE_WORDS;
        assert_eq!(huge.next(filled(2)), None, "the first words stay as they are");
        assert_eq!(huge.next(filled(3)), Some(2 * HUGE_WORDS..3 * HUGE_WORDS));
        assert_eq!(huge.next(filled(3)), None);
        assert_eq!(huge.next(filled(5)), Some(3 * HUGE_WORDS..4 * HUGE_WORDS));
        assert_eq!(huge.next(filled(5)), Some(4 * HUGE_WORDS..5 * HUGE_WORDS));
        assert_eq!(huge.next(filled(5)), None);
        let other = 16 * HUGE_WORDS..18 * HUGE_WORDS;
        assert_eq!(huge.next(other.clone()), Some(17 * HUGE_WORDS..18 * HUGE_WORDS));
        assert_eq!(huge.next(other), None);
    }
}
