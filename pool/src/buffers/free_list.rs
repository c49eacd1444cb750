//! The free slots of one class: a stack threaded through an array, so that taking and giving are constant time,
//! allocate nothing, and hand out first what was used last and is still in the cache.

use std::cell::Cell;

/// Marks the end of the list.
const NONE: u32 = u32::MAX;
/// Marks a slot that is lent.
const LENT: u32 = u32::MAX - 1;

/// Which slots are free.
#[derive(Debug)]
pub(super) struct FreeList {
    head: Cell<u32>,
    /// For a free slot the next free one or [`NONE`]; for another one [`LENT`].
    next: Box<[Cell<u32>]>,
}

impl FreeList {
    /// All of `count` slots are free; slot 0 is taken first.
    pub(super) fn full(count: u32) -> Self {
        assert!(count < LENT, "a slot's number is no mark");
        let next = (1..=count)
            .map(|slot| Cell::new(if slot == count { NONE } else { slot }))
            .collect();
        Self {
            head: Cell::new(if count == 0 { NONE } else { 0 }),
            next,
        }
    }

    /// Takes a free slot, if there is one.
    pub(super) fn take(&self) -> Option<u32> {
        let slot = self.head.get();
        if slot == NONE {
            return None;
        }
        self.head.set(self.next[slot as usize].replace(LENT));
        Some(slot)
    }

    /// Gives a slot back that was taken.
    pub(super) fn give(&self, slot: u32) {
        let before = self.next[slot as usize].replace(self.head.get());
        assert_eq!(
            before, LENT,
            "a slot is given back once for each time it was taken"
        );
        self.head.set(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_given_back_last_is_taken_first() {
        let list = FreeList::full(3);
        assert_eq!(
            [list.take(), list.take(), list.take(), list.take()],
            [Some(0), Some(1), Some(2), None]
        );
        list.give(1);
        list.give(0);
        assert_eq!([list.take(), list.take(), list.take()], [Some(0), Some(1), None]);
    }

    #[test]
    #[should_panic(expected = "given back once")]
    fn slot_given_back_twice_is_caught() {
        let list = FreeList::full(2);
        let slot = list.take().expect("two are free");
        list.give(slot);
        list.give(slot);
    }

    #[test]
    fn list_of_no_slots_has_none_to_take() {
        assert_eq!(FreeList::full(0).take(), None);
    }
}
