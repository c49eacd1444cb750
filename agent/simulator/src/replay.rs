//! A recording with other choices: the calls begin as they did, a policy chooses, and each node answers as it answered
//! around that time. What a replay cannot know is counted and said.

use crate::balancer::{Balancer, Ended, Pick, Shift, Standing};
use crate::history::quantiles_ms;
use crate::policy::Policy;
use crate::recorded::Recorded;
use crate::report::{Estimate, estimate};
use crate::run::SimulateError;
use fastrand::Rng;
use lars_wire::caller::Outcome;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Instant;

/// Callers' threads; nobody recorded how many there were.
const READERS: u32 = 4;
/// Between two turns of the agent: what a scenario has where it says nothing.
const TURN: u64 = 10_000_000;
const SECOND: u64 = 1_000_000_000;
/// Calls to a node in a second, over those recorded in it, from which on the node may have answered more slowly; and as
/// many calls more, so that chance alone is none.
const BEYOND_FACTOR: f64 = 1.25;
const BEYOND_CALLS: f64 = 5.0;

/// How calls went. Its fields are keys of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Calls that failed, timed out or were refused a node, of all.
    pub errors_share: f64,
    /// The smallest latency that half of the calls do not exceed.
    pub p50_ms: Option<f64>,
    /// The same of 99 in 100.
    pub p99_ms: Option<f64>,
    /// The same of 999 in 1,000.
    pub p999_ms: Option<f64>,
    /// By node.
    pub share_of_calls: BTreeMap<String, f64>,
}

/// One replay.
struct Run {
    facts: Facts,
    refused: u64,
    ejections: u64,
    /// Of the calls that got a node: answered from another time than theirs.
    borrowed_share: f64,
    /// Of the same: sent to a node in a second in which it got clearly more of them than were recorded.
    beyond_load_share: f64,
}

/// What the replays with a policy came to. Its fields are the keys of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are documented in docs/SIMULATOR.md")]
pub struct ReplayReport {
    pub modid: u32,
    pub cmdid: u32,
    pub calls: u64,
    pub seconds: f64,
    pub recorded: Facts,
    pub policy: String,
    pub seeds: u64,
    pub metrics: ReplayMetrics,
    /// Which conclusions this replay cannot support, for people.
    pub cannot_tell: Vec<String>,
}

/// Every figure as a mean over seeds with its interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are documented in docs/SIMULATOR.md")]
pub struct ReplayMetrics {
    pub errors_share: Option<Estimate>,
    pub p50_ms: Option<Estimate>,
    pub p99_ms: Option<Estimate>,
    pub p999_ms: Option<Estimate>,
    pub share_of_calls: BTreeMap<String, Option<Estimate>>,
    pub refused: Option<Estimate>,
    pub ejections: Option<Estimate>,
    pub borrowed_share: Option<Estimate>,
    pub beyond_load_share: Option<Estimate>,
}

/// Replays a recording with the seeds 1 to `seeds`.
pub fn replay(
    recorded: &Recorded,
    policy: &Policy,
    seeds: u64,
    origin: Instant,
) -> Result<ReplayReport, SimulateError> {
    let runs: Vec<Run> = (1..=seeds)
        .map(|seed| run(recorded, policy, seed, origin))
        .collect::<Result<_, _>>()?;
    let over = |figure: fn(&Run) -> Option<f64>| estimate(runs.iter().map(figure));
    let names = recorded.nodes.iter().map(ToString::to_string);
    let metrics = ReplayMetrics {
        errors_share: over(|run| Some(run.facts.errors_share)),
        p50_ms: over(|run| run.facts.p50_ms),
        p99_ms: over(|run| run.facts.p99_ms),
        p999_ms: over(|run| run.facts.p999_ms),
        share_of_calls: names
            .map(|name| {
                let shares = runs
                    .iter()
                    .map(|run| run.facts.share_of_calls.get(&name).copied());
                let estimated = estimate(shares);
                (name, estimated)
            })
            .collect(),
        refused: over(|run| Some(run.refused as f64)),
        ejections: over(|run| Some(run.ejections as f64)),
        borrowed_share: over(|run| Some(run.borrowed_share)),
        beyond_load_share: over(|run| Some(run.beyond_load_share)),
    };
    Ok(ReplayReport {
        modid: recorded.module.modid,
        cmdid: recorded.module.cmdid,
        calls: recorded.calls() as u64,
        seconds: recorded.seconds(),
        recorded: as_it_was(recorded),
        policy: policy.name().to_owned(),
        seeds,
        cannot_tell: cannot_tell(&metrics),
        metrics,
    })
}

