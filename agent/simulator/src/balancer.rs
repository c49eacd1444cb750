//! One agent's choice of nodes: the seam between the simulated world and whatever is judged in it.

mod breaker;
mod lars;
mod least_request;
mod outlier;
mod peak_ewma;
mod round_robin;

use crate::policy::{Compared, Policy};
use crate::run::SimulateError;
use fastrand::Rng;
use lars_wire::caller::Outcome;
use std::time::Instant;

/// What came of asking for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This node, by number; the token comes back with the call's end.
    Node {
        /// Which.
        node: u32,
        /// Given back when the call ends.
        token: u64,
    },
    /// None.
    Refused,
}

/// A node as the route says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its number.
    pub node: u32,
    /// Its weight.
    pub weight: u16,
    /// Its zone.
    pub zone: String,
    /// Whether it is to get no new picks.
    pub draining: bool,
}

/// A node's state changed in an agent's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// It gets no more picks, apart from probes.
    Ejected(u32),
    /// It gets picks again.
    Readmitted(u32),
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The node that was called.
    pub node: u32,
    /// The pick's token.
    pub token: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Nanoseconds from pick to end.
    pub latency: u64,
}

/// One agent, or the one process that stands for it with the policies that ours are compared with. Times are
/// nanoseconds of virtual time and never go back.
pub enum Balancer {
    /// The real shard, board and readers.
    Lars(Box<lars::Lars>),
    /// See [`Compared::RoundRobin`].
    RoundRobin(round_robin::RoundRobin),
    /// See [`Compared::LeastRequestOutlier`].
    LeastRequest(least_request::LeastRequest),
    /// See [`Compared::PeakEwmaBreaker`].
    PeakEwma(peak_ewma::PeakEwma),
}

impl Balancer {
    /// An agent of `nodes` possible nodes, that knows no route yet. `origin` is the instant that stands for zero.
    pub fn new(
        policy: &Policy,
        readers: u32,
        nodes: usize,
        seed: u64,
        origin: Instant,
    ) -> Result<Self, SimulateError> {
        let random = Rng::with_seed(seed);
        Ok(match policy {
            Policy::Lars(config) => {
                Self::Lars(Box::new(lars::Lars::new(config, readers, nodes, random, origin)?))
            }
            Policy::Compared(Compared::RoundRobin) => {
                Self::RoundRobin(round_robin::RoundRobin::new(readers, random))
            }
            Policy::Compared(Compared::LeastRequestOutlier) => {
                Self::LeastRequest(least_request::LeastRequest::new(nodes, random))
            }
            Policy::Compared(Compared::PeakEwmaBreaker) => {
                Self::PeakEwma(peak_ewma::PeakEwma::new(nodes, random))
            }
        })
    }

    /// The agent stands in this zone. The policies that ours are compared with know none.
    pub fn prefer_zone(&mut self, zone: &str) {
        if let Self::Lars(lars) = self {
            lars.prefer_zone(zone);
        }
    }

    /// The route is this from now on.
    pub fn learn(&mut self, now: u64, route: &[Standing]) {
        match self {
            Self::Lars(lars) => lars.learn(now, route),
            Self::RoundRobin(balancer) => balancer.learn(route),
            Self::LeastRequest(balancer) => balancer.learn(now, route),
            Self::PeakEwma(balancer) => balancer.learn(now, route),
        }
    }

    /// A caller's thread asks for a node, with a key for rules that send like to like.
    pub fn pick(&mut self, now: u64, reader: u32, key: u64) -> Pick {
        match self {
            Self::Lars(lars) => lars.pick(reader, key),
            Self::RoundRobin(balancer) => balancer.pick(reader),
            Self::LeastRequest(balancer) => balancer.pick(),
            Self::PeakEwma(balancer) => balancer.pick(now),
        }
    }

    /// The call is over, as the process of the caller knows at once: it is in flight no more, unless its caller forgot
    /// to report it. The policies that ours are compared with live in that process, forget nothing, and learn
    /// everything from this.
    pub fn end(&mut self, now: u64, reader: u32, ended: &Ended, reported: bool, shifts: &mut Vec<Shift>) {
        match self {
            Self::Lars(lars) if reported => lars.finish(reader, ended),
            Self::Lars(_) | Self::RoundRobin(_) => {}
            Self::LeastRequest(balancer) => balancer.end(now, ended, shifts),
            Self::PeakEwma(balancer) => balancer.end(now, ended, shifts),
        }
    }

    /// The call's report has reached the agent.
    pub fn report(&mut self, now: u64, ended: &Ended) {
        match self {
            Self::Lars(lars) => lars.report(now, ended),
            Self::RoundRobin(_) | Self::LeastRequest(_) | Self::PeakEwma(_) => {}
        }
    }

    /// The end of an agent's turn, behind the reports: what time brings about, and what is published.
    pub fn turn(&mut self, now: u64, shifts: &mut Vec<Shift>) {
        match self {
            Self::Lars(lars) => lars.turn(now, shifts),
            Self::RoundRobin(_) => {}
            Self::LeastRequest(balancer) => balancer.turn(now, shifts),
            Self::PeakEwma(balancer) => balancer.turn(now, shifts),
        }
    }
}
