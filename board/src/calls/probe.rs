//! Whose turn it is to probe: a word a module, which the owner writes and the reader that is first takes.

use super::{ShardCalls, update};
use crate::entry::NodeSlot;
use crate::words::Ordering;

impl ShardCalls<'_> {
    /// One reader may send one call to the node, which stands at `place` of the module's list.
    pub(crate) fn grant(&self, module_slot: u32, grant: Option<(NodeSlot, u16)>) {
        if let Some(word) = self.modules.get(module_slot as usize) {
            word.store(grant_word(grant), Ordering::Relaxed);
        }
    }

    /// The node's place in the list is another one, or it is not in it any more: so is the grant, unless a reader has
    /// taken it meanwhile.
    pub(crate) fn move_grant(&self, module_slot: u32, moved: impl Fn(NodeSlot) -> Option<u16>) {
        let Some(word) = self.modules.get(module_slot as usize) else {
            return;
        };
        update(word, Ordering::Relaxed, |word| {
            let (slot, _) = grant_of(word)?;
            Some(grant_word(moved(slot).map(|place| (slot, place))))
        });
    }

    /// The node to be probed, and its place in the module's list.
    #[inline]
    pub(crate) fn granted(&self, module_slot: u32) -> Option<(NodeSlot, u16)> {
        grant_of(self.modules.get(module_slot as usize)?.load(Ordering::Relaxed))
    }

    /// Takes the grant; whether no other reader was faster.
    pub(crate) fn claim(&self, module_slot: u32, grant: (NodeSlot, u16)) -> bool {
        let word = self.modules.get(module_slot as usize);
        word.is_some_and(|word| {
            update(word, Ordering::Relaxed, |word| {
                (word == grant_word(Some(grant))).then_some(0)
            })
        })
    }
}

fn grant_word(grant: Option<(NodeSlot, u16)>) -> u64 {
    grant.map_or(0, |(slot, place)| {
        u64::from(slot.to_bits()) | (u64::from(place) + 1) << NodeSlot::BITS
    })
}

#[inline]
fn grant_of(word: u64) -> Option<(NodeSlot, u16)> {
    let place = ((word >> NodeSlot::BITS) as u32).checked_sub(1)?;
    let slot = NodeSlot::new(word as u32 & ((1 << NodeSlot::BITS) - 1));
    u16::try_from(place).ok().map(|place| (slot, place))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::tests::{SLOT, calls};

    #[test]
    fn grant_is_taken_once_and_moves_with_its_node() {
        let calls = calls();
        assert_eq!(calls.of(1).granted(5), None);
        calls.of(1).grant(5, Some((SLOT, 0)));
        calls.of(1).move_grant(5, |slot| (slot == SLOT).then_some(7));
        assert_eq!(calls.of(1).granted(5), Some((SLOT, 7)));
        assert!(!calls.of(1).claim(5, (SLOT, 0)));
        assert!(calls.of(1).claim(5, (SLOT, 7)) && !calls.of(1).claim(5, (SLOT, 7)));
        calls.of(1).move_grant(5, |_| Some(9));
        assert_eq!(calls.of(1).granted(5), None, "what was taken does not come back");
        calls.of(1).grant(5, Some((SLOT, 0)));
        calls.of(1).move_grant(5, |_| None);
        assert_eq!(calls.of(1).granted(5), None);
    }
}
