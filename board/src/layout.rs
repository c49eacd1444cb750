//! Where everything stands in the board's memory, counted in words of eight bytes. Its own file because writers,
//! readers and, later, other processes must agree on it.
//!
//! ```text
//! line 0                magic, format, modules_max, shards, words
//! two lines a shard     its root word; its beat (on a line of its own: it is written often)
//! one part a shard      index half 0 | index half 1 | space for node lists
//! ```

use crate::board::{BoardConfig, BoardError};
use crate::entry::NodeSlot;
#[cfg(not(loom))]
use crate::list::LIST_WORDS_MAX;
use std::ops::Range;

/// Words in a cache line: what different threads write stands on different lines, and a list starts on one.
pub(crate) const LINE_WORDS: usize = 8;
/// First word of every board: "LarsBord" as little-endian bytes.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"LarsBord");
/// Changes whenever the meaning of a word does.
pub(crate) const FORMAT: u64 = 3;

/// Most modules of a board: above it, the private state of one reader alone (24 bytes a module) outgrows the caches.
pub const BOARD_MODULES_MAX: u32 = 1 << 20;
/// Most shards of a board: more cores than any one host has today.
pub const BOARD_SHARDS_MAX: u16 = 1_024;

/// Words reserved, not used, for each module's list, on average: 1 KiB is the list of 60 IPv4 nodes, or three
/// editions of the list of 10 while the older two wait to be reused.
#[cfg(not(loom))]
const MODULE_WORDS: usize = 128;
#[cfg(loom)]
const MODULE_WORDS: usize = LINE_WORDS;
/// Words reserved, not used, in each shard beyond that: 64 blocks of the largest size (64 MiB), so that a shard of few
/// modules can publish one of 16,384 IPv4 nodes a hundred times a second.
#[cfg(not(loom))]
const ROOM_WORDS: usize = 64 * LIST_WORDS_MAX;
#[cfg(loom)]
const ROOM_WORDS: usize = LINE_WORDS;
/// Words of a huge page (2 MiB).
pub(crate) const HUGE_WORDS: usize = 1 << 18;
/// Words at the start of each part that stay in small pages: a host of some thousand modules uses no more, and is to pay
/// for no more.
pub(crate) const SMALL_WORDS: usize = HUGE_WORDS;
/// Fewest buckets of an index, as a power of two: one page. A model checker's board is as small as it can be.
pub(crate) const BUCKETS_LOG2_MIN: u32 = if cfg!(loom) { 1 } else { 8 };
/// Words of a bucket: the key, then the head.
pub(crate) const BUCKET_WORDS: usize = 2;

/// Bits of a head that hold the list's offset.
pub(crate) const OFFSET_BITS: u32 = 40;
/// Bits of a head that hold the generation.
pub(crate) const GENERATION_BITS: u32 = 24;
/// Largest generation; the next is 1, since 0 stands for "never".
pub(crate) const GENERATION_MAX: u32 = (1 << GENERATION_BITS) - 1;

const _: () = assert!(OFFSET_BITS + GENERATION_BITS == u64::BITS);
const _: () = assert!((BOARD_MODULES_MAX as usize) * MODULE_WORDS < 1 << (OFFSET_BITS - 1));
const _: () = assert!((BOARD_SHARDS_MAX as usize) * ROOM_WORDS < 1 << (OFFSET_BITS - 2));

/// The head of a bucket: which list is the module's, in which generation. All bits zero: the bucket was never used.
/// Offset zero with a generation: the module was taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head(pub(crate) u64);

impl Head {
    /// A bucket never used: a search ends here.
    pub(crate) const NEVER: Self = Self(0);

    /// The list at `offset`, published as `generation`.
    pub(crate) fn live(offset: usize, generation: u32) -> Self {
        debug_assert!(offset > 0 && offset < 1 << OFFSET_BITS && generation > 0);
        Self((offset as u64) << GENERATION_BITS | u64::from(generation))
    }

    /// Nothing any more, since `generation`.
    pub(crate) fn gone(generation: u32) -> Self {
        Self(u64::from(generation))
    }

    /// Where the list starts; none where there is none.
    pub(crate) fn offset(self) -> Option<usize> {
        let offset = (self.0 >> GENERATION_BITS) as usize;
        (offset != 0).then_some(offset)
    }
}

/// A shard's root word: which half of its index is in force, how large it is, and an epoch that is new each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// Buckets, as a power of two.
    pub(crate) buckets_log2: u32,
    /// 0 or 1.
    pub(crate) half: usize,
    /// Grows by one with each sweep.
    pub(crate) epoch: u32,
}

impl Root {
    /// As one word: buckets in bits 0 to 7, half in bit 8, epoch in bits 32 to 63.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.epoch) << 32 | (self.half as u64) << 8 | u64::from(self.buckets_log2)
    }

    /// The root whose word is `word`; whether it fits the board is for [`Layout::index`] to say.
    pub(crate) fn from_word(word: u64) -> Self {
        Self {
            buckets_log2: (word & 0xff) as u32,
            half: (word >> 8 & 1) as usize,
            epoch: (word >> 32) as u32,
        }
    }
}

