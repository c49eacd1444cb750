//! The index of a shard: open addressing with linear probing, a key word and a head word a bucket, one writer.
//!
//! A bucket's key is written once and never changed while its half is in force, so a reader that sees a head knows
//! whose it is. What was deleted is left behind when the index is swept into its other half (`sweep.rs`).

use crate::layout::{BUCKET_WORDS, Head, Layout, Root};
use crate::words::{AtomicU64, Ordering, Words, fence};
use lars_wire::ModuleId;

/// One half of a shard's index, as large as it is at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    base: usize,
    mask: usize,
}

impl Table {
    /// The table that `root` speaks of; none where no such table fits the board.
    #[inline]
    pub(crate) fn at(layout: &Layout, shard: u16, root: Root) -> Option<Self> {
        let base = layout.index(shard, root)?;
        Some(Self {
            base,
            mask: (1 << root.buckets_log2) - 1,
        })
    }

    /// How many buckets it has.
    pub(crate) fn buckets(self) -> usize {
        self.mask + 1
    }

    /// The first word of a bucket.
    pub(crate) fn bucket(self, number: usize) -> usize {
        self.base + BUCKET_WORDS * (number & self.mask)
    }

    /// The buckets where the module may be, in the order of the search: from the lower half of its hash on (its
    /// upper half chose the shard).
    #[inline]
    fn buckets_of(self, module: ModuleId) -> impl Iterator<Item = usize> {
        let first = module.hash64() as u32 as usize;
        (0..self.buckets()).map(move |step| self.bucket(first + step))
    }

    /// The module's bucket, or the one to use for it, with its head; none where every bucket is another's. For the
    /// table's writer.
    pub(crate) fn find(self, words: &Words, module: ModuleId) -> Option<(usize, Head)> {
        self.buckets_of(module).find_map(|bucket| {
            let head = Head(words.load(bucket + 1, Ordering::Relaxed)?);
            let ours = head == Head::NEVER || words.load(bucket, Ordering::Relaxed)? == module.to_bits();
            ours.then_some((bucket, head))
        })
    }
}

/// What a reader saw of a module, and where it looked, so that it can look again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    root: (&'a AtomicU64, u64),
    last: (&'a AtomicU64, u64),
    /// The module's head; gone or never where it is not on the board.
    pub(crate) head: Head,
}

impl<'a> Sight<'a> {
    /// Looks the module up. None only where the memory makes no sense.
    #[inline]
    pub(crate) fn of(board: &'a [AtomicU64], layout: &Layout, shard: u16, module: ModuleId) -> Option<Self> {
        let root_at = board.get(Layout::root(shard))?;
        let root_word = root_at.load(Ordering::Acquire);
        let root = (root_at, root_word);
        let table = Table::at(layout, shard, Root::from_word(root_word))?;
        for bucket in table.buckets_of(module) {
            let [key, head_at] = board.get(bucket..bucket + BUCKET_WORDS)? else {
                return None;
            };
            // The head first: it was stored after its key.
            let word = head_at.load(Ordering::Acquire);
            let head = Head(word);
            if head == Head::NEVER || key.load(Ordering::Relaxed) == module.to_bits() {
                let last = (head_at, word);
                return Some(Self { root, last, head });
            }
        }
        let (last, head) = (root, Head::NEVER);
        Some(Self { root, last, head })
    }

    /// Whether everything that was read since this sight belongs together. A writer that reuses memory replaces the
    /// head (or, for a half of the index, the root) first and passes a Release fence before it writes; so whoever read
    /// a word of the new use sees, behind this Acquire fence, the replacement too.
    #[inline]
    pub(crate) fn still_holds(&self) -> bool {
        fence(Ordering::Acquire);
        let same = |(at, word): (&AtomicU64, u64)| at.load(Ordering::Relaxed) == word;
        same(self.last) && same(self.root)
    }
}
