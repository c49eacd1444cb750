//! The world that is simulated, read from a file and judged: nodes, callers and what happens when.

mod check;
mod file;

use std::ops::Range;

pub use check::ScenarioError;

/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A scenario, with every default filled in. Times are nanoseconds of virtual time.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// For people.
    pub name: String,
    /// When it ends.
    pub duration: u64,
    /// Calls that begin before this are not measured.
    pub warmup: u64,
    /// Agents, each with its own view.
    pub agents: u32,
    /// Threads of callers at each agent, all of one process.
    pub readers: u32,
    /// Zones of the agents, in turn; without any they prefer none.
    pub agent_zones: Vec<String>,
    /// How often an agent takes the reports that have arrived, and publishes.
    pub publish: u64,
    /// Calls a second, of all agents together.
    pub rate_per_s: f64,
    /// When a caller gives a call up.
    pub timeout: u64,
    /// How long a report travels.
    pub report_delay: u64,
    /// Share of reports that never arrive.
    pub report_loss: f64,
    /// The nodes, by number.
    pub nodes: Vec<NodePlan>,
    /// What happens, in order of time (and of the file, at the same time).
    pub events: Vec<Event>,
}

/// One node as the file plans it.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePlan {
    /// Calls served at once.
    pub workers: u32,
    /// How long a call is served.
    pub service: Service,
    /// Weight in the route.
    pub weight: u16,
    /// Zone in the route.
    pub zone: String,
    /// Whether it is in the route from the start: a node whose first change of the route is `add` is not.
    pub routed: bool,
}

/// How long a call is served, once a worker takes it up; means in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    /// Exponentially distributed.
    Exponential {
        /// Its mean.
        mean: f64,
    },
    /// Always the same.
    Constant {
        /// The time.
        mean: f64,
    },
    /// The exponential of a normally distributed number: `exp(mu + sigma z)` with `mu = ln(mean) - sigma^2 / 2`.
    Lognormal {
        /// The mean of the time itself, not of its logarithm.
        mean: f64,
        /// The standard deviation of its natural logarithm.
        sigma: f64,
    },
}

impl Service {
    /// The mean, in nanoseconds.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Exponential { mean } | Self::Constant { mean } | Self::Lognormal { mean, .. } => mean,
        }
    }
}

/// Something happens to some nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: u64,
    /// To which nodes, by number.
    pub nodes: Vec<u32>,
    /// What.
    pub change: Change,
}

/// What happens to a node. Faults of different kinds hold together; a second one of the same kind replaces the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Nothing that reaches it is ever answered, and what it holds is lost.
    BlackHole,
    /// Calls taken up from now on take so many times as long.
    Slow {
        /// So many times.
        factor: f64,
    },
    /// This share of the calls taken up fails after a fixed time.
    Fail {
        /// The share.
        share: f64,
        /// Nanoseconds that such a call keeps its worker.
        after: u64,
    },
    /// This share of the calls taken up is served as usual and fails at the end.
    Noise {
        /// The share.
        share: f64,
    },
    /// A black hole for `down`, well for `up`, and so on until it is healed.
    Flap {
        /// Nanoseconds that it is well.
        up: u64,
        /// Nanoseconds that it is a black hole; it starts so.
        down: u64,
    },
    /// Every fault ends. The route stays as it is.
    Heal,
    /// It is in the route, and serving.
    Add,
    /// It is out of the route; what it holds it serves.
    Remove,
    /// It stays in the route and gets no new picks.
    Drain,
}

impl Change {
    /// As the file spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BlackHole => "black_hole",
            Self::Slow { .. } => "slow",
            Self::Fail { .. } => "fail",
            Self::Noise { .. } => "noise",
            Self::Flap { .. } => "flap",
            Self::Heal => "heal",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Drain => "drain",
        }
    }
}

/// What happens to one node, in short: for the figures that are counted around it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fate {
    /// From the first event until the node's first heal after it, or the end.
    pub fault: Option<Range<u64>>,
    /// Its first heal.
    pub heal: Option<Heal>,
}

/// The end of a node's faults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heal {
    /// When.
    pub at: u64,
    /// The node's weight among all nodes that the route lets serve then.
    pub fair_share: f64,
}

impl Scenario {
    /// Reads a scenario; the error says in which line of `text` it stands.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        check::scenario(text)
    }

    /// What happens to each node.
    pub fn fates(&self) -> Vec<Fate> {
        let mut fates = vec![Fate::default(); self.nodes.len()];
        let mut serving = self.serving_at_start();
        for event in &self.events {
            serve(&mut serving, event);
            let total = self.weight_of(&serving);
            for &node in &event.nodes {
                let fate = &mut fates[node as usize];
                if event.change == Change::Heal {
                    if fate.heal.is_none() {
                        let fair_share = f64::from(self.nodes[node as usize].weight) / total.max(1.0);
                        fate.heal = Some(Heal {
                            at: event.at,
                            fair_share,
                        });
                        if let Some(fault) = &mut fate.fault {
                            fault.end = event.at;
                        }
                    }
                } else if fate.fault.is_none() {
                    fate.fault = Some(event.at..self.duration);
                }
            }
        }
        fates
    }

    /// Each node's weight among all.
    pub fn fair_shares(&self) -> Vec<f64> {
        let total: f64 = self.nodes.iter().map(|plan| f64::from(plan.weight)).sum();
        let share = |plan: &NodePlan| f64::from(plan.weight) / total;
        self.nodes.iter().map(share).collect()
    }

    /// How many nodes the route lets serve, from when on; in order of time.
    pub fn serving_counts(&self) -> Vec<(u64, usize)> {
        let count = |serving: &[bool]| serving.iter().filter(|&&serves| serves).count();
        let mut serving = self.serving_at_start();
        let mut counts = vec![(0, count(&serving))];
        for event in &self.events {
            serve(&mut serving, event);
            counts.push((event.at, count(&serving)));
        }
        counts
    }

    fn serving_at_start(&self) -> Vec<bool> {
        self.nodes.iter().map(|plan| plan.routed).collect()
    }

    fn weight_of(&self, serving: &[bool]) -> f64 {
        let serving = self.nodes.iter().zip(serving).filter(|(_, serves)| **serves);
        serving.map(|(plan, _)| f64::from(plan.weight)).sum()
    }

    /// How long it lasts, in seconds.
    pub fn seconds(&self) -> f64 {
        self.duration as f64 / SECOND as f64
    }
}

/// What an event changes about who the route lets serve.
fn serve(serving: &mut [bool], event: &Event) {
    let serves = match event.change {
        Change::Add => true,
        Change::Remove | Change::Drain => false,
        _ => return,
    };
    for &node in &event.nodes {
        serving[node as usize] = serves;
    }
}
