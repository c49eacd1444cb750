//! The rule by which a reader chooses from a list, with what comes of it. Pure: a list and a turn in, a node out.

use crate::entry::Rule;
use crate::list::List;
use fastrand::Rng;
use lars_wire::NodeAddr;

/// A node that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The node.
    pub addr: NodeAddr,
    /// Version of the route.
    pub version: u64,
    /// For the report: bits 0 to 15 are the node's place in the entry plus one, bits 16 to 39 the entry's generation,
    /// bit 40 says that this was a probe. Never 0.
    pub token: u64,
}

impl Choice {
    pub(crate) fn new(taken: Taken, version: u64, generation: u32) -> Self {
        let token = (taken.place as u64 + 1) | u64::from(generation) << 16 | u64::from(taken.probe) << 40;
        Self {
            addr: taken.addr,
            version,
            token,
        }
    }
}

/// The outcome of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// A node.
    Node(Choice),
    /// No node is idle (all are overloaded, probing or draining), and it is not a probe's turn.
    Overloaded {
        /// Version of the route.
        version: u64,
    },
    /// The module is not on the board.
    Absent,
}

/// Where one reader stands with one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
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
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.idle_next) | u64::from(self.overloaded_next) << 16 | u64::from(self.probe_count) << 32
    }

    /// The turn whose word is `bits`.
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self {
            idle_next: bits as u16,
            overloaded_next: (bits >> 16) as u16,
            probe_count: (bits >> 32) as u16,
        }
    }

    /// Somewhere in the rotation, so that many readers do not walk in step.
    pub(crate) fn random(rng: &mut Rng, rule: Rule) -> Self {
        let Rule::Classic { probe_num, .. } = rule;
        Self {
            idle_next: rng.u16(..),
            overloaded_next: rng.u16(..),
            probe_count: rng.u16(..=probe_num),
        }
    }
}

/// The node that a rule took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Its place in the list.
    place: usize,
    addr: NodeAddr,
    probe: bool,
}

/// The classic rule (`LoadBalance::choice_one_host` of the C++ system), and beside it what that one does not know:
/// nodes to avoid. A probe whose candidates are all to be avoided waits for the next pick while an idle node is left.
#[inline]
pub(crate) fn choose(list: &List<'_>, turn: &mut Turn, avoid: &[NodeAddr]) -> Option<Taken> {
    let Rule::Classic {
        probe_num,
        forget_probe_count,
    } = list.rule;
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
            return Some(Taken {
                place,
                addr,
                probe: false,
            });
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
    idle.map(|(place, addr)| Taken {
        place,
        addr,
        probe: false,
    })
}

fn take_overloaded(list: &List<'_>, turn: &mut Turn, avoid: &[NodeAddr]) -> Option<Taken> {
    let overloaded = in_turn(list, list.idle, list.overloaded, &mut turn.overloaded_next, avoid);
    overloaded.map(|(place, addr)| Taken {
        place,
        addr,
        probe: true,
    })
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
