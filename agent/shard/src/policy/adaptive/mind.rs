//! One node: what its calls said, whether it is used, and the evidence for and against it. What is decided for all nodes
//! of a module together stands in `group`.

use super::Rule;
use super::cost::Cost;
use super::latency::Latency;
use super::lost::{Lost, Sight};
use super::reason::Cause;
use super::silence::Silence;
use super::window::{Counts, Window};
use crate::policy::InFlight;
use lars_board::{Hot, NodeSlot};
use lars_wire::caller::{NodeView, Outcome};
use std::time::{Duration, Instant};

/// A node that was taken back is on probation for so many calls: two of them that fail or are slow are enough, or one
/// time-out.
const PROBATION_CALLS: u32 = 10;
const PROBATION_FAILURES: u32 = 2;
/// By how much a call must be longer than usual to be slow at all: the first one to a node that was away sets up a
/// connection, which takes many times as long as a call of a tenth of a millisecond and says nothing about the node.
const SLOW_EXCESS_US: f32 = 5_000.0;

/// Calls of a node that ended alike, as the mind is told of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) calls: u32,
    /// Of each, in the mean.
    pub(crate) latency_us: u32,
    /// Whether the picks were probes.
    pub(crate) probe: bool,
    /// Whether they counted as in flight, as far as the agent's own process counts.
    pub(crate) counted: bool,
}

/// A probe that was granted and has not been answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) at: Instant,
    /// Calls of the module since.
    pub(super) calls: u32,
    /// Whether it was seen in flight.
    pub(super) taken: bool,
}

/// Whether a node is used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    /// It takes picks.
    In,
    /// It takes probes alone.
    Out {
        /// When the last probe began, else when it was ejected.
        waits_from: Instant,
        /// When the next probe is due; none where that was not decided yet.
        probe_at: Option<Instant>,
        probe: Option<Granted>,
        /// Nobody takes granted probes: readers are let through to it now and then instead.
        ajar: bool,
    },
}

/// What is remembered of one node.
#[derive(Clone, Debug)]
pub struct Mind {
    pub(super) cost: Cost,
    pub(super) window: Window,
    pub(super) silence: Silence,
    pub(super) lost: Lost,
    pub(super) standing: Standing,
    pub(super) cause: Cause,
    pub(super) since: Instant,
    /// Failures, and among them time-outs, since the last success.
    pub(super) run: u32,
    pub(super) run_timed_out: u32,
    /// Whether its last call that ended was a success.
    pub(super) answers: bool,
    /// When a call last succeeded.
    succeeded: Option<Instant>,
    /// Calls that began before this say nothing about how it is now.
    judged_from: Instant,
    /// Failed probes since it was last well for a while, and how often it was taken back too early.
    pub(super) tries: u32,
    pub(super) relapses: u32,
    /// Calls of its probation that are left, and failures among those that were.
    probation: u32,
    pub(super) probation_failures: u32,
    /// When it began to warm up, and how long that takes.
    warming: Option<(Instant, Duration)>,
    /// Whether it is held back until it answers.
    pub(super) stands_back: bool,
    /// Whether there is evidence enough, and it is used all the same.
    pub(super) kept: bool,
    /// Whether that evidence says that it is of no use at all.
    pub(super) is_hopeless: bool,
    /// As last published.
    pub(super) published: Hot,
}

impl Mind {
    /// A node that nothing is known of; `warms` where it came into a route that was there before.
    pub fn new(rule: &Rule, now: Instant, warms: bool) -> Self {
        Self {
            cost: Cost::new(now),
            window: Window::new(now),
            silence: Silence::new(now),
            lost: Lost::default(),
            standing: Standing::In,
            cause: Cause::New,
            since: now,
            run: 0,
            run_timed_out: 0,
            answers: false,
            succeeded: None,
            judged_from: now,
            tries: 0,
            relapses: 0,
            probation: 0,
            probation_failures: 0,
            warming: (warms && !rule.slow_start.is_zero()).then_some((now, rule.slow_start)),
            stands_back: false,
            kept: false,
            is_hopeless: false,
            published: Hot::UNKNOWN,
        }
    }

    /// Something of each part.
    pub(crate) fn look_ahead(&self) -> f64 {
        let counts = [
            self.window.counts().calls,
            self.silence.calls(),
            self.run,
            self.tries,
        ];
        let counts: f64 = counts.map(f64::from).iter().sum();
        self.cost.held() + self.lost.losses_known() + counts + f64::from(self.published.cost_us)
    }

