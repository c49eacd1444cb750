//! A breaker a node, as Linkerd documents it ("Circuit breaking", failure accrual): 7 failures in a row shut a node out
//! for 1 s, each time twice as long up to 60 s, and up to half of that more by chance; then one call is let through,
//! whose success opens it again and whose failure shuts it for longer.

use crate::balancer::Shift;
use crate::scenario::SECOND;
use fastrand::Rng;

const FAILURES_MAX: u32 = 7;
const PENALTY_MIN: u64 = SECOND;
const PENALTY_MAX: u64 = 60 * SECOND;
const JITTER: f64 = 0.5;

/// The token of a call that is let through on probation.
pub(super) const PROBE: u64 = 1;

/// One node's breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Breaker {
    /// Takes calls.
    Open {
        /// Failures since the last success.
        failures: u32,
    },
    /// Takes none.
    Shut {
        /// Until then.
        until: u64,
        /// The penalty without its jitter.
        penalty: u64,
    },
    /// Takes one call.
    Probation {
        /// Whether it is under way.
        probing: bool,
        /// The penalty that was served.
        penalty: u64,
    },
}

impl Breaker {
    pub(super) const NEW: Self = Self::Open { failures: 0 };

    pub(super) fn is_available(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Probation { probing: false, .. })
    }

    /// A call is sent; returns its token.
    pub(super) fn send(&mut self) -> u64 {
        match self {
            Self::Probation { probing, .. } if !*probing => {
                *probing = true;
                PROBE
            }
            _ => 0,
        }
    }

    /// A call ended. What was under way when the breaker shut says nothing new, unless it succeeded.
    pub(super) fn end(
        &mut self,
        now: u64,
        node: u32,
        ok: bool,
        token: u64,
        random: &mut Rng,
        shifts: &mut Vec<Shift>,
    ) {
        match *self {
            Self::Open { .. } if ok => *self = Self::NEW,
            Self::Open { failures } if failures + 1 < FAILURES_MAX => {
                *self = Self::Open {
                    failures: failures + 1,
                };
            }
            Self::Open { .. } => {
                *self = shut(now, PENALTY_MIN, random);
                shifts.push(Shift::Ejected(node));
            }
            Self::Shut { .. } | Self::Probation { .. } if ok => {
                *self = Self::NEW;
                shifts.push(Shift::Readmitted(node));
            }
            Self::Probation { penalty, .. } if token == PROBE => {
                *self = shut(now, (2 * penalty).min(PENALTY_MAX), random);
            }
            Self::Shut { .. } | Self::Probation { .. } => {}
        }
    }

    /// Whether its penalty is over; it is then on probation.
    pub(super) fn turn(&mut self, now: u64) -> bool {
        match *self {
            Self::Shut { until, penalty } if until <= now => {
                *self = Self::Probation {
                    probing: false,
                    penalty,
                };
                true
            }
            _ => false,
        }
    }
}

fn shut(now: u64, penalty: u64, random: &mut Rng) -> Breaker {
    let jitter = penalty as f64 * JITTER * random.f64();
    Breaker::Shut {
        until: now + (penalty + jitter as u64).min(PENALTY_MAX),
        penalty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        breaker: Breaker,
        random: Rng,
        shifts: Vec<Shift>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                breaker: Breaker::NEW,
                random: Rng::with_seed(3),
                shifts: Vec::new(),
            }
        }

        fn end(&mut self, now: u64, ok: bool, token: u64) {
            self.breaker
                .end(now, 4, ok, token, &mut self.random, &mut self.shifts);
        }

        fn until(&self) -> u64 {
            match self.breaker {
                Breaker::Shut { until, .. } => until,
                other => panic!("{other:?} is not shut"),
            }
        }
    }

    #[test]
    fn seventh_failure_in_a_row_shuts_and_a_success_before_it_does_not() {
        let mut bench = Bench::new();
        for ok in [false, false, false, false, false, false, true] {
            bench.end(0, ok, 0);
        }
        for _ in 0..6 {
            bench.end(0, false, 0);
        }
        assert!(bench.breaker.is_available());
        bench.end(0, false, 0);
        assert_eq!(bench.shifts, [Shift::Ejected(4)]);
        assert!((SECOND..=SECOND * 3 / 2).contains(&bench.until()));
    }

    #[test]
    fn probation_lets_one_call_through_and_its_failure_doubles_the_penalty_up_to_a_minute() {
        let mut bench = Bench::new();
        for _ in 0..7 {
            bench.end(0, false, 0);
        }
        for penalty in [2, 4, 8, 16, 32, 60, 60] {
            let now = bench.until();
            assert!(!bench.breaker.turn(now - 1) && bench.breaker.turn(now));
            assert!(bench.breaker.is_available());
            assert_eq!(bench.breaker.send(), PROBE);
            assert!(!bench.breaker.is_available());
            bench.end(now, false, 0);
            assert!(!bench.breaker.is_available(), "an older call says nothing");
            bench.end(now, false, PROBE);
            let served = bench.until() - now;
            let most = (penalty * SECOND * 3 / 2).min(PENALTY_MAX);
            assert!(
                (penalty * SECOND..=most).contains(&served),
                "{served} for {penalty}"
            );
        }
        let now = bench.until();
        bench.breaker.turn(now);
        bench.breaker.send();
        bench.end(now, true, PROBE);
        assert_eq!(bench.breaker, Breaker::NEW);
        assert_eq!(bench.shifts, [Shift::Ejected(4), Shift::Readmitted(4)]);
    }
}
