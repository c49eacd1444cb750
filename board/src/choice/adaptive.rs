//! The adaptive rule as readers follow it: two idle nodes are drawn in proportion to weight, and the better is taken,
//! softly. What each costs is the owner's estimate; how much each has to do now is counted in this process.
//!
//! The first drawn is kept unless the second promises less, and then still with the eighth power of the ratio of
//! their scores. With equal scores the first is always kept, so that shares are those of the weights exactly; with
//! nearly equal ones many readers that know the same do not all run to the same node.

use super::{Pick, Taken};
use crate::calls::ShardCalls;
use crate::entry::{Hot, NodeSlot};
use crate::list::List;
use crate::words::Ordering;
use fastrand::Rng;
use lars_wire::NodeAddr;
use std::hint::select_unpredictable;

/// Draws of a node that is to be another than one: after these the next one in the list is taken.
const DRAWS_MAX: usize = 3;

/// A node that may be taken.
#[derive(Clone, Copy)]
struct Candidate {
    place: usize,
    slot: NodeSlot,
    hot: Hot,
}

/// The better of two idle nodes that are not to be avoided; one to be avoided where there is no other.
pub(super) fn choose(pick: &mut Pick<'_>) -> Option<Taken> {
    let (place, slot) = if pick.avoid.is_empty() {
        draw_better(&pick.list, pick.calls, pick.rng)?
    } else {
        let other = choose_other(pick)?;
        (other.place, other.slot)
    };
    Some(Taken {
        place,
        slot,
        probe: false,
        grant: None,
        counts: true,
    })
}

/// The better of two idle nodes.
#[inline(always)]
pub(super) fn draw_better(
    list: &List<'_>,
    calls: ShardCalls<'_>,
    rng: &mut Rng,
) -> Option<(usize, NodeSlot)> {
    let idle = usize::from(list.idle);
    if idle == 0 {
        return None;
    }
    let (first, second) = if list.weighs_alike() {
        // Nearly always: half of one number for each.
        let bits = rng.u64(..);
        let first = below(bits as u32, idle);
        (first, another(first, (bits >> 32) as u32, idle))
    } else {
        let first = draw(list, idle, rng)?;
        (first, draw_another(list, idle, first, rng))
    };
    // Slots lie one behind the other where a route came whole: so what the counts cost to read is paid beside what the
    // nodes do, and not behind it. A wrong guess costs nothing but itself.
    let (slot, _) = list.hot(0)?;
    calls.prefetch(slot.to_bits() as usize + first);
    calls.prefetch(slot.to_bits() as usize + second);
    let mut taken = candidate(list, first)?;
    if idle > 1 {
        taken = better(list, calls, rng, taken, candidate(list, second)?);
    }
    Some((taken.place, taken.slot))
}

#[inline(always)]
fn candidate(list: &List<'_>, place: usize) -> Option<Candidate> {
    let (slot, hot) = list.hot(place)?;
    Some(Candidate { place, slot, hot })
}

/// A place among the first `idle`, in proportion to weight.
#[inline(always)]
fn draw(list: &List<'_>, idle: usize, rng: &mut Rng) -> Option<usize> {
    if idle == 0 {
        return None;
    }
    let bits = rng.u64(..);
    let place = below(bits as u32, idle);
    // The writer adds an alias table where weights differ.
    let Some(alias) = list.aliases().get(place) else {
        return Some(place);
    };
    let word = alias.load(Ordering::Relaxed);
    let kept = bits >> 32 < word >> 16;
    Some(if kept {
        place
    } else {
        (word & 0xffff) as usize % idle
    })
}

/// Another place than `first`, where there are two: in proportion to weight as far as a few draws get.
#[inline(always)]
fn draw_another(list: &List<'_>, idle: usize, first: usize, rng: &mut Rng) -> usize {
    if idle > 1 && !list.aliases().is_empty() {
        for _ in 0..DRAWS_MAX {
            if let Some(place) = draw(list, idle, rng).filter(|&place| place != first) {
                return place;
            }
        }
    }
    another(first, rng.u32(..), idle)
}

/// Another place than `first`, of at least two.
#[inline(always)]
fn another(first: usize, bits: u32, idle: usize) -> usize {
    let other = below(bits, idle.saturating_sub(1));
    other + usize::from(other >= first)
}

/// A number below `bound` from 32 random bits.
#[inline]
fn below(bits: u32, bound: usize) -> usize {
    ((u64::from(bits) * bound as u64) >> 32) as usize
}

