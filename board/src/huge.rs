//! How a shard's part of a large board gets into huge pages: piece by piece, behind the writer, so that no beat of its owner
//! takes longer than one piece does.

use crate::layout::{HUGE_WORDS, SMALL_WORDS};
use std::ops::Range;

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
