//! The writing half of an index: puts heads, and sweeps live buckets into the other half when this one fills, a few
//! buckets with each change, so that no change takes long however large the index is.

use crate::index::Table;
use crate::layout::{BUCKET_WORDS, BUCKETS_LOG2_MIN, Head, Layout, Root};
use crate::words::{Ordering, Words, fence};
use lars_wire::ModuleId;
use std::ops::Range;

/// Buckets of the other half wiped in one step: 1 KiB of memory.
const WIPED_A_STEP: usize = 64;
/// Buckets copied in one step: each is a cache miss or two, so 16 stay near a microsecond.
const COPIED_A_STEP: usize = 16;

/// Most steps that a sweep of `buckets` takes: the other half has at most twice as many.
const fn steps_max(buckets: usize) -> usize {
    2 * buckets / WIPED_A_STEP + buckets / COPIED_A_STEP + 2
}
// A sweep starts when three quarters are used and each change takes one bucket at most: it ends long before the last.
const _: () = assert!(cfg!(loom) || steps_max(1 << BUCKETS_LOG2_MIN) < (1 << BUCKETS_LOG2_MIN) / 4);

/// One shard's index, as its only writer sees it.
pub(crate) struct IndexWriter {
    words: Words,
    layout: Layout,
    shard: u16,
    root: Root,
    table: Table,
    /// Buckets of `table` that are not free any more, deleted ones included.
    used: usize,
    /// Modules in it.
    live: usize,
    /// For each half, how many of its first buckets were ever written.
    written: [usize; 2],
    sweep: Option<Sweep>,
}

/// A sweep under way.
struct Sweep {
    root: Root,
    table: Table,
    used: usize,
    /// Buckets of the target still to be wiped, from here to `wipe_end`.
    wiped: usize,
    wipe_end: usize,
    /// Buckets of the source already copied.
    copied: usize,
}

impl IndexWriter {
    /// An empty index, as small as it may be.
    pub(crate) fn new(words: Words, layout: Layout, shard: u16) -> Self {
        let root = Root {
            buckets_log2: BUCKETS_LOG2_MIN,
            half: 0,
            epoch: 1,
        };
        let table = Table::at(&layout, shard, root).expect("every board has room for the smallest index");
        words.store(Layout::root(shard), root.to_word(), Ordering::Release);
        let written = [table.buckets(), 0];
        Self {
            words,
            layout,
            shard,
            root,
            table,
            used: 0,
            live: 0,
            written,
            sweep: None,
        }
    }

    /// How many modules are in it.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Where the half in force stands; nowhere while a sweep is under way.
    pub(crate) fn at_rest(&self) -> Range<usize> {
        let start = self.table.bucket(0);
        let words = if self.sweep.is_none() {
            self.table.buckets() * BUCKET_WORDS
        } else {
            0
        };
        start..start + words
    }

    /// The module's head; gone or never where it has none. None where there is no room to put one.
    pub(crate) fn head(&self, module: ModuleId) -> Option<Head> {
        let (_, head) = self.table.find(&self.words, module)?;
        let room = head != Head::NEVER || self.used < self.table.buckets();
        room.then_some(head)
    }

    /// Replaces the module's head. What it names must have been written before. Returns whether there was room.
    pub(crate) fn put(&mut self, module: ModuleId, head: Head) -> bool {
        let Some((bucket, old)) = self.table.find(&self.words, module) else {
            return false;
        };
        self.used += usize::from(put(&self.words, bucket, module, old, head));
        self.live += usize::from(head.offset().is_some());
        self.live -= usize::from(old.offset().is_some());
        if let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.is_copying()) {
            sweep.mirror(&self.words, module, head);
        }
        self.step();
        true
    }

    /// Goes on with a sweep, or starts one where it is time.
    pub(crate) fn step(&mut self) {
        if self.sweep.is_none() && self.used * 4 > self.table.buckets() * 3 {
            self.sweep = Some(self.start());
        }
        let Some(sweep) = &mut self.sweep else { return };
        // Orders the wiping and writing of the other half behind the root that put it out of force. (Mostly the fence of
        // a publication in between has done so already; a sweep right behind a sweep has only this one.)
        fence(Ordering::Release);
        if !sweep.is_copying() {
            sweep.wipe(&self.words);
        }
        if sweep.is_copying() && sweep.copy(&self.words, self.table) {
            self.finish();
        }
    }

    fn start(&self) -> Sweep {
        let buckets_log2 = self
            .layout
            .buckets_log2_for(self.live + steps_max(self.table.buckets()));
        let root = Root {
            buckets_log2,
            half: 1 - self.root.half,
            epoch: self.root.epoch.wrapping_add(1),
        };
        let table = Table::at(&self.layout, self.shard, root).expect("the size was clamped to what fits");
        let wipe_end = table.buckets().min(self.written[root.half]);
        Sweep {
            root,
            table,
            used: 0,
            wiped: 0,
            wipe_end,
            copied: 0,
        }
    }

    fn finish(&mut self) {
        let Some(sweep) = self.sweep.take() else { return };
        self.words
            .store(Layout::root(self.shard), sweep.root.to_word(), Ordering::Release);
        let written = &mut self.written[sweep.root.half];
        *written = sweep.table.buckets().max(*written);
        (self.root, self.table, self.used) = (sweep.root, sweep.table, sweep.used);
    }
}

impl Sweep {
    fn is_copying(&self) -> bool {
        self.wiped == self.wipe_end
    }

    fn wipe(&mut self, words: &Words) {
        let end = self.wipe_end.min(self.wiped + WIPED_A_STEP);
        for bucket in self.wiped..end {
            let place = self.table.bucket(bucket);
            for word in place..place + BUCKET_WORDS {
                words.store(word, 0, Ordering::Relaxed);
            }
        }
        self.wiped = end;
    }

    /// Copies some live buckets; returns whether they were the last.
    fn copy(&mut self, words: &Words, from: Table) -> bool {
        let end = from.buckets().min(self.copied + COPIED_A_STEP);
        for number in self.copied..end {
            let bucket = from.bucket(number);
            let (Some(key), Some(head)) = (
                words.load(bucket, Ordering::Relaxed),
                words.load(bucket + 1, Ordering::Relaxed),
            ) else {
                continue;
            };
            if Head(head).offset().is_some() {
                self.mirror(words, ModuleId::from_bits(key), Head(head));
            }
        }
        self.copied = end;
        end == from.buckets()
    }

    /// Puts the same head into the target; a module that is gone need not come along.
    fn mirror(&mut self, words: &Words, module: ModuleId, head: Head) {
        let Some((bucket, old)) = self.table.find(words, module) else {
            debug_assert!(false, "the target of a sweep is sized for all that can be in it");
            return;
        };
        if old != Head::NEVER || head.offset().is_some() {
            self.used += usize::from(put(words, bucket, module, old, head));
        }
    }
}

/// Writes a bucket; returns whether it was a free one.
fn put(words: &Words, bucket: usize, module: ModuleId, old: Head, head: Head) -> bool {
    let fresh = old == Head::NEVER;
    if fresh {
        words.store(bucket, module.to_bits(), Ordering::Relaxed);
    }
    words.store(bucket + 1, head.0, Ordering::Release);
    fresh
}