fn cannot_tell(metrics: &ReplayMetrics) -> Vec<String> {
    let percent = |estimate: Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.mean * 100.0);
    vec![
        format!(
            "load: nodes answer as fast as they did, however many calls they get; {:.1}% of the calls went to a node in \
             a second in which it got clearly more of them than were recorded",
            percent(metrics.beyond_load_share)
        ),
        format!(
            "what nobody saw: {:.1}% of the calls were answered as the node answered at another time, since it had too \
             few calls then; a node that was avoided while it was ill, or already well, looks as it did before or after",
            percent(metrics.borrowed_share)
        ),
        "callers: they begin their calls when they did, whatever comes of them; nothing is retried"
            .to_owned(),
        "the route: every recorded node is in it all the time, with equal weight and no zone".to_owned(),
        "calls whose report was lost, and calls of other agents' callers".to_owned(),
    ]
}

fn facts(
    recorded: &Recorded,
    calls: u64,
    errors: u64,
    latencies: &mut [u32],
    sent_to: impl Iterator<Item = usize>,
) -> Facts {
    let [p50_ms, p99_ms, p999_ms] = quantiles_ms(latencies, [0.5, 0.99, 0.999]);
    let sent = latencies.len().max(1) as f64;
    let shares = recorded.nodes.iter().zip(sent_to);
    Facts {
        errors_share: errors as f64 / calls.max(1) as f64,
        p50_ms,
        p99_ms,
        p999_ms,
        share_of_calls: shares
            .map(|(node, count)| (node.to_string(), count as f64 / sent))
            .collect(),
    }
}

fn as_it_was(recorded: &Recorded) -> Facts {
    let mut latencies: Vec<u32> = recorded.answers().map(|answer| micros(answer.latency)).collect();
    let errors = recorded
        .answers()
        .filter(|answer| is_error(answer.outcome))
        .count();
    facts(
        recorded,
        recorded.calls() as u64,
        errors as u64,
        &mut latencies,
        recorded.calls_by_node(),
    )
}

fn is_error(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::TimedOut)
}

fn micros(nanos: u64) -> u32 {
    u32::try_from(nanos / 1_000).unwrap_or(u32::MAX)
}

/// One replay while it goes on.
struct Replay<'a> {
    recorded: &'a Recorded,
    balancer: Balancer,
    /// Luck of callers and nodes: the same for every policy.
    random: Rng,
    /// Ends by time: of which call, by which thread.
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    /// What ends, by number; those at the front are over.
    calls: VecDeque<Option<(u32, Ended)>>,
    first: u64,
    inbox: Vec<Ended>,
    shifts: Vec<Shift>,
    sent_to: Vec<usize>,
    /// By node and second.
    sent_in: BTreeMap<(u32, u64), u32>,
    latencies: Vec<u32>,
    errors: u64,
    refused: u64,
    ejections: u64,
    borrowed: u64,
}

