//! One record of a call ring: it names module and node in full, so that it means the same to every agent, whatever was
//! published since the pick, and however often the agent was restarted.
//!
//! ```text
//! word 0       module
//! word 1, 2    address, as 16 bytes in memory's order; of an IPv4 node, whose first word is zero, the slot stands there
//! word 3       port 16 bits | outcome 2 | probe 1 | slot 1 | calls less one 12 | latency in microseconds 32
//! ```
//!
//! The slot is where the agent looks for the node first: a hint that spares a search, and is checked like everything else.
//!
//! Four words of zeros, which is what a hole in the file reads as, are no record: the node is not callable.

use crate::entry::NodeSlot;
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};

/// Words of a record: half a cache line.
pub(crate) const RECORD_WORDS: usize = 4;
const CALLS_BITS: u32 = 12;
const CALLS_SHIFT: u32 = 20;
const HAS_SLOT: u64 = 1 << 19;
/// Calls that one record can stand for.
pub const CALLS_MAX: u32 = 1 << CALLS_BITS;

/// How calls to one node ended: one call, or several that ended alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// Its slot, where that is known; it does not travel with IPv6 nodes.
    pub slot: NodeSlot,
    /// How they ended.
    pub outcome: Outcome,
    /// Whether the pick was a probe.
    pub probe: bool,
    /// How many calls: 1 to [`CALLS_MAX`].
    pub calls: u32,
    /// What each took, in microseconds.
    pub latency_us: u32,
}

impl CallRecord {
    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; RECORD_WORDS] {
        let calls = u64::from(self.calls.clamp(1, CALLS_MAX) - 1);
        let last = u64::from(self.node.port())
            | u64::from(u8::from(self.outcome)) << 16
            | u64::from(self.probe) << 18
            | calls << CALLS_SHIFT
            | u64::from(self.latency_us) << 32;
        let [first, second] = self.node.halves();
        let [first, last] = if first == 0 {
            [u64::from(self.slot.to_bits()), last | HAS_SLOT]
        } else {
            [first, last]
        };
        [self.module.to_bits(), first, second, last]
    }

    /// None for what no caller of good will writes: a node that cannot be called.
    #[inline]
    pub(crate) fn from_words([module, low, high, last]: [u64; RECORD_WORDS]) -> Option<Self> {
        let (low, slot) = if last & HAS_SLOT == 0 {
            (low, NodeSlot::NONE)
        } else {
            (0, NodeSlot::new(low as u32))
        };
        let address = u128::from(high) << 64 | u128::from(low);
        let node = NodeAddr::from_octets(address.to_ne_bytes(), last as u16);
        let outcome = Outcome::try_from((last >> 16 & 3) as u8).ok()?;
        node.is_callable().then_some(Self {
            module: ModuleId::from_bits(module),
            node,
            slot,
            outcome,
            probe: last >> 18 & 1 == 1,
            calls: (last >> CALLS_SHIFT) as u32 % CALLS_MAX + 1,
            latency_us: (last >> 32) as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_comes_back_as_it_was_written() {
        let nodes = [
            "10.0.0.1:80",
            "[2001:db8::1]:65535",
            "[2001:db8::ffff:10.0.0.1]:80",
            "255.255.255.255:1",
        ];
        for node in nodes.map(|text| text.parse::<NodeAddr>().expect("a node")) {
            for (outcome, probe) in [(Outcome::Ok, true), (Outcome::Cancelled, false)] {
                for (calls, latency_us) in [(1, 0), (2, 1), (CALLS_MAX, u32::MAX)] {
                    let is_ipv4 = node.ipv4_number().is_some();
                    let record = CallRecord {
                        module: ModuleId::new(7, u32::MAX),
                        node,
                        slot: if is_ipv4 {
                            NodeSlot::new(77)
                        } else {
                            NodeSlot::NONE
                        },
                        outcome,
                        probe,
                        calls,
                        latency_us,
                    };
                    assert_eq!(CallRecord::from_words(record.words()), Some(record));
                }
            }
        }
    }

    #[test]
    fn hole_is_no_record() {
        assert_eq!(CallRecord::from_words([0; 4]), None);
        assert_eq!(CallRecord::from_words([1, 0, 0, 0]), None);
        assert_eq!(CallRecord::from_words([0, 0, 0, 80]), None);
        assert_eq!(CallRecord::from_words([1, 7, 0, 0x50 | HAS_SLOT]), None);
    }
}
