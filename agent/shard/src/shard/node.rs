//! One node of a known module: what the route says of it, and what its calls said.

use super::account::Account;
use super::ledger::{AccountNumber, Ledger};
use super::timers::Timers;
use super::zone::Seen;
use crate::changes::NodeChange;
use crate::policy::adaptive::{Ended, Judged, Mind};
use crate::policy::{GroupMind, InFlight, NodeMind, Policy};
use lars_board::{EntryNode, NodeSlot};
use lars_wire::caller::{NodeExplained, NodeView, Outcome};
use lars_wire::{ModuleId, NodeAddr, NodeState, RouteNode};
use std::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) addr: NodeAddr,
    /// Where its calls are counted; readers know it by that number.
    pub(super) account: AccountNumber,
    weight: u16,
    /// Since when the operator wants no new picks; none while it serves.
    draining_since: Option<Instant>,
    pub(super) mind: NodeMind,
    /// How it stood when that was last noted.
    noted: NodeView,
    /// The instant of its live entry among the timers.
    pub(super) armed: Option<Instant>,
}

impl Node {
    /// A node that was in no route before; `warms` where it came into one that was there before.
    pub(super) fn new(
        now: Instant,
        policy: &Policy,
        account: AccountNumber,
        route_node: &RouteNode,
        warms: bool,
    ) -> Self {
        let mut node = Self {
            addr: route_node.addr,
            account,
            weight: route_node.weight,
            draining_since: None,
            mind: policy.new_mind(now, warms),
            noted: NodeView::Idle,
            armed: None,
        };
        node.update(now, route_node);
        node.noted = node.standing();
        node
    }

    /// The route says something new of it; what is thought of it stays.
    pub(super) fn update(&mut self, now: Instant, route_node: &RouteNode) {
        self.weight = route_node.weight;
        self.draining_since = match route_node.state {
            NodeState::Serving => None,
            NodeState::Draining => self.draining_since.or(Some(now)),
        };
    }

    /// It is in no route any more, and nobody waits for its timer.
    pub(super) fn leave(&self, now: Instant, ledger: &mut Ledger, timers: &mut Timers) {
        timers.outdate(usize::from(self.armed.is_some()));
        ledger.give_back(timers, now, self.account);
    }

    /// Tells its account how it stands, so that calls are counted and wait as its mind would have them.
    pub(super) fn tell(&self, account: &mut Account) {
        account.overloaded = self.mind.is_overloaded();
        account.may_wait = self.mind.may_wait();
    }

    /// Its mind hears of the calls that wait in its account. Returns when the last of them ended; none where none waited.
    pub(super) fn catch_up(
        &mut self,
        policy: &Policy,
        group: &mut GroupMind,
        ledger: &mut Ledger,
    ) -> Option<Instant> {
        let waiting = ledger.at_mut(self.account).take_noted();
        let mut last = None;
        for noted in waiting {
            let at = ledger.instant(noted.at)?;
            let ended = Ended {
                outcome: Outcome::Ok,
                calls: noted.calls,
                latency_us: noted.latency_us,
                probe: false,
                counted: noted.counted,
            };
            self.mind.record(policy, group, at, &ended);
            last = Some(at);
        }
        last
    }

    /// How readers are to see it.
    pub(super) fn view(&self) -> NodeView {
        match self.draining_since {
            Some(_) => NodeView::Draining,
            None => self.mind.view(),
        }
    }

    /// As the preference of zones looks at it, wherever it is.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            is_near: false,
            weight: self.weight,
            serves: self.draining_since.is_none(),
            idle: self.view() == NodeView::Idle,
        }
    }

    pub(super) fn entry(&self) -> EntryNode {
        EntryNode {
            slot: self.account.slot(),
            hot: self.mind.hot(),
            ..EntryNode::new(self.addr, self.weight, self.view())
        }
    }

    /// How it stands, for people; readers are told [`Self::view`], which a module in a panic makes better.
    fn standing(&self) -> NodeView {
        match self.draining_since {
            Some(_) => NodeView::Draining,
            None => self.mind.standing(),
        }
    }

    /// The change of its state since it was last noted. A probe under way is none.
    pub(super) fn take_change(&mut self, module: ModuleId, policy: &Policy) -> Option<NodeChange> {
        let to = match self.standing() {
            NodeView::Probing => NodeView::Overloaded,
            other => other,
        };
        let from = std::mem::replace(&mut self.noted, to);
        let (at, reason) = (from != to).then(|| self.why(policy))?;
        Some(NodeChange {
            at,
            module,
            node: self.addr,
            from,
            to,
            reason,
        })
    }

    /// Since when it stands as it does, and why.
    fn why(&self, policy: &Policy) -> (Instant, String) {
        match self.draining_since {
            Some(since) => (since, "draining by the operator's wish".to_owned()),
            None => (self.mind.since(), self.mind.reason(policy)),
        }
    }

    pub(super) fn explain(&self, now: Instant, policy: &Policy, in_flight: &dyn InFlight) -> NodeExplained {
        let next_probe = self.mind.next_probe();
        let (since, reason) = self.why(policy);
        NodeExplained {
            node: self.addr,
            view: self.standing(),
            since_ms: now.saturating_duration_since(since).as_millis() as u64,
            reason,
            cost_us: self.mind.cost_us(policy),
            in_flight: in_flight.balance(self.account.slot()).max(0) as u32,
            next_probe_ms: next_probe.map(|at| at.saturating_duration_since(now).as_millis() as u64),
        }
    }
}

impl Judged for Node {
    fn mind(&self) -> Option<&Mind> {
        match &self.mind {
            NodeMind::Adaptive(mind) => Some(mind),
            NodeMind::Classic(_) => None,
        }
    }

    fn mind_mut(&mut self) -> Option<&mut Mind> {
        match &mut self.mind {
            NodeMind::Adaptive(mind) => Some(mind),
            NodeMind::Classic(_) => None,
        }
    }

    fn slot(&self) -> NodeSlot {
        self.account.slot()
    }

    fn weight(&self) -> u16 {
        self.weight
    }

    fn serves(&self) -> bool {
        self.draining_since.is_none()
    }
}
