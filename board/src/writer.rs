//! The writing half: one for each shard, the only one that writes that shard's part.

use crate::board::BoardError;
use crate::calls::Calls;
use crate::clock::BeatClock;
use crate::entry::{Entry, Hot, NodeSlot};
use crate::huge::HugePages;
use crate::layout::{GENERATION_MAX, Head, Layout};
use crate::list::{self, Bookkeeping, List};
use crate::space::{Block, Space};
use crate::sweep::IndexWriter;
use crate::table::table;
use crate::words::{Ordering, Words, fence};
use lars_wire::ModuleId;
use lars_wire::bounds::NODES_MAX;
use std::time::Instant;

/// Publishes one shard's modules. `Send`; every change takes `&mut`, so there is one writer a part.
pub struct BoardWriter {
    words: Words,
    layout: Layout,
    shard: u16,
    clock: BeatClock,
    calls: Calls,
    index: IndexWriter,
    space: Space,
    slots: Slots,
    generation: u32,
    /// What is next to be put into huge pages, of the lists and of the index.
    huge: [HugePages; 2],
}

impl BoardWriter {
    pub(crate) fn new(words: Words, layout: Layout, shard: u16, clock: BeatClock, calls: Calls) -> Self {
        Self {
            index: IndexWriter::new(words.clone(), layout, shard),
            space: Space::new(layout.space(shard)),
            slots: Slots {
                free: Vec::new(),
                next: 0,
                max: layout.shard_modules_max(),
            },
            generation: 0,
            huge: [HugePages::of(layout.space(shard).start), HugePages::of(0)],
            words,
            layout,
            shard,
            clock,
            calls,
        }
    }

    /// Replaces the module's entry in one step; returns the entry's generation, which is in every token picked
    /// from it: 1 to 2^24 - 1, new with each entry of the shard. When this fails, what stood there before still stands.
    ///
    /// # Panics
    ///
    /// In debug builds, for a module of another shard, or nodes that are not in the order that [`Entry`] asks for.
    pub fn publish(&mut self, now: Instant, entry: &Entry<'_>) -> Result<u32, BoardError> {
        debug_assert_eq!(
            entry.module.shard(self.layout.shards()),
            self.shard,
            "the module of another shard"
        );
        if entry.nodes.len() > NODES_MAX {
            return Err(BoardError::Nodes(entry.nodes.len()));
        }
        self.space.reclaim(now);
        let head = self.index.head(entry.module).ok_or(BoardError::Full)?;
        let old = self.published(head);
        if old.is_none() && self.slots.are_out() {
            return Err(BoardError::Full);
        }
        let table = table(entry.rule, &entry.nodes[..list::idle_count(entry.nodes)]);
        let block = self
            .space
            .check_out(list::words_needed(entry.nodes, table.len()))
            .ok_or(BoardError::Full)?;
        let Some(slot) = old.map_or_else(|| self.slots.check_out(), |(_, slot)| Some(slot)) else {
            return Err(BoardError::Full);
        };
        // Orders the writing of this block behind the head that took it out of use.
        fence(Ordering::Release);
        list::write(
            &self.words,
            block.offset,
            entry,
            Bookkeeping {
                class: block.class,
                slot,
            },
            &table,
        );
        let generation = self.next_generation();
        self.index.put(entry.module, Head::live(block.offset, generation));
        if let Some((block, _)) = old {
            self.space.retire(now, block);
        }
        // A reader that meets the grant between the head and this finds another node at its place, and leaves it.
        self.calls.of(self.shard).move_grant(slot, |granted| {
            let place = entry.nodes.iter().position(|node| node.slot == granted)?;
            u16::try_from(place).ok()
        });
        Ok(generation)
    }

    /// Refreshes in place what changes often: `hot` in the order of the entry last published. Nothing happens where
    /// the module is not on the board.
    pub fn refresh(&mut self, now: Instant, module: ModuleId, hot: &[Hot]) {
        self.calls.advance(self.clock.monotonic_ns(now));
        if let Some(list) = self.list(module) {
            for (place, &hot) in hot.iter().enumerate() {
                list.refresh(place, hot);
            }
        }
    }

