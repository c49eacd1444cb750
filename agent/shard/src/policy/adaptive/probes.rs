//! When an ejected node may be tried: waits that grow, and a budget for the whole module.

use super::Rule;
use std::time::Duration;

/// What a module may spend on probes: earned by its calls, one at most saved up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    saved: f64,
}

impl Budget {
    /// So many calls earn their part.
    #[inline]
    pub(super) fn earn(&mut self, rule: &Rule, calls: u32) {
        self.saved = (self.saved + rule.probe_share * f64::from(calls)).min(1.0);
    }

    /// Pays for a probe, if there is enough.
    pub(super) fn pay(&mut self) -> bool {
        let enough = self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        }
        enough
    }
}

/// How long a node waits for its next probe, where it would have so many calls a second: longer with each failed probe, and
/// five times as long with each time that it was taken back and went again soon.
pub(super) fn wait(
    rule: &Rule,
    tries: u32,
    relapses: u32,
    fair_per_s: f64,
    random: &mut fastrand::Rng,
) -> Duration {
    let wait_max = rule.probe_wait_max.as_secs_f64();
    let growth = |factor: f64, times: u32| (0..times.min(TRIES_MAX)).fold(1.0, |growth, _| growth * factor);
    let first = rule.back_off.as_secs_f64();
    let tried = first * growth(rule.back_off_factor, tries);
    let tried = tried.min(rule.back_off_max.as_secs_f64().max(first));
    let relapsed = (tried * growth(RELAPSE_FACTOR, relapses)).min(wait_max.max(tried));
    let missed = (1.0 / (rule.probe_share * fair_per_s)).min(wait_max);
    // What is no number takes the back-off.
    let wait = if missed > relapsed { missed } else { relapsed };
    let jitter = 1.0 + rule.back_off_jitter * (2.0 * random.f64() - 1.0);
    Duration::from_secs_f64(wait * jitter)
}

/// Beyond so many failed probes a wait grows no more, whatever the factor: 1.001 to this power is 2.8.
const TRIES_MAX: u32 = 1_024;
/// By what a relapse lengthens a wait: with it a node that comes and goes costs few calls at each coming.
const RELAPSE_FACTOR: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyConfig;

    fn rule(jitter: f64) -> Rule {
        Rule::new(&PolicyConfig {
            back_off_jitter: Some(jitter),
            ..PolicyConfig::default()
        })
    }

    #[test]
    fn waits_grow_by_the_factor_up_to_their_bound() {
        let (rule, mut random) = (rule(0.0), fastrand::Rng::with_seed(1));
        let waits = [0, 1, 2, 3, 4, 99].map(|tries| wait(&rule, tries, 0, 1e6, &mut random).as_millis());
        assert_eq!(waits, [4_000, 5_560, 7_728, 10_742, 14_932, 20_000]);
        let relapses = [1, 2, 3].map(|times| wait(&rule, 0, times, 1e6, &mut random).as_secs());
        assert_eq!(relapses, [20, 60, 60]);
    }

    #[test]
    fn node_of_few_calls_waits_for_as_many_as_make_one_probe_but_not_for_ever() {
        let (rule, mut random) = (rule(0.0), fastrand::Rng::with_seed(1));
        assert_eq!(wait(&rule, 0, 0, 10.0, &mut random).as_secs(), 40);
        assert_eq!(wait(&rule, 0, 0, 0.5, &mut random).as_secs(), 60);
        assert_eq!(wait(&rule, 0, 0, 0.0, &mut random).as_secs(), 60);
    }

    #[test]
    fn jitter_stays_within_its_part() {
        let (rule, mut random) = (rule(0.1), fastrand::Rng::with_seed(1));
        let waits: Vec<f64> = (0..1_000)
            .map(|_| wait(&rule, 0, 0, 1e6, &mut random).as_secs_f64())
            .collect();
        assert!(waits.iter().all(|wait| (3.6..=4.4).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 3.7) && waits.iter().any(|wait| *wait > 4.3));
    }

    #[test]
    fn four_hundred_calls_pay_for_one_probe_and_are_not_saved_for_more() {
        let (rule, mut budget) = (rule(0.0), Budget::default());
        budget.earn(&rule, 399);
        assert!(!budget.pay());
        budget.earn(&rule, 1);
        assert!(budget.pay() && !budget.pay());
        budget.earn(&rule, 100_000);
        assert!(budget.pay() && !budget.pay());
    }
}
