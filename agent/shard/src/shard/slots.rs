//! The numbers under which nodes are known to the readers of the board: lent while a node is in a route held here, and
//! lent again only after a rest, so that the last calls of one node are not counted as those of the next.

use lars_board::NodeSlot;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a slot rests. A call counts as in flight for 15 s by default and for 15 minutes at most; a report that
/// comes later still bends the next node's count by one until it is forgotten, and does no other harm.
const REST: Duration = Duration::from_mins(1);

/// The slots of one shard.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Where the node of each slot stands among its module's nodes: a hint, to be checked by the node's address.
    places: Vec<u16>,
    resting: VecDeque<(Instant, NodeSlot)>,
}

impl Slots {
    /// A slot for a node at `place`; [`NodeSlot::NONE`] where all are lent.
    pub(super) fn lend(&mut self, now: Instant, place: usize) -> NodeSlot {
        let rested = self
            .resting
            .pop_front_if(|(since, _)| now.saturating_duration_since(*since) >= REST);
        let slot = match rested {
            Some((_, slot)) => slot,
            None => {
                let slot = u32::try_from(self.places.len()).map_or(NodeSlot::NONE, NodeSlot::new);
                if slot.number().is_some() {
                    self.places.push(0);
                }
                slot
            }
        };
        self.put(slot, place);
        slot
    }

    /// The node stands at another place.
    pub(super) fn put(&mut self, slot: NodeSlot, place: usize) {
        if let Some(known) = slot
            .number()
            .and_then(|number| self.places.get_mut(number as usize))
        {
            // NODES_MAX is 16,384: a place fits.
            *known = place as u16;
        }
    }

    /// The node is in no route any more.
    pub(super) fn give_back(&mut self, now: Instant, slot: NodeSlot) {
        if slot.number().is_some() {
            self.resting.push_back((now, slot));
        }
    }

    /// Where the node of this slot stood when that was last said.
    pub(super) fn place(&self, slot: NodeSlot) -> Option<usize> {
        let place = self.places.get(slot.number()? as usize)?;
        Some(usize::from(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_is_lent_again_after_its_rest_and_not_before() {
        let (start, mut slots) = (Instant::now(), Slots::default());
        let first = slots.lend(start, 3);
        assert_eq!(slots.place(first), Some(3));
        slots.give_back(start, first);
        let second = slots.lend(start + REST.mul_f32(0.999), 4);
        assert_ne!(first, second);
        assert_eq!(slots.lend(start + REST, 5), first);
        assert_eq!((slots.place(first), slots.place(second)), (Some(5), Some(4)));
        assert_eq!(slots.place(NodeSlot::NONE), None);
    }
}
