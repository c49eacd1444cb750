//! How calls in flight stand in one word: a lane for each of the last periods, and the number of the newest. Pure.

/// Periods in which a call counts.
const LANES: u64 = 3;
const LANE_BITS: u64 = 16;
const LANE_MASK: u64 = (1 << LANE_BITS) - 1;
/// The sign of each lane.
const SIGNS: u64 = 0x8000_8000_8000;
/// Periods are told apart modulo this: the largest multiple of the lanes that 16 bits hold.
pub(super) const CYCLE: u64 = (1 << 16) - 1;
const _: () = assert!(CYCLE.is_multiple_of(LANES));

/// A period: its number, modulo [`CYCLE`], in the bits in which nodes' words carry it, and in the lowest where its lane begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(pub(super) u64);

impl Period {
    pub(super) fn of(number: u64) -> Self {
        let tag = number % CYCLE;
        Self(tag << (LANES * LANE_BITS) | lane_of(tag))
    }

    /// Its number.
    #[inline]
    pub(crate) fn tag(self) -> u64 {
        self.0 >> (LANES * LANE_BITS)
    }

    /// Where the lane begins of calls that began in it.
    #[inline(always)]
    pub(super) fn lane(self) -> u64 {
        self.0 & (u64::BITS as u64 - 1)
    }

    /// The lane of calls that began then; none where they are forgotten, or that can be no period.
    #[inline(always)]
    pub(super) fn lane_since(self, begun: Begun) -> Option<u64> {
        if u64::from(begun.0) == self.tag() {
            return Some(self.lane());
        }
        let (tag, begun) = (self.tag(), u64::from(begun.0));
        let ahead = if tag < begun { CYCLE } else { 0 };
        (begun < CYCLE && ahead + tag - begun < LANES).then(|| lane_of(begun))
    }

    /// A node's counts as they stand now: those of older calls are forgotten. Nearly all words are of this period.
    #[inline(always)]
    pub(super) fn current(self, word: u64) -> u64 {
        if (word ^ self.0) >> (LANES * LANE_BITS) == 0 {
            word
        } else if word == 0 {
            // Never written.
            self.0 & !((1 << (LANES * LANE_BITS)) - 1)
        } else {
            rolled(word, self.tag())
        }
    }
}

/// The period in which a call began, as its token carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun(pub(crate) u16);

/// The first bit of the lane of a period.
#[inline]
fn lane_of(tag: u64) -> u64 {
    tag % LANES * LANE_BITS
}

/// The sum of a word's lanes.
#[inline(always)]
pub(super) fn sum_of(word: u64) -> i32 {
    let lane = |first: u64| i32::from((word >> first) as i16);
    lane(0) + lane(LANE_BITS) + lane(2 * LANE_BITS)
}

/// A lane goes round and spills into no other.
#[inline(always)]
pub(super) fn add_calls(word: u64, lane: u64, calls: i16) -> u64 {
    let before = (word >> lane) as u16;
    let after = before.wrapping_add(calls as u16);
    word ^ u64::from(before ^ after) << lane
}

/// The lanes of both, each added by itself; no period's number.
#[inline(always)]
pub(super) fn add_lanes(one: u64, other: u64) -> u64 {
    let lanes = (1 << (LANES * LANE_BITS)) - 1;
    let (one, other) = (one & lanes, other & lanes);
    ((one & !SIGNS) + (other & !SIGNS)) ^ ((one ^ other) & SIGNS)
}

/// A node's counts as they stand in another period than that of their last change.
#[cold]
fn rolled(word: u64, tag: u64) -> u64 {
    let age = (tag + CYCLE - (word >> (LANES * LANE_BITS)) % CYCLE) % CYCLE;
    // A thread that has not noticed a new period yet takes the word as it is.
    if age == 0 || age > CYCLE - LANES {
        return word;
    }
    let mut kept = word & ((1 << (LANES * LANE_BITS)) - 1);
    for back in 0..age.min(LANES) {
        kept &= !(LANE_MASK << lane_of(tag + CYCLE - back));
    }
    kept | tag << (LANES * LANE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_added_each_by_itself() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let (one, other) = (rng.u64(..), rng.u64(..));
            let sum = add_lanes(one, other);
            let lanes = |word: u64| [0, 16, 32].map(|lane| (word >> lane) as u16);
            let (ones, others, sums) = (lanes(one), lanes(other), lanes(sum));
            assert_eq!(
                sums,
                std::array::from_fn(|lane| ones[lane].wrapping_add(others[lane]))
            );
            let all: i32 = ones.iter().map(|&lane| i32::from(lane as i16)).sum();
            assert_eq!(sum_of(one), all);
            let calls = rng.i16(..);
            let expected = [ones[0], ones[1].wrapping_add(calls as u16), ones[2]];
            let added = add_calls(one, lane_of(4), calls);
            assert_eq!((lanes(added), added >> 48), (expected, one >> 48));
        }
    }
}
