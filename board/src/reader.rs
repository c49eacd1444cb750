//! The reading half: look up, read, choose, check. No lock, no system call, nothing shared written.
//!
//! A reader believes nothing that it reads: offsets, counts and sizes are checked against the memory, loops are
//! bounded by the layout, and what makes no sense is a module that is not there.

use crate::choice::{Choice, Picked, choose};
use crate::entry::EntryNode;
use crate::index::Sight;
use crate::layout::Layout;
use crate::list::List;
use crate::turns::Turns;
use crate::words::{Ordering, Words};
use lars_wire::{ModuleId, NodeAddr};

/// How often a read is begun again because a writer came between. A writer would have to replace the same module that
/// often within a few hundred nanoseconds each time; after it the module counts as absent.
const TRIES_MAX: u32 = if cfg!(loom) { 3 } else { 64 };

/// Reads the board for one thread. `Send`.
pub struct BoardReader {
    words: Words,
    layout: Layout,
    turns: Turns,
    gave_up: u64,
}

impl BoardReader {
    pub(crate) fn new(words: Words, layout: Layout, seed: u64) -> Self {
        let turns = Turns::new(layout.shards(), seed);
        Self {
            words,
            layout,
            turns,
            gave_up: 0,
        }
    }

    /// Chooses a node by the entry's rule. Nodes in `avoid` are passed over while the rule has another idle one (or,
    /// for a probe, another overloaded one) to offer. Allocates only when a module is picked for the first time.
    #[inline]
    pub fn pick(&mut self, module: ModuleId, avoid: &[NodeAddr]) -> Picked {
        let shard = module.shard(self.layout.shards());
        for _ in 0..TRIES_MAX {
            let Some(sight) = Sight::of(&self.words, &self.layout, shard, module) else {
                return Picked::Absent;
            };
            let list = sight
                .head
                .offset()
                .and_then(|offset| List::at(&self.words, offset));
            let list = list.filter(|list| list.kept.slot < self.layout.shard_modules_max());
            let Some(list) = list else {
                if sight.still_holds(&self.words) {
                    return Picked::Absent;
                }
                continue;
            };
            let mut turn = self.turns.peek(shard, list.kept.slot, module, list.rule);
            let taken = choose(&list, &mut turn, avoid);
            if sight.still_holds(&self.words) {
                self.turns.keep(shard, list.kept.slot, module, turn);
                let version = list.version;
                return match taken {
                    Some(taken) => Picked::Node(Choice::new(taken, version, sight.head.generation())),
                    None => Picked::Overloaded { version },
                };
            }
        }
        self.gave_up += 1;
        Picked::Absent
    }

    /// Puts the module's nodes into `nodes` (cleared before); returns the route's version, or none where the module
    /// is not on the board.
    pub fn entry(&mut self, module: ModuleId, nodes: &mut Vec<EntryNode>) -> Option<u64> {
        let shard = module.shard(self.layout.shards());
        for _ in 0..TRIES_MAX {
            nodes.clear();
            let sight = Sight::of(&self.words, &self.layout, shard, module)?;
            let list = sight
                .head
                .offset()
                .and_then(|offset| List::at(&self.words, offset));
            if let Some(list) = &list {
                nodes.extend((0..list.len()).map_while(|place| list.node(place)));
            }
            if sight.still_holds(&self.words) {
                return list.map(|list| list.version);
            }
        }
        nodes.clear();
        self.gave_up += 1;
        None
    }

    /// Modules picked since the last call of this, in no particular order, appended to `modules`: so the owners
    /// learn what is still in use. A module counts also when all of its nodes were overloaded.
    pub fn take_used(&mut self, modules: &mut Vec<ModuleId>) {
        self.turns.take_used(modules);
    }

    /// When the shard's owner beat last, in nanoseconds of `CLOCK_MONOTONIC`; 0 before its first beat, none for a
    /// shard that does not exist.
    pub fn beat_ns(&self, shard: u16) -> Option<u64> {
        let exists = shard < self.layout.shards();
        exists.then(|| self.words.load(Layout::beat(shard), Ordering::Acquire))?
    }

    /// Reads that were given up, because a writer came between every time: answered as absent.
    pub fn gave_up(&self) -> u64 {
        self.gave_up
    }
}