/// The arithmetic of a board of a certain size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    shards: u16,
    modules_max: u32,
    shard_modules_max: u32,
    buckets_log2_max: u32,
    space_words: usize,
    /// Words of one shard's part.
    part_words: usize,
}

impl Layout {
    /// The layout of such a board.
    pub(crate) fn new(config: BoardConfig) -> Result<Self, BoardError> {
        let BoardConfig { modules_max, shards } = config;
        if !(1..=BOARD_MODULES_MAX).contains(&modules_max) || !(1..=BOARD_SHARDS_MAX).contains(&shards) {
            return Err(BoardError::Size { modules_max, shards });
        }
        // Modules fall to shards by their hash: eight standard deviations above the mean never happen.
        let mean = modules_max.div_ceil(u32::from(shards));
        let shard_modules_max = modules_max.min(mean + 8 * mean.isqrt() + 8);
        let buckets_log2_max = buckets_log2(2 * shard_modules_max as usize);
        let space_words = shard_modules_max as usize * MODULE_WORDS + ROOM_WORDS;
        Ok(Self {
            shards,
            modules_max,
            shard_modules_max,
            buckets_log2_max,
            space_words,
            part_words: 2 * (BUCKET_WORDS << buckets_log2_max) + space_words,
        })
    }

    /// The first line: what another process needs to compute the same layout.
    pub(crate) fn header(&self) -> [u64; 5] {
        [
            MAGIC,
            FORMAT,
            u64::from(self.modules_max),
            u64::from(self.shards),
            self.words() as u64,
        ]
    }

    /// The layout that a board's first words speak of.
    pub(crate) fn from_header(header: [u64; 5]) -> Result<Self, BoardError> {
        let [magic, format, modules_max, shards, words] = header;
        if magic != MAGIC {
            return Err(BoardError::Foreign("it starts with other words"));
        }
        if format != FORMAT {
            return Err(BoardError::Foreign("its format is another one"));
        }
        let config = BoardConfig {
            modules_max: u32::try_from(modules_max).unwrap_or(u32::MAX),
            shards: u16::try_from(shards).unwrap_or(u16::MAX),
        };
        let layout = Self::new(config)?;
        if layout.words() as u64 != words {
            return Err(BoardError::Foreign("it is of another size than its modules need"));
        }
        Ok(layout)
    }

    /// The layout of the largest board that may be.
    pub(crate) fn largest() -> Self {
        let (modules_max, shards) = (BOARD_MODULES_MAX, BOARD_SHARDS_MAX);
        Self::new(BoardConfig { modules_max, shards }).expect("the bounds are within the bounds")
    }

    /// Shards of the board.
    pub(crate) fn shards(&self) -> u16 {
        self.shards
    }

    /// Modules that one shard can hold.
    pub(crate) fn shard_modules_max(&self) -> u32 {
        self.shard_modules_max
    }

    /// Nodes that lists of one shard can hold, two words each at least, and that a slot can name: all but [`NodeSlot::NONE`].
    pub(crate) fn shard_nodes_max(&self) -> usize {
        (self.space_words / 2).min((1 << NodeSlot::BITS) - 1)
    }

    /// Words of the whole board.
    pub(crate) fn words(&self) -> usize {
        self.part(usize::from(self.shards))
    }

    /// The shard's root word.
    pub(crate) fn root(shard: u16) -> usize {
        LINE_WORDS + 2 * LINE_WORDS * usize::from(shard)
    }

    /// The word that tells that the shard's owner lives.
    pub(crate) fn beat(shard: u16) -> usize {
        Self::root(shard) + LINE_WORDS
    }

    /// Where the index that `root` speaks of starts; none where no such index fits the board.
    #[inline]
    pub(crate) fn index(&self, shard: u16, root: Root) -> Option<usize> {
        let fits = root.buckets_log2 <= self.buckets_log2_max;
        fits.then(|| self.part(usize::from(shard)) + root.half * self.half_words())
    }

    /// Room for node lists of the shard.
    pub(crate) fn space(&self, shard: u16) -> Range<usize> {
        let start = self.part(usize::from(shard)) + 2 * self.half_words();
        start..start + self.space_words
    }

    /// Buckets, as a power of two, of an index for `modules`: filled to two thirds at most, within the board's bounds.
    pub(crate) fn buckets_log2_for(&self, modules: usize) -> u32 {
        buckets_log2(modules + modules / 2).clamp(BUCKETS_LOG2_MIN, self.buckets_log2_max)
    }

    fn half_words(&self) -> usize {
        BUCKET_WORDS << self.buckets_log2_max
    }

    fn part(&self, shard: usize) -> usize {
        let parts = LINE_WORDS + 2 * LINE_WORDS * usize::from(self.shards);
        parts + shard * self.part_words
    }
}

/// The smallest power of two that is at least `buckets`, and at least the smallest index.
fn buckets_log2(buckets: usize) -> u32 {
    buckets.next_power_of_two().ilog2().max(BUCKETS_LOG2_MIN)
}