    /// Calls ended. Returns whether that may change how the node stands, so that it should be judged at once.
    pub(super) fn record(&mut self, rule: &Rule, latency: &mut Latency, now: Instant, ended: &Ended) -> bool {
        let Ended {
            calls, latency_us, ..
        } = *ended;
        let mean_us = latency.mean_us();
        // 0 stands for what the caller did not say: as long as usual.
        let is_told = latency_us > 0;
        let took_us = if is_told { latency_us as f32 } else { mean_us };
        if ended.counted {
            self.lost.end(calls, took_us);
        }
        let is_slow = latency.calls() > 0 && is_longer(latency_us, mean_us, rule.slow_factor);
        let ok = match ended.outcome {
            Outcome::Cancelled => return false,
            Outcome::Ok => true,
            Outcome::Failed | Outcome::TimedOut => false,
        };
        if !matches!(self.standing, Standing::In) {
            return self.record_out(rule, latency, now, ended, ok);
        }
        if ok {
            latency.add(if is_told { calls } else { 0 }, latency_us);
            self.cost.charge(calls, took_us);
            self.succeed(now);
        } else {
            let charge = (latency_us as f32).max(rule.failure_charge * mean_us);
            self.cost.charge(calls, charge);
            self.fail(now, ended, latency);
        }
        self.window.add(Counts {
            calls,
            failed: if ok { 0 } else { calls },
            slow: if is_slow { calls } else { 0 },
        });
        if self.probation > 0 {
            self.probation = self.probation.saturating_sub(calls);
            if !ok || is_slow {
                let weight = if ended.outcome == Outcome::TimedOut {
                    PROBATION_FAILURES
                } else {
                    1
                };
                self.probation_failures += weight;
            }
        }
        (!ok && self.run >= rule.failure_run) || self.relapsed()
    }

    /// Learns how many calls in flight will never be reported, and forgives them. Returns how many are in flight then.
    pub(super) fn settle_lost(&mut self, sight: &Sight<'_>, in_flight: &dyn InFlight, slot: NodeSlot) -> u32 {
        let forgiven = self.lost.look(sight);
        if forgiven > 0 {
            in_flight.forgive(slot, forgiven);
        }
        sight.held.saturating_sub_unsigned(forgiven).max(0) as u32
    }

    fn succeed(&mut self, now: Instant) {
        self.silence.answer();
        (self.run, self.run_timed_out, self.answers) = (0, 0, true);
        self.succeeded = Some(now);
    }

    fn fail(&mut self, now: Instant, ended: &Ended, latency: &Latency) {
        let timed_out = ended.outcome == Outcome::TimedOut;
        let took = Duration::from_micros(ended.latency_us.into());
        let from = self
            .succeeded
            .map_or(self.judged_from, |at| at.max(self.judged_from));
        if timed_out && now.saturating_duration_since(from) < took {
            // It began before the last success: it belongs to what was before.
            return;
        }
        self.run = self.run.saturating_add(ended.calls);
        self.answers = false;
        if timed_out {
            self.run_timed_out = self.run_timed_out.saturating_add(ended.calls);
            self.silence.time_out(ended.calls, took, latency);
        } else {
            self.silence.answer();
        }
    }

    /// An ejected node's call ended. Only a probe speaks for or against it: what was under way when it was ejected is what
    /// it was ejected for.
    fn record_out(
        &mut self,
        rule: &Rule,
        latency: &mut Latency,
        now: Instant,
        ended: &Ended,
        ok: bool,
    ) -> bool {
        let Standing::Out {
            waits_from,
            probe_at,
            probe,
            ajar,
        } = &mut self.standing
        else {
            return false;
        };
        if !(*ajar || ended.probe && probe.is_some()) {
            return false;
        }
        // Half way to slow is not well enough for one that is to come back.
        let is_slow =
            latency.calls() > 0 && is_longer(ended.latency_us, latency.mean_us(), rule.slow_factor / 2.0);
        if ok && !is_slow {
            self.cause = Cause::Probe;
            self.cost.forget(now);
            (self.answers, self.succeeded) = (true, Some(now));
        } else {
            *waits_from = probe.map_or(now, |granted| granted.at);
            (*probe_at, *probe, *ajar) = (None, None, false);
            self.tries = self.tries.saturating_add(1);
        }
        true
    }

    /// Whether a node that was taken back has failed again at once.
    pub(super) fn relapsed(&self) -> bool {
        self.probation_failures >= PROBATION_FAILURES
    }

    /// Whether the calls of an ejected node say that it may be used again.
    pub(super) fn wants_back(&self) -> bool {
        !matches!(self.standing, Standing::In) && self.cause.is_return()
    }

    /// It is used again, for the cause that stands already.
    pub(super) fn take_back(&mut self, rule: &Rule, now: Instant) {
        let was_tried = matches!(self.cause, Cause::Probe);
        self.standing = Standing::In;
        (self.since, self.judged_from) = (now, now);
        (self.run, self.run_timed_out) = (0, 0);
        self.window = Window::new(now);
        self.silence = Silence::new(now);
        self.lost.interrupt();
        (self.stands_back, self.kept, self.is_hopeless) = (false, false, false);
        self.probation_failures = 0;
        self.probation = if was_tried { PROBATION_CALLS } else { 0 };
        let warms = was_tried && !rule.slow_start_recovered.is_zero();
        self.warming = warms.then_some((now, rule.slow_start_recovered));
    }

