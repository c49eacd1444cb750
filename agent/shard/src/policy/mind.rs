//! What is thought of one node, whatever the policy: the seam between the shard and the policies.

use super::{Policy, classic};
use lars_wire::caller::{NodeView, Outcome};
use std::time::Instant;

/// One node as its module's policy sees it.
#[derive(Clone, Debug)]
pub(crate) enum NodeMind {
    /// See [`classic`].
    Classic(classic::Mind),
}

impl NodeMind {
    /// Does what time alone brings about until `now`.
    pub(crate) fn settle(&mut self, policy: &Policy, now: Instant) {
        match (self, policy) {
            (Self::Classic(mind), Policy::Classic(rule)) => mind.settle(rule, now),
        }
    }

    /// A call ended. A cancelled one says nothing about the node, and a time-out is a failure.
    pub(crate) fn record(&mut self, policy: &Policy, now: Instant, outcome: Outcome, latency_us: u32) {
        match (self, policy) {
            (Self::Classic(mind), Policy::Classic(rule)) => match outcome {
                Outcome::Ok => mind.succeed(rule, now),
                Outcome::Failed | Outcome::TimedOut => mind.fail(rule, now, latency_us),
                Outcome::Cancelled => mind.settle(rule, now),
            },
        }
    }

    /// When time alone may change something: [`Self::settle`] wants to be called then. None where only a call can.
    pub(crate) fn deadline(&self, policy: &Policy) -> Option<Instant> {
        match (self, policy) {
            (Self::Classic(mind), Policy::Classic(rule)) => mind.deadline(rule),
        }
    }

    /// How the node stands, its operator's wish apart.
    pub(crate) fn view(&self) -> NodeView {
        match self {
            Self::Classic(mind) if mind.is_overloaded() => NodeView::Overloaded,
            Self::Classic(_) => NodeView::Idle,
        }
    }

    /// Whether it gets no picks but probes.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.view() != NodeView::Idle
    }

    /// Since when it stands so.
    pub(crate) fn since(&self) -> Instant {
        match self {
            Self::Classic(mind) => mind.since(),
        }
    }

    /// Which rule put it there, with its numbers.
    pub(crate) fn reason(&self, policy: &Policy) -> String {
        match (self, policy) {
            (Self::Classic(mind), Policy::Classic(rule)) => mind.reason(rule),
        }
    }
}
