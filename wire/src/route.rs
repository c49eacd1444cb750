//! A module's nodes as every service holds them, and the hash by which two services compare what they hold.

use crate::bounds::{WEIGHT_DEFAULT, ZONE_BYTES_MAX};
use crate::byte_enum::byte_enum;
use crate::node::NodeAddr;
use std::sync::Arc;

byte_enum! {
    /// What the operator wants of a node, as it stands in the store; how the agent sees it is another matter.
    pub enum NodeState {
        /// Takes calls.
        Serving = 0,
        /// Gets no new picks; calls under way may end.
        Draining = 1,
    }
}

/// One node of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteNode {
    /// Where it is.
    pub addr: NodeAddr,
    /// Its share of calls relative to the module's other nodes, 1 to [`crate::bounds::WEIGHT_MAX`].
    pub weight: u16,
    /// What the operator wants of it.
    pub state: NodeState,
    /// The zone it stands in; empty means none. At most [`ZONE_BYTES_MAX`] bytes.
    pub zone: Arc<str>,
}

impl RouteNode {
    /// A serving node of default weight in no zone.
    pub fn new(addr: NodeAddr) -> Self {
        Self {
            addr,
            weight: WEIGHT_DEFAULT,
            state: NodeState::Serving,
            zone: Arc::from(""),
        }
    }
}

/// A module's nodes, sorted by address, each address once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    nodes: Vec<RouteNode>,
}

impl Route {
    /// Sorts `nodes` and drops the later of two with one address.
    pub fn new(mut nodes: Vec<RouteNode>) -> Self {
        nodes.sort_by_key(|node| node.addr);
        nodes.dedup_by_key(|node| node.addr);
        Self { nodes }
    }

    /// The nodes, sorted by address.
    pub fn nodes(&self) -> &[RouteNode] {
        &self.nodes
    }

    /// Whether there is no node: for a route from the store that means that the module does not exist.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node at `addr`.
    pub fn node(&self, addr: NodeAddr) -> Option<&RouteNode> {
        let place = self.nodes.binary_search_by_key(&addr, |node| node.addr).ok()?;
        Some(&self.nodes[place])
    }

    /// The [`ContentHash`] of the nodes.
    pub fn content_hash(&self) -> u64 {
        let mut hash = ContentHash::default();
        for node in &self.nodes {
            hash.add(node.addr, node.weight, node.state, &node.zone);
        }
        hash.value()
    }

    /// What turns `self` into `newer`: nodes new or changed, and addresses gone. Both in order of address.
    pub fn delta_to(&self, newer: &Self) -> (Vec<RouteNode>, Vec<NodeAddr>) {
        let put = newer
            .nodes
            .iter()
            .filter(|node| self.node(node.addr) != Some(node))
            .cloned()
            .collect();
        let removed = self
            .nodes
            .iter()
            .map(|node| node.addr)
            .filter(|&addr| newer.node(addr).is_none())
            .collect();
        (put, removed)
    }

    /// `self` with `put` added or replaced and `removed` gone: the inverse of [`Self::delta_to`].
    #[must_use]
    pub fn with_delta(&self, put: Vec<RouteNode>, removed: &[NodeAddr]) -> Self {
        let mut removed = removed.to_vec();
        removed.sort_unstable();
        let kept = self
            .nodes
            .iter()
            .filter(|node| removed.binary_search(&node.addr).is_err())
            .cloned();
        // The changed ones come first: `new` keeps the earlier of two with one address (the sort is stable).
        Self::new(put.into_iter().chain(kept).collect())
    }
}

/// A 64-bit hash of a route's content, the same for the same nodes in every process and version of Lars: FNV-1a
/// (Fowler, Noll, Vo) over each node's 16 address bytes, port, weight (both little-endian), state, zone length and zone
/// bytes, in order of address.
#[derive(Clone, Copy, Debug)]
pub struct ContentHash(u64);

impl Default for ContentHash {
    /// Of no nodes.
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl ContentHash {
    /// Adds the node that is next by address.
    pub fn add(&mut self, addr: NodeAddr, weight: u16, state: NodeState, zone: &str) {
        self.write(&addr.octets());
        self.write(&addr.port().to_le_bytes());
        self.write(&weight.to_le_bytes());
        self.write(&[state.into(), zone.len().min(ZONE_BYTES_MAX) as u8]);
        self.write(zone.as_bytes());
    }

    /// The hash of the nodes so far.
    pub const fn value(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(last: u8, weight: u16) -> RouteNode {
        RouteNode {
            weight,
            ..RouteNode::new(NodeAddr::from_ipv4_number(0x0a00_0000 + u32::from(last), 80))
        }
    }

    #[test]
    fn delta_turns_the_older_route_into_the_newer() {
        let older = Route::new(vec![node(1, 100), node(2, 100), node(3, 100)]);
        let newer = Route::new(vec![node(2, 50), node(3, 100), node(4, 100)]);
        let (put, removed) = older.delta_to(&newer);
        assert_eq!((put.len(), removed.len()), (2, 1));
        assert_eq!(older.with_delta(put, &removed), newer);
    }

    #[test]
    fn nodes_are_removed_in_whatever_order_they_are_named() {
        let older = Route::new((1..=9).map(|last| node(last, 100)).collect());
        let removed: Vec<NodeAddr> = [7, 2, 9, 1, 4].map(|last| node(last, 1).addr).to_vec();
        let left = Route::new([3, 5, 6, 8].map(|last| node(last, 100)).to_vec());
        assert_eq!(older.with_delta(Vec::new(), &removed), left);
    }

    #[test]
    fn hash_sees_order_of_nodes_never_but_every_field() {
        let one = Route::new(vec![node(1, 100), node(2, 100)]);
        let same = Route::new(vec![node(2, 100), node(1, 100)]);
        assert_eq!(one.content_hash(), same.content_hash());
        let mut zoned = node(2, 100);
        zoned.zone = Arc::from("a");
        let draining = RouteNode {
            state: NodeState::Draining,
            ..node(2, 100)
        };
        for other in [node(2, 99), node(3, 100), zoned, draining] {
            assert_ne!(
                one.content_hash(),
                Route::new(vec![node(1, 100), other]).content_hash()
            );
        }
    }
}