    /// One pick of one reader of this process is to go to the node with this slot, whatever its view. An older grant
    /// of the module that nobody took is void. Nothing happens where no such node is published.
    pub fn grant(&mut self, module: ModuleId, slot: NodeSlot) {
        if let Some(list) = self.list(module) {
            let found =
                (0..list.len()).find(|&place| list.hot(place).is_some_and(|(other, _)| other == slot));
            let grant = found.and_then(|place| Some((slot, u16::try_from(place).ok()?)));
            self.calls.of(self.shard).grant(list.kept.slot, grant);
        }
    }

    /// Calls to the node that readers of this process have in flight; negative where more were forgiven than were lost.
    pub fn in_flight(&self, slot: NodeSlot) -> i32 {
        self.calls.of(self.shard).balance(slot)
    }

    /// So many of the node's calls are known to have no report to come: they are in flight no more.
    pub fn forgive(&self, slot: NodeSlot, lost: u32) {
        self.calls.of(self.shard).forgive(slot, lost);
    }

    fn list(&self, module: ModuleId) -> Option<List<'_>> {
        List::at(self.words.all(), self.index.head(module)?.offset()?)
    }

    /// Takes the module off the board; nothing happens where it is not on it.
    pub fn withdraw(&mut self, now: Instant, module: ModuleId) {
        self.space.reclaim(now);
        let old = self.index.head(module).and_then(|head| self.published(head));
        let Some((block, slot)) = old else { return };
        let generation = self.next_generation();
        self.index.put(module, Head::gone(generation));
        self.calls.of(self.shard).grant(slot, None);
        self.slots.check_in(slot);
        self.space.retire(now, block);
    }

    /// Tells readers that the owner lives, and does what is left over: frees rested memory, goes on with a sweep, puts two more
    /// megabytes of a large board into a huge page (some milliseconds).
    pub fn beat(&mut self, now: Instant) {
        let now_ns = self.clock.monotonic_ns(now);
        self.words
            .store(Layout::beat(self.shard), now_ns, Ordering::Release);
        self.calls.advance(now_ns);
        self.space.reclaim(now);
        self.index.step();
        let space = self.layout.space(self.shard);
        let filled = [
            space.start..space.end - self.space.fresh_words(),
            self.index.at_rest(),
        ];
        let next = self
            .huge
            .iter_mut()
            .zip(filled)
            .find_map(|(huge, filled)| huge.next(filled));
        if let Some(piece) = next {
            // Where the kernel has none to give, all stays as it is.
            self.words.make_huge(piece);
        }
    }

    /// Modules of this shard on the board.
    pub fn modules(&self) -> usize {
        self.index.live()
    }

    /// Bytes of node lists that were ever in use: this memory is taken and stays so.
    pub fn list_bytes(&self) -> usize {
        (self.layout.space(self.shard).len() - self.space.fresh_words()) * size_of::<u64>()
    }

    /// Where the list of this head is kept, and the module's slot.
    fn published(&self, head: Head) -> Option<(Block, u32)> {
        let offset = head.offset()?;
        let Bookkeeping { class, slot } = List::at(self.words.all(), offset)?.kept;
        Some((Block { offset, class }, slot))
    }

    fn next_generation(&mut self) -> u32 {
        self.generation = if self.generation == GENERATION_MAX {
            1
        } else {
            self.generation + 1
        };
        self.generation
    }
}

/// The numbers under which readers keep their private state of a module: dense, so that they index an array.
struct Slots {
    free: Vec<u32>,
    next: u32,
    max: u32,
}

impl Slots {
    fn are_out(&self) -> bool {
        self.free.is_empty() && self.next == self.max
    }

    fn check_out(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.next;
        self.next += u32::from(slot < self.max);
        (slot < self.max).then_some(slot)
    }

    fn check_in(&mut self, slot: u32) {
        self.free.push(slot);
    }
}
