//! What is watched while a run goes on, and what each figure means. Told of every call and every change of state in
//! order of time; keeps counts, not calls.

mod possible;
mod series;
mod windows;

use crate::scenario::{Fate, SECOND, Scenario};
use lars_wire::caller::Outcome;
use possible::Possible;
use windows::Windows;

pub use series::{Moment, Series};

/// What one run came to; what does not apply is none. Lists are by node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Calls that failed, timed out or were refused a node, of all measured ones.
    pub errors_share: Option<f64>,
    /// Median latency of measured calls that got a node, time-outs and failures included.
    pub p50_ms: Option<f64>,
    /// The same of 99 in 100.
    pub p99_ms: Option<f64>,
    /// The same of 999 in 1,000.
    pub p999_ms: Option<f64>,
    /// Successes over what was possible: piece by piece, the calls that began or the capacity of the living nodes,
    /// whichever is less.
    pub goodput_share: Option<f64>,
    /// Of the measured calls that got a node.
    pub share_of_calls: Vec<Option<f64>>,
    /// The same from the node's first event until its heal, or the end.
    pub share_after_fault: Vec<Option<f64>>,
    /// From the node's first event until any agent first ejects it.
    pub first_ejection_s: Vec<Option<f64>>,
    /// From the node's heal until it has had half its fair share for a second (or for as long as ten calls of a fair
    /// share take).
    pub readmission_s: Vec<Option<f64>>,
    /// The largest share of calls in any 10 s after its heal.
    pub peak_share_10s: Vec<Option<f64>>,
    /// Ejections by any agent of a node with no black hole, slowness, failures or flapping in force.
    pub false_ejections_per_hour: Option<f64>,
    /// Most calls to any node in any 5 s, over the mean of as many nodes as the route lets serve all the while.
    pub peak_load_over_mean: Option<f64>,
    /// Measured calls, refused ones included.
    pub calls: u64,
    /// Of those, the refused ones.
    pub refused: u64,
}

/// Calls to one node and to all, as they stood when its fault began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Around {
    node: u64,
    all: u64,
}

/// A moment at which [`Around`] is read: when, which node, whether its fault begins.
type Boundary = (u64, u32, bool);

/// The watch over one run.
#[derive(Debug)]
pub struct History {
    warmup: u64,
    duration: u64,
    fates: Vec<Fate>,
    calls: u64,
    refused: u64,
    succeeded: u64,
    sent: u64,
    sent_to: Vec<u64>,
    /// In microseconds.
    latencies: Vec<u32>,
    /// In reverse order of time: the next stands last.
    boundaries: Vec<Boundary>,
    begun_at: Vec<Around>,
    ended_at: Vec<Around>,
    first_ejections: Vec<Option<u64>>,
    false_ejections: u64,
    possible: Possible,
    windows: Windows,
    series: Option<Series>,
}

impl History {
    /// A watch over a run of this scenario; with `series`, also over what is drawn of it.
    pub fn new(scenario: &Scenario, series: bool) -> Self {
        let fates = scenario.fates();
        let mut boundaries: Vec<Boundary> = Vec::new();
        for (node, fate) in fates.iter().enumerate() {
            if let Some(fault) = &fate.fault {
                boundaries.push((fault.start, node as u32, true));
                boundaries.push((fault.end, node as u32, false));
            }
        }
        boundaries.sort_unstable();
        boundaries.reverse();
        let nodes = scenario.nodes.len();
        Self {
            warmup: scenario.warmup,
            duration: scenario.duration,
            fates,
            calls: 0,
            refused: 0,
            succeeded: 0,
            sent: 0,
            sent_to: vec![0; nodes],
            latencies: Vec::new(),
            boundaries,
            begun_at: vec![Around::default(); nodes],
            ended_at: vec![Around::default(); nodes],
            first_ejections: vec![None; nodes],
            false_ejections: 0,
            possible: Possible::new(scenario.warmup),
            windows: Windows::new(scenario),
            series: series.then(|| Series::new(scenario)),
        }
    }

    /// From now on all living nodes of the route together can answer so many calls a second.
    pub fn capacity(&mut self, at: u64, per_s: f64) {
        self.possible.capacity(at, per_s);
    }

    /// A call began and was sent to a node.
    pub fn sent(&mut self, at: u64, node: u32) {
        self.read_boundaries(at);
        self.possible.begin(at);
        self.windows.count(at, node);
        if let Some(series) = &mut self.series {
            series.sent(at, node);
        }
        if at >= self.warmup {
            self.calls += 1;
            self.sent += 1;
            self.sent_to[node as usize] += 1;
        }
    }

