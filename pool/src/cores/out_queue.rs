//! What is to be sent to one connection: encoded straight into pooled buffers, shared bytes chained behind, bounded.

use super::memory::Memory;
use super::unsent::{Entered, Unsent};
use crate::buffers::{Buffer, BufferClass};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;

/// Bytes that one connection may have queued. A route of 16,384 nodes is 16 pages of 24 KiB, and a few of those may be
/// asked for at once.
pub(crate) const OUT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Pieces that one connection may have queued: as many as fill the bytes with shared ones that are not worth copying.
pub(crate) const OUT_CHUNKS_MAX: usize = 2048;
/// With this much queued no more of the connection's bytes are handled, until [`OUT_RESUME_BYTES`] are left: one
/// connection that asks faster than it reads costs no more.
pub(crate) const OUT_PAUSE_BYTES: usize = 256 * 1024;
/// See [`OUT_PAUSE_BYTES`].
pub(crate) const OUT_RESUME_BYTES: usize = 64 * 1024;
/// Shared bytes up to this length are copied where a buffer with room is at the tail: a write of their own costs more.
const SHARED_COPY_MAX: usize = 1024;

const _: () = assert!(OUT_RESUME_BYTES < OUT_PAUSE_BYTES && OUT_PAUSE_BYTES < OUT_BYTES_MAX);
const _: () = assert!(OUT_CHUNKS_MAX * SHARED_COPY_MAX >= OUT_BYTES_MAX);

/// A piece of what is queued.
#[derive(Debug)]
enum Chunk {
    /// Ours alone, from the pool or its reserve.
    Pooled(Buffer),
    /// Ours alone, because there was nothing to lend: the handler answers what it was shown before that was known.
    Beyond {
        memory: Box<[u8]>,
        start: usize,
        end: usize,
    },
    /// Other connections send it too.
    Shared { bytes: Bytes, entered: Entered },
}

impl Chunk {
    fn data(&self) -> &[u8] {
        match self {
            Self::Pooled(buffer) => buffer.data(),
            Self::Beyond { memory, start, end } => &memory[*start..*end],
            Self::Shared { bytes, .. } => bytes,
        }
    }

    fn spare(&mut self) -> usize {
        match self {
            Self::Pooled(buffer) => buffer.spare_mut().len(),
            Self::Beyond { memory, end, .. } => memory.len() - *end,
            Self::Shared { .. } => 0,
        }
    }

    fn fill(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        match self {
            Self::Pooled(buffer) => {
                let bytes = fill(buffer.spare_mut());
                buffer.filled(bytes);
                bytes
            }
            Self::Beyond { memory, end, .. } => {
                let bytes = fill(&mut memory[*end..]);
                assert!(
                    bytes <= memory.len() - *end,
                    "no more is filled than there was room for"
                );
                *end += bytes;
                bytes
            }
            Self::Shared { .. } => unreachable!("shared bytes have no room"),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Self::Pooled(buffer) => buffer.consume(bytes),
            Self::Beyond { start, .. } => *start += bytes,
            Self::Shared { bytes: shared, .. } => shared.advance(bytes),
        }
    }

    /// Takes what it holds off the account.
    fn release(self, unsent: &mut Unsent) {
        match self {
            Self::Shared { entered, .. } => unsent.release(entered),
            own => unsent.sub(own.data().len()),
        }
    }
}

/// What is queued for one connection.
#[derive(Debug, Default)]
pub(crate) struct OutQueue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Bytes of its own that were put here since it was last empty, and in the time before that.
    put: usize,
    put_before: usize,
    /// The kernel has the front: nothing is put behind it in the same buffer.
    front_is_out: bool,
}

/// Where the memory came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The pool, its reserve, or the sharer.
    Lent,
    /// Neither had any.
    Beyond,
}

impl OutQueue {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that may still be queued.
    pub(crate) fn room(&self) -> usize {
        if self.chunks.len() < OUT_CHUNKS_MAX {
            OUT_BYTES_MAX - self.bytes.min(OUT_BYTES_MAX)
        } else {
            0
        }
    }

