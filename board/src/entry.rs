//! What a shard says of a module: the rule by which readers pick, and the nodes in the order that the rule needs.

use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};

/// One node as readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryNode {
    /// Where it is.
    pub addr: NodeAddr,
    /// Its weight, 1 to [`lars_wire::bounds::WEIGHT_MAX`]. The classic rule does not look at it.
    pub weight: u16,
    /// Idle nodes take picks, overloaded and probing ones probes, draining ones nothing.
    pub view: NodeView,
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
}

/// A module as it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The module.
    pub module: ModuleId,
    /// Version of its route.
    pub version: u64,
    /// The rule.
    pub rule: Rule,
    /// Idle nodes first, then overloaded and probing ones, then draining ones; at least one.
    pub nodes: &'a [EntryNode],
}
