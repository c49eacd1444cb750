//! Who goes and who comes back: the evidence against a node, weighed against the other nodes, and the bounds within which
//! nodes may be taken out of use.

use super::{Group, Judged, Turn, Usual, is_used};
use crate::policy::adaptive::Rule;
use crate::policy::adaptive::mind::Mind;
use crate::policy::adaptive::reason::Cause;
use crate::policy::adaptive::window::{Counts, wilson_lower};
use std::time::{Duration, Instant};

/// How improbable the silence of one call may be at most: no clock and no network is better than one in 100,000.
const CALL_SURPRISE_MAX: f64 = 11.5;
/// So many calls surely do not wait for each other at a node.
const CALLS_APART: f64 = 2.0;
/// A node's failure rate must exceed that of the others so many times.
const OTHERS_FACTOR: f64 = 3.0;
/// A run of failures must be so improbable, by the failure rate of the others; its limit grows so many times at most.
const RUN_CHANCE: f64 = 1e-6;
const RUN_GROWTH_MAX: u32 = 4;
/// A run so many times as long as the limit is that of a node that fails every call.
const HOPELESS: u32 = 2;

impl Group {
    /// Who has evidence against it goes, as far as it may: while another answers, and within the cap unless it is of no
    /// use at all.
    pub(super) fn go<N: Judged>(&mut self, rule: &Rule, usual: &Usual, nodes: &mut [N], turn: &mut Turn) {
        let answers = |node: &&N| is_used(*node) && node.mind().is_some_and(|mind| mind.answers);
        let answering = nodes.iter().filter(answers).count();
        if self.hopeless && answering > 0 {
            self.hopeless = false;
            let silent = nodes
                .iter_mut()
                .filter_map(N::mind_mut)
                .filter(|mind| !mind.answers);
            silent.for_each(|mind| mind.pardon(usual.now));
        }
        let latest = latest_answers(nodes, usual.now);
        let mut out = usual.serving - nodes.iter().filter(|node| is_used(*node)).count();
        let stand_back = -libm::log(rule.silence_stand_back);
        for node in nodes.iter_mut() {
            let serves = node.serves();
            let Some(mind) = node.mind_mut().filter(|mind| mind.is_in()) else {
                continue;
            };
            let slower = mind.cost.us(rule, usual.mean_us) / usual.mean_us;
            let each_max = -libm::log(mind.lost.likely(usual.lost));
            let each_max = each_max.min(CALL_SURPRISE_MAX);
            let surprise = |calls_max| {
                mind.silence
                    .surprise(usual.now, &self.latency, each_max, calls_max, slower)
            };
            let all = surprise(f64::INFINITY);
            mind.stands_back = all > stand_back;
            // To stand back costs little and is undone by an answer; to go wants calls that do not wait for each other.
            let surprise = if mind.stands_back {
                let (_, oldest) = mind.silence.waiting(usual.now);
                let expected = mind.lost.ended_per_s() * oldest.as_secs_f64();
                all.min(expected).max(surprise(CALLS_APART))
            } else {
                0.0
            };
            let evidence = evidence(rule, usual, mind, surprise);
            mind.kept = serves && evidence.is_some();
            mind.is_hopeless = evidence.is_some_and(|(_, hopeless)| hopeless);
            let Some((cause, hopeless)) = evidence.filter(|_| serves) else {
                continue;
            };
            // Others must have answered in the latter half of the time for which it has not: else it may well be us.
            let unanswered = mind.unanswered(usual.now);
            let [first, second] = latest;
            let others = if mind.answers && first == Some(unanswered) {
                second
            } else {
                first
            };
            let others_answer = others.is_some_and(|others| !hopeless || others <= unanswered / 2);
            let has_room = (out + 1) as f64 <= rule.ejected_share_max * usual.serving as f64;
            if others_answer && (hopeless || has_room) {
                mind.eject(rule, usual.now, cause);
                out += 1;
                turn.publish = true;
            } else {
                mind.end_probation();
            }
        }
    }

