//! The adaptive policy against a naive model: every call is kept, and everything is counted anew at each look. Calls of one
//! length that succeed or fail; what needs a clock finer than that (costs, silence, slowness) stands in `adaptive_rule`.

use crate::adaptive_bench::{Bench, Told};
use crate::seeds::with_seeds;
use lars_shard::PolicyConfig;
use lars_wire::caller::{NodeView, Outcome};

const FAILURE_RUN: usize = 5;
const CALLS_MIN: usize = 20;
const DEVIATIONS: f64 = 3.5;
const BACK_OFF_MS: f64 = 4_000.0;
const BACK_OFF_MAX_MS: f64 = 20_000.0;
const PROBATION: usize = 10;
const PATIENCE_MS: f64 = 15_000.0;

/// One node, as the text tells it. Times in milliseconds.
#[derive(Clone, Default)]
struct Node {
    /// Whether each call since it was last taken into use went well.
    calls: Vec<bool>,
    /// Whether its last call that ended went well, and when one did.
    answers: bool,
    succeeded: Option<f64>,
    on_probation: bool,
    out: bool,
    hopeless: bool,
    since: f64,
    tries: i32,
    relapses: i32,
    /// Whether it is in use because a probe was answered.
    probed_back: bool,
    /// When it was ejected, or its last failed probe was granted.
    waits_from: f64,
    probed: Option<f64>,
    back: bool,
}

impl Node {
    fn run(&self) -> usize {
        self.calls.iter().rev().take_while(|ok| !**ok).count()
    }

    fn failed(calls: &[bool]) -> usize {
        calls.iter().filter(|ok| !**ok).count()
    }

    fn relapsed(&self) -> bool {
        // A batch of calls is one here, so the tenth call is the last of the probation.
        let trial = &self.calls[..self.calls.len().min(PROBATION)];
        self.on_probation && Self::failed(trial) >= 2
    }

    fn probe_at(&self) -> f64 {
        let wait = BACK_OFF_MS * 1.39_f64.powi(self.tries);
        self.waits_from + f64::min(wait.min(BACK_OFF_MAX_MS) * 3.0_f64.powi(self.relapses), 60_000.0)
    }
}

struct Model {
    nodes: Vec<Node>,
    no_hope: bool,
}

impl Model {
    fn end(&mut self, now: f64, node: usize, ok: bool, probe: bool) {
        let node = &mut self.nodes[node];
        if !node.out {
            node.calls.push(ok);
            node.answers = ok;
            node.succeeded = if ok { Some(now) } else { node.succeeded };
        } else if probe && node.probed.is_some() {
            let granted = node.probed.take().expect("a probe");
            if ok {
                (node.back, node.answers, node.succeeded) = (true, true, Some(now));
            } else {
                node.tries += 1;
                node.waits_from = granted;
            }
        }
    }

    fn look(&mut self, now: f64) {
        let others_fail = usual(&self.nodes);
        for node in &mut self.nodes {
            if std::mem::take(&mut node.back) {
                *node = Node {
                    since: now,
                    tries: node.tries,
                    relapses: node.relapses,
                    answers: true,
                    succeeded: node.succeeded,
                    on_probation: true,
                    probed_back: true,
                    ..Node::default()
                };
            }
        }
        let answering = self.nodes.iter().filter(|node| !node.out && node.answers).count();
        if answering > 0 && std::mem::take(&mut self.no_hope) {
            for node in self.nodes.iter_mut().filter(|node| !node.answers) {
                node.calls.clear();
                node.on_probation = false;
            }
        }
        let before = self.nodes.clone();
        for place in 0..self.nodes.len() {
            if self.nodes[place].out {
                continue;
            }
            let Some(hopeless) = evidence(&before[place], others_fail) else {
                self.nodes[place].hopeless = false;
                continue;
            };
            self.nodes[place].hopeless = hopeless;
            // Of a node of no use others must have answered in the latter half of the time for which it has not.
            let ago = |node: &Node| now - node.succeeded.unwrap_or(node.since);
            let others_answer = (0..before.len()).any(|other| {
                let is_late = hopeless && ago(&before[other]) > ago(&before[place]) / 2.0 + 1e-6;
                other != place && !before[other].out && before[other].answers && !is_late
            });
            let out = self.nodes.iter().filter(|node| node.out).count();
            if others_answer && (hopeless || 2 * (out + 1) <= self.nodes.len()) {
                let node = &mut self.nodes[place];
                if now - node.since > 2.0 * BACK_OFF_MAX_MS {
                    (node.tries, node.relapses) = (0, 0);
                } else if node.probed_back {
                    node.relapses += 1;
                }
                (node.out, node.since, node.waits_from, node.probed) = (true, now, now, None);
            } else {
                self.nodes[place].on_probation = false;
            }
        }
        self.panic(now);
        for node in &mut self.nodes {
            if let Some(granted) = node.probed.take_if(|granted| now - *granted >= PATIENCE_MS) {
                node.waits_from = granted;
            }
        }
    }

