//! What a pool counts: written by its core alone, with plain stores, and readable from any thread.

use super::class::BufferClass;
use std::sync::atomic::{AtomicU64, Ordering};

/// A pool's counts. Only the pool's core writes them, so an increment is a load and a store, never a locked
/// instruction; a reader elsewhere may see one count a moment before another.
#[derive(Debug, Default)]
pub struct BufferCounters {
    lent: [Gauge; BufferClass::COUNT],
    heap: Gauge,
    refused: AtomicU64,
}

/// How many are lent now, and were at most.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// How much of one kind of buffer is lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferUse {
    /// Lent now.
    pub now: u64,
    /// The most that were ever lent at one time.
    pub most: u64,
}

impl BufferCounters {
    /// Buffers of one class.
    pub fn class(&self, class: BufferClass) -> BufferUse {
        self.lent[class as usize].read()
    }

    /// Buffers from the heap.
    pub fn heap(&self) -> BufferUse {
        self.heap.read()
    }

    /// How often nothing could be lent.
    pub fn exhausted(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The gauge of a class, for its free list.
    #[inline]
    pub(super) fn lent(&self, class: BufferClass) -> &Gauge {
        &self.lent[class as usize]
    }

    /// The gauge of the heap.
    pub(super) fn lent_from_heap(&self) -> &Gauge {
        &self.heap
    }

    pub(super) fn refused(&self) {
        add_alone(&self.refused, 1);
    }
}

impl Gauge {
    /// One more is lent.
    #[inline]
    pub(super) fn raise(&self) {
        let now = add_alone(&self.now, 1);
        if now > self.most.load(Ordering::Relaxed) {
            self.most.store(now, Ordering::Relaxed);
        }
    }

    /// One less is lent; returns how many still are.
    #[inline]
    pub(super) fn lower(&self) -> u64 {
        add_alone(&self.now, 1_u64.wrapping_neg())
    }

    /// How many are lent.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Both, for whoever asks.
    pub(super) fn read(&self) -> BufferUse {
        BufferUse {
            now: self.now(),
            most: self.most.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a count that only this thread writes, and returns the sum.
#[inline]
fn add_alone(count: &AtomicU64, amount: u64) -> u64 {
    let sum = count.load(Ordering::Relaxed).wrapping_add(amount);
    count.store(sum, Ordering::Relaxed);
    sum
}
