//! A module's nodes judged together, every few milliseconds while there are calls: costs are settled, evidence is weighed
//! against what is usual in the module (`verdict`), and ejected nodes are probed (`probing`).

mod probing;
mod verdict;

use super::Rule;
use super::cost::fraction;
use super::latency::Latency;
use super::lost::{Losses, Sight};
use super::mind::{Ended, Mind};
use super::probes::Budget;
use super::window::Counts;
use crate::policy::InFlight;
use lars_board::NodeSlot;
use std::time::{Duration, Instant};

/// Between two looks while calls come, and longer for each node beyond some: 10,000 nodes cost some percent of a core.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_EVERY_NODE: Duration = Duration::from_micros(10);
const NODES_FEW: usize = 100;
/// Between two looks where calls are few: a quarter of the time between two calls, up to this.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(100);
/// A module without reports is looked at for this long: as long as calls count as in flight.
const LOOKED_AT: Duration = Duration::from_secs(15);
/// A look that comes so many times too late concludes nothing from the time in between.
const LATE_MAX: u32 = 5;
/// The rate of calls is a mean of about this long.
const RATE_TAU: Duration = Duration::from_secs(10);
/// A call is waited for twice as long as the longest took, and so long at least: longer than callers usually do.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// The longest is that of about this long.
const LONGEST_TAU: Duration = Duration::from_mins(10);
/// Before anything is known of a module, so many of its reports are taken to get lost, as if so many calls had told.
const LOST_USUAL: f64 = 0.02;
const LOST_CALLS: f64 = 50.0;
/// Bounds of the silence that ejects, whatever the rate of calls.
const SILENCE_LIMIT_MIN: f64 = 9.0;
const SILENCE_LIMIT_MAX: f64 = 20.0;
/// Costs are told anew when they changed by this part.
const COST_STEP: f32 = 1.0 / 32.0;

/// What the group needs to know of a node.
pub(crate) trait Judged {
    /// What is thought of it, where it is judged like this.
    fn mind(&self) -> Option<&Mind>;
    /// The same.
    fn mind_mut(&mut self) -> Option<&mut Mind>;
    /// The number under which readers know it.
    fn slot(&self) -> NodeSlot;
    /// Its weight.
    fn weight(&self) -> u16;
    /// Whether the operator lets it serve.
    fn serves(&self) -> bool;
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Some node stands otherwise.
    pub(crate) publish: bool,
    /// Some node costs otherwise.
    pub(crate) refresh: bool,
    /// The node that is to be probed.
    pub(crate) grant: Option<NodeSlot>,
    /// When to look again; none where nothing happens until a report comes.
    pub(crate) next: Option<Instant>,
}

/// What is remembered of a module.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    latency: Latency,
    budget: Budget,
    born: Instant,
    looked: Instant,
    reported: Instant,
    /// Calls that ended since the last look.
    calls: u32,
    calls_per_s: f64,
    /// How long the longest call took of those that ended, whatever came of it; fades slowly.
    longest_us: f64,
    /// Whether a look is wanted at once.
    urgent: bool,
    /// How far apart looks are to be now: where reports come, and where none do.
    soon: Duration,
    every: Duration,
    /// Whether no node in use answered of late.
    hopeless: bool,
    /// Counts of nodes by their failure rates, for [`Self::better_half`]; kept to spare the allocation.
    rates: Vec<(f64, Counts)>,
}

/// What all nodes are measured against, in one look.
struct Usual {
    now: Instant,
    /// Calls since the last look.
    calls: u32,
    mean_us: f32,
    /// Of all nodes that are in use.
    counts: Counts,
    /// The failure rate of the better half of them.
    failure_rate: f64,
    /// The weight of all nodes that serve, and how many those are.
    weights: u64,
    serving: usize,
    silence_limit: f64,
    /// The share of reports that get lost.
    lost: f64,
}

