//! The call ring: where one thread of a caller writes how its calls ended, and the agent reads it. A file of its own
//! in memory, made by the caller and passed to the agent, so that it outlives the agent: the next one takes it over
//! with what lies in it.
//!
//! ```text
//! word 0        magic, format, records
//! word 16       records ever written: the caller's alone, as is the next one
//! word 17       the number of the probe that was taken last
//! word 32       records ever drained: the agent's alone
//! word 48       the probe that the agent grants: number 40 bits | node's slot 24; 0 for none; as is the next one
//! word 49       its module
//! word 64 on    the records, four words each (`record.rs`)
//! ```
//!
//! What different sides write stands two lines apart, since processors fetch lines in pairs. A record is there once
//! the count of written ones says so, and its place is free again once the count of drained ones says so.

mod drain;
mod grant;
mod overflow;
mod record;
mod writer;

pub use drain::{RingBroken, RingDrain};
pub use grant::Grant;
pub use record::{CALLS_MAX, CallRecord};
pub use writer::{Reported, RingWriter};

use record::RECORD_WORDS;

/// Fewest and most records of a ring.
pub const RING_RECORDS: std::ops::RangeInclusive<u32> = 64..=65_536;
/// Records of a ring where nothing else is said: 256 KiB, and 8 ms of a million calls a second.
pub const RING_RECORDS_DEFAULT: u32 = 8_192;

/// First word of every ring: "LarsRing" as little-endian bytes.
const MAGIC: u64 = u64::from_le_bytes(*b"LarsRing");
/// Changes whenever the meaning of a word does.
const FORMAT: u64 = 3;
const RECORDS: usize = 2;
const WRITTEN: usize = 16;
const TAKEN: usize = 17;
const DRAINED: usize = 32;
const GRANT: usize = 48;
const GRANT_MODULE: usize = 49;
const HEADER_WORDS: usize = 64;

/// Words of a ring of so many records.
const fn words_of(records: u32) -> usize {
    HEADER_WORDS + records as usize * RECORD_WORDS
}

/// The first word of the record that is written or drained after `count` others; `records` is a power of two.
#[inline]
const fn place(count: u64, records: u32) -> usize {
    HEADER_WORDS + (count as usize & (records as usize - 1)) * RECORD_WORDS
}
