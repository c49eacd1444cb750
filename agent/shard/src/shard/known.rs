//! A module whose route is here: its nodes, the order in which they stand on the board, and what is held back.

use super::ledger::Ledger;
use super::node::Node;
use super::policies::{Policies, PolicyPlace};
use super::timers::Timers;
use super::watch::Watched;
use super::zone::{Seen, ZonePreference};
use crate::book::RouteNews;
use crate::changes::{CHANGES_KEPT_MAX, NodeChange};
use crate::guard::Guard;
use crate::policy::{GroupMind, InFlight, Policy};
use lars_board::{EntryNode, Hot};
use lars_wire::bounds::BODY_BYTES_MAX;
use lars_wire::caller::{NodeExplained, NodeView};
use lars_wire::{ModuleId, NodeAddr, Route};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of an explanation apart from its nodes: status, version, policy's name, two counts; generously.
const EXPLANATION_HEAD_BYTES: usize = 128;
/// Bytes of an explained node apart from its reason and its next probe: address, view, since, the reason's length, cost, in
/// flight.
const EXPLAINED_NODE_BYTES: usize = 18 + 1 + 8 + 8 + 4 + 4;

/// The rank on the board of nodes that are kept in reserve.
const RESERVE: u8 = 2;

#[derive(Debug)]
pub(super) struct Known {
    pub(super) policy: PolicyPlace,
    pub(super) version: u64,
    pub(super) route: Arc<Route>,
    /// In order of address, as in the route.
    pub(super) nodes: Vec<Node>,
    /// What is thought of them together.
    pub(super) group: GroupMind,
    /// The instant of its live entry among the timers.
    pub(super) armed: Option<Instant>,
    /// Whether it counts among those that are looked at.
    pub(super) watched: Watched,
    /// Place on the board to place in `nodes`, as last written there; empty after the route changed.
    order: Vec<u16>,
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
        ledger: &mut Ledger,
        news: &RouteNews,
    ) -> Self {
        let policy = policies.at(place);
        let mut known = Self {
            policy: place,
            version: news.version,
            route: news.route.clone(),
            nodes: Vec::new(),
            group: policy.new_group(now),
            armed: None,
            watched: Watched::default(),
            order: Vec::new(),
            guard: Guard::default(),
            ask_at: None,
            publish_due: false,
        };
        known.nodes = news
            .route
            .nodes()
            .iter()
            .map(|node| Node::new(now, policy, ledger.lend(now, news.module, node.addr), node, false))
            .collect();
        known.keep_accounts(ledger);
        known
    }

    /// Takes a new route: nodes that stay keep what is thought of them. Returns whether anything changed.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        policy: &Policy,
        ledger: &mut Ledger,
        timers: &mut Timers,
        news: &RouteNews,
    ) -> bool {
        if (self.version, &self.route) == (news.version, &news.route) {
            return false;
        }
        self.version = news.version;
        self.route = news.route.clone();
        self.order.clear();
        let mut older = std::mem::take(&mut self.nodes).into_iter().peekable();
        for route_node in news.route.nodes() {
            while let Some(gone) = older.next_if(|node| node.addr < route_node.addr) {
                gone.leave(now, ledger, timers);
            }
            let node = match older.next_if(|node| node.addr == route_node.addr) {
                Some(mut node) => {
                    node.update(now, route_node);
                    node
                }
                None => {
                    let account = ledger.lend(now, news.module, route_node.addr);
                    Node::new(now, policy, account, route_node, true)
                }
            };
            self.nodes.push(node);
        }
        older.for_each(|gone| gone.leave(now, ledger, timers));
        self.keep_accounts(ledger);
        true
    }

    /// Tells the accounts where their nodes stand, and how.
    pub(super) fn keep_accounts(&self, ledger: &mut Ledger) {
        for (place, node) in self.nodes.iter().enumerate() {
            let account = ledger.at_mut(node.account);
            // NODES_MAX is 16,384: a place fits.
            (account.place, account.policy) = (place as u16, self.policy);
            node.tell(account);
        }
    }

    /// The nodes' minds hear of the calls that wait in their accounts. Returns when the last of those ended.
    pub(super) fn catch_up(&mut self, policy: &Policy, ledger: &mut Ledger) -> Option<Instant> {
        let nodes = self.nodes.iter_mut();
        nodes
            .filter_map(|node| node.catch_up(policy, &mut self.group, ledger))
            .max()
    }

    /// The place of the node at `addr`.
    pub(super) fn find(&self, addr: NodeAddr) -> Option<usize> {
        self.nodes.binary_search_by_key(&addr, |node| node.addr).ok()
    }

    /// The nodes in the board's order: those in use; overloaded and probing ones; idle ones that are kept in reserve, since
    /// nodes of the own zone suffice; draining ones. By address within each.
    pub(super) fn fill_entry(&mut self, zone: &ZonePreference, entry: &mut Vec<EntryNode>) {
        self.publish_due = false;
        self.order.clear();
        entry.clear();
        // The nodes stand as in the route.
        let zones = self.route.nodes().iter().map(|node| &*node.zone);
        let seen = self.nodes.iter().zip(zones).map(|(node, of)| Seen {
            is_near: zone.is_near(of),
            ..node.seen()
        });
        let near_suffice = zone.suffices(seen.clone());
        let rank = |node: Seen, view| match view {
            NodeView::Idle if near_suffice && !node.is_near => RESERVE,
            NodeView::Idle => 0,
            NodeView::Overloaded | NodeView::Probing => 1,
            NodeView::Draining => 3,
        };
        for wanted in 0..=3 {
            for (place, (node, seen)) in self.nodes.iter().zip(seen.clone()).enumerate() {
                if rank(seen, node.view()) == wanted {
                    // NODES_MAX is 16,384: a place fits.
                    self.order.push(place as u16);
                    entry.push(EntryNode {
                        in_reserve: wanted == RESERVE,
                        ..node.entry()
                    });
                }
            }
        }
    }

    /// Notes which nodes stand otherwise than when this was last called; appended to `changes`, of which there are at
    /// most [`CHANGES_KEPT_MAX`]: nobody keeps more.
    pub(super) fn note_changes(&mut self, module: ModuleId, policy: &Policy, changes: &mut Vec<NodeChange>) {
        let noted = self
            .nodes
            .iter_mut()
            .filter_map(|node| node.take_change(module, policy));
        for change in noted {
            if changes.len() < CHANGES_KEPT_MAX {
                changes.push(change);
            }
        }
    }

    /// The hot parts of the nodes, in the order in which they stand on the board.
    pub(super) fn fill_hot(&self, hot: &mut Vec<Hot>) {
        let nodes = self
            .order
            .iter()
            .filter_map(|&place| self.nodes.get(usize::from(place)));
        hot.extend(nodes.map(|node| node.entry().hot));
    }

    /// One line a node, in order of address: as many as fit a frame.
    pub(super) fn explain(
        &self,
        now: Instant,
        policy: &Policy,
        in_flight: &dyn InFlight,
    ) -> Vec<NodeExplained> {
        let mut room = BODY_BYTES_MAX - EXPLANATION_HEAD_BYTES;
        let mut lines = Vec::new();
        for node in &self.nodes {
            let line = node.explain(now, policy, in_flight);
            let probe_bytes = if line.next_probe_ms.is_some() { 9 } else { 1 };
            let Some(left) = room.checked_sub(EXPLAINED_NODE_BYTES + probe_bytes + line.reason.len()) else {
                break;
            };
            room = left;
            lines.push(line);
        }
        lines
    }
}
