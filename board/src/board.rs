//! The board as a whole: its size, its memory, and the halves that work on it.

use crate::calls::Calls;
use crate::choice::Token;
use crate::clock::BeatClock;
use crate::layout::Layout;
use crate::reader::{self, BoardReader};
use crate::ring::Grant;
use crate::words::{Ordering, Words};
use crate::writer::BoardWriter;
use lars_wire::bounds::NODES_MAX;
use std::time::{Duration, Instant};

/// How large a board is.
#[derive(Clone, Copy, Debug)]
pub struct BoardConfig {
    /// Modules it can hold, 1 to [`crate::BOARD_MODULES_MAX`]; its memory is reserved sparse and never grows or moves.
    pub modules_max: u32,
    /// Shards, 1 to [`crate::BOARD_SHARDS_MAX`]: each writes its own part.
    pub shards: u16,
}

/// Why there is no board, or no room on it.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The kernel refused the memory.
    #[error("no shared memory for the board: {0}; lower modules_max or raise the memory limit")]
    Memory(#[from] std::io::Error),
    /// The configuration asks for a board that cannot be.
    #[error(
        "a board of {modules_max} modules in {shards} shards: modules_max must be 1 to 1048576, shards 1 to 1024"
    )]
    Size {
        /// As asked for.
        modules_max: u32,
        /// As asked for.
        shards: u16,
    },
    /// What another process has passed is no board, or one of another version.
    #[error("this is no board that is known here: {0}; update the older of agent and caller")]
    Foreign(&'static str),
    /// A route is larger than any that dns hands out: a bug of ours.
    #[error("a module of {0} nodes: {max} is the most", max = NODES_MAX)]
    Nodes(usize),
    /// No place is left in this shard's part; what stood there before still stands. A module that is not on the board
    /// is served over the socket as pending.
    #[error("the board is full: raise modules_max")]
    Full,
}

/// A board. Cheap to clone: clones share the memory, which lasts as long as any of them, a reader or a writer.
#[derive(Clone)]
pub struct Board {
    words: Words,
    layout: Layout,
    calls: Calls,
}

impl Board {
    /// Makes the memory, sealed against being resized or written by anyone else, and its writers, in order of shard.
    pub fn create(config: BoardConfig) -> Result<(Self, Vec<BoardWriter>), BoardError> {
        Self::create_with(config, BeatClock::start())
    }

    /// The same for virtual time that begins at `start`: beats and bounds then follow from `now` alone.
    pub fn create_virtual(
        config: BoardConfig,
        start: Instant,
    ) -> Result<(Self, Vec<BoardWriter>), BoardError> {
        Self::create_with(config, BeatClock::zero_at(start))
    }

    fn create_with(config: BoardConfig, clock: BeatClock) -> Result<(Self, Vec<BoardWriter>), BoardError> {
        let layout = Layout::new(config)?;
        let words = Words::zeroed(layout.words())?;
        for (place, word) in layout.header().into_iter().enumerate() {
            words.store(place, word, Ordering::Release);
        }
        let calls = Calls::new(&layout)?;
        let writers = (0..layout.shards())
            .map(|shard| BoardWriter::new(words.clone(), layout, shard, clock, calls.clone()))
            .collect();
        Ok((Self { words, layout, calls }, writers))
    }

    /// A board that another process has passed; to be read alone. Refused where the file could not be read safely, or
    /// its first words are not those of a board as it is known here.
    #[cfg(not(any(loom, miri)))]
    pub fn open(file: std::os::fd::OwnedFd) -> Result<Self, BoardError> {
        let words = Words::open(file, crate::memfd::Purpose::Board, Layout::largest().words())?;
        let header = std::array::from_fn(|place| words.load(place, Ordering::Acquire).unwrap_or(0));
        let layout = Layout::from_header(header)?;
        if layout.words() != words.len() {
            return Err(BoardError::Foreign("its file has another size than it says"));
        }
        let calls = Calls::new(&layout)?;
        Ok(Self { words, layout, calls })
    }

    /// For how long, `now`, the quietest owner has not beaten; zero while none has beaten yet.
    pub fn silence(&self, now: Instant) -> Duration {
        let now = BeatClock::start().monotonic_ns(now);
        let beats = (0..self.layout.shards())
            .filter_map(|shard| self.words.load(Layout::beat(shard), Ordering::Acquire));
        let oldest = beats.filter(|&beat| beat != 0).min().unwrap_or(now);
        Duration::from_nanos(now.saturating_sub(oldest))
    }

    /// A call ended whose pick gave this token; see [`BoardReader::finish`], to which this is the same from anywhere.
    #[inline]
    pub fn finish(&self, token: u64) {
        self.calls.finish(Token(token));
    }

    /// Lets calls that are never reported grow old, in a process that has readers and no writer: to be called every
    /// second or more often.
    #[cfg(not(any(loom, miri)))]
    pub fn advance(&self, now: Instant) {
        self.calls.advance(BeatClock::start().monotonic_ns(now));
    }

    /// A probe that the agent granted: the next pick of the module takes it, in whichever thread of this process. Nothing
    /// happens where no such node is published any more.
    pub fn grant(&self, grant: Grant) {
        let shard = grant.module.shard(self.layout.shards());
        if let Some((slot, place)) = reader::place_of(&self.words, &self.layout, grant) {
            self.calls.of(shard).grant(slot, Some((grant.node, place)));
        }
    }

    /// A reader with its own rotation, started at random from `seed`. Readers of one board count calls in flight
    /// together.
    pub fn reader(&self, seed: u64) -> BoardReader {
        BoardReader::new(self.words.clone(), self.layout, &self.calls, seed)
    }

    /// A pick whose call is never reported counts as in flight for this long, and for half as long again at most.
    /// 10 s unless said otherwise.
    pub fn bound_calls(&self, bound: Duration) {
        self.calls.bound(bound);
    }

    /// The file behind the memory. It is sealed: whoever maps it can only read.
    #[cfg(not(any(loom, miri)))]
    pub fn file(&self) -> std::os::fd::BorrowedFd<'_> {
        self.words.file()
    }
}
