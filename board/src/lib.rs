//! The table that picks are made from: one shared-memory file a host, written by the shards, read by everyone.
//!
//! Read in this order: [`Entry`] (what a shard says of a module), [`Board`] (the memory), [`BoardWriter`] (one a
//! shard) and [`BoardReader`] (one a thread), which holds what only one reader knows: its place in the rotation.
//! Inside: `layout` (where everything stands) and `words` over `memfd` (the memory, every access checked); then, from
//! the index to a node, `index` and `sweep`, `list`, `table` and `space` (and `huge`, the pages of large boards), `choice`
//! with a file for each rule, `turns` (what one reader keeps) and `calls` (what the readers of a process share).
//!
//! A module's nodes are a list that is never changed once it is published; one atomic word, the head, says which list
//! it is, and a new list is published by replacing the head. Readers check the head again after reading. No reader
//! ever waits for a writer, no writer for a reader, and a writer that dies at any moment leaves nothing torn.
//!
//! What callers need to use a board from their own process stands here too, since it needs unsafe code: the rings in
//! which their reports come back ([`RingWriter`], [`RingDrain`]), the socket over which board and rings change hands
//! ([`Packets`]), a cheap clock ([`Stopwatch`]), a word that tells a child process ([`ForkWord`]), and a lock that is nearly
//! always one thread's ([`BiasedLock`]).

mod bias;
mod board;
mod calls;
mod choice;
mod clock;
mod entry;
#[cfg(not(any(loom, miri)))]
mod fork;
mod huge;
mod index;
mod layout;
mod list;
#[cfg(not(any(loom, miri)))]
mod memfd;
#[cfg(not(any(loom, miri)))]
mod packets;
mod reader;
mod ring;
mod space;
mod stopwatch;
mod sweep;
mod table;
mod turns;
mod words;
mod writer;

pub use bias::{BiasedLock, Home, Shared};
pub use board::{Board, BoardConfig, BoardError};
pub use choice::{Choice, Picked, Token};
pub use entry::{Entry, EntryNode, Hot, NodeSlot, Retries, Rule};
#[cfg(not(any(loom, miri)))]
pub use fork::ForkWord;
pub use huge::prefer_huge_pages;
pub use layout::{BOARD_MODULES_MAX, BOARD_SHARDS_MAX};
#[cfg(not(any(loom, miri)))]
pub use packets::{Packet, PacketListener, Packets, wait};
pub use reader::{BoardReader, Brief};
pub use ring::{
    CALLS_MAX, CallRecord, Grant, RING_RECORDS, RING_RECORDS_DEFAULT, Reported, RingBroken, RingDrain,
    RingWriter,
};
pub use stopwatch::{Moment, Stopwatch};
pub use writer::BoardWriter;
