//! What a writer computes of a module's idle nodes so that readers choose in constant time: the alias table of
//! weighted draws, the schedule of weighted turns, the ring of hashes.

use crate::entry::{EntryNode, Rule};
use lars_wire::NodeAddr;

/// Most steps of a schedule; modules of more nodes are drawn at random.
pub(crate) const STEPS_MAX: usize = 1_024;
/// Points of a node of mean weight on the ring of hashes: the shares of nodes then differ by about an eighth.
const POINTS_PER_NODE: usize = 64;
/// Most points of a module: half a megabyte. Modules of more than 1,024 nodes get fewer points a node.
pub(crate) const POINTS_MAX: usize = 65_536;
/// Bits of a word of the ring that hold the node's place; the others hold the hash.
const PLACE_BITS: u32 = 16;

/// The table of an entry whose first `idle` nodes take picks; empty where its rule needs none.
pub(crate) fn table(rule: Rule, idle: &[EntryNode]) -> Vec<u64> {
    let alike = idle.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    match rule {
        Rule::WeightedRoundRobin(_) if idle.len() <= STEPS_MAX => schedule(idle),
        Rule::ConsistentHash { .. } => ring(idle),
        Rule::Adaptive(_) | Rule::WeightedRoundRobin(_) if !alike => aliases(idle),
        Rule::Classic { .. } | Rule::Adaptive(_) | Rule::WeightedRoundRobin(_) => Vec::new(),
    }
}

/// The mean weight of these nodes; 1 where there are none.
pub(crate) fn mean_weight(nodes: &[EntryNode]) -> f32 {
    let sum: u64 = nodes.iter().map(weight).sum();
    if nodes.is_empty() {
        1.0
    } else {
        sum as f32 / nodes.len() as f32
    }
}

fn weight(node: &EntryNode) -> u64 {
    u64::from(node.weight.max(1))
}

/// Vose's form of Walker's alias method: a word a node, the odds of keeping it (of 2^32) above the place of the other.
fn aliases(nodes: &[EntryNode]) -> Vec<u64> {
    const ONE: u64 = 1 << 32;
    let (count, sum) = (nodes.len() as u64, nodes.iter().map(weight).sum::<u64>());
    // Scaled so that the mean is `sum`: whole numbers, nothing is lost to rounding but the last division.
    let mut left: Vec<u64> = nodes.iter().map(|node| weight(node) * count).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..nodes.len()).partition(|&place| left[place] < sum);
    let mut words: Vec<u64> = (0..count).map(|place| (ONE - 1) << 16 | place).collect();
    while let (Some(&other), Some(place)) = (large.last(), small.pop()) {
        let odds = (left[place] * (ONE - 1) / sum).min(ONE - 1);
        words[place] = odds << 16 | other as u64;
        left[other] -= sum - left[place];
        if left[other] < sum {
            large.pop();
            small.push(other);
        }
    }
    words
}

/// Each node as often as its weight says, as evenly as can be: node by node its steps are spread over the round, and
/// the round is read in order. Four places a word; the first word is the number of steps.
fn schedule(nodes: &[EntryNode]) -> Vec<u64> {
    let sum: u64 = nodes.iter().map(weight).sum();
    let divisor = nodes.iter().map(weight).fold(0, greatest_common_divisor).max(1);
    // A whole round where it is short enough, else the closest in proportion that gives each node a step.
    let steps = sum.div_euclid(divisor).min(STEPS_MAX as u64);
    let mut turns = Vec::with_capacity(STEPS_MAX);
    for (place, node) in nodes.iter().enumerate() {
        let times = ((weight(node) * steps + sum / 2) / sum).max(1);
        for time in 0..times {
            // The middle of each of `times` equal parts of the round, in fixed point; ties in order of place.
            turns.push((((2 * time + 1) << 32) / (2 * times), place as u64));
        }
    }
    turns.sort_unstable();
    // Each node that rounds up to one step may push the round beyond the bound: the last steps are left out, and
    // the order is by time, so that they are those of nodes that stand there anyway.
    turns.truncate(STEPS_MAX.max(nodes.len()));
    let mut words = vec![turns.len() as u64];
    words.extend(turns.chunks(4).map(|four| {
        let shifted = four
            .iter()
            .zip(0..)
            .map(|((_, place), lane)| place << (16 * lane));
        shifted.fold(0, |word, place| word | place)
    }));
    words
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// The points of the nodes on the ring, in order: 48 bits of hash above 16 of place. They depend on the addresses
/// alone, so that every agent sends a key to the same node.
fn ring(nodes: &[EntryNode]) -> Vec<u64> {
    let mean = mean_weight(nodes);
    let per_node = (POINTS_MAX / nodes.len().max(1)).clamp(1, POINTS_PER_NODE) as f32;
    let mut points = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let count = (per_node * weight(node) as f32 / mean).round().max(1.0) as u64;
        points.extend((0..count).map(|number| point(node.addr, number) | place as u64));
    }
    points.sort_unstable();
    points.truncate(POINTS_MAX);
    points
}

