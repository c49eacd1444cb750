//! The adaptive rule as readers follow it: two idle nodes are drawn in proportion to weight, and the better is taken,
//! softly. What each costs is the owner's estimate; how much each has to do now is counted in this process.
//!
//! The first drawn is kept unless the second promises less, and then still with the eighth power of the ratio of
//! their scores. With equal scores the first is always kept, so that shares are those of the weights exactly; with
//! nearly equal ones many readers that know the same do not all run to the same node.

use super::{Pick, Taken};
use crate::entry::{Hot, NodeSlot};
use crate::list::List;
use fastrand::Rng;
use lars_wire::NodeAddr;

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
#[inline]
pub(super) fn choose(pick: &mut Pick<'_>) -> Option<Taken> {
    let list = pick.list;
    let idle = usize::from(list.idle);
    let candidate = if pick.avoid.is_empty() {
        let first = draw(list, idle, pick.rng)?;
        if idle == 1 {
            candidate(list, first)?
        } else {
            let second = draw_another(list, idle, first, pick.rng);
            better(pick, candidate(list, first)?, candidate(list, second)?)
        }
    } else {
        choose_other(pick, idle)?
    };
    Some(Taken {
        addr: list.addr(candidate.place)?,
        slot: candidate.slot,
        probe: false,
        grant: None,
        counts: true,
    })
}

#[inline]
fn candidate(list: &List<'_>, place: usize) -> Option<Candidate> {
    let (slot, hot) = list.hot(place)?;
    Some(Candidate { place, slot, hot })
}

/// A place among the first `idle`, in proportion to weight.
#[inline]
fn draw(list: &List<'_>, idle: usize, rng: &mut Rng) -> Option<usize> {
    if idle == 0 {
        return None;
    }
    let bits = rng.u64(..);
    let place = below(bits as u32, idle);
    // The writer adds an alias table where weights differ.
    if !list.has_aliases() {
        return Some(place);
    }
    let word = list.table(place)?;
    let kept = bits >> 32 < word >> 16;
    Some(if kept {
        place
    } else {
        (word & 0xffff) as usize % idle
    })
}

/// Another place than `first`, of at least two: in proportion to weight as far as a few draws get.
#[inline]
fn draw_another(list: &List<'_>, idle: usize, first: usize, rng: &mut Rng) -> usize {
    if list.has_aliases() {
        for _ in 0..DRAWS_MAX {
            if let Some(place) = draw(list, idle, rng).filter(|&place| place != first) {
                return place;
            }
        }
    }
    let other = below(rng.u32(..), idle - 1);
    other + usize::from(other >= first)
}

/// A number below `bound` from 32 random bits.
#[inline]
fn below(bits: u32, bound: usize) -> usize {
    ((u64::from(bits) * bound as u64) >> 32) as usize
}

/// One of the two. A node that starts slowly stands back as often as its warmth says.
#[inline]
fn better(pick: &mut Pick<'_>, first: Candidate, second: Candidate) -> Candidate {
    let bits = pick.rng.u64(..);
    let is_cold =
        |candidate: Candidate, lot: u8| candidate.hot.warmth != Hot::WARM && candidate.hot.warmth <= lot;
    match (is_cold(first, bits as u8), is_cold(second, (bits >> 8) as u8)) {
        (true, false) => return second,
        (false, true) => return first,
        (true, true) | (false, false) => {}
    }
    let ratio = score(pick, second) / score(pick, first);
    let squared = ratio * ratio;
    let fourth = squared * squared;
    // What is no number keeps the first.
    let takes_second = ((bits >> 32) as f32) * (1.0 / 4_294_967_296.0) >= fourth * fourth;
    if ratio < 1.0 && takes_second {
        second
    } else {
        first
    }
}

/// What speaks against it, up to a factor: the square of its cost for each call that it has to do, this one included, measured
/// against its weight. The square, because the slowest calls are those of slow nodes: when their queues are as short
/// as calls in flight alone would make them, a call more is worse off there than in a longer queue of a fast one.
#[inline]
fn score(pick: &Pick<'_>, of: Candidate) -> f32 {
    let in_flight = pick.calls.in_flight(pick.shard, of.slot) as f32;
    let weight = f32::from(pick.list.weight(of.place).unwrap_or(1));
    of.hot.cost_us * of.hot.cost_us * (1.0 + in_flight * pick.list.mean_weight / weight)
}

/// For a retry: the better of two nodes that were not tried, then one kept in reserve, then any.
#[inline(never)]
fn choose_other(pick: &mut Pick<'_>, idle: usize) -> Option<Candidate> {
    let list = pick.list;
    let first = untried(list, 0..idle, pick.avoid, None, pick.rng);
    let Some(first) = first else {
        let reserve = idle + usize::from(list.overloaded)..list.serving();
        let other = untried(list, reserve, pick.avoid, None, pick.rng);
        return candidate(list, other.or_else(|| draw(list, idle, pick.rng))?);
    };
    let first = candidate(list, first)?;
    let second = untried(list, 0..idle, pick.avoid, Some(first.place), pick.rng);
    match second.and_then(|place| candidate(list, place)) {
        Some(second) => Some(better(pick, first, second)),
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
