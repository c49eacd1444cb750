//! The rule of the C++ system, as one reader follows it: the queues are two ranges of the list, whose turn it is belongs
//! to the reader.

use super::{Pick, Taken};
use crate::list::List;
use fastrand::Rng;
use lars_wire::NodeAddr;

/// Where one reader stands with one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// The place among the idle nodes whose turn is next, modulo their number.
    idle_next: u16,
    /// The same among the overloaded and probing ones.
    overloaded_next: u16,
    /// Picks since the last probe while some node was overloaded.
    probe_count: u16,
}

impl Turn {
    /// As one word.
    #[inline]
    fn to_bits(self) -> u64 {
        u64::from(self.idle_next) | u64::from(self.overloaded_next) << 16 | u64::from(self.probe_count) << 32
    }

    /// The turn whose word is `bits`.
    #[inline]
    fn from_bits(bits: u64) -> Self {
        Self {
            idle_next: bits as u16,
            overloaded_next: (bits >> 16) as u16,
            probe_count: (bits >> 32) as u16,
        }
    }

    /// Somewhere in the rotation, so that many readers do not walk in step.
    fn random(rng: &mut Rng, probe_num: u16) -> Self {
        Self {
            idle_next: rng.u16(..),
            overloaded_next: rng.u16(..),
            probe_count: rng.u16(..=probe_num),
        }
    }
}

/// The classic rule (`LoadBalance::choice_one_host` of the C++ system), and beside it what that one does not know:
/// nodes to avoid. A probe whose candidates are all to be avoided waits for the next pick while an idle node is left.
#[inline]
pub(super) fn choose(pick: &mut Pick<'_>, probe_num: u16, forget_probe_count: bool) -> (Option<Taken>, u64) {
    let known = pick.kept.map(Turn::from_bits);
    let mut turn = known.unwrap_or_else(|| Turn::random(pick.rng, probe_num));
    let taken = choose_in_turn(pick.list, &mut turn, pick.avoid, probe_num, forget_probe_count);
    (taken, turn.to_bits())
}

#[inline]
fn choose_in_turn(
    list: &List<'_>,
    turn: &mut Turn,
    avoid: &[NodeAddr],
    probe_num: u16,
    forget_probe_count: bool,
) -> Option<Taken> {
    if list.overloaded == 0 {
        if forget_probe_count {
            turn.probe_count = 0;
        }
        return take_idle(list, turn, avoid);
    }
    if turn.probe_count < probe_num {
        turn.probe_count += 1;
        return take_idle(list, turn, avoid);
    }
    // A copy: so the turn of most picks, which are no probes, stays in registers.
    let mut probing = *turn;
    let taken = probe(list, &mut probing, avoid);
    *turn = probing;
    taken
}

#[inline(never)]
fn probe(list: &List<'_>, turn: &mut Turn, avoid: &[NodeAddr]) -> Option<Taken> {
    let mut probed = take_overloaded(list, turn, avoid);
    if probed.is_none() {
        let idle = in_turn(list, 0, list.idle, &mut turn.idle_next, avoid);
        if let Some((place, addr)) = idle {
            return Taken::at(list, place, addr, false);
        }
        probed = take_overloaded(list, turn, &[]);
    }
    turn.probe_count = 0;
    probed
}

#[inline]
fn take_idle(list: &List<'_>, turn: &mut Turn, avoid: &[NodeAddr]) -> Option<Taken> {
    let idle = in_turn(list, 0, list.idle, &mut turn.idle_next, avoid)
        .or_else(|| in_turn(list, 0, list.idle, &mut turn.idle_next, &[]));
    let (place, addr) = idle?;
    Taken::at(list, place, addr, false)
}

fn take_overloaded(list: &List<'_>, turn: &mut Turn, avoid: &[NodeAddr]) -> Option<Taken> {
    let (place, addr) = in_turn(list, list.idle, list.overloaded, &mut turn.overloaded_next, avoid)?;
    Taken::at(list, place, addr, true)
}

/// The node whose turn it is among the `count` nodes from `first` on, passing over those in `avoid`. It goes to the
/// queue's tail, and those passed over with it. None where all are in `avoid`.
#[inline]
fn in_turn(
    list: &List<'_>,
    first: u16,
    count: u16,
    next: &mut u16,
    avoid: &[NodeAddr],
) -> Option<(usize, NodeAddr)> {
    // Each address stands once in a list: whoever passes over as many as there are to avoid has found one.
    let tries = usize::from(count).min(avoid.len() + 1);
    let mut turn = *next;
    for _ in 0..tries {
        if turn >= count {
            turn %= count;
        }
        let place = usize::from(first) + usize::from(turn);
        turn += 1;
        let addr = list.addr(place)?;
        if !avoid.contains(&addr) {
            *next = turn;
            return Some((place, addr));
        }
    }
    None
}
