//! What a shard says of a module: the rule by which readers pick, and the nodes in the order that the rule needs.

use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};

/// The number under which the readers of one process count a node's calls in flight. The owner gives it: dense in its
/// shard, the same for as long as the node is in the route, and handed on only after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeSlot(u32);

impl NodeSlot {
    /// Bits of a slot, in a token and in a hot word.
    pub const BITS: u32 = 24;
    /// A node whose calls are not counted: one too many.
    pub const NONE: Self = Self((1 << Self::BITS) - 1);

    /// Slot `number`; [`Self::NONE`] where that is too large.
    #[inline]
    pub const fn new(number: u32) -> Self {
        if number < Self::NONE.0 {
            Self(number)
        } else {
            Self::NONE
        }
    }

    /// Its number; none for [`Self::NONE`].
    pub const fn number(self) -> Option<u32> {
        if self.0 == Self::NONE.0 {
            None
        } else {
            Some(self.0)
        }
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }
}

/// What changes often about a node, and is refreshed in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hot {
    /// What a call to the node is expected to cost, as a latency in microseconds; above 0. Only ratios count.
    pub cost_us: f32,
    /// Its share of the picks that it would get otherwise, in 255ths: less than 255 while it starts slowly.
    pub warmth: u8,
}

impl Hot {
    /// [`Hot::warmth`] of a node that takes its full share.
    pub const WARM: u8 = 255;
    /// A node that nothing is known of.
    pub const UNKNOWN: Self = Self {
        cost_us: 1.0,
        warmth: Self::WARM,
    };
}

/// One node as readers see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryNode {
    /// Where it is.
    pub addr: NodeAddr,
    /// Its weight, 1 to [`lars_wire::bounds::WEIGHT_MAX`]. The classic rule does not look at it.
    pub weight: u16,
    /// Idle nodes take picks, overloaded and probing ones probes, draining ones nothing.
    pub view: NodeView,
    /// Whether it is idle and yet takes no picks, but for retries that find no other: those of the zone suffice.
    pub in_reserve: bool,
    /// The number under which its calls are counted.
    pub slot: NodeSlot,
    /// What it costs, to begin with.
    pub hot: Hot,
}

impl EntryNode {
    /// A node that nothing is known of, and whose calls are not counted.
    pub const fn new(addr: NodeAddr, weight: u16, view: NodeView) -> Self {
        Self {
            addr,
            weight,
            view,
            in_reserve: false,
            slot: NodeSlot::NONE,
            hot: Hot::UNKNOWN,
        }
    }
}

/// How many picks may be retries: picks with nodes to avoid. What is beyond is refused as overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Retries for each hundred picks that are none; 0 to 100.
    pub percent: u8,
    /// Retries in each period of [`crate::Board::bound_calls`] whatever the picks were; for each reader.
    pub floor: u8,
}

/// The rule by which readers choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The C++ rule. Idle nodes in turn; while some node is overloaded, every `probe_num` picks are followed by one
    /// that goes to an overloaded node (also in turn). When no node is idle, those `probe_num` picks are refused and
    /// the probe alone is let through. The count goes on where it stood when nodes change their state.
    Classic {
        /// Picks between two probes.
        probe_num: u16,
        /// ELB's preset forgets the count of picks whenever nothing is overloaded; that of Lars keeps it.
        forget_probe_count: bool,
    },
    /// Of two idle nodes, drawn in proportion to their weights, the one that promises to answer sooner: by its cost
    /// and the calls that it has in flight.
    Adaptive(Retries),
    /// The idle nodes by a schedule in which each stands as often as its weight says; each reader starts somewhere in
    /// it. Modules of more than 1,024 nodes are drawn at random in proportion to weight instead.
    WeightedRoundRobin(Retries),
    /// The idle node that a pick's key falls to on a ring of hashes, or the next with room; as [`Self::Adaptive`] for
    /// a pick without a key.
    ConsistentHash {
        /// As with the other rules.
        retries: Retries,
        /// Calls in flight that a node may have, in percent of the mean: 100 to 355.
        load_max_percent: u16,
    },
}

/// A module as it is published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The module.
    pub module: ModuleId,
    /// Version of its route.
    pub version: u64,
    /// The rule.
    pub rule: Rule,
    /// Idle nodes first, then overloaded and probing ones, then idle ones that are kept in reserve (none where the
    /// rule is classic), then draining ones; at least one.
    pub nodes: &'a [EntryNode],
}
