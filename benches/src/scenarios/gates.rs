//! What our default policy must reach in each scenario.

use super::Verdict;
use Limit::{Least, Most};
use lars_simulator::{Estimate, Metrics};

/// A bound of a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    /// At most.
    Most(f64),
    /// At least.
    Least(f64),
}

/// One gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// The scenario's file.
    pub(super) scenario: &'static str,
    /// The figure's name, as in the JSON; of node 0 where it is one by node.
    pub(super) figure: &'static str,
    pub(super) of: fn(&Metrics) -> Option<Estimate>,
    pub(super) limit: Limit,
}

impl Gate {
    /// A figure that does not apply in every run misses its gate.
    pub(super) fn judge(&self, metrics: &Metrics) -> Verdict {
        let runs = metrics.errors_share.map_or(0, |errors| errors.seeds);
        let estimate = (self.of)(metrics).filter(|estimate| estimate.seeds == runs);
        let (must, holds) = match self.limit {
            Most(most) => (
                format!("<= {most}"),
                estimate.is_some_and(|mean| mean.mean <= most),
            ),
            Least(least) => (
                format!(">= {least}"),
                estimate.is_some_and(|mean| mean.mean >= least),
            ),
        };
        Verdict {
            figure: self.figure,
            must,
            holds,
        }
    }
}

const fn gate(
    scenario: &'static str,
    figure: &'static str,
    of: fn(&Metrics) -> Option<Estimate>,
    limit: Limit,
) -> Gate {
    Gate {
        scenario,
        figure,
        of,
        limit,
    }
}

const ERRORS: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.errors_share;
const P99: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.p99_ms;
const GOODPUT: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.goodput_share;
const REFUSED: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.refused;
const SHARE: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.share_after_fault.get(&0).copied()?;
const EJECTION: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.first_ejection_s.get(&0).copied()?;
const READMISSION: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.readmission_s.get(&0).copied()?;
const PEAK_SHARE: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.peak_share_10s.get(&0).copied()?;
const FALSE_EJECTIONS: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.false_ejections_per_hour;
const PEAK_LOAD: fn(&Metrics) -> Option<Estimate> = |metrics| metrics.peak_load_over_mean;

/// All of them.
pub(super) const GATES: [Gate; 19] = [
    gate("one_dead", "share_after_fault", SHARE, Most(0.000_5)),
    gate("one_dead_few_calls", "share_after_fault", SHARE, Most(0.01)),
    gate("one_dead_few_calls", "first_ejection_s", EJECTION, Most(5.0)),
    gate("one_dead_of_hundred", "share_after_fault", SHARE, Most(0.000_3)),
    gate("slow_half", "p99_ms", P99, Most(105.0)),
    gate("slow_half_full", "errors_share", ERRORS, Most(0.0)),
    gate("slow_half_full", "p99_ms", P99, Most(225.0)),
    // 0% to two digits: one call in 28 that a node 30 times slower has taken up takes longer than a second, and the first
    // ones are under way before anyone can know.
    gate("one_slow", "errors_share", ERRORS, Most(0.000_05)),
    gate("one_slow", "p99_ms", P99, Most(50.0)),
    gate("one_fails_fast", "errors_share", ERRORS, Most(0.000_5)),
    gate("noise", "false_ejections_per_hour", FALSE_EJECTIONS, Most(1.0)),
    gate("heal", "readmission_s", READMISSION, Most(5.0)),
    gate("heal", "peak_share_10s", PEAK_SHARE, Most(0.12)),
    gate("dead_40_percent", "goodput_share", GOODPUT, Least(0.99)),
    gate("dead_40_percent", "refused", REFUSED, Most(0.0)),
    gate("dead_60_percent", "goodput_share", GOODPUT, Least(0.99)),
    gate("dead_60_percent", "refused", REFUSED, Most(0.0)),
    gate("dead_100_percent", "goodput_share", GOODPUT, Least(0.99)),
    gate("start_together", "peak_load_over_mean", PEAK_LOAD, Most(1.3)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::{committed, report};
    use lars_simulator::{Compared, Policy};

    #[test]
    fn every_gate_has_its_scenario_and_each_figure_one_that_applies_there() {
        let scenarios = committed().expect("the scenarios");
        for gate in &GATES {
            assert!(scenarios.contains_key(gate.scenario), "{}", gate.scenario);
        }
    }

    #[test]
    fn gate_holds_up_to_its_limit_and_what_does_not_apply_misses() {
        let scenario = &committed().expect("the scenarios")["one_dead_few_calls"];
        let report = report(scenario, &Policy::Compared(Compared::RoundRobin), 2).expect("a report");
        let mut metrics = report.metrics;
        let ejection = gate("x", "first_ejection_s", EJECTION, Most(1e9));
        assert!(!ejection.judge(&metrics).holds, "round robin ejects nobody");
        let mean = SHARE(&metrics).expect("a share").mean;
        for (limit, holds) in [
            (Most(mean), true),
            (Most(mean * 0.999), false),
            (Least(mean), true),
            (Least(mean * 1.001), false),
        ] {
            assert_eq!(
                gate("x", "share", SHARE, limit).judge(&metrics).holds,
                holds,
                "{limit:?}"
            );
        }
        // One of two runs is not all of them.
        let share = metrics.share_after_fault.get_mut(&0).expect("node 0");
        share.as_mut().expect("a share").seeds = 1;
        assert!(!gate("x", "share", SHARE, Most(1.0)).judge(&metrics).holds);
    }
}