fn point(addr: NodeAddr, number: u64) -> u64 {
    let bits = u128::from_be_bytes(addr.octets());
    let node = mix(bits as u64 ^ mix((bits >> 64) as u64) ^ u64::from(addr.port()).rotate_left(48));
    mix(node.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> PLACE_BITS << PLACE_BITS
}

/// Where a key falls on the ring.
#[inline]
pub(crate) fn place_of_key(key: u64) -> u64 {
    mix(key)
}

/// The finalizer of SplitMix64: each bit of the input flips half of those of the output.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::caller::NodeView;

    fn nodes(weights: &[u16]) -> Vec<EntryNode> {
        let node = |(number, &weight)| {
            EntryNode::new(NodeAddr::from_ipv4_number(number, 80), weight, NodeView::Idle)
        };
        (1..).zip(weights).map(node).collect()
    }

    #[test]
    fn alias_table_gives_each_node_its_weight() {
        for weights in [
            &[1, 9][..],
            &[100, 100, 1],
            &[3, 5, 7, 11, 13],
            &[1, 16_000, 1, 1],
        ] {
            let nodes = nodes(weights);
            let words = aliases(&nodes);
            let mut share = vec![0.0; nodes.len()];
            for (place, word) in words.iter().enumerate() {
                let kept = (word >> 16) as f64 / f64::from(u32::MAX);
                share[place] += kept / nodes.len() as f64;
                share[(word & 0xffff) as usize] += (1.0 - kept) / nodes.len() as f64;
            }
            let sum: u64 = nodes.iter().map(weight).sum();
            for (share, node) in share.iter().zip(&nodes) {
                let wanted = weight(node) as f64 / sum as f64;
                assert!(
                    (share - wanted).abs() < 1e-6,
                    "{weights:?}: {share} is not {wanted}"
                );
            }
        }
    }

    fn places(words: &[u64]) -> Vec<u64> {
        (0..words[0])
            .map(|step| words[1 + step as usize / 4] >> (16 * (step % 4)) & 0xffff)
            .collect()
    }

    #[test]
    fn schedule_is_in_proportion_to_weight_and_evenly_spread() {
        assert_eq!(places(&schedule(&nodes(&[200, 100]))), [0, 1, 0]);
        assert_eq!(places(&schedule(&nodes(&[7, 7, 7]))), [0, 1, 2]);
        let steps = places(&schedule(&nodes(&[5, 1, 1])));
        assert_eq!(steps.len(), 7);
        assert_eq!(steps.iter().filter(|&&place| place == 0).count(), 5);
        let coarse = places(&schedule(&nodes(&[9_999, 1, 5_000])));
        assert!(coarse.len() <= STEPS_MAX && coarse.contains(&1));
    }

    #[test]
    fn ring_moves_no_key_but_those_of_the_node_that_left() {
        let all = nodes(&[100; 10]);
        let (before, after) = (ring(&all), ring(&all[1..]));
        assert!(before.is_sorted() && before.len() == 640);
        let owner = |ring: &[u64], key, first: u64| {
            let next = ring.partition_point(|&point| point < place_of_key(key)) % ring.len();
            (ring[next] & 0xffff) + first
        };
        let mut moved = 0;
        for key in 0..10_000 {
            let (old, new) = (owner(&before, key, 0), owner(&after, key, 1));
            moved += u32::from(old != new);
            assert!(old == new || old == 0, "key {key} moved from {old} to {new}");
        }
        assert!((500..2_000).contains(&moved), "{moved}");
    }
}
