//! The heart of the pool: one core's memory, mapped once, cut into size classes, lent and given back.
//!
//! A pool belongs to one core (`Rc` inside, so neither it nor its buffers can leave the thread) and therefore needs
//! no lock. Its arena is one mapping, so that a ring can register it whole as fixed buffer 0 and name any lent
//! buffer by its offset. Where nothing may be registered everything works the same, from ordinary memory.

mod arena;
mod buffer;
mod class;
mod counters;
mod free_list;

pub use buffer::Buffer;
pub use class::{BufferClass, BufferPoolConfig, HEAP_BUFFER_BYTES_MAX, RECEIVE_SMALL};
pub use counters::{BufferCounters, BufferUse};

use arena::Arena;
use free_list::FreeList;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// One core's buffers. Cloning gives another handle of the same pool, on the same core.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Rc<Shared>,
}

/// What the handles and every lent buffer hold together; the arena is unmapped when the last of them is gone.
#[derive(Debug)]
struct Shared {
    arena: Arena,
    /// Where each class begins in the arena, and which of its slots are free; indexed by [`BufferClass`].
    regions: [Region; BufferClass::COUNT],
    heap_max: u64,
    counters: Arc<BufferCounters>,
}

/// The part of the arena that one class has.
#[derive(Debug)]
struct Region {
    offset: usize,
    free: FreeList,
}

impl BufferPool {
    /// Maps the arena. Nothing is touched yet: pages cost memory when they are registered or first written.
    ///
    /// # Errors
    /// A configuration without any buffer or above [`BufferPoolConfig::check`]'s bounds, or the kernel's refusal of
    /// the mapping.
    pub fn new(config: &BufferPoolConfig) -> io::Result<Self> {
        config
            .check()
            .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        let arena = Arena::map(config.arena_bytes())?;
        // The largest class stands first, so that every buffer begins at a multiple of the page, and a large one at a
        // multiple of its own size from the start of the arena.
        let mut offset = config.arena_bytes();
        let regions = BufferClass::ALL.map(|class| {
            let count = config.count(class);
            offset -= count as usize * class.bytes();
            Region {
                offset,
                free: FreeList::full(count),
            }
        });
        Ok(Self {
            shared: Rc::new(Shared {
                arena,
                regions,
                heap_max: u64::from(config.heap_max),
                counters: Arc::default(),
            }),
        })
    }

    /// The whole arena, page-aligned: what a ring registers. It stays mapped for as long as this pool or any of its
    /// buffers lives, so a ring that registered it must hold a clone of the pool.
    pub fn arena(&self) -> (*mut u8, usize) {
        (self.shared.arena.start().as_ptr(), self.shared.arena.bytes())
    }

    /// Lends an empty buffer that can hold at least `bytes`: of the smallest class that fits, of the next one where
    /// that is exhausted, else a bounded number from the heap, unregistered. `None` where all is lent, or above
    /// [`HEAP_BUFFER_BYTES_MAX`]: let the peer wait until something is given back.
    ///
    /// Constant time, but for the heap. What stood in the buffer before is not wiped: it is only ever shown through
    /// [`Buffer::data`] once it was overwritten and declared filled.
    #[inline]
    pub fn check_out(&self, bytes: usize) -> Option<Buffer> {
        // Nearly always; apart, so that everything about the class is known where this is compiled.
        if bytes <= BufferClass::Small.bytes()
            && let Some(buffer) = self.lend(BufferClass::Small)
        {
            return Some(buffer);
        }
        self.check_out_larger(bytes)
    }

    #[inline(never)]
    fn check_out_larger(&self, bytes: usize) -> Option<Buffer> {
        for class in [BufferClass::Medium, BufferClass::Large] {
            if bytes <= class.bytes()
                && let Some(buffer) = self.lend(class)
            {
                return Some(buffer);
            }
        }
        self.check_out_of_heap(bytes)
    }

    /// A buffer of this class, if one is free.
    #[inline]
    fn lend(&self, class: BufferClass) -> Option<Buffer> {
        let region = &self.shared.regions[class as usize];
        let slot = region.free.take(self.shared.counters.lent(class))?;
        let offset = region.offset + slot as usize * class.bytes();
        let start = self.shared.arena.at(offset);
        let pool = Rc::clone(&self.shared);
        Some(Buffer::new(pool, start, class.bytes(), Some(class)))
    }

    #[cold]
    fn check_out_of_heap(&self, bytes: usize) -> Option<Buffer> {
        // Whole pages' worth, as the arena has; clamped first, so that no length overflows.
        let capacity = bytes
            .clamp(1, HEAP_BUFFER_BYTES_MAX + 1)
            .next_multiple_of(BufferClass::Small.bytes());
        let start = self.shared.allocate(capacity);
        if start.is_none() {
            self.shared.counters.refused();
        }
        start.map(|start| Buffer::new(Rc::clone(&self.shared), start, capacity, None))
    }

    /// Counts that another thread may read at any time.
    pub fn counters(&self) -> Arc<BufferCounters> {
        Arc::clone(&self.shared.counters)
    }
}

impl Shared {
    fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        if bytes > HEAP_BUFFER_BYTES_MAX || self.counters.lent_from_heap().now() >= self.heap_max {
            return None;
        }
        let mut memory = Vec::new();
        memory.try_reserve_exact(bytes).ok()?;
        memory.resize(bytes, 0_u8);
        let start = NonNull::new(Box::into_raw(memory.into_boxed_slice()).cast::<u8>())?;
        self.counters.lent_from_heap().raise();
        Some(start)
    }

    /// Takes memory back; called by the buffer that held it, once, with what [`Buffer::new`] was given.
    #[inline]
    fn check_in(&self, start: NonNull<u8>, capacity: usize, class: Option<BufferClass>) {
        if let Some(class) = class {
            let region = &self.regions[class as usize];
            let slot = (self.arena.offset_of(start) - region.offset) >> class.shift();
            region.free.give(self.counters.lent(class), slot as u32);
        } else {
            self.free(start, capacity);
        }
    }

    #[cold]
    fn free(&self, start: NonNull<u8>, capacity: usize) {
        let memory = std::ptr::slice_from_raw_parts_mut(start.as_ptr(), capacity);
        // SAFETY: `allocate` made `start` from a boxed slice of `capacity` bytes, and its only borrower gives it back
        // once, here, and touches it no more.
        drop(unsafe { Box::from_raw(memory) });
        self.counters.lent_from_heap().lower();
    }
}
