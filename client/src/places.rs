//! The places that threads without a picker of their own borrow for one pick. Nobody waits here: a thread that finds a
//! place taken looks at the next one.

use crate::link::Link;
use crate::seat::Seat;
use std::sync::{Arc, Mutex, TryLockError};

/// Threads that can pick at one moment; one more asks over the socket.
const PLACES: usize = 64;
/// Stacks of two threads are at least this far apart (16 KiB is the least that a thread can have).
const STACK_SHIFT: u32 = 14;

/// Places of one client.
pub(crate) struct Places {
    link: Arc<Link>,
    places: Box<[Mutex<Option<Seat>>]>,
}

impl Places {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            places: (0..PLACES).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// Lends a place for `pick`; none where all are taken, or no ring can be made.
    pub(crate) fn with<T>(&self, pick: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        let first = near();
        for number in 0..PLACES {
            let mut place = match self.places[(first + number) % PLACES].try_lock() {
                Ok(place) => place,
                // A thread that panicked left its place whole: it is a cache of what can be read again.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if place.is_none() {
                *place = Seat::new(&self.link);
            }
            return place.as_mut().map(pick);
        }
        None
    }
}

/// A number that tells threads apart mostly, and is the same for one thread mostly: where its stack is.
#[inline]
fn near() -> usize {
    let here = 0_u8;
    let stack = (&raw const here).addr() >> STACK_SHIFT;
    // Stacks are often apart by a power of two: mix what differs into the low bits.
    stack.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - 16)
}
