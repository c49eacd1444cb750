//! Sizes and numbers of buffers: what a core's arena is cut into, and what each part is for.

use serde::Deserialize;

/// A size of buffers in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BufferClass {
    /// 4 KiB, one page: 256 answers to a pick at the size they have on the wire are less.
    Small = 0,
    /// 16 KiB.
    Medium = 1,
    /// 64 KiB: the largest frame.
    Large = 2,
}

impl BufferClass {
    /// How many classes there are.
    pub const COUNT: usize = 3;

    /// From the smallest to the largest.
    pub const ALL: [Self; Self::COUNT] = [Self::Small, Self::Medium, Self::Large];

    /// Bytes of one buffer.
    pub const fn bytes(self) -> usize {
        1 << self.shift()
    }

    /// The same as a power of two: each class is four times the one before. A buffer's number is found by a shift when it
    /// comes back, where a division would be half of what lending costs.
    pub(super) const fn shift(self) -> u32 {
        12 + 2 * self as u32
    }

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// Bytes of the largest buffer from the heap: four of the largest frames, more than any connection may hold back.
pub const HEAP_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Small buffers that a ring keeps lent to the kernel to receive into; a power of two, as a provided-buffer ring
/// needs. Those that are full of bytes are handled and given back in the same turn.
pub const RECEIVE_SMALL: u32 = 64;

/// Small buffers for answers: one for each connection that is answered in one turn.
const REPLY_SMALL: u32 = 64;
/// Small buffers that keep the beginning of a frame whose end has not arrived.
const PARTIAL_SMALL: u32 = 16;
/// Medium buffers for the answers of connections that ask much in one turn.
const REPLY_MEDIUM: u32 = 8;
/// Medium buffers that keep the beginning of a longer frame.
const PARTIAL_MEDIUM: u32 = 4;
/// Large buffers for pages of routes and batches on their way out.
const REPLY_LARGE: u32 = 2;
/// Large buffers in which the longest frames are put together.
const PARTIAL_LARGE: u32 = 2;
/// Buffers from the heap: a thousand connections that all want something in the same turn find the arena exhausted;
/// this many more are served before the rest must wait a turn.
const HEAP_BURST: u32 = 256;

/// Most buffers of one kind: keeps a mistyped configuration from mapping all there is (1 GiB of large ones).
const COUNT_MAX: u32 = 16_384;

const _: () = assert!(RECEIVE_SMALL.is_power_of_two());
const _: () = assert!(HEAP_BUFFER_BYTES_MAX.is_multiple_of(BufferClass::Small.bytes()));
// Registered memory counts against RLIMIT_MEMLOCK for each user, commonly 8 MiB, and `lars up` runs three services of
// up to two cores each on a small machine: 1 MiB a core is what fits, rings included.
const _: () = assert!(BufferPoolConfig::DEFAULT.arena_bytes() <= 1024 * 1024);

/// How many buffers of each class a core has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BufferPoolConfig {
    /// Buffers of 4 KiB. Default 144, at most 16,384.
    pub small: u32,
    /// Buffers of 16 KiB. Default 12, at most 16,384.
    pub medium: u32,
    /// Buffers of 64 KiB. Default 4, at most 16,384.
    pub large: u32,
    /// Buffers that may be lent from the heap at one time, unregistered, each of at most [`HEAP_BUFFER_BYTES_MAX`].
    /// Default 256, at most 16,384.
    pub heap_max: u32,
}

impl BufferPoolConfig {
    /// Each number is the sum of its uses; together exactly 1 MiB a core.
    pub const DEFAULT: Self = Self {
        small: RECEIVE_SMALL + REPLY_SMALL + PARTIAL_SMALL,
        medium: REPLY_MEDIUM + PARTIAL_MEDIUM,
        large: REPLY_LARGE + PARTIAL_LARGE,
        heap_max: HEAP_BURST,
    };

    /// Buffers of one class.
    pub const fn count(&self, class: BufferClass) -> u32 {
        match class {
            BufferClass::Small => self.small,
            BufferClass::Medium => self.medium,
            BufferClass::Large => self.large,
        }
    }

    /// Bytes of the arena: what is registered, and counts against RLIMIT_MEMLOCK.
    pub const fn arena_bytes(&self) -> usize {
        self.small as usize * BufferClass::Small.bytes()
            + self.medium as usize * BufferClass::Medium.bytes()
            + self.large as usize * BufferClass::Large.bytes()
    }

    /// Names the key that is out of range.
    pub fn check(&self) -> Result<(), String> {
        let keys = [
            ("small", self.small),
            ("medium", self.medium),
            ("large", self.large),
            ("heap_max", self.heap_max),
        ];
        for (key, count) in keys {
            if count > COUNT_MAX {
                return Err(format!("{key} = {count} is above {COUNT_MAX}"));
            }
        }
        if self.arena_bytes() == 0 {
            return Err("small, medium and large are all 0: there must be a buffer".to_owned());
        }
        Ok(())
    }
}

impl Default for BufferPoolConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
