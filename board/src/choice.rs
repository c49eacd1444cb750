//! What a reader makes of a list: the rules, a file each, and what comes of a pick. Pure but for the shared counts that
//! it looks at: a list and a reader's place in it go in, a node comes out.

mod adaptive;
mod classic;
mod credit;
mod keyed;
mod schedule;

use crate::calls::{Begun, Calls};
use crate::entry::{NodeSlot, Rule};
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
    /// For the report; see [`Token`]. Never 0.
    pub token: u64,
}

/// What a report gives back of the pick it belongs to. It comes from outside: a hint, to be checked.
///
/// Bits 0 to 23 are the node's slot, bits 24 to 39 the period in which the call began, bit 40 says that this was a probe,
/// bit 41 that the call counts as in flight. Bit 63 is always set, so that no token is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

impl Token {
    const BEGUN_SHIFT: u32 = NodeSlot::BITS;
    const PROBE: u64 = 1 << 40;
    const COUNTED: u64 = 1 << 41;
    const SET: u64 = 1 << 63;

    fn new(slot: NodeSlot, begun: Option<Begun>, probe: bool) -> Self {
        let mut bits = Self::SET | u64::from(slot.to_bits());
        if let Some(Begun(period)) = begun {
            bits |= Self::COUNTED | u64::from(period) << Self::BEGUN_SHIFT;
        }
        Self(if probe { bits | Self::PROBE } else { bits })
    }

    /// The slot of the node; [`NodeSlot::NONE`] for what is no token.
    pub fn slot(self) -> NodeSlot {
        if self.0 & Self::SET == 0 {
            NodeSlot::NONE
        } else {
            NodeSlot::new(self.0 as u32 & ((1 << NodeSlot::BITS) - 1))
        }
    }

    /// Whether the pick was a probe.
    pub fn is_probe(self) -> bool {
        self.0 & Self::SET != 0 && self.0 & Self::PROBE != 0
    }

    /// Whether the call counts as in flight in the process of whoever picked.
    pub fn is_counted(self) -> bool {
        self.begun().is_some()
    }

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
    pub(crate) list: &'a List<'a>,
    pub(crate) shard: u16,
    pub(crate) key: Option<u64>,
    pub(crate) avoid: &'a [NodeAddr],
    /// Whether a granted probe may be taken.
    pub(crate) may_probe: bool,
    pub(crate) calls: &'a Calls,
    pub(crate) rng: &'a mut Rng,
    /// What the reader kept of the module after its last pick; none where it is new.
    pub(crate) kept: Option<u64>,
}

/// The node that a rule took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    addr: NodeAddr,
    pub(crate) slot: NodeSlot,
    probe: bool,
    /// The grant to be claimed before this pick counts.
    pub(crate) grant: Option<(NodeSlot, u16)>,
    /// Whether the call is to count as in flight.
    pub(crate) counts: bool,
}

impl Taken {
    /// The node at `place` of a rule that does not look at calls in flight.
    #[inline(always)]
    fn at(list: &List<'_>, place: usize, addr: NodeAddr, probe: bool) -> Option<Self> {
        let (slot, _) = list.hot(place)?;
        Some(Self {
            addr,
            slot,
            probe,
            grant: None,
            counts: false,
        })
    }

    /// What the caller is told.
    #[inline(always)]
    pub(crate) fn choice(self, version: u64, begun: Option<Begun>) -> Choice {
        Choice {
            addr: self.addr,
            version,
            token: Token::new(self.slot, begun, self.probe).0,
        }
    }
}

/// Chooses by the list's rule; beside the node what the reader is to keep of the module. Always inlined, as are the rules
/// that most picks follow: an address that is returned through memory is written in halves and read as a whole, and the
/// processor waits for that longer than for all the rest of a pick.
#[inline(always)]
pub(crate) fn choose(pick: &mut Pick<'_>) -> (Option<Taken>, u64) {
    match pick.list.rule {
        Rule::Classic {
            probe_num,
            forget_probe_count,
        } => classic::choose(pick, probe_num, forget_probe_count),
        Rule::Adaptive(retries) => credit::choose(pick, retries, |pick, _| adaptive::choose(pick)),
        Rule::WeightedRoundRobin(retries) => credit::choose(pick, retries, schedule::choose),
        Rule::ConsistentHash {
            retries,
            load_max_percent,
        } => credit::choose(pick, retries, |pick, _| keyed::choose(pick, load_max_percent)),
    }
}
