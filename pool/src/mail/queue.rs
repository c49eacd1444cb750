//! A bounded queue between exactly two threads: one pushes, one drains, neither ever waits or makes a system call.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most places of one queue; keeps a wrong number from allocating all there is.
const CAPACITY_MAX: usize = 1 << 20;

/// Makes a queue of at least `capacity` places (rounded up to a power of two, 1 to 1,048,576).
pub fn queue<M>(capacity: usize) -> (Producer<M>, Consumer<M>) {
    let places = capacity.clamp(1, CAPACITY_MAX).next_power_of_two();
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots: (0..places)
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect(),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        tail: 0,
        head_seen: 0,
    };
    (
        producer,
        Consumer {
            shared,
            head: 0,
            tail_seen: 0,
        },
    )
}

/// Two lines of memory: the processor fetches lines in pairs, so one alone would still be dragged to and fro.
#[repr(align(128))]
struct Padded<T>(T);

/// Counts of mail pushed and taken since the beginning; they wrap, and their difference is what waits.
struct Shared<M> {
    /// How much was taken: written by the consumer alone.
    head: Padded<AtomicUsize>,
    /// How much was pushed: written by the producer alone.
    tail: Padded<AtomicUsize>,
    /// Mail number `n` lies in slot `n % slots.len()`, initialised for `head <= n < tail`.
    slots: Box<[UnsafeCell<MaybeUninit<M>>]>,
}

// SAFETY: the slots are the only part that is not shareable by itself. Slot `n` is the producer's until it stores a
// tail above `n` (Release) and the consumer's, who loads that tail (Acquire), until that stores a head above `n`. So
// no slot is ever in two hands, and mail only moves from one thread to the other, which `M: Send` allows.
unsafe impl<M: Send> Sync for Shared<M> {}
// SAFETY: as above; sending the whole queue sends the mail in it.
unsafe impl<M: Send> Send for Shared<M> {}

/// The pushing end.
pub struct Producer<M> {
    shared: Arc<Shared<M>>,
    tail: usize,
    /// The head when it was last looked at: mostly there is room, and the consumer's line is left alone.
    head_seen: usize,
}

/// The draining end.
pub struct Consumer<M> {
    shared: Arc<Shared<M>>,
    head: usize,
    /// The tail when it was last looked at.
    tail_seen: usize,
}

impl<M> Shared<M> {
    fn slot(&self, number: usize) -> *mut MaybeUninit<M> {
        self.slots[number & (self.slots.len() - 1)].get()
    }
}

impl<M> Producer<M> {
    /// Appends mail, or gives it back when the queue is full. Does not wake the consumer.
    pub fn push(&mut self, mail: M) -> Result<(), M> {
        if self.tail.wrapping_sub(self.head_seen) == self.shared.slots.len() {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.shared.slots.len() {
                return Err(mail);
            }
        }
        // SAFETY: `tail - head_seen < slots.len()`, so the consumer is done with this slot (the Acquire load above saw
        // it so), and only this producer, here behind `&mut`, writes slots.
        unsafe { (*self.shared.slot(self.tail)).write(mail) };
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Places of the queue.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Whether the consumer is gone.
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

impl<M> Consumer<M> {
    /// Hands at most `max` pieces of mail to `each`, oldest first, and returns how many. The places are free for the
    /// producer when this returns (or unwinds).
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(M)) -> usize {
        if self.tail_seen == self.head {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        }
        let count = max.min(self.tail_seen.wrapping_sub(self.head));
        if count == 0 {
            return 0;
        }
        let batch = Batch { consumer: self };
        for _ in 0..count {
            let number = batch.consumer.head;
            // Before `each` runs: were it to panic, this mail is taken, and only what is behind it still waits.
            batch.consumer.head = number.wrapping_add(1);
            // SAFETY: `number < tail_seen`, so the producer wrote the slot (the Acquire load saw its tail) and will not
            // write it again before `head` is stored; it is read once, since `head` moved on.
            each(unsafe { (*batch.consumer.shared.slot(number)).assume_init_read() });
        }
        count
    }

    /// Whether nothing waits now.
    pub fn is_empty(&self) -> bool {
        self.shared.tail.0.load(Ordering::Acquire) == self.head
    }

    /// Whether the producer is gone; what it pushed before still waits.
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

/// Tells the producer once, at the end of a batch, which places are free again.
struct Batch<'a, M> {
    consumer: &'a mut Consumer<M>,
}

impl<M> Drop for Batch<'_, M> {
    fn drop(&mut self) {
        self.consumer
            .shared
            .head
            .0
            .store(self.consumer.head, Ordering::Release);
    }
}

impl<M> Drop for Shared<M> {
    fn drop(&mut self) {
        let (mut number, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        while number != tail {
            // SAFETY: both ends are gone; the slots from head to tail hold mail that nobody took.
            unsafe { (*self.slot(number)).assume_init_drop() };
            number = number.wrapping_add(1);
        }
    }
}

impl<M> fmt::Debug for Producer<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Producer")
            .field("pushed", &self.tail)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for Consumer<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Consumer")
            .field("taken", &self.head)
            .finish_non_exhaustive()
    }
}