    fn panic(&mut self, now: f64) {
        let used = self.nodes.iter().filter(|node| !node.out);
        let left = used.clone().count();
        let no_hope = used.clone().all(|node| node.hopeless);
        self.no_hope |= no_hope;
        let few = (left as f64) < 0.2 * self.nodes.len() as f64;
        for node in self.nodes.iter_mut().filter(|node| node.out) {
            if no_hope || few && !node.hopeless {
                *node = Node {
                    since: now,
                    tries: node.tries,
                    relapses: node.relapses,
                    answers: node.answers,
                    succeeded: node.succeeded,
                    ..Node::default()
                };
            }
        }
    }
}

/// The failure rate of the better half of the nodes in use that were called.
fn usual(nodes: &[Node]) -> f64 {
    let mut rates: Vec<(f64, &Node)> = nodes
        .iter()
        .filter(|node| !node.out && !node.calls.is_empty())
        .map(|node| (rate(&node.calls), node))
        .collect();
    rates.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    rates.truncate(rates.len().div_ceil(2));
    let better: Vec<bool> = rates
        .iter()
        .flat_map(|(_, node)| node.calls.iter().copied())
        .collect();
    rate(&better)
}

/// What speaks against a node: none, or whether it is of no use at all.
fn evidence(node: &Node, others_fail: f64) -> Option<bool> {
    if node.relapsed() {
        return Some(false);
    }
    let by_chance = (1e-6_f64.ln() / others_fail.ln()).ceil() as usize;
    let limit = by_chance.clamp(FAILURE_RUN, 4 * FAILURE_RUN);
    if node.run() >= limit {
        return Some(node.run() >= 2 * limit);
    }
    if node.calls.len() < CALLS_MIN {
        return None;
    }
    let (n, failed) = (node.calls.len() as f64, Node::failed(&node.calls) as f64);
    let (p, z) = (failed / n, DEVIATIONS);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let surely = (p + z * z / (2.0 * n) - spread) / (1.0 + z * z / n);
    (surely > f64::max(0.05, 3.0 * others_fail)).then_some(false)
}

fn rate(calls: &[bool]) -> f64 {
    (Node::failed(calls) as f64 + 0.1) / (calls.len() as f64 + 10.0)
}

fn policy() -> PolicyConfig {
    PolicyConfig {
        back_off_jitter: Some(0.0),
        // Every call pays for a probe, and no window ends: those have tests of their own.
        probe_share: Some(1.0),
        rate_window_ms: Some(3_600_000),
        idle_timeout_ms: Some(3_600_000),
        ..PolicyConfig::default()
    }
}