    /// A call began and found no node.
    pub fn refused(&mut self, at: u64) {
        self.possible.begin(at);
        if let Some(series) = &mut self.series {
            series.refused(at);
        }
        if at >= self.warmup {
            self.calls += 1;
            self.refused += 1;
        }
    }

    /// The call that began at `began` is over, at `at`, as its caller sees it.
    pub fn ended(&mut self, began: u64, at: u64, outcome: Outcome) {
        let latency = u32::try_from((at - began) / 1_000).unwrap_or(u32::MAX);
        if let Some(series) = &mut self.series {
            series.ended(began, latency, outcome);
        }
        if began >= self.warmup {
            self.succeeded += u64::from(outcome == Outcome::Ok);
            self.latencies.push(latency);
        }
    }

    /// An agent ejected a node, which deserved it or not.
    pub fn ejected(&mut self, at: u64, agent: u32, node: u32, deserved: bool) {
        let fault = self.fates[node as usize].fault.as_ref();
        let first = &mut self.first_ejections[node as usize];
        if first.is_none() && fault.is_some_and(|fault| fault.start <= at) {
            *first = Some(at);
        }
        let measured = (self.warmup..self.duration).contains(&at);
        self.false_ejections += u64::from(measured && !deserved);
        if let Some(series) = &mut self.series {
            series.shifted(at, agent, node, true);
        }
    }

    /// An agent took a node back.
    pub fn readmitted(&mut self, at: u64, agent: u32, node: u32) {
        if let Some(series) = &mut self.series {
            series.shifted(at, agent, node, false);
        }
    }

    /// The run is over: what it came to.
    pub fn finish(mut self) -> (Figures, Option<Series>) {
        self.read_boundaries(u64::MAX);
        self.possible.end(self.duration);
        let errors = self.calls - self.succeeded;
        let measured_s = (self.duration - self.warmup) as f64 / SECOND as f64;
        let [p50_ms, p99_ms, p999_ms] = quantiles_ms(&mut self.latencies, [0.5, 0.99, 0.999]);
        let figures = Figures {
            errors_share: share(errors as f64, self.calls as f64),
            p50_ms,
            p99_ms,
            p999_ms,
            goodput_share: share(self.succeeded as f64, self.possible.calls()),
            share_of_calls: self
                .sent_to
                .iter()
                .map(|&sent| share(sent as f64, self.sent as f64))
                .collect(),
            share_after_fault: self.by_fate(|watch, node, fate| {
                fate.fault.as_ref()?;
                let (begun, ended) = (watch.begun_at[node], watch.ended_at[node]);
                share((ended.node - begun.node) as f64, (ended.all - begun.all) as f64)
            }),
            first_ejection_s: self.by_fate(|watch, node, fate| {
                let start = fate.fault.as_ref()?.start;
                Some(seconds(watch.first_ejections[node]? - start))
            }),
            readmission_s: self.by_fate(|watch, node, fate| watch.windows.readmission_s(node, fate.heal?)),
            peak_share_10s: self.by_fate(|watch, node, fate| watch.windows.peak_share_10s(node, fate.heal?)),
            false_ejections_per_hour: Some(self.false_ejections as f64 * 3_600.0 / measured_s),
            peak_load_over_mean: self.windows.peak_load_over_mean(),
            calls: self.calls,
            refused: self.refused,
        };
        (figures, self.series)
    }

    fn by_fate<F>(&self, figure: F) -> Vec<Option<f64>>
    where
        F: Fn(&Self, usize, &Fate) -> Option<f64>,
    {
        let fates = self.fates.iter().enumerate();
        fates.map(|(node, fate)| figure(self, node, fate)).collect()
    }

    fn read_boundaries(&mut self, now: u64) {
        while let Some((_, node, begins)) = self.boundaries.pop_if(|(at, ..)| *at <= now) {
            let node = node as usize;
            let around = Around {
                node: self.sent_to[node],
                all: self.sent,
            };
            if begins {
                self.begun_at[node] = around;
            } else {
                self.ended_at[node] = around;
            }
        }
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

/// The smallest latency that at least this share of all does not exceed, in milliseconds.
pub(crate) fn quantiles_ms<const N: usize>(latencies: &mut [u32], shares: [f64; N]) -> [Option<f64>; N] {
    latencies.sort_unstable();
    let count = latencies.len();
    shares.map(|share| {
        let rank = ((share * count as f64).ceil() as usize).clamp(1, count.max(1));
        latencies.get(rank - 1).map(|&latency| f64::from(latency) / 1e3)
    })
}

#[cfg(test)]
mod tests;
