//! Where a connection's memory comes from: the core's pool, and small reserves behind it, so that an exhausted pool
//! slows those who exhausted it and nobody else.
//!
//! Without reserves many peers that each sent half a long frame would hold all memory, and none of them could be
//! helped to its end. Each use has a reserve of its own, so that none takes another's. They are not registered, and
//! cost nothing until they are used.

use crate::buffers::{Buffer, BufferClass, BufferPool, BufferPoolConfig};
use std::cell::Cell;
use std::io;

/// Answers to peers that have read all their answers so far. Given back at the end of the turn by whoever reads on.
const REPLIES_MAX: u32 = 256;
/// Long frames that are put together at the same time. Their peers' bytes are mostly here already, so that one follows
/// the other quickly.
const FRAMES_MAX: u32 = 4;
/// Receive slots' worth of bytes that wait for memory somewhere else than in a receive slot: 4 MiB.
const PARKED_MAX: u32 = 1024;

/// One core's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    pool: BufferPool,
    replies: BufferPool,
    frames: BufferPool,
    parked: BufferPool,
    /// The pool was exhausted when it was last asked.
    short: Cell<bool>,
    /// It was so at least once since [`Self::take_was_short`].
    was_short: Cell<bool>,
}

impl Memory {
    pub(crate) fn new(pool: BufferPool) -> io::Result<Self> {
        // An arena cannot be empty; its one page is hardly ever touched.
        let heap = |heap_max| {
            BufferPool::new(&BufferPoolConfig {
                small: 1,
                medium: 0,
                large: 0,
                heap_max,
            })
        };
        Ok(Self {
            pool,
            replies: heap(REPLIES_MAX)?,
            frames: heap(FRAMES_MAX)?,
            parked: heap(PARKED_MAX)?,
            short: Cell::new(false),
            was_short: Cell::new(false),
        })
    }

    /// For an answer of at most `bytes`: `generous` bytes where the pool has them.
    pub(crate) fn for_reply(&self, bytes: usize, generous: usize) -> Option<Buffer> {
        self.pool
            .check_out(generous)
            .or_else(|| {
                if generous > bytes {
                    self.pool.check_out(bytes)
                } else {
                    None
                }
            })
            .or_else(|| self.short(|| self.replies.check_out(bytes)))
    }

    /// For the beginning of a frame, `bytes` so far.
    pub(crate) fn for_frame(&self, bytes: usize) -> Option<Buffer> {
        // A reserve is for a whole frame: nobody gets a second one for the same.
        let whole = bytes.max(BufferClass::Large.bytes());
        self.pool
            .check_out(bytes)
            .or_else(|| self.short(|| self.frames.check_out(whole)))
    }

    /// For bytes that nobody can be shown now.
    pub(crate) fn for_waiting(&self, bytes: usize) -> Option<Buffer> {
        self.pool.check_out(bytes).or_else(|| self.short(|| None))
    }

    /// For what must leave a receive slot.
    pub(crate) fn for_parking(&self, bytes: usize) -> Option<Buffer> {
        self.short(|| self.parked.check_out(bytes))
    }

    /// Whether the pool has nothing to lend, not even for a short answer. Free while all is well.
    pub(crate) fn is_short(&self) -> bool {
        if self.short.get() {
            self.short.set(self.pool.check_out(1).is_none());
        }
        self.short.get()
    }

    /// Whether the pool was found exhausted since the last call.
    pub(crate) fn take_was_short(&self) -> bool {
        self.was_short.take()
    }

    fn short(&self, reserve: impl FnOnce() -> Option<Buffer>) -> Option<Buffer> {
        self.short.set(true);
        self.was_short.set(true);
        reserve()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(small: u32) -> Memory {
        let config = BufferPoolConfig {
            small,
            medium: 0,
            large: 0,
            heap_max: 0,
        };
        Memory::new(BufferPool::new(&config).expect("a small arena is mapped")).expect("so are the reserves")
    }

    #[test]
    fn one_use_leaves_the_others_reserves_alone() {
        let memory = memory(1);
        assert!(!memory.is_short());
        let only = memory.for_reply(100, 4096).expect("the pool has one");
        assert!(!memory.take_was_short());
        let frames: Vec<_> = std::iter::from_fn(|| memory.for_frame(100)).collect();
        assert_eq!(frames.len(), FRAMES_MAX as usize);
        let parked: Vec<_> = std::iter::from_fn(|| memory.for_parking(4096)).collect();
        assert_eq!(
            parked.len(),
            PARKED_MAX as usize + 1,
            "the arena's page counts too"
        );
        assert!(memory.take_was_short());
        let replies: Vec<_> = std::iter::from_fn(|| memory.for_reply(100, 4096)).collect();
        assert_eq!(replies.len(), REPLIES_MAX as usize + 1);
        drop(replies);
        assert!(memory.is_short());
        drop(only);
        assert!(!memory.is_short());
    }

    #[test]
    fn reserve_for_frames_holds_a_whole_one() {
        let memory = memory(1);
        let _only = memory.for_reply(1, 1);
        assert!(memory.for_frame(5000).expect("a reserve").capacity() >= BufferClass::Large.bytes());
    }
}
