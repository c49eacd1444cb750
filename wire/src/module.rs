//! The name of a module: two numbers that a caller asks for. Its own file because every crate uses it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a caller asks for: `modid` names the business, `cmdid` the service in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModuleId {
    /// The business.
    pub modid: u32,
    /// The service in the business.
    pub cmdid: u32,
}

impl ModuleId {
    /// A module by its two numbers.
    pub const fn new(modid: u32, cmdid: u32) -> Self {
        Self { modid, cmdid }
    }

    /// Both numbers in one word, `modid` in the upper half.
    pub const fn to_bits(self) -> u64 {
        (self.modid as u64) << 32 | self.cmdid as u64
    }

    /// The module whose [`Self::to_bits`] is `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            modid: (bits >> 32) as u32,
            cmdid: bits as u32,
        }
    }

    /// A well mixed 64-bit hash, the same in every process: shards, buckets and the board's index are chosen by it.
    /// The mix is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
    pub const fn hash64(self) -> u64 {
        let mut x = self.to_bits().wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// The shard, of `shards`, that owns this module: taken from the hash's upper half, so that the index inside
    /// a shard may use the lower half.
    pub const fn shard(self, shards: u16) -> u16 {
        (((self.hash64() >> 32) * shards as u64) >> 32) as u16
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.modid, self.cmdid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_module_are_each_others_inverse() {
        let module = ModuleId::new(7, u32::MAX);
        assert_eq!(ModuleId::from_bits(module.to_bits()), module);
    }

    #[test]
    fn neighbouring_modules_spread_evenly_over_shards() {
        let mut counts = [0u32; 4];
        for cmdid in 0..4_000 {
            counts[usize::from(ModuleId::new(1, cmdid).shard(4))] += 1;
        }
        assert!(
            counts.iter().all(|&count| (900..1_100).contains(&count)),
            "{counts:?}"
        );
    }
}
