//! The free slots of one class: a stack in an array, so that taking and giving are constant time, allocate nothing, and
//! hand out first what was used last and is still in the cache.

use super::counters::Gauge;
use std::cell::Cell;

/// Which slots are free. How many are lent is not kept here but in the gauge that others read: it is the same number.
#[derive(Debug)]
pub(super) struct FreeList {
    /// The free slots, from the place on that is the number of those lent.
    slots: Box<[Cell<u32>]>,
}

impl FreeList {
    /// All of `count` slots are free; slot 0 is taken first.
    pub(super) fn full(count: u32) -> Self {
        Self {
            slots: (0..count).map(Cell::new).collect(),
        }
    }

    /// Takes a free slot, if there is one, and counts it as lent.
    #[inline]
    pub(super) fn take(&self, lent: &Gauge) -> Option<u32> {
        let slot = self.slots.get(lent.now() as usize)?.get();
        lent.raise();
        Some(slot)
    }

    /// Gives a slot back that was taken.
    #[inline]
    pub(super) fn give(&self, lent: &Gauge, slot: u32) {
        debug_assert!(
            !self.slots[lent.now() as usize..]
                .iter()
                .any(|free| free.get() == slot),
            "a slot is given back once for each time it was taken"
        );
        self.slots[lent.lower() as usize].set(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_given_back_last_is_taken_first() {
        let (list, lent) = (FreeList::full(3), Gauge::default());
        let take = || list.take(&lent);
        assert_eq!(
            [take(), take(), take(), take()],
            [Some(0), Some(1), Some(2), None]
        );
        list.give(&lent, 1);
        list.give(&lent, 0);
        let take = || list.take(&lent);
        assert_eq!([take(), take(), take()], [Some(0), Some(1), None]);
        assert_eq!((lent.read().now, lent.read().most), (3, 3));
    }

    #[test]
    #[should_panic(expected = "given back once")]
    fn slot_given_back_twice_is_caught_in_tests() {
        let (list, lent) = (FreeList::full(2), Gauge::default());
        let slot = list.take(&lent).expect("two are free");
        list.take(&lent).expect("one is free");
        list.give(&lent, slot);
        list.give(&lent, slot);
    }

    #[test]
    fn list_of_no_slots_has_none_to_take() {
        assert_eq!(FreeList::full(0).take(&Gauge::default()), None);
    }
}
