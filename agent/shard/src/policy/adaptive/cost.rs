//! What a call to a node costs, as a latency: a mean that remembers about a second, and never less than some calls.
//!
//! A mean, not a peak: with many readers that know the same, a peak sends all of them to the node that was lucky.

use super::Rule;
use std::time::{Duration, Instant};

/// One node's cost.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// The calls that are remembered, and the sum of what they were charged; both fade.
    held: f32,
    held_us: f32,
    /// When they faded last.
    at: Instant,
    /// Calls since, and what they are charged.
    calls: u32,
    charged_us: f64,
}

impl Cost {
    /// A node of which nothing is known.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            held: 0.0,
            held_us: 0.0,
            at: now,
            calls: 0,
            charged_us: 0.0,
        }
    }

    /// The calls that are remembered.
    pub(super) fn held(&self) -> f64 {
        f64::from(self.held)
    }

    /// So many calls are charged so much each.
    #[inline]
    pub(super) fn charge(&mut self, calls: u32, each_us: f32) {
        self.calls = self.calls.saturating_add(calls);
        self.charged_us += f64::from(calls) * f64::from(each_us);
    }

    /// Brings it up to now: old calls fade, quickly as long as there are enough newer ones, and slowly where calls are few.
    pub(super) fn settle(&mut self, rule: &Rule, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now;
        if self.held > 0.0 {
            let soon = self.held * (1.0 - fraction(elapsed, rule.cost_tau));
            let late = self.held * (1.0 - fraction(elapsed, rule.cost_forget));
            let left = soon.max(late.min(rule.cost_calls_min));
            self.held_us *= left / self.held;
            self.held = left;
        }
        self.held += self.calls as f32;
        self.held_us += self.charged_us as f32;
        (self.calls, self.charged_us) = (0, 0.0);
    }

    /// A new life: what was known of it says nothing any more.
    pub(super) fn forget(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// The mean of the calls that are remembered and of as many as count as few, each as long as the module's mean: so
    /// a node of which little is known costs as much as the others.
    pub(super) fn us(&self, rule: &Rule, typical_us: f32) -> f32 {
        let assumed = rule.cost_calls_min;
        ((self.held_us + assumed * typical_us) / (self.held + assumed)).max(1.0)
    }
}

/// The part of a mean that is replaced after `elapsed`: an exponential one to first order, exact enough for steps that
/// are short against `tau`, never above 1, and the same on every machine.
pub(super) fn fraction(elapsed: Duration, tau: Duration) -> f32 {
    let (elapsed, tau) = (elapsed.as_secs_f32(), tau.as_secs_f32());
    if elapsed <= 0.0 {
        0.0
    } else {
        elapsed / (elapsed + tau)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyConfig;

    fn rule() -> Rule {
        Rule::new(&PolicyConfig::default())
    }

    #[test]
    fn cost_follows_calls_with_its_time_constant() {
        let (rule, start) = (rule(), Instant::now());
        let mut cost = Cost::new(start);
        assert_eq!(cost.us(&rule, 500.0), 500.0);
        // 100 calls every 10 ms for 20 s, then others for a second: 1/e of the difference is left, about.
        let mut run = |from: u64, to: u64, us| {
            for step in from..to {
                cost.charge(100, us);
                cost.settle(&rule, start + Duration::from_millis(10 * step));
            }
            cost.us(&rule, 500.0)
        };
        assert!((598.0..600.0).contains(&run(0, 2_000, 600.0)));
        let left = (1_600.0 - run(2_000, 2_100, 1_600.0)) / 1_000.0;
        assert!((0.36..0.39).contains(&left), "{left}");
    }

    #[test]
    fn few_calls_move_a_cost_as_far_as_their_number_says_and_are_forgotten_slowly() {
        let (rule, start) = (rule(), Instant::now());
        let mut cost = Cost::new(start);
        cost.charge(8, 1_000.0);
        cost.settle(&rule, start);
        assert_eq!(
            cost.us(&rule, 100.0),
            400.0,
            "eight against the sixteen that are assumed"
        );
        cost.settle(&rule, start + rule.cost_forget);
        assert_eq!(cost.us(&rule, 100.0), 280.0, "four against sixteen");
        cost.forget(start);
        assert_eq!(cost.us(&rule, 77.0), 77.0);
    }
}