/// One of the two. A node that starts slowly stands back as often as its warmth says.
#[inline(always)]
fn better(
    list: &List<'_>,
    calls: ShardCalls<'_>,
    rng: &mut Rng,
    first: Candidate,
    second: Candidate,
) -> Candidate {
    let bits = rng.u64(..);
    let is_cold =
        |candidate: Candidate, lot: u8| candidate.hot.warmth != Hot::WARM && candidate.hot.warmth <= lot;
    match (is_cold(first, bits as u8), is_cold(second, (bits >> 8) as u8)) {
        (true, false) => return second,
        (false, true) => return first,
        (true, true) | (false, false) => {}
    }
    let (one, other) = scores(list, calls, first, second);
    let lot = (bits >> 32) as f64 * (1.0 / 4_294_967_296.0);
    // What is no number keeps the first. Both are asked: which of two nodes is better is nothing that a processor guesses.
    let takes_second = (other < one) & (lot * eighth_power(one) >= eighth_power(other));
    select_unpredictable(takes_second, second, first)
}

#[inline(always)]
fn eighth_power(of: f64) -> f64 {
    let squared = of * of;
    let fourth = squared * squared;
    fourth * fourth
}

/// What speaks against each, up to a factor: the square of its cost for each call that it has to do, this one included,
/// measured against its weight. The square, because the slowest calls are those of slow nodes: when their queues are as
/// short as calls in flight alone would make them, a call more is worse off there than in a longer queue of a fast one.
#[inline(always)]
fn scores(list: &List<'_>, calls: ShardCalls<'_>, first: Candidate, second: Candidate) -> (f64, f64) {
    let cost = |of: Candidate| f64::from(of.hot.cost_us) * f64::from(of.hot.cost_us);
    let (one, other) = (cost(first), cost(second));
    let (its_calls, other_calls) = (calls.in_flight(first.slot), calls.in_flight(second.slot));
    let (its_calls, other_calls) = (f64::from(its_calls), f64::from(other_calls));
    if list.weighs_alike() {
        return (one * (1.0 + its_calls), other * (1.0 + other_calls));
    }
    let weight = |of: Candidate| f64::from(list.weight(of.place).unwrap_or(1));
    let (its_weight, other_weight) = (weight(first), weight(second));
    let mean = f64::from(list.mean_weight);
    // Each multiplied by the other's weight instead of divided by its own, which takes longer than all of this.
    (
        one * (its_weight + its_calls * mean) * other_weight,
        other * (other_weight + other_calls * mean) * its_weight,
    )
}

/// For a retry: the better of two nodes that were not tried, then one kept in reserve, then any.
fn choose_other(pick: &mut Pick<'_>) -> Option<Candidate> {
    let (list, idle) = (&pick.list, usize::from(pick.list.idle));
    let first = untried(list, 0..idle, pick.avoid, None, pick.rng);
    let Some(first) = first else {
        let reserve = idle + usize::from(list.overloaded)..list.serving();
        let other = untried(list, reserve, pick.avoid, None, pick.rng);
        return candidate(list, other.or_else(|| draw(list, idle, pick.rng))?);
    };
    let first = candidate(list, first)?;
    let second = untried(list, 0..idle, pick.avoid, Some(first.place), pick.rng);
    match second.and_then(|place| candidate(list, place)) {
        Some(second) => Some(better(list, pick.calls, pick.rng, first, second)),
        None => Some(first),
    }
}

/// A place of the range whose node is not to be avoided, and that is not `except`. Each address stands once in a list,
/// so whoever passes over as many as there are to avoid, and one more, has found one.
fn untried(
    list: &List<'_>,
    range: std::ops::Range<usize>,
    avoid: &[NodeAddr],
    except: Option<usize>,
    rng: &mut Rng,
) -> Option<usize> {
    if range.is_empty() {
        return None;
    }
    let is_free =
        |place: usize| except != Some(place) && list.addr(place).is_some_and(|addr| !avoid.contains(&addr));
    for _ in 0..DRAWS_MAX {
        if range.start == 0 {
            let drawn = draw(list, range.len(), rng).filter(|&place| is_free(place));
            if drawn.is_some() {
                return drawn;
            }
        }
    }
    let start = below(rng.u32(..), range.len());
    (0..range.len().min(avoid.len() + 2))
        .map(|step| range.start + (start + step) % range.len())
        .find(|&place| is_free(place))
}
