//! What a full ring cannot take: calls summed up for each node and outcome, until there is room again. No call and no
//! microsecond is lost; what is lost is only in which order a node's calls ended.

use super::record::{CALLS_MAX, CallRecord};
use crate::entry::NodeSlot;
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Sums held at most, 64 bytes each: a thread whose agent is gone goes on for as long as it calls no more nodes.
const SUMS_MAX: usize = 16_384;

/// Calls to one node that ended alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    module: ModuleId,
    node: NodeAddr,
    slot: NodeSlot,
    outcome: Outcome,
    probe: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    calls: u64,
    latency_sum_us: u64,
    latency_max_us: u32,
}

/// The sums of one ring.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    sums: HashMap<Key, Sum, BuildHasherDefault<Mixer>>,
    /// In the order in which they began.
    order: VecDeque<Key>,
}

/// A hash of few steps: the keys are this process's own, and while the ring is full every report is looked up.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        // A multiplication by an odd number near 2^64 over the golden ratio (Knuth, volume 3, 6.4).
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_ne_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn finish(&self) -> u64 {
        // The table's place is taken from the lower bits, which a multiplication mixes least.
        self.0 ^ self.0 >> 32
    }
}

impl Overflow {
    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Calls held.
    pub(crate) fn calls(&self) -> u64 {
        self.sums.values().map(|sum| sum.calls).sum()
    }

    /// Adds a record; false where there is no room for one more node.
    pub(crate) fn add(&mut self, record: CallRecord) -> bool {
        let key = Key {
            module: record.module,
            node: record.node,
            slot: record.slot,
            outcome: record.outcome,
            probe: record.probe,
        };
        let is_full = self.sums.len() == SUMS_MAX;
        let sum = match self.sums.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if is_full => return false,
            Entry::Vacant(entry) => {
                self.order.push_back(key);
                entry.insert(Sum::default())
            }
        };
        let calls = u64::from(record.calls);
        sum.calls += calls;
        sum.latency_sum_us = sum
            .latency_sum_us
            .saturating_add(calls * u64::from(record.latency_us));
        sum.latency_max_us = sum.latency_max_us.max(record.latency_us);
        true
    }

    /// The next record to be written, taken out of the sums: in the end these records add up to the calls, the sum and
    /// the largest of the latencies that were put in.
    pub(crate) fn take(&mut self) -> Option<CallRecord> {
        let key = *self.order.front()?;
        let sum = self.sums.get_mut(&key)?;
        let (calls, latency_us) = sum.take();
        if sum.calls == 0 {
            self.sums.remove(&key);
            self.order.pop_front();
        }
        Some(CallRecord {
            module: key.module,
            node: key.node,
            slot: key.slot,
            outcome: key.outcome,
            probe: key.probe,
            calls,
            latency_us,
        })
    }
}

impl Sum {
    /// First the longest call by itself; then the others as if all had taken the same, the odd microseconds on some.
    fn take(&mut self) -> (u32, u32) {
        let mean = self.latency_sum_us / self.calls;
        let (calls, latency) = if u64::from(self.latency_max_us) > mean {
            (1, u64::from(self.latency_max_us))
        } else {
            let longer = self.latency_sum_us % self.calls;
            match longer {
                0 => (self.calls, mean),
                _ => (longer, mean + 1),
            }
        };
        self.latency_max_us = 0;
        let calls = calls.min(u64::from(CALLS_MAX));
        self.calls -= calls;
        self.latency_sum_us -= calls * latency;
        (calls as u32, latency as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32, latency_us: u32) -> CallRecord {
        CallRecord {
            module: ModuleId::new(1, 1),
            node: NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80),
            slot: NodeSlot::NONE,
            outcome: Outcome::Ok,
            probe: false,
            calls: 1,
            latency_us,
        }
    }

    #[test]
    fn what_is_taken_out_adds_up_to_what_was_put_in() {
        let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
        println!("LARS_SEED={seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let mut overflow = Overflow::default();
            let (mut calls, mut sum, mut max) = (0, 0, 0);
            for _ in 0..rng.u32(1..30_000) {
                let bits = rng.u32(0..31);
                let latency = rng.u32(..=1 << bits);
                assert!(overflow.add(record(0, latency)));
                calls += 1;
                sum += u64::from(latency);
                max = max.max(latency);
            }
            assert_eq!(overflow.calls(), calls);
            let taken: Vec<CallRecord> = std::iter::from_fn(|| overflow.take()).collect();
            let total: u64 = taken.iter().map(|record| u64::from(record.calls)).sum();
            let latency = |record: &CallRecord| u64::from(record.calls) * u64::from(record.latency_us);
            assert_eq!((total, taken.iter().map(latency).sum()), (calls, sum));
            assert_eq!(taken.iter().map(|record| record.latency_us).max(), Some(max));
            assert!(overflow.is_empty());
        }
    }

    #[test]
    fn room_is_bounded_and_nodes_that_are_there_always_have_some() {
        let mut overflow = Overflow::default();
        for number in 0..SUMS_MAX as u32 {
            assert!(overflow.add(record(number, 1)));
        }
        assert!(!overflow.add(record(SUMS_MAX as u32, 1)));
        assert!(overflow.add(record(5, 1)));
    }
}