impl Group {
    /// Nothing is known yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            latency: Latency::new(now),
            budget: Budget::default(),
            born: now,
            looked: now,
            reported: now,
            calls: 0,
            calls_per_s: 0.0,
            longest_us: 0.0,
            urgent: false,
            soon: LOOK_EVERY,
            every: LOOK_EVERY,
            hopeless: false,
            rates: Vec::new(),
        }
    }

    /// Something of each part.
    pub(crate) fn look_ahead(&self) -> f64 {
        f64::from(self.latency.calls())
            + f64::from(self.latency.mean_us())
            + self.calls_per_s
            + self.longest_us
    }

    /// Calls of a node ended. Returns when to look at the latest.
    #[inline]
    pub(crate) fn record(&mut self, rule: &Rule, mind: &mut Mind, now: Instant, ended: &Ended) -> Instant {
        self.calls = self.calls.saturating_add(ended.calls);
        self.reported = self.reported.max(now);
        self.longest_us = self.longest_us.max(ended.latency_us.into());
        self.urgent |= mind.record(rule, &mut self.latency, now, ended);
        self.look_after(now)
    }

    /// When to look at the latest, where calls ended by now.
    #[inline]
    pub(crate) fn look_after(&self, now: Instant) -> Instant {
        if self.urgent {
            now
        } else {
            (self.looked + self.soon).max(now)
        }
    }

    /// Looks at all nodes. `in_flight` tells how many calls a node has that have not ended. The next look, unless it is
    /// urgent, is to come no sooner than after `pause`.
    pub(crate) fn look<N: Judged>(
        &mut self,
        rule: &Rule,
        now: Instant,
        pause: Duration,
        nodes: &mut [N],
        in_flight: &dyn InFlight,
        random: &mut fastrand::Rng,
    ) -> Turn {
        let usual = self.settle(rule, now, nodes, in_flight);
        let mut turn = Turn::default();
        verdict::come_back(rule, now, nodes, &mut turn);
        self.go(rule, &usual, nodes, &mut turn);
        self.panic(rule, &usual, nodes, &mut turn);
        self.probe(rule, &usual, nodes, in_flight, random, &mut turn);
        tell(rule, &usual, nodes, &mut turn);
        self.urgent = false;
        turn.next = self.next(now, pause, nodes);
        turn
    }

    /// Brings means, windows and rates up to now.
    fn settle<N: Judged>(
        &mut self,
        rule: &Rule,
        now: Instant,
        nodes: &mut [N],
        in_flight: &dyn InFlight,
    ) -> Usual {
        let elapsed = now.saturating_duration_since(self.looked);
        self.latency.settle(now, rule.cost_tau, rule.cost_calls_min);
        self.budget.earn(rule, self.calls);
        let part = self.settle_rate(now, elapsed);
        let pause_max = LATE_MAX * self.every;
        self.longest_us *= 1.0 - f64::from(fraction(elapsed, LONGEST_TAU));
        let longest = Duration::from_secs_f64(self.longest_us / 1e6);
        let patience = (2 * longest).max(PATIENCE_MIN);
        let (mean_us, mut counts) = (self.latency.mean_us(), Counts::default());
        let (mut weights, mut serving, mut losses) = (0, 0, Losses::default());
        self.rates.clear();
        for node in nodes.iter_mut() {
            let slot = node.slot();
            weights += if node.serves() {
                u64::from(node.weight())
            } else {
                0
            };
            serving += usize::from(node.serves());
            let Some(mind) = node.mind_mut() else { continue };
            mind.cost.settle(rule, now);
            mind.window.settle(now, rule.rate_window);
            let sight = Sight {
                elapsed,
                held: in_flight.balance(slot),
                answered: mind.silence.is_answered(),
                latency: &self.latency,
                patience,
            };
            let held = mind.settle_lost(&sight, in_flight, slot);
            mind.silence.look(now, held, pause_max, mind.lost.loses());
            mind.silence.fade(part);
            if mind.is_in() {
                let own = mind.window.counts();
                counts.add(own);
                if own.calls > 0 {
                    self.rates.push((rate(own), own));
                }
                losses += mind.lost.losses();
            }
        }
        let limit = libm::log(self.calls_per_s.max(0.001) * 3_600.0 / rule.silence_errors_per_hour);
        let usual = Usual {
            now,
            calls: self.calls,
            mean_us,
            counts,
            failure_rate: self.better_half(counts.failed),
            weights,
            serving,
            silence_limit: limit.clamp(SILENCE_LIMIT_MIN, SILENCE_LIMIT_MAX),
            lost: losses.share(LOST_CALLS, LOST_USUAL),
        };
        (self.looked, self.calls) = (now, 0);
        usual
    }

    /// The failure rate of the better half of the nodes that were called: what is usual, however many are ill.
    fn better_half(&mut self, failed: u32) -> f64 {
        let half = self.rates.len().div_ceil(2);
        if failed > 0 && half < self.rates.len() {
            self.rates
                .select_nth_unstable_by(half - 1, |(one, _), (other, _)| one.total_cmp(other));
        }
        let mut counts = Counts::default();
        self.rates[..half].iter().for_each(|(_, own)| counts.add(*own));
        rate(counts)
    }

    /// Returns the part of a mean of about [`RATE_TAU`] that is replaced in this look.
    fn settle_rate(&mut self, now: Instant, elapsed: Duration) -> f64 {
        if elapsed.is_zero() {
            return 0.0;
        }
        // Until the mean's length has passed the rate is that of all the time since the first call.
        let age = now.saturating_duration_since(self.born).max(elapsed);
        let part = f64::from(fraction(elapsed, RATE_TAU)).max(elapsed.as_secs_f64() / age.as_secs_f64());
        let per_s = f64::from(self.calls) / elapsed.as_secs_f64();
        self.calls_per_s += (per_s - self.calls_per_s) * part.min(1.0);
        f64::from(fraction(elapsed, RATE_TAU))
    }

    fn next<N: Judged>(&mut self, now: Instant, pause: Duration, nodes: &[N]) -> Option<Instant> {
        let seldom = Duration::try_from_secs_f64(0.25 / self.calls_per_s).unwrap_or(LOOK_EVERY_MAX);
        let many = nodes.len().saturating_sub(NODES_FEW);
        self.soon = pause.max(LOOK_EVERY + LOOK_EVERY_NODE * many as u32);
        self.every = seldom.min(LOOK_EVERY_MAX).max(self.soon);
        let is_used = now.saturating_duration_since(self.reported) < LOOKED_AT;
        let is_warming = nodes.iter().filter_map(N::mind).any(Mind::is_warming);
        (is_used || is_warming).then(|| now + self.every)
    }
}

/// A failure rate; a tenth of a failure in ten calls stands for what is not known yet.
fn rate(counts: Counts) -> f64 {
    (f64::from(counts.failed) + 0.1) / (f64::from(counts.calls) + 10.0)
}

/// Whether it takes picks.
fn is_used<N: Judged>(node: &N) -> bool {
    node.serves() && node.mind().is_some_and(Mind::is_in)
}

/// Says what readers are to know now.
fn tell<N: Judged>(rule: &Rule, usual: &Usual, nodes: &mut [N], turn: &mut Turn) {
    let mut changed = turn.publish;
    for mind in nodes.iter_mut().filter_map(N::mind_mut) {
        let (hot, told) = (mind.hot(rule, usual.now, usual.mean_us), mind.published);
        let moved = (hot.cost_us - told.cost_us).abs() > COST_STEP * told.cost_us;
        changed |= moved || hot.warmth != told.warmth;
    }
    if changed {
        for mind in nodes.iter_mut().filter_map(N::mind_mut) {
            mind.published = mind.hot(rule, usual.now, usual.mean_us);
        }
    }
    turn.refresh = changed && !turn.publish;
}
