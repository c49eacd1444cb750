//! What waits on one core for peers to read it: bounded for all of them together, since ten thousand connections with
//! two megabytes each are more than any machine has.
//!
//! Bytes that several connections send (a push encoded once) lie in memory once and are counted once. Above half of the
//! bound nobody gets a new answer who has not read the last one; at the bound the connections that hold most are ended.

use bytes::Bytes;
use std::collections::HashMap;

/// Which shared bytes: where they begin and how many they are. Nothing else can lie there while one of them is held.
type Place = (usize, usize);

/// One core's account.
#[derive(Debug)]
pub(crate) struct Unsent {
    bytes_max: usize,
    /// Bytes of one connection each, and of shared pieces, each once.
    bytes: usize,
    /// How often each shared piece is queued.
    shared: HashMap<Place, u32>,
}

/// A shared piece that was entered into the account; to be given to [`Unsent::release`].
#[derive(Debug)]
pub(crate) struct Entered(Place);

impl Unsent {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            shared: HashMap::new(),
        }
    }

    /// Bytes of memory that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a peer must read what it has before it is answered again.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes > self.bytes_max / 2
    }

    /// Whether `bytes` more would be too much.
    pub(crate) fn is_full_with(&self, bytes: usize) -> bool {
        self.bytes + bytes > self.bytes_max
    }

    /// Whether so much was freed that nobody need be ended for a while: an eighth, so that looking for those who hold
    /// most is rare.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.bytes_max - self.bytes_max / 8
    }

    /// A connection's own bytes are queued.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// They are sent, or will never be.
    pub(crate) fn sub(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "what leaves the account was entered");
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Bytes are queued that others may send too.
    pub(crate) fn enter(&mut self, shared: &Bytes) -> Entered {
        let place = (shared.as_ptr() as usize, shared.len());
        let times = self.shared.entry(place).or_insert(0);
        *times += 1;
        if *times == 1 {
            self.bytes += place.1;
        }
        Entered(place)
    }

    /// One connection is done with them.
    pub(crate) fn release(&mut self, Entered(place): Entered) {
        if let Some(times) = self.shared.get_mut(&place) {
            *times -= 1;
            if *times == 0 {
                self.shared.remove(&place);
                self.sub(place.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_many_send_are_counted_once_until_the_last_has_sent_them() {
        let mut unsent = Unsent::new(1_000);
        let push = Bytes::from(vec![1; 300]);
        unsent.add(50);
        let entered: Vec<_> = (0..3).map(|_| unsent.enter(&push.clone())).collect();
        let other = unsent.enter(&Bytes::from(vec![2; 300]));
        assert_eq!(unsent.bytes(), 650);
        for one in entered {
            assert_eq!(unsent.bytes(), 650);
            unsent.release(one);
        }
        assert_eq!(unsent.bytes(), 350);
        unsent.release(other);
        unsent.sub(50);
        assert_eq!(unsent.bytes(), 0);
    }

    #[test]
    fn half_of_the_bound_is_crowded_and_all_of_it_is_full() {
        let mut unsent = Unsent::new(1_000);
        unsent.add(500);
        assert!(!unsent.is_crowded() && !unsent.is_full_with(500) && unsent.is_full_with(501));
        unsent.add(1);
        assert!(unsent.is_crowded() && unsent.has_room_for(374) && !unsent.has_room_for(375));
    }
}