    /// Where too few are left those are used again that answer at all, and all of them where none does.
    pub(super) fn panic<N: Judged>(&mut self, rule: &Rule, usual: &Usual, nodes: &mut [N], turn: &mut Turn) {
        let left = nodes.iter().filter(|node| is_used(*node)).count();
        let hopes = |node: &&N| is_used(*node) && node.mind().is_some_and(|mind| !mind.is_hopeless);
        let hopeless = usual.serving > 0 && nodes.iter().filter(hopes).count() == 0;
        self.hopeless |= hopeless;
        let is_few = (left as f64) < rule.panic_share * usual.serving as f64;
        if !is_few && !hopeless {
            return;
        }
        for node in nodes.iter_mut().filter(|node| node.serves()) {
            let Some(mind) = node.mind_mut().filter(|mind| !mind.is_in()) else {
                continue;
            };
            if hopeless || !mind.is_hopeless {
                mind.cause = Cause::Panic {
                    left: left as u32,
                    nodes: usual.serving as u32,
                };
                mind.take_back(rule, usual.now);
                turn.publish = true;
            }
        }
    }
}

/// Nodes whose probes say that they may be used again.
pub(super) fn come_back<N: Judged>(rule: &Rule, now: Instant, nodes: &mut [N], turn: &mut Turn) {
    for mind in nodes.iter_mut().filter_map(N::mind_mut) {
        if mind.wants_back() {
            mind.take_back(rule, now);
            turn.publish = true;
        }
    }
}

/// What speaks against a node, and whether it is of no use at all.
fn evidence(rule: &Rule, usual: &Usual, mind: &Mind, surprise: f64) -> Option<(Cause, bool)> {
    if surprise >= usual.silence_limit {
        let (calls, oldest) = mind.silence.waiting(usual.now);
        let cause = Cause::Silence {
            calls,
            oldest,
            surprise,
            limit: usual.silence_limit,
        };
        return Some((cause, true));
    }
    if mind.relapsed() {
        let failures = mind.probation_failures;
        let hopeless = mind.run > 0 && mind.run == mind.run_timed_out;
        return Some((Cause::Relapse { failures }, hopeless));
    }
    let own = mind.window.counts();
    if own.failed == 0 && own.slow == 0 && mind.run == 0 {
        return None;
    }
    let others = Counts {
        calls: usual.counts.calls.saturating_sub(own.calls),
        failed: usual.counts.failed.saturating_sub(own.failed),
        slow: usual.counts.slow.saturating_sub(own.slow),
    };
    let others_fail = usual.failure_rate;
    run(rule, mind, others_fail).or_else(|| {
        let is_enough = own.calls >= rule.rate_calls_min;
        let rates = || failure_rate(rule, own, others_fail).or_else(|| slow_rate(rule, own, others));
        let cause = is_enough.then(rates).flatten()?;
        Some((cause, false))
    })
}

/// How long ago the two nodes answered, of those in use that answer, that did so last.
fn latest_answers<N: Judged>(nodes: &[N], now: Instant) -> [Option<Duration>; 2] {
    let mut latest = [None::<Duration>; 2];
    let minds = nodes.iter().filter(|node| is_used(*node)).filter_map(N::mind);
    for ago in minds.filter(|mind| mind.answers).map(|mind| mind.unanswered(now)) {
        if latest[0].is_none_or(|first| ago < first) {
            latest = [Some(ago), latest[0]];
        } else if latest[1].is_none_or(|second| ago < second) {
            latest[1] = Some(ago);
        }
    }
    latest
}

/// Failures in a row, too many to be chance.
fn run(rule: &Rule, mind: &Mind, others_fail: f64) -> Option<(Cause, bool)> {
    let chance = (libm::log(RUN_CHANCE) / libm::log(others_fail)).ceil() as u32;
    let limit = chance.clamp(rule.failure_run, RUN_GROWTH_MAX * rule.failure_run);
    let hopeless = mind.run == mind.run_timed_out || mind.run >= HOPELESS * limit;
    let cause = Cause::Run {
        failures: mind.run,
        limit,
        timed_out: mind.run_timed_out,
    };
    (mind.run >= limit).then_some((cause, hopeless))
}

fn failure_rate(rule: &Rule, own: Counts, others_fail: f64) -> Option<Cause> {
    let surely = wilson_lower(own.failed, own.calls, rule.rate_deviations);
    let limit = rule.failure_rate_max.max(OTHERS_FACTOR * others_fail);
    (surely > limit).then_some(Cause::Rate {
        counts: own,
        surely,
        limit,
    })
}

/// Slow where the others are not.
fn slow_rate(rule: &Rule, own: Counts, others: Counts) -> Option<Cause> {
    let surely = wilson_lower(own.slow, own.calls, rule.rate_deviations);
    let others_slow = f64::from(others.slow) / f64::from(others.calls.max(1));
    (surely > rule.slow_rate_max && others_slow < rule.slow_rate_max / OTHERS_FACTOR)
        .then_some(Cause::Slow { counts: own, surely })
}
