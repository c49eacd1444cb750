//! A module whose route is here: its nodes, the order in which they stand on the board, and what is held back.

use super::node::Node;
use super::policies::{Policies, PolicyPlace};
use crate::guard::Guard;
use crate::policy::Policy;
use lars_board::EntryNode;
use lars_wire::bounds::BODY_BYTES_MAX;
use lars_wire::caller::{NodeExplained, NodeView};
use lars_wire::{NodeAddr, Route};
use std::sync::Arc;
use std::time::Instant;

/// Bits of the entry's generation in a token (see [`lars_board::Choice::token`]).
const GENERATION_MASK: u32 = (1 << 24) - 1;
/// Bytes of an explanation apart from its nodes: status, version, policy's name, two counts; generously.
const EXPLANATION_HEAD_BYTES: usize = 128;
/// Bytes of an explained node apart from its reason: address, view, since, the reason's length.
const EXPLAINED_NODE_BYTES: usize = 18 + 1 + 8 + 8;

#[derive(Debug)]
pub(super) struct Known {
    pub(super) policy: PolicyPlace,
    pub(super) version: u64,
    pub(super) route: Arc<Route>,
    /// In order of address, as in the route.
    pub(super) nodes: Vec<Node>,
    /// Place on the board to place in `nodes`, as last written there. Nodes that moved since are noticed by their
    /// address.
    order: Vec<u16>,
    /// The generation under which `order` was written, as far as tokens carry it.
    generation: Option<u32>,
    pub(super) guard: Guard,
    /// When dns is to be asked again about what is held back.
    pub(super) ask_at: Option<Instant>,
    /// Whether a command to publish was given and [`Self::fill_entry`] has not been called since.
    pub(super) publish_due: bool,
}

impl Known {
    pub(super) fn new(
        now: Instant,
        policies: &Policies,
        place: PolicyPlace,
        version: u64,
        route: &Arc<Route>,
    ) -> Self {
        let policy = policies.at(place);
        let nodes = route.nodes().iter().map(|node| Node::new(now, policy, node));
        Self {
            policy: place,
            version,
            route: route.clone(),
            nodes: nodes.collect(),
            order: Vec::new(),
            generation: None,
            guard: Guard::default(),
            ask_at: None,
            publish_due: false,
        }
    }

    /// Takes a new route: nodes that stay keep what is thought of them. Returns whether anything changed.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        policy: &Policy,
        version: u64,
        route: &Arc<Route>,
    ) -> bool {
        if (self.version, &self.route) == (version, route) {
            return false;
        }
        self.version = version;
        self.route = route.clone();
        let mut older = std::mem::take(&mut self.nodes).into_iter().peekable();
        let keep_or_make = |route_node: &lars_wire::RouteNode| {
            while older.next_if(|node| node.addr < route_node.addr).is_some() {}
            match older.next_if(|node| node.addr == route_node.addr) {
                Some(mut node) => {
                    node.update(now, route_node);
                    node
                }
                None => Node::new(now, policy, route_node),
            }
        };
        self.nodes = route.nodes().iter().map(keep_or_make).collect();
        true
    }

    /// The place of the node at `addr`: by the token where it fits the entry last published, else by a search.
    pub(super) fn find(&self, addr: NodeAddr, token: u64) -> Option<usize> {
        let generation = (token >> 16) as u32 & GENERATION_MASK;
        let by_token = (token & 0xffff)
            .checked_sub(1)
            .filter(|_| self.generation == Some(generation));
        if let Some(&place) = by_token.and_then(|place| self.order.get(place as usize))
            && let Some(node) = self.nodes.get(usize::from(place))
            && node.addr == addr
        {
            return Some(usize::from(place));
        }
        self.nodes.binary_search_by_key(&addr, |node| node.addr).ok()
    }

    /// The nodes in the board's order: idle, overloaded and probing, draining; by address within each.
    pub(super) fn fill_entry(&mut self, entry: &mut Vec<EntryNode>) {
        self.publish_due = false;
        self.generation = None;
        self.order.clear();
        entry.clear();
        let rank = |view| match view {
            NodeView::Idle => 0,
            NodeView::Overloaded | NodeView::Probing => 1,
            NodeView::Draining => 2,
        };
        for wanted in 0..=2 {
            for (place, node) in self.nodes.iter().enumerate() {
                if rank(node.view()) == wanted {
                    // NODES_MAX is 16,384: a place fits.
                    self.order.push(place as u16);
                    entry.push(node.entry());
                }
            }
        }
    }

    pub(super) fn published(&mut self, generation: u32) {
        self.generation = Some(generation & GENERATION_MASK);
    }

    /// One line a node, in order of address: as many as fit a frame.
    pub(super) fn explain(&self, now: Instant, policy: &Policy) -> Vec<NodeExplained> {
        let mut room = BODY_BYTES_MAX - EXPLANATION_HEAD_BYTES;
        let mut lines = Vec::new();
        for node in &self.nodes {
            let line = node.explain(now, policy);
            let Some(left) = room.checked_sub(EXPLAINED_NODE_BYTES + line.reason.len()) else {
                break;
            };
            room = left;
            lines.push(line);
        }
        lines
    }
}
