//! What is thought of one node, and of a module's nodes together, whatever the policy: the seam between the shard and the
//! policies.

use super::adaptive::{Ended, Group};
use super::{Policy, adaptive, classic};
use lars_wire::caller::{NodeView, Outcome};
use std::time::Instant;

/// One node as its module's policy sees it.
#[derive(Clone, Debug)]
pub(crate) enum NodeMind {
    /// See [`adaptive`].
    Adaptive(Box<adaptive::Mind>),
    /// See [`classic`].
    Classic(classic::Mind),
}

/// A module's nodes together as its policy sees them.
#[derive(Clone, Debug)]
pub(crate) enum GroupMind {
    /// See [`adaptive`].
    Adaptive(Box<Group>),
    /// Each node is judged by itself.
    Single,
}

/// Calls of a node that ended alike, each judged as one behind the other.
const STEPS_MAX: u32 = 8_192;

impl GroupMind {
    /// Something of each part, for whoever wants its memory before it is needed.
    pub(crate) fn look_ahead(&self) -> f64 {
        match self {
            Self::Adaptive(group) => group.look_ahead(),
            Self::Single => 0.0,
        }
    }
}

impl NodeMind {
    /// Something of each part, for whoever wants its memory before it is needed.
    pub(crate) fn look_ahead(&self) -> f64 {
        match self {
            Self::Adaptive(mind) => mind.look_ahead(),
            Self::Classic(_) => 0.0,
        }
    }

    /// Does what time alone brings about until `now`.
    pub(crate) fn settle(&mut self, policy: &Policy, now: Instant) {
        if let (Self::Classic(mind), Policy::Classic(rule)) = (self, policy) {
            mind.settle(rule, now);
        }
    }

    /// Calls ended. A cancelled one says nothing about the node, and a time-out is a failure. Returns when the module's
    /// nodes are to be looked at together, where they are judged so.
    pub(crate) fn record(
        &mut self,
        policy: &Policy,
        group: &mut GroupMind,
        now: Instant,
        ended: &Ended,
    ) -> Option<Instant> {
        match (self, policy, group) {
            (Self::Adaptive(mind), Policy::Adaptive(rule), GroupMind::Adaptive(group)) => {
                Some(group.record(rule, mind, now, ended))
            }
            (Self::Classic(mind), Policy::Classic(rule), _) => {
                for _ in 0..ended.calls.min(STEPS_MAX) {
                    match ended.outcome {
                        Outcome::Ok => mind.succeed(rule, now),
                        Outcome::Failed | Outcome::TimedOut => mind.fail(rule, now, ended.latency_us),
                        Outcome::Cancelled => mind.settle(rule, now),
                    }
                }
                None
            }
            _ => {
                debug_assert!(false, "a mind of another policy");
                None
            }
        }
    }

    /// Whether calls that go well change nothing before the module's nodes are looked at together: they may be told of as
    /// late as that, and several at a time.
    pub(crate) fn may_wait(&self) -> bool {
        match self {
            Self::Adaptive(mind) => mind.may_wait(),
            Self::Classic(_) => false,
        }
    }

    /// When time alone may change something: [`Self::settle`] wants to be called then. None where only a call can, or
    /// where the module's nodes are looked at together.
    pub(crate) fn deadline(&self, policy: &Policy) -> Option<Instant> {
        match (self, policy) {
            (Self::Classic(mind), Policy::Classic(rule)) => mind.deadline(rule),
            _ => None,
        }
    }

    /// How readers are to see it, its operator's wish apart.
    pub(crate) fn view(&self) -> NodeView {
        match self {
            Self::Adaptive(mind) => mind.view(),
            Self::Classic(mind) if mind.is_overloaded() => NodeView::Overloaded,
            Self::Classic(_) => NodeView::Idle,
        }
    }

    /// How it stands, as people are told.
    pub(crate) fn standing(&self) -> NodeView {
        match self {
            Self::Adaptive(mind) => mind.standing(),
            Self::Classic(_) => self.view(),
        }
    }

    /// Whether it gets no picks but probes.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.standing() != NodeView::Idle
    }

    /// Since when it stands so.
    pub(crate) fn since(&self) -> Instant {
        match self {
            Self::Adaptive(mind) => mind.since(),
            Self::Classic(mind) => mind.since(),
        }
    }

    /// When its next probe is due; none where none is scheduled.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        match self {
            Self::Adaptive(mind) => mind.next_probe(),
            Self::Classic(_) => None,
        }
    }

    /// What a call to it costs as it was told last, as a latency in microseconds; 0 where the policy does not look at it.
    pub(crate) fn cost_us(&self, policy: &Policy) -> u32 {
        match (self, policy) {
            (Self::Adaptive(mind), Policy::Adaptive(rule)) => {
                (mind.published().cost_us - rule.cost_base_us) as u32
            }
            _ => 0,
        }
    }

    /// What readers are told besides; what nothing is known of where the policy does not look at it.
    pub(crate) fn hot(&self) -> lars_board::Hot {
        match self {
            Self::Adaptive(mind) => mind.published(),
            Self::Classic(_) => lars_board::Hot::UNKNOWN,
        }
    }

    /// Which rule put it there, with its numbers.
    pub(crate) fn reason(&self, policy: &Policy) -> String {
        match (self, policy) {
            (Self::Adaptive(mind), Policy::Adaptive(rule)) => mind.reason(rule),
            (Self::Classic(mind), Policy::Classic(rule)) => mind.reason(rule),
            _ => String::new(),
        }
    }
}
