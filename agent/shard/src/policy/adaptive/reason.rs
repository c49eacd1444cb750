//! Why a node stands as it does, with the numbers that decided, and in words for people.

use super::Rule;
use super::mind::Mind;
use super::window::Counts;
use std::time::Duration;

/// What put a node where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// It came with a route.
    New,
    /// Ejected: so many failures in a row, where so many were the limit; so many of them time-outs.
    Run {
        failures: u32,
        limit: u32,
        timed_out: u32,
    },
    /// Ejected: its failure rate. The bound that it surely exceeds, and the one that it must not.
    Rate { counts: Counts, surely: f64, limit: f64 },
    /// Ejected: its share of slow calls.
    Slow { counts: Counts, surely: f64 },
    /// Ejected: calls that did not come back, the oldest for so long, and the surprise of that and its limit.
    Silence {
        calls: u32,
        oldest: Duration,
        surprise: f64,
        limit: f64,
    },
    /// Ejected: taken back, and failed at once.
    Relapse { failures: u32 },
    /// Taken back: a probe was answered well.
    Probe,
    /// Taken back: too few nodes were left, or none that answers.
    Panic { left: u32, nodes: u32 },
}

impl Cause {
    /// Whether it is back in use, or is to be.
    pub(super) fn is_return(self) -> bool {
        matches!(self, Self::Probe | Self::Panic { .. })
    }

    pub(super) fn text(self, rule: &Rule, mind: &Mind) -> String {
        let text = match self {
            Self::New => "in the route".to_owned(),
            Self::Run {
                failures,
                limit,
                timed_out,
            } => format!("{failures} failures in a row (limit {limit}), {timed_out} of them time-outs"),
            Self::Rate {
                counts,
                surely,
                limit,
            } => format!(
                "{} of {} calls failed: surely more than {surely:.3}, and {limit:.3} is the limit",
                counts.failed, counts.calls
            ),
            Self::Slow { counts, surely } => format!(
                "{} of {} calls were {} times slower than usual: surely more than {surely:.2}, and {} is the limit",
                counts.slow, counts.calls, rule.slow_factor, rule.slow_rate_max
            ),
            Self::Silence {
                calls,
                oldest,
                surprise,
                limit,
            } => format!(
                "{calls} calls not answered, the oldest for {} ms: chance e^-{surprise:.1}, and e^-{limit:.1} is the limit",
                oldest.as_millis()
            ),
            Self::Relapse { failures } => {
                format!("taken back, and failed at once ({failures} failed or slow calls)")
            }
            Self::Probe => "a probe was answered".to_owned(),
            Self::Panic { left, nodes } => {
                format!("used for want of others: {left} of {nodes} nodes were left")
            }
        };
        let kept = if mind.kept {
            "; bad, but too many others are out"
        } else if mind.stands_back {
            "; stands back until it answers"
        } else {
            ""
        };
        text + kept
    }
}
