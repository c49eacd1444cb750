//! The memory of the board: its layout, its file, its mapping.

use crate::reader::BoardReader;
use crate::writer::BoardWriter;

/// How large a board is.
#[derive(Clone, Copy, Debug)]
pub struct BoardConfig {
    /// Modules it can hold; its memory is reserved sparse and never grows or moves.
    pub modules_max: u32,
    /// Shards: each writes its own part.
    pub shards: u16,
}

/// Why there is no board, or no room on it.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The kernel refused the memory.
    #[error("no shared memory for the board: {0}; lower modules_max or raise the memory limit")]
    Memory(#[from] std::io::Error),
    /// No place is left in this shard's part. The module is served over the socket as pending.
    #[error("the board is full: raise modules_max")]
    Full,
}

/// A board. Cheap to clone: clones share the memory.
#[derive(Clone)]
pub struct Board {}

impl Board {
    /// Makes the memory, sealed against being resized or written by anyone else, and its writers, in order of shard.
    pub fn create(config: BoardConfig) -> Result<(Self, Vec<BoardWriter>), BoardError> {
        let _ = config;
        todo!()
    }

    /// A reader with its own rotation, started at random from `seed`.
    pub fn reader(&self, seed: u64) -> BoardReader {
        let _ = seed;
        todo!()
    }
}
