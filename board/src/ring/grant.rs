//! A probe that the agent grants to the thread of one ring: two words that the agent alone writes, and one that says
//! that the thread has taken it. Read and written like the entries of the board: what was replaced meanwhile is not
//! believed.

use super::{GRANT, GRANT_MODULE, TAKEN};
use crate::entry::NodeSlot;
use crate::words::{Ordering, Words, fence};
use lars_wire::ModuleId;

/// The next call of the module is to go to the node of this slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The module.
    pub module: ModuleId,
    /// The node, by its number on the board.
    pub node: NodeSlot,
}

const NUMBER_BITS: u32 = u64::BITS - NodeSlot::BITS;

/// The agent's side.
#[derive(Debug)]
pub(super) struct Granter {
    /// Of the last grant.
    number: u64,
}

impl Granter {
    /// The numbers go on behind those of the agent before, whose grant nobody is to take any more. What a caller wrote
    /// there makes a strange number, and no harm: its own thread looks for other ones.
    pub(super) fn after(words: &Words) -> Self {
        let word = words.load(GRANT, Ordering::Relaxed).unwrap_or(0);
        Self {
            number: word >> NodeSlot::BITS,
        }
    }

    /// Replaces the grant, also one that was not taken.
    pub(super) fn grant(&mut self, words: &Words, grant: Grant) {
        self.number = (self.number + 1) % (1 << NUMBER_BITS);
        // 0 stands for none.
        self.number += u64::from(self.number == 0);
        words.store(GRANT, 0, Ordering::Relaxed);
        // Whoever reads the new module sees behind its own fence that the grant before is gone.
        fence(Ordering::Release);
        words.store(GRANT_MODULE, grant.module.to_bits(), Ordering::Relaxed);
        let word = self.number << NodeSlot::BITS | u64::from(grant.node.to_bits());
        words.store(GRANT, word, Ordering::Release);
    }

    /// Takes the grant back, unless the thread has it already.
    pub(super) fn revoke(words: &Words) {
        words.store(GRANT, 0, Ordering::Relaxed);
    }

    /// Whether the thread says that it has taken the last one.
    pub(super) fn is_taken(&self, words: &Words) -> bool {
        words.load(TAKEN, Ordering::Relaxed) == Some(self.number)
    }
}

/// The thread's side.
#[derive(Debug, Default)]
pub(super) struct Grantee {
    /// The word that was seen last.
    word: u64,
}

impl Grantee {
    /// A grant that was not seen yet; says that it is taken.
    #[inline]
    pub(super) fn take(&mut self, words: &Words) -> Option<Grant> {
        let word = words.load(GRANT, Ordering::Acquire)?;
        if word == self.word || word == 0 {
            return None;
        }
        self.take_new(words, word)
    }

    #[cold]
    fn take_new(&mut self, words: &Words, word: u64) -> Option<Grant> {
        let module = words.load(GRANT_MODULE, Ordering::Relaxed)?;
        fence(Ordering::Acquire);
        if words.load(GRANT, Ordering::Relaxed) != Some(word) {
            // It is just being replaced, or taken back.
            return None;
        }
        self.word = word;
        words.store(TAKEN, word >> NodeSlot::BITS, Ordering::Relaxed);
        Some(Grant {
            module: ModuleId::from_bits(module),
            node: NodeSlot::new(word as u32 & ((1 << NodeSlot::BITS) - 1)),
        })
    }
}
