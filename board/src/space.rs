//! The room that a shard has for node lists: blocks of a few sizes, handed out, left alone for a while, handed out
//! again. The writer keeps this book privately; readers never see it.

use crate::layout::LINE_WORDS;
use crate::list::LIST_WORDS_MAX;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a block that was published rests before it is written again. Readers would notice anyway; this keeps
/// them from having to start over, and a reader that stands still for longer starts over once.
pub(crate) const REST: Duration = Duration::from_secs(1);
/// Size classes: 8, 16, 24 and 32 words, then four in each doubling, up to the largest list.
const CLASSES: usize = class_of(LIST_WORDS_MAX) as usize + 1;

/// A piece of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its first word.
    pub(crate) offset: usize,
    /// Its size class.
    pub(crate) class: u8,
}

/// One shard's space.
pub(crate) struct Space {
    /// Never used so far.
    fresh: Range<usize>,
    free: [Vec<usize>; CLASSES],
    /// Were published until the time beside them; oldest first.
    resting: VecDeque<(Instant, Block)>,
}

impl Space {
    /// All of `range` is free.
    pub(crate) fn new(range: Range<usize>) -> Self {
        Self {
            fresh: range,
            free: [const { Vec::new() }; CLASSES],
            resting: VecDeque::new(),
        }
    }

    /// Words never used so far.
    pub(crate) fn fresh_words(&self) -> usize {
        self.fresh.len()
    }

    /// A block of at least `words`: of its own class, else fresh, else the next larger one that is free. None where
    /// nothing fits.
    pub(crate) fn check_out(&mut self, words: usize) -> Option<Block> {
        if words > LIST_WORDS_MAX {
            return None;
        }
        let class = class_of(words);
        if let Some(offset) = self.free[usize::from(class)].pop() {
            return Some(Block { offset, class });
        }
        if self.fresh.len() >= class_words(class) {
            let offset = self.fresh.start;
            self.fresh.start += class_words(class);
            return Some(Block { offset, class });
        }
        let larger = (class..).zip(&mut self.free[usize::from(class)..]);
        larger
            .into_iter()
            .find_map(|(class, free)| free.pop().map(|offset| Block { offset, class }))
    }

    /// The block is published no more; it may be checked out again after [`REST`].
    pub(crate) fn retire(&mut self, now: Instant, block: Block) {
        self.resting.push_back((now, block));
    }

    /// Frees every block that has rested.
    pub(crate) fn reclaim(&mut self, now: Instant) {
        while let Some(&(since, block)) = self.resting.front() {
            if now.saturating_duration_since(since) < REST {
                break;
            }
            self.free[usize::from(block.class)].push(block.offset);
            self.resting.pop_front();
        }
    }
}

/// The smallest class of at least `words`.
const fn class_of(words: usize) -> u8 {
    let lines = words.div_ceil(LINE_WORDS);
    if lines <= 4 {
        return lines.saturating_sub(1) as u8;
    }
    // Of 5 to 8 lines the leading bit of (lines - 1) stands for 4; the two bits behind it choose the quarter.
    let doubling = (lines - 1).ilog2() - 2;
    let quarter = ((lines - 1) >> doubling) - 4;
    (4 + doubling as usize * 4 + quarter) as u8
}

/// Words of a block of this class.
const fn class_words(class: u8) -> usize {
    let class = class as usize;
    if class < 4 {
        return (class + 1) * LINE_WORDS;
    }
    let (doubling, quarter) = ((class - 4) / 4, (class - 4) % 4);
    ((5 + quarter) << doubling) * LINE_WORDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_is_the_smallest_that_fits_and_wastes_at_most_a_fifth() {
        for words in 1..=LIST_WORDS_MAX {
            let class = class_of(words);
            assert!(class_words(class) >= words, "{words}");
            assert!(class == 0 || class_words(class - 1) < words, "{words}");
            assert!(
                class < 4 || class_words(class) * 4 <= words.next_multiple_of(8) * 5,
                "{words}"
            );
        }
    }

    #[test]
    fn block_is_lent_again_after_its_rest_and_not_before() {
        let start = Instant::now();
        let mut space = Space::new(8..16);
        let block = space.check_out(8).expect("one block fits");
        assert_eq!(space.check_out(1), None);
        space.retire(start, block);
        space.reclaim(start + REST.mul_f32(0.999));
        assert_eq!(space.check_out(8), None);
        space.reclaim(start + REST);
        assert_eq!(space.check_out(8), Some(block));
    }

    #[test]
    fn larger_free_block_serves_where_nothing_else_is_left_and_keeps_its_class() {
        let start = Instant::now();
        let mut space = Space::new(0..32);
        let block = space.check_out(30).expect("fresh");
        space.retire(start, block);
        space.reclaim(start + REST);
        assert_eq!(space.check_out(3), Some(block));
        space.retire(start + REST, block);
        space.reclaim(start + 2 * REST);
        assert_eq!(space.check_out(32), Some(block));
    }
}