fn run(recorded: &Recorded, policy: &Policy, seed: u64, origin: Instant) -> Result<Run, SimulateError> {
    let mut random = Rng::with_seed(seed);
    let (callers, nodes) = (random.fork(), recorded.nodes.len());
    let mut replay = Replay {
        recorded,
        balancer: Balancer::new(policy, READERS, nodes, random.u64(..), origin)?,
        random: callers,
        ends: BinaryHeap::new(),
        calls: VecDeque::new(),
        first: 0,
        inbox: Vec::new(),
        shifts: Vec::new(),
        sent_to: vec![0; nodes],
        sent_in: BTreeMap::new(),
        latencies: Vec::new(),
        errors: 0,
        refused: 0,
        ejections: 0,
        borrowed: 0,
    };
    let route: Vec<Standing> = (0..nodes as u32).map(standing).collect();
    replay.balancer.learn(0, &route);
    let mut turn_at = 0;
    for &(at, _) in &recorded.begins {
        while turn_at <= at {
            replay.end_until(turn_at);
            replay.turn(turn_at);
            turn_at += TURN;
        }
        replay.end_until(at);
        replay.begin(at);
    }
    replay.end_until(u64::MAX);
    Ok(replay.finish())
}

fn standing(node: u32) -> Standing {
    Standing {
        node,
        weight: 100,
        zone: String::new(),
        draining: false,
    }
}

impl Replay<'_> {
    fn begin(&mut self, at: u64) {
        let reader = self.random.u32(..READERS);
        let mut luck = self.random.fork();
        let Pick::Node { node, token } = self.balancer.pick(at, reader, luck.u64(..)) else {
            self.refused += 1;
            self.errors += 1;
            return;
        };
        let sample = self.recorded.answer(node, at, &mut luck);
        self.borrowed += u64::from(sample.borrowed);
        self.sent_to[node as usize] += 1;
        *self.sent_in.entry((node, at / SECOND)).or_default() += 1;
        let number = self.first + self.calls.len() as u64;
        let ended = Ended {
            node,
            token,
            outcome: sample.answer.outcome,
            latency: sample.answer.latency,
        };
        self.calls.push_back(Some((reader, ended)));
        self.ends.push(Reverse((at + ended.latency, number)));
    }

    fn end_until(&mut self, until: u64) {
        while let Some(&Reverse((at, number))) = self.ends.peek()
            && at <= until
        {
            self.ends.pop();
            let Some((reader, ended)) = self.calls[(number - self.first) as usize].take() else {
                continue;
            };
            while self.calls.front().is_some_and(Option::is_none) {
                self.calls.pop_front();
                self.first += 1;
            }
            self.errors += u64::from(is_error(ended.outcome));
            self.latencies.push(micros(ended.latency));
            self.balancer.end(at, reader, &ended, true, &mut self.shifts);
            self.inbox.push(ended);
        }
    }

    fn turn(&mut self, now: u64) {
        for ended in self.inbox.drain(..) {
            self.balancer.report(now, &ended);
        }
        self.balancer.turn(now, &mut self.shifts);
        let ejected = self.shifts.drain(..);
        let ejected = ejected.filter(|shift| matches!(shift, Shift::Ejected(_)));
        self.ejections += ejected.count() as u64;
    }

    fn finish(mut self) -> Run {
        let mut recorded_in: BTreeMap<(u32, u64), u32> = BTreeMap::new();
        for &(at, node) in &self.recorded.begins {
            *recorded_in.entry((node, at / SECOND)).or_default() += 1;
        }
        let beyond = self.sent_in.iter().filter(|(place, sent)| {
            let recorded = f64::from(recorded_in.get(place).copied().unwrap_or(0));
            f64::from(**sent) > recorded * BEYOND_FACTOR + BEYOND_CALLS
        });
        let beyond: u64 = beyond.map(|(_, sent)| u64::from(*sent)).sum();
        let sent = self.latencies.len().max(1) as f64;
        let sent_to = std::mem::take(&mut self.sent_to);
        Run {
            facts: facts(
                self.recorded,
                self.recorded.calls() as u64,
                self.errors,
                &mut self.latencies,
                sent_to.into_iter(),
            ),
            refused: self.refused,
            ejections: self.ejections,
            borrowed_share: self.borrowed as f64 / sent,
            beyond_load_share: beyond as f64 / sent,
        }
    }
}
