//! The table that picks are made from: one shared-memory file a host, written by the shards, read by everyone.
//!
//! Read in this order: [`Entry`] (what a shard says of a module), [`Board`] (the memory), [`BoardWriter`] (one a
//! shard) and [`BoardReader`] (one a thread), which holds what only one reader knows: its place in the rotation.

mod board;
mod entry;
mod reader;
mod writer;

pub use board::{Board, BoardConfig, BoardError};
pub use entry::{Entry, EntryNode, Rule};
pub use reader::{BoardReader, Choice, Picked};
pub use writer::BoardWriter;
