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
        let by_token = self.named_by(token);
        by_token
            .filter(|&place| self.nodes.get(place).is_some_and(|node| node.addr == addr))
            .or_else(|| self.nodes.binary_search_by_key(&addr, |node| node.addr).ok())
    }

    /// The place that a token of the entry last published means; the nodes may have moved since.
    fn named_by(&self, token: u64) -> Option<usize> {
        let generation = (token >> 16) as u32 & GENERATION_MASK;
        let on_board = (token & 0xffff)
            .checked_sub(1)
            .filter(|_| self.generation == Some(generation))?;
        self.order.get(on_board as usize).map(|&place| usize::from(place))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyConfig;
    use lars_wire::caller::Outcome;
    use lars_wire::{ModuleId, RouteNode};

    #[test]
    fn token_means_the_place_on_the_board_of_its_generation() {
        let addr = |last: u32| NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80);
        let route = Arc::new(Route::new(
            (1..=3).map(|last| RouteNode::new(addr(last))).collect(),
        ));
        let (now, policies) = (Instant::now(), Policies::new(&PolicyConfig::default(), []));
        let place = policies.place(ModuleId::new(1, 1));
        let mut known = Known::new(now, &policies, place, 1, &route);
        for _ in 0..15 {
            known.nodes[0]
                .mind
                .record(policies.at(place), now, Outcome::Failed, 0);
        }
        known.fill_entry(&mut Vec::new());
        let token = |place: u64, generation: u64| (place + 1) | generation << 16;
        assert_eq!(known.named_by(token(0, 0)), None, "it is not published yet");
        known.published(GENERATION_MASK + 8);
        let probe = 1 << 40;
        let places = [
            token(0, 7),
            token(1, 7),
            token(2, 7) | probe,
            token(3, 7),
            token(0, 6),
            7 << 16,
        ];
        // The board: the second, the third, then the overloaded first.
        assert_eq!(
            places.map(|token| known.named_by(token)),
            [Some(1), Some(2), Some(0), None, None, None]
        );
    }
}
