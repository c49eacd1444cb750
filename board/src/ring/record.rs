//! One record of a call ring: it names module and node in full, so that it means the same to every agent, whatever was
//! published since the pick, and however often the agent was restarted.
//!
//! ```text
//! word 0       module
//! word 1, 2    address, as 16 bytes in memory's order
//! word 3       port 16 bits | outcome 2 | probe 1 | calls less one 13 | latency in microseconds 32
//! ```
//!
//! Four words of zeros, which is what a hole in the file reads as, are no record: the node is not callable.

use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};

/// Words of a record: half a cache line.
pub(crate) const RECORD_WORDS: usize = 4;
const CALLS_BITS: u32 = 13;
/// Calls that one record can stand for.
pub const CALLS_MAX: u32 = 1 << CALLS_BITS;

/// How calls to one node ended: one call, or several that ended alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
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
    #[inline]
    pub(crate) fn to_words(self) -> [u64; RECORD_WORDS] {
        let address = u128::from_ne_bytes(self.node.octets());
        let calls = u64::from(self.calls.clamp(1, CALLS_MAX) - 1);
        let last = u64::from(self.node.port())
            | u64::from(u8::from(self.outcome)) << 16
            | u64::from(self.probe) << 18
            | calls << 19
            | u64::from(self.latency_us) << 32;
        [
            self.module.to_bits(),
            address as u64,
            (address >> 64) as u64,
            last,
        ]
    }

    /// None for what no caller of good will writes: a node that cannot be called.
    #[inline]
    pub(crate) fn from_words([module, low, high, last]: [u64; RECORD_WORDS]) -> Option<Self> {
        let address = u128::from(high) << 64 | u128::from(low);
        let node = NodeAddr::from_octets(address.to_ne_bytes(), last as u16);
        let outcome = Outcome::try_from((last >> 16 & 3) as u8).ok()?;
        node.is_callable().then_some(Self {
            module: ModuleId::from_bits(module),
            node,
            outcome,
            probe: last >> 18 & 1 == 1,
            calls: (last >> 19) as u32 % CALLS_MAX + 1,
            latency_us: (last >> 32) as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_comes_back_as_it_was_written() {
        let nodes = ["10.0.0.1:80", "[2001:db8::1]:65535", "255.255.255.255:1"];
        for node in nodes.map(|text| text.parse().expect("a node")) {
            for (outcome, probe) in [(Outcome::Ok, true), (Outcome::Cancelled, false)] {
                for (calls, latency_us) in [(1, 0), (2, 1), (CALLS_MAX, u32::MAX)] {
                    let record = CallRecord {
                        module: ModuleId::new(7, u32::MAX),
                        node,
                        outcome,
                        probe,
                        calls,
                        latency_us,
                    };
                    assert_eq!(CallRecord::from_words(record.to_words()), Some(record));
                }
            }
        }
    }

    #[test]
    fn hole_is_no_record() {
        assert_eq!(CallRecord::from_words([0; 4]), None);
        assert_eq!(CallRecord::from_words([1, 0, 0, 0]), None);
        assert_eq!(CallRecord::from_words([0, 0, 0, 80]), None);
    }
}