    /// Lets `fill` write at least `bytes_max` bytes behind what is queued.
    pub(crate) fn append(
        &mut self,
        memory: &Memory,
        unsent: &mut Unsent,
        bytes_max: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Source {
        let mut source = Source::Lent;
        if !self.tail_has(bytes_max) {
            let chunk = self.fresh(memory, bytes_max);
            if matches!(chunk, Chunk::Beyond { .. }) {
                source = Source::Beyond;
            }
            self.chunks.push_back(chunk);
        }
        let Some(tail) = self.chunks.back_mut() else {
            unreachable!("a tail was just made sure of")
        };
        let filled = tail.fill(fill);
        self.bytes += filled;
        self.put += filled;
        unsent.add(filled);
        if tail.data().is_empty() {
            self.chunks.pop_back();
        }
        source
    }

    /// Queues bytes that others send too. Small ones are copied where that saves a write.
    pub(crate) fn append_shared(&mut self, memory: &Memory, unsent: &mut Unsent, bytes: Bytes) -> Source {
        if bytes.is_empty() {
            return Source::Lent;
        }
        if bytes.len() <= SHARED_COPY_MAX && !self.chunks.is_empty() {
            return self.append(memory, unsent, bytes.len(), |out| {
                out[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            });
        }
        self.bytes += bytes.len();
        let entered = unsent.enter(&bytes);
        self.chunks.push_back(Chunk::Shared { bytes, entered });
        Source::Lent
    }

    /// What to send next, in one write.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.chunks.front().map(Chunk::data)
    }

    /// The kernel has the front, until [`Self::sent`].
    pub(crate) fn hand_out(&mut self) {
        self.front_is_out = true;
    }

    /// The kernel took so many bytes of the front and is done with it. Returns whether that was all of it.
    pub(crate) fn sent(&mut self, bytes: usize, unsent: &mut Unsent) -> bool {
        self.front_is_out = false;
        let Some(front) = self.chunks.front_mut() else {
            return true;
        };
        front.consume(bytes);
        self.bytes -= bytes;
        if !matches!(front, Chunk::Shared { .. }) {
            unsent.sub(bytes);
        }
        let whole = front.data().is_empty();
        if whole && let Some(front) = self.chunks.pop_front() {
            front.release(unsent);
        }
        if self.chunks.is_empty() {
            self.put_before = std::mem::take(&mut self.put);
        }
        whole
    }

    /// Forgets everything but what the kernel has: nobody will read it.
    pub(crate) fn give_up(&mut self, unsent: &mut Unsent) {
        let kept = usize::from(self.front_is_out).min(self.chunks.len());
        for chunk in self.chunks.drain(kept..) {
            chunk.release(unsent);
        }
        self.bytes = self.chunks.front().map_or(0, |front| front.data().len());
    }

    fn tail_has(&mut self, bytes: usize) -> bool {
        let taken = self.front_is_out && self.chunks.len() == 1;
        !taken && self.chunks.back_mut().is_some_and(|tail| tail.spare() >= bytes)
    }

    /// Memory for at least `bytes`; the more is queued already, the more at once, so that few writes carry much. A peer
    /// that asked for more than fits a small buffer will ask so again: a second buffer would be a second write, and a
    /// second pass of the loop before it.
    fn fresh(&self, memory: &Memory, bytes: usize) -> Chunk {
        let generous = match self.bytes {
            0 if self.put_before <= BufferClass::Small.bytes() => BufferClass::Small,
            0..=16_384 => BufferClass::Medium,
            _ => BufferClass::Large,
        };
        let generous = generous.bytes().max(bytes);
        memory.for_reply(bytes, generous).map_or_else(
            || Chunk::Beyond {
                memory: vec![0; bytes.max(BufferClass::Small.bytes())].into_boxed_slice(),
                start: 0,
                end: 0,
            },
            Chunk::Pooled,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::{BufferPool, BufferPoolConfig};

    fn memory(small: u32) -> Memory {
        let config = BufferPoolConfig {
            small,
            medium: 1,
            large: 0,
            heap_max: 0,
        };
        Memory::new(BufferPool::new(&config).expect("a small arena is mapped")).expect("so are the reserves")
    }

    fn put(queue: &mut OutQueue, memory: &Memory, unsent: &mut Unsent, text: &[u8]) -> Source {
        queue.append(memory, unsent, text.len(), |out| {
            out[..text.len()].copy_from_slice(text);
            text.len()
        })
    }

    fn taken(queue: &mut OutQueue, unsent: &mut Unsent) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(front) = queue.front() {
            let bytes = front.to_vec();
            queue.sent(bytes.len(), unsent);
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn answers_of_one_turn_leave_in_one_write() {
        let (memory, mut queue, mut unsent) = (memory(4), OutQueue::default(), Unsent::new(1 << 20));
        put(&mut queue, &memory, &mut unsent, b"one");
        put(&mut queue, &memory, &mut unsent, b"two");
        assert_eq!(queue.front().expect("something is queued"), b"onetwo");
        queue.sent(6, &mut unsent);
        assert!(queue.is_empty());
    }

    #[test]
    fn many_answers_leave_in_one_write_from_the_second_time_on() {
        let (memory, mut queue, mut unsent) = (memory(4), OutQueue::default(), Unsent::new(1 << 20));
        let mut writes = |answers: usize| {
            for _ in 0..answers {
                put(&mut queue, &memory, &mut unsent, &[1; 300]);
            }
            let mut writes = Vec::new();
            while let Some(bytes) = queue.front().map(<[u8]>::len) {
                writes.push(bytes);
                queue.sent(bytes, &mut unsent);
            }
            writes
        };
        assert_eq!(writes(32), [13 * 300, 19 * 300]);
        assert_eq!(writes(32), [32 * 300]);
        assert_eq!(writes(1), [300]);
        assert_eq!(
            writes(32),
            [13 * 300, 19 * 300],
            "few answers need no large memory"
        );
    }

    #[test]
    fn nothing_is_put_behind_what_the_kernel_has() {
        let (memory, mut queue, mut unsent) = (memory(4), OutQueue::default(), Unsent::new(1 << 20));
        put(&mut queue, &memory, &mut unsent, b"one");
        queue.hand_out();
        put(&mut queue, &memory, &mut unsent, b"two");
        assert_eq!(queue.front().expect("something is queued"), b"one");
        assert!(queue.sent(3, &mut unsent));
        assert_eq!(taken(&mut queue, &mut unsent), b"two");
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn order_is_kept_between_own_and_shared_bytes() {
        let (memory, mut queue, mut unsent) = (memory(4), OutQueue::default(), Unsent::new(1 << 20));
        let large = Bytes::from(vec![b'x'; SHARED_COPY_MAX + 1]);
        queue.append_shared(&memory, &mut unsent, Bytes::from_static(b"first"));
        put(&mut queue, &memory, &mut unsent, b"one");
        queue.append_shared(&memory, &mut unsent, Bytes::from_static(b"two"));
        queue.append_shared(&memory, &mut unsent, large.clone());
        put(&mut queue, &memory, &mut unsent, b"three");
        let expected = [b"firstonetwo".as_slice(), &large, b"three"].concat();
        assert_eq!(queue.bytes(), expected.len());
        assert_eq!(taken(&mut queue, &mut unsent), expected);
    }

    #[test]
    fn short_write_leaves_the_rest_in_front() {
        let (memory, mut queue, mut unsent) = (memory(4), OutQueue::default(), Unsent::new(1 << 20));
        put(&mut queue, &memory, &mut unsent, b"onetwo");
        queue.hand_out();
        assert!(!queue.sent(3, &mut unsent));
        put(&mut queue, &memory, &mut unsent, b"three");
        assert_eq!(taken(&mut queue, &mut unsent), b"twothree");
    }

    #[test]
    fn answer_is_written_beyond_an_exhausted_pool_and_told() {
        let (memory, mut queue, mut unsent) = (memory(1), OutQueue::default(), Unsent::new(1 << 20));
        let small = vec![1; BufferClass::Small.bytes()];
        let mut lent = 0;
        while put(&mut queue, &memory, &mut unsent, &small) == Source::Lent {
            lent += 1;
            assert!(lent < 1000, "reserves are bounded");
        }
        assert_eq!(taken(&mut queue, &mut unsent).len(), (lent + 1) * small.len());
        assert_eq!(put(&mut queue, &memory, &mut unsent, &small), Source::Lent);
    }

    #[test]
    fn what_is_given_up_is_off_the_account_but_for_what_the_kernel_has() {
        let (memory, mut queue, mut unsent) = (memory(4), OutQueue::default(), Unsent::new(1 << 20));
        let large = Bytes::from(vec![b'x'; SHARED_COPY_MAX + 1]);
        put(&mut queue, &memory, &mut unsent, b"one");
        queue.hand_out();
        put(&mut queue, &memory, &mut unsent, b"two");
        queue.append_shared(&memory, &mut unsent, large.clone());
        assert_eq!(
            (queue.bytes(), unsent.bytes()),
            (6 + large.len(), 6 + large.len())
        );
        queue.give_up(&mut unsent);
        assert_eq!((queue.bytes(), unsent.bytes()), (3, 3));
        assert!(queue.sent(3, &mut unsent));
        assert_eq!((queue.is_empty(), unsent.bytes()), (true, 0));
    }

    #[test]
    fn nothing_written_leaves_nothing_queued() {
        let (memory, mut queue, mut unsent) = (memory(1), OutQueue::default(), Unsent::new(1 << 20));
        queue.append(&memory, &mut unsent, 100, |_| 0);
        queue.append_shared(&memory, &mut unsent, Bytes::new());
        assert!(queue.is_empty());
        assert!(!memory.is_short());
    }
}
