//! Agents, callers and nodes in virtual time: the shard and the board as they run in an agent, everything around them
//! simulated. Opens no socket and reads no clock: the same scenario, policy and seed give the same bytes anywhere.
//!
//! Read in this order: [`Scenario`] (the world, from a file), [`run`] (one history of it), [`Balancer`] (one agent's
//! choice of nodes: ours, or one of those it is compared with), [`History`] (what is watched while it runs, and
//! what the figures mean), [`Report`] (many seeds together), [`plot`] (one history drawn);
//! beside it [`replay`] (a recording with other choices).
#![forbid(unsafe_code)]

mod agenda;
mod balancer;
mod calls;
mod draw;
mod history;
mod node;
pub mod plot;
mod policy;
mod recorded;
mod replay;
mod report;
mod run;
mod scenario;
mod statistics;

pub use balancer::{Balancer, Ended, Pick, Shift, Standing};
pub use history::{Figures, History, Moment, Series};
pub use policy::{Compared, Policy};
pub use recorded::{Recorded, RecordedError};
pub use replay::{Facts, ReplayMetrics, ReplayReport, replay};
pub use report::{Estimate, Metrics, Report};
pub use run::{Run, SimulateError, run, simulate};
pub use scenario::{Change, Event, Fate, Heal, NodePlan, Scenario, ScenarioError, Service};