    /// It gets probes alone from now on.
    pub(super) fn eject(&mut self, rule: &Rule, now: Instant, cause: Cause) {
        let lasted = now.saturating_duration_since(self.since);
        if lasted > 2 * rule.back_off_max {
            // Well for long enough: what was before is forgotten.
            (self.tries, self.relapses) = (0, 0);
        } else if matches!(self.cause, Cause::Probe) {
            self.relapses = self.relapses.saturating_add(1);
        }
        self.standing = Standing::Out {
            waits_from: now,
            probe_at: None,
            probe: None,
            ajar: false,
        };
        (self.cause, self.since) = (cause, now);
        (self.stands_back, self.kept, self.warming) = (false, false, None);
        self.end_probation();
    }

    /// All of what spoke against it was before others answered, and says nothing.
    pub(super) fn pardon(&mut self, now: Instant) {
        (self.run, self.run_timed_out) = (0, 0);
        self.silence = Silence::new(now);
        self.window = Window::new(now);
        self.judged_from = now;
        self.end_probation();
    }

    /// For how long it has not answered well.
    pub(super) fn unanswered(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.succeeded.unwrap_or(self.since))
    }

    /// What its probation said is used up.
    pub(super) fn end_probation(&mut self) {
        (self.probation, self.probation_failures) = (0, 0);
    }

    /// Whether calls that go well change nothing before the next look: not while each of them may bring it back, or may speak
    /// against it because it is slow.
    pub(crate) fn may_wait(&self) -> bool {
        self.is_in() && self.probation == 0 && !self.relapsed()
    }

    /// Whether it gets picks.
    pub(super) fn is_in(&self) -> bool {
        matches!(self.standing, Standing::In)
    }

    /// How readers are to see it, its operator's wish apart.
    pub(crate) fn view(&self) -> NodeView {
        match self.standing {
            Standing::Out { ajar: true, .. } => NodeView::Idle,
            _ => self.standing(),
        }
    }

    /// How it stands: one that is left ajar is being probed.
    pub(crate) fn standing(&self) -> NodeView {
        match self.standing {
            Standing::In => NodeView::Idle,
            Standing::Out { ajar: true, .. } | Standing::Out { probe: Some(_), .. } => NodeView::Probing,
            Standing::Out { probe: None, .. } => NodeView::Overloaded,
        }
    }

    /// What readers are to know, which changes often.
    pub(super) fn hot(&mut self, rule: &Rule, now: Instant, typical_us: f32) -> Hot {
        Hot {
            cost_us: self.cost.us(rule, typical_us) + rule.cost_base_us,
            warmth: self.warmth(rule, now),
        }
    }

    fn warmth(&mut self, rule: &Rule, now: Instant) -> u8 {
        const COLDEST: u8 = 1;
        if self.stands_back || !self.is_in() {
            return COLDEST;
        }
        let Some((begun, length)) = self.warming else {
            return Hot::WARM;
        };
        let elapsed = now.saturating_duration_since(begun);
        if elapsed >= length {
            self.warming = None;
            return Hot::WARM;
        }
        let part = elapsed.as_secs_f64() / length.as_secs_f64();
        let share = rule.slow_start_from + (1.0 - rule.slow_start_from) * part;
        ((share * f64::from(Hot::WARM)) as u8).clamp(COLDEST, Hot::WARM - 1)
    }

    /// Whether time alone changes its warmth.
    pub(super) fn is_warming(&self) -> bool {
        self.warming.is_some()
    }

    /// Since when it stands so.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// When the next probe is due; none while it is used, or one is under way.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        match self.standing {
            Standing::Out {
                probe_at,
                probe: None,
                ..
            } => probe_at,
            _ => None,
        }
    }

    /// What readers were told last.
    pub(crate) fn published(&self) -> Hot {
        self.published
    }

    /// Which rule put it there, with its numbers.
    pub(crate) fn reason(&self, rule: &Rule) -> String {
        self.cause.text(rule, self)
    }
}

/// Whether a call took more than `factor` times as long as usual, and noticeably longer.
fn is_longer(latency_us: u32, mean_us: f32, factor: f32) -> bool {
    let latency_us = latency_us as f32;
    latency_us > factor * mean_us && latency_us > mean_us + SLOW_EXCESS_US
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_slow_by_factor_and_by_milliseconds() {
        assert!(
            !is_longer(5_000, 100.0, 10.0),
            "fifty times as long, but a connection was set up"
        );
        assert!(is_longer(5_200, 100.0, 10.0));
        assert!(!is_longer(100_000, 10_000.0, 10.0));
        assert!(is_longer(100_001, 10_000.0, 10.0));
    }
}
