//! What a reader makes of a list: the rules, a file each, and what comes of a pick. Pure but for the shared counts that
//! it looks at: a list and a reader's place in it go in, a node comes out.

mod adaptive;
mod classic;
mod credit;
mod keyed;
mod schedule;

use crate::calls::{Begun, ShardCalls};
use crate::entry::{NodeSlot, Rule};
use crate::list::List;
use credit::Admitted;
use fastrand::Rng;
use lars_wire::NodeAddr;

/// A node that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The node.
    pub addr: NodeAddr,
    /// Version of the route.
    pub version: u64,
    /// For the report; see [`Token`]. Never 0.
    pub token: u64,
}

/// What a report gives back of the pick it belongs to. It comes from outside: a hint, to be checked.
///
/// Bits 0 to 23 are the node's slot, bits 24 to 39 the period in which the call began, bit 40 says that this was a probe,
/// bit 41 that the call counts as in flight, bits 42 to 57 are the shard. Bit 63 is always set, so that no token is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

impl Token {
    const BEGUN_SHIFT: u32 = NodeSlot::BITS;
    const PROBE: u64 = 1 << 40;
    const COUNTED: u64 = 1 << 41;
    const SHARD_SHIFT: u32 = 42;
    const SET: u64 = 1 << 63;

    #[inline]
    pub(crate) fn new(shard: u16, slot: NodeSlot, begun: Option<Begun>, probe: bool) -> Self {
        let mut bits = Self::SET | u64::from(shard) << Self::SHARD_SHIFT | u64::from(slot.to_bits());
        if let Some(Begun(period)) = begun {
            bits |= Self::COUNTED | u64::from(period) << Self::BEGUN_SHIFT;
        }
        Self(if probe { bits | Self::PROBE } else { bits })
    }

    /// The slot of the node; [`NodeSlot::NONE`] for what is no token.
    #[inline]
    pub fn slot(self) -> NodeSlot {
        if self.0 & Self::SET == 0 {
            NodeSlot::NONE
        } else {
            NodeSlot::new(self.0 as u32 & ((1 << NodeSlot::BITS) - 1))
        }
    }

    /// Whether the pick was a probe.
    #[inline]
    pub fn is_probe(self) -> bool {
        self.0 & Self::SET != 0 && self.0 & Self::PROBE != 0
    }

    /// Whether the call counts as in flight in the process of whoever picked.
    pub fn is_counted(self) -> bool {
        self.begun().is_some()
    }

    #[inline]
    pub(crate) fn shard(self) -> u16 {
        (self.0 >> Self::SHARD_SHIFT) as u16
    }

    #[inline]
    pub(crate) fn begun(self) -> Option<Begun> {
        let counted = self.0 & Self::SET != 0 && self.0 & Self::COUNTED != 0;
        counted.then_some(Begun((self.0 >> Self::BEGUN_SHIFT) as u16))
    }
}

/// The outcome of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// A node.
    Node(Choice),
    /// Do not call now: no node is idle (all are overloaded, probing or draining), and it is not a probe's turn; or
    /// this was a retry, and the module has had as many as it may.
    Overloaded {
        /// Version of the route.
        version: u64,
    },
    /// The module is not on the board.
    Absent,
}

/// One pick from one list.
pub(crate) struct Pick<'a> {
    pub(crate) list: List<'a>,
    pub(crate) key: Option<u64>,
    pub(crate) avoid: &'a [NodeAddr],
    /// Whether a granted probe may be taken.
    pub(crate) may_probe: bool,
    pub(crate) calls: ShardCalls<'a>,
    pub(crate) rng: &'a mut Rng,
    /// What the reader kept of the module after its last pick; none where it is new.
    pub(crate) kept: Option<u64>,
}

/// The node that a rule took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Where it stands in the list.
    pub(crate) place: usize,
    pub(crate) slot: NodeSlot,
    pub(crate) probe: bool,
    /// The grant to be claimed before this pick counts.
    pub(crate) grant: Option<(NodeSlot, u16)>,
    /// Whether the call is to count as in flight.
    pub(crate) counts: bool,
}

impl Taken {
    /// The node at `place` of a rule that does not look at calls in flight.
    #[inline(always)]
    fn at(list: List<'_>, place: usize, probe: bool) -> Option<Self> {
        let (slot, _) = list.hot(place)?;
        Some(Self {
            place,
            slot,
            probe,
            grant: None,
            counts: false,
        })
    }
}

/// Chooses by the list's rule; beside the node what the reader is to keep of the module.
pub(crate) fn choose(pick: &mut Pick<'_>) -> (Option<Taken>, u64) {
    let rule = pick.list.rule();
    let retries = match rule {
        Rule::Classic {
            probe_num,
            forget_probe_count,
        } => return classic::choose(pick, probe_num, forget_probe_count),
        Rule::Adaptive(retries)
        | Rule::WeightedRoundRobin(retries)
        | Rule::ConsistentHash { retries, .. } => retries,
    };
    let (admitted, mut stand) = credit::admit(pick, retries);
    let taken = match (admitted, rule) {
        (Admitted::No, _) => None,
        (Admitted::Probe(taken), _) => Some(taken),
        (Admitted::Yes, Rule::WeightedRoundRobin(_)) => schedule::choose(pick, &mut stand),
        (Admitted::Yes, Rule::ConsistentHash { load_max_percent, .. }) => {
            keyed::choose(pick, load_max_percent)
        }
        (Admitted::Yes, _) => adaptive::choose(pick),
    };
    (taken, stand.to_bits())
}

/// A node that was chosen plainly.
pub(crate) struct Plain {
    /// Its word in the list.
    pub(crate) node: u64,
    pub(crate) slot: NodeSlot,
    /// Whether the call is to count as in flight.
    pub(crate) counts: bool,
}

/// What nearly all picks come to, in as few steps as can be: an IPv4 node by one of the rules that most modules have, with
/// nothing to avoid, and no probe due; what was `kept` is brought up to date. None where anything is otherwise: then nothing
/// has changed, and [`choose`] knows.
#[inline(always)]
pub(crate) fn choose_plainly(
    list: &List<'_>,
    calls: ShardCalls<'_>,
    kept: &mut u64,
    rng: &mut Rng,
) -> Option<Plain> {
    if !list.is_narrow() {
        return None;
    }
    let (place, slot, keep, counts) = match list.rule() {
        Rule::Adaptive(retries) => {
            let keep = credit::earn(*kept, retries, list, calls)?;
            let (place, slot) = adaptive::draw_better(list, calls, rng)?;
            (place, slot, keep, true)
        }
        Rule::Classic {
            forget_probe_count, ..
        } => {
            let (place, slot, keep) = classic::next_idle(list, *kept, forget_probe_count)?;
            (place, slot, keep, false)
        }
        Rule::WeightedRoundRobin(_) | Rule::ConsistentHash { .. } => return None,
    };
    let node = list.narrow(place)?;
    *kept = keep;
    Some(Plain { node, slot, counts })
}
