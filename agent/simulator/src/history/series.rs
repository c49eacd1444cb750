//! What is drawn of a run: everything by moments, of which there are a few hundred.

use super::quantiles_ms;
use crate::scenario::Scenario;
use lars_wire::caller::Outcome;

/// Moments of a run: as many as a drawing has room for.
const MOMENTS: u64 = 240;

/// One moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// Calls to each node.
    pub calls: Vec<u32>,
    /// Calls that began.
    pub began: u32,
    /// Calls that began and failed, timed out or were refused.
    pub errors: u32,
    /// Latencies, in microseconds.
    latencies: Vec<u32>,
}

/// A run, for drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Nanoseconds of a moment.
    pub step: u64,
    /// In order of time.
    pub moments: Vec<Moment>,
    /// Changes of state in agents' eyes, in order of time: when, agent, node, whether it was ejected.
    pub shifts: Vec<(u64, u32, u32, bool)>,
}

impl Series {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let step = scenario.duration.div_ceil(MOMENTS).max(1);
        let moment = Moment {
            calls: vec![0; scenario.nodes.len()],
            ..Moment::default()
        };
        Self {
            step,
            moments: vec![moment; scenario.duration.div_ceil(step) as usize],
            shifts: Vec::new(),
        }
    }

    pub(super) fn sent(&mut self, at: u64, node: u32) {
        let moment = self.moment(at);
        moment.calls[node as usize] += 1;
        moment.began += 1;
    }

    pub(super) fn refused(&mut self, at: u64) {
        let moment = self.moment(at);
        moment.errors += 1;
        moment.began += 1;
    }

    pub(super) fn ended(&mut self, began: u64, latency_us: u32, outcome: Outcome) {
        let moment = self.moment(began);
        moment.latencies.push(latency_us);
        moment.errors += u32::from(outcome != Outcome::Ok);
    }

    pub(super) fn shifted(&mut self, at: u64, agent: u32, node: u32, ejected: bool) {
        self.shifts.push((at, agent, node, ejected));
    }

    /// Median and 99 in 100 of the calls that began in each moment, in milliseconds.
    pub fn latencies_ms(&self) -> Vec<[Option<f64>; 2]> {
        let quantiles = |moment: &Moment| quantiles_ms(&mut moment.latencies.clone(), [0.5, 0.99]);
        self.moments.iter().map(quantiles).collect()
    }

    fn moment(&mut self, at: u64) -> &mut Moment {
        let place = ((at / self.step) as usize).min(self.moments.len() - 1);
        &mut self.moments[place]
    }
}
