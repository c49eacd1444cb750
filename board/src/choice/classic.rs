//! The rule of the C++ system, as one reader follows it: the queues are two ranges of the list, whose turn it is belongs
//! to the reader.

use super::{Pick, Taken};
use crate::entry::NodeSlot;
use crate::list::List;
use fastrand::Rng;
use lars_wire::NodeAddr;

/// Where one reader stands with one module: one word, changed by shifts. As a struct of three fields it went through
/// memory in pieces, and loading the whole behind them cost more than the rest of a pick.
///
/// Bits 0 to 15 are the place among the idle nodes whose turn is next, modulo their number; bits 16 to 31 the same among
/// the overloaded and probing ones; bits 32 to 47 the picks since the last probe while some node was overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn(u64);

const IDLE_SHIFT: u32 = 0;
const OVERLOADED_SHIFT: u32 = 16;
const PROBES_SHIFT: u32 = 32;

impl Turn {
    /// Somewhere in the rotation, so that many readers do not walk in step.
    #[cold]
    fn random(rng: &mut Rng, probe_num: u16) -> Self {
        let bits = rng.u64(..);
        Self(bits).with(PROBES_SHIFT, rng.u16(..=probe_num))
    }

    #[inline]
    fn part(self, shift: u32) -> u16 {
        (self.0 >> shift) as u16
    }

    #[inline]
    fn with(self, shift: u32, part: u16) -> Self {
        Self(self.0 & !(0xffff << shift) | u64::from(part) << shift)
    }
}

/// The classic rule (`LoadBalance::choice_one_host` of the C++ system), and beside it what that one does not know:
/// nodes to avoid. A probe whose candidates are all to be avoided waits for the next pick while an idle node is left.
#[inline]
pub(super) fn choose(pick: &mut Pick<'_>, probe_num: u16, forget_probe_count: bool) -> (Option<Taken>, u64) {
    let turn = match pick.kept {
        Some(bits) => Turn(bits),
        None => Turn::random(pick.rng, probe_num),
    };
    let (taken, turn) = choose_in_turn(pick.list, turn, pick.avoid, probe_num, forget_probe_count);
    (taken, turn.0)
}

/// The idle node whose turn it is while none is overloaded, its slot, and what is to be kept; none where one is.
#[inline(always)]
pub(super) fn next_idle(
    list: &List<'_>,
    kept: u64,
    forget_probe_count: bool,
) -> Option<(usize, NodeSlot, u64)> {
    if list.overloaded != 0 {
        return None;
    }
    let turn = forgotten(Turn(kept), forget_probe_count);
    let (place, next) = in_turn(*list, 0, list.idle, turn.part(IDLE_SHIFT), &[])?;
    let (slot, _) = list.hot(place)?;
    Some((place, slot, turn.with(IDLE_SHIFT, next).0))
}

/// Where nothing is overloaded, ELB's preset counts no picks.
#[inline(always)]
fn forgotten(turn: Turn, forget_probe_count: bool) -> Turn {
    if forget_probe_count {
        turn.with(PROBES_SHIFT, 0)
    } else {
        turn
    }
}

#[inline]
fn choose_in_turn(
    list: List<'_>,
    turn: Turn,
    avoid: &[NodeAddr],
    probe_num: u16,
    forget_probe_count: bool,
) -> (Option<Taken>, Turn) {
    if list.overloaded == 0 {
        return take_idle(list, forgotten(turn, forget_probe_count), avoid);
    }
    let probe_count = turn.part(PROBES_SHIFT);
    if probe_count < probe_num {
        return take_idle(list, turn.with(PROBES_SHIFT, probe_count + 1), avoid);
    }
    probe(list, turn, avoid)
}

fn probe(list: List<'_>, turn: Turn, avoid: &[NodeAddr]) -> (Option<Taken>, Turn) {
    let (mut probed, mut turn) = take_overloaded(list, turn, avoid);
    if probed.is_none() {
        let idle = in_turn(list, 0, list.idle, turn.part(IDLE_SHIFT), avoid);
        if let Some((place, next)) = idle {
            return (Taken::at(list, place, false), turn.with(IDLE_SHIFT, next));
        }
        (probed, turn) = take_overloaded(list, turn, &[]);
    }
    (probed, turn.with(PROBES_SHIFT, 0))
}

#[inline]
fn take_idle(list: List<'_>, turn: Turn, avoid: &[NodeAddr]) -> (Option<Taken>, Turn) {
    let next = turn.part(IDLE_SHIFT);
    let mut idle = in_turn(list, 0, list.idle, next, avoid);
    if idle.is_none() && !avoid.is_empty() {
        idle = in_turn(list, 0, list.idle, next, &[]);
    }
    match idle {
        Some((place, next)) => (Taken::at(list, place, false), turn.with(IDLE_SHIFT, next)),
        None => (None, turn),
    }
}

fn take_overloaded(list: List<'_>, turn: Turn, avoid: &[NodeAddr]) -> (Option<Taken>, Turn) {
    let next = turn.part(OVERLOADED_SHIFT);
    match in_turn(list, list.idle, list.overloaded, next, avoid) {
        Some((place, next)) => (Taken::at(list, place, true), turn.with(OVERLOADED_SHIFT, next)),
        None => (None, turn),
    }
}

/// The node whose turn it is among the `count` nodes from `first` on, passing over those in `avoid`, and whose turn is
/// next: it goes to the queue's tail, and those passed over with it. None where all are in `avoid`.
#[inline(always)]
fn in_turn(list: List<'_>, first: u16, count: u16, next: u16, avoid: &[NodeAddr]) -> Option<(usize, u16)> {
    // Each address stands once in a list: whoever passes over as many as there are to avoid has found one.
    let tries = usize::from(count).min(avoid.len() + 1);
    let mut turn = next;
    for _ in 0..tries {
        if turn >= count {
            turn %= count;
        }
        let place = usize::from(first) + usize::from(turn);
        turn += 1;
        if avoid.is_empty() || !avoid.contains(&list.addr(place)?) {
            return Some((place, turn));
        }
    }
    None
}
