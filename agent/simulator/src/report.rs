//! Many runs together: each figure as a mean and the interval in which it lies with 95% confidence.

use crate::history::Figures;
use crate::policy::Policy;
use crate::scenario::Scenario;
use crate::statistics::mean_and_half_width;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a scenario came to, over all seeds. Its fields are the keys of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The policy's name.
    pub policy: String,
    /// How many runs.
    pub seeds: u64,
    /// The figures.
    pub metrics: Metrics,
}

/// A mean over the runs to which a figure applies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the 95% interval; none with one run.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// In how many runs it applies: a node that was never ejected has no first ejection.
    pub seeds: u64,
}

/// One estimate a node.
type ByNode = BTreeMap<u32, Option<Estimate>>;

/// Every figure; [`Figures`] says what each means.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are documented under the same names in Figures"
)]
pub struct Metrics {
    pub errors_share: Option<Estimate>,
    pub p50_ms: Option<Estimate>,
    pub p99_ms: Option<Estimate>,
    pub p999_ms: Option<Estimate>,
    pub goodput_share: Option<Estimate>,
    pub share_of_calls: ByNode,
    pub share_after_fault: ByNode,
    pub first_ejection_s: ByNode,
    pub readmission_s: ByNode,
    pub peak_share_10s: ByNode,
    pub false_ejections_per_hour: Option<Estimate>,
    pub peak_load_over_mean: Option<Estimate>,
    pub calls: Option<Estimate>,
    pub refused: Option<Estimate>,
}

impl Report {
    /// Puts the runs together.
    pub fn new(scenario: &Scenario, policy: &Policy, runs: &[Figures]) -> Self {
        let over = |figure: fn(&Figures) -> Option<f64>| estimate(runs.iter().map(figure));
        let fates = scenario.fates();
        let touched = |node: u32| fates[node as usize].fault.is_some();
        let healed = |node: u32| fates[node as usize].heal.is_some();
        let nodes = || 0..scenario.nodes.len() as u32;
        let by_node = |wanted: &dyn Fn(u32) -> bool, figure: fn(&Figures) -> &[Option<f64>]| -> ByNode {
            let estimates = |node| estimate(runs.iter().map(|run| figure(run)[node as usize]));
            nodes()
                .filter(|&node| wanted(node))
                .map(|node| (node, estimates(node)))
                .collect()
        };
        Self {
            scenario: scenario.name.clone(),
            policy: policy.name().to_owned(),
            seeds: runs.len() as u64,
            metrics: Metrics {
                errors_share: over(|run| run.errors_share),
                p50_ms: over(|run| run.p50_ms),
                p99_ms: over(|run| run.p99_ms),
                p999_ms: over(|run| run.p999_ms),
                goodput_share: over(|run| run.goodput_share),
                share_of_calls: by_node(&|_| true, |run| &run.share_of_calls),
                share_after_fault: by_node(&touched, |run| &run.share_after_fault),
                first_ejection_s: by_node(&touched, |run| &run.first_ejection_s),
                readmission_s: by_node(&healed, |run| &run.readmission_s),
                peak_share_10s: by_node(&healed, |run| &run.peak_share_10s),
                false_ejections_per_hour: over(|run| run.false_ejections_per_hour),
                peak_load_over_mean: over(|run| run.peak_load_over_mean),
                calls: over(|run| Some(run.calls as f64)),
                refused: over(|run| Some(run.refused as f64)),
            },
        }
    }
}

/// The mean of those that there are, and its interval.
pub(crate) fn estimate(values: impl Iterator<Item = Option<f64>>) -> Option<Estimate> {
    let values: Vec<f64> = values.flatten().collect();
    let (mean, half) = mean_and_half_width(&values)?;
    Some(Estimate {
        mean,
        low: half.map(|half| mean - half),
        high: half.map(|half| mean + half),
        seeds: values.len() as u64,
    })
}