#[test]
fn shard_agrees_with_a_naive_model_on_any_history() {
    with_seeds(8, |_, mut random| {
        let count = random.usize(2..8);
        let mut bench = Bench::new(count as u32, policy());
        let mut model = Model {
            nodes: vec![Node::default(); count],
            no_hope: false,
        };
        let mut fails = vec![0.0; count];
        let (mut ejections, mut returns) = (0, 0);
        for _ in 0..500 {
            if random.u8(..50) == 0 {
                fails[random.usize(..count)] = [0.0, 0.02, 0.3, 0.7, 1.0][random.usize(..5)];
            }
            for _ in 0..random.u32(..12) {
                let node = random.usize(..count);
                let ok = random.f64() >= fails[node];
                let probe = model.nodes[node].probed.is_some() && random.bool();
                let outcome = if ok { Outcome::Ok } else { Outcome::Failed };
                if probe {
                    bench.in_flight[node] = 0;
                    bench.end_probe(node as u32 + 1, outcome, 10);
                } else {
                    bench.end(node as u32 + 1, outcome, 10, 1);
                }
                model.end(ms(&bench), node, ok, probe);
            }
            let end = bench.now + std::time::Duration::from_millis(random.u64(1..250));
            while let Some(at) = bench.shard.next_timeout().filter(|&at| at <= end) {
                bench.now = bench.now.max(at);
                let told = bench.due();
                let before: Vec<bool> = model.nodes.iter().map(|node| node.out).collect();
                model.look(ms(&bench));
                for told in told {
                    if let Told::Grant(number) = told {
                        let place = number as usize - 1;
                        let node = &model.nodes[place];
                        assert!(node.out && node.probed.is_none() && node.probe_at() <= ms(&bench) + 1e-3);
                        model.nodes[place].probed = Some(ms(&bench));
                        bench.in_flight[place] = 1;
                    }
                }
                let out: Vec<bool> = model.nodes.iter().map(|node| node.out).collect();
                let seen: Vec<bool> = bench.views().iter().map(|view| *view != NodeView::Idle).collect();
                assert_eq!(seen, out, "{:?}: {:?}", bench.now - bench.start, bench.views());
                for (before, after) in before.iter().zip(&out) {
                    ejections += u32::from(!before && *after);
                    returns += u32::from(*before && !after);
                }
            }
            bench.now = end;
        }
        println!("{count} nodes, {ejections} ejections, {returns} returns");
    });
}

fn ms(bench: &Bench) -> f64 {
    (bench.now - bench.start).as_secs_f64() * 1e3
}

#[test]
fn probes_are_never_more_than_their_budget_and_at_most_one_in_each_wait() {
    with_seeds(6, |_, mut random| {
        let count = random.u32(2..30);
        let mut bench = Bench::new(
            count,
            PolicyConfig {
                back_off_jitter: Some(0.0),
                ..PolicyConfig::default()
            },
        );
        let (mut calls, mut probes) = (0_u64, 0_u64);
        let mut last: Vec<Option<f64>> = vec![None; count as usize];
        let dead = random.u32(1..count);
        let pause = random.u64(1..200);
        let mut under_way = None;
        for _ in 0..1_000 {
            for node in 1..=count {
                let outcome = if node <= dead {
                    Outcome::TimedOut
                } else {
                    Outcome::Ok
                };
                if random.u8(..3) == 0 {
                    bench.end(node, outcome, 10, 1);
                    calls += 1;
                }
            }
            if let Some(node) = under_way.take_if(|_| random.u8(..4) == 0) {
                let outcome = [Outcome::TimedOut, Outcome::Failed, Outcome::Ok][random.usize(..3)];
                bench.in_flight[node as usize - 1] = 0;
                bench.end_probe(node, outcome, 10);
                calls += 1;
            }
            for told in bench.pass(pause) {
                if let Told::Grant(node) = told {
                    probes += 1;
                    under_way = Some(node);
                    bench.in_flight[node as usize - 1] = 1;
                    let now = ms(&bench);
                    let before = last[node as usize - 1].replace(now);
                    assert!(before.is_none_or(|before| now - before >= 3_999.0 - 2.0 * pause as f64));
                }
            }
            assert!(
                probes as f64 <= 1.0 + calls as f64 * 0.0025 + 1e-6,
                "{probes} of {calls}"
            );
        }
        println!("{probes} probes, {calls} calls, {dead} of {count} dead");
    });
}
