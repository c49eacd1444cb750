//! From what the file says to a scenario that can run: every value is judged, and an error names its line.

use super::file::{Distribution, File, Group, Happening, Kind, What};
use super::{Change, Event, NodePlan, SECOND, Scenario, Service};
use lars_wire::bounds::{NODES_MAX, WEIGHT_DEFAULT, WEIGHT_MAX, ZONE_BYTES_MAX};
use std::ops::{Range, RangeInclusive};
use toml::Spanned;

/// A day.
const DURATION_S_MAX: f64 = 86_400.0;
/// Each has a board of its own, and each board a descriptor.
const AGENTS_MAX: u32 = 1_000;
/// Threads of one process.
const READERS_MAX: u32 = 1_024;
/// Readers of all agents: each keeps its own place.
const VIEWS_MAX: u32 = 65_536;
/// Workers of a node.
const WORKERS_MAX: u32 = 1_000_000;
/// Calls of one run: their latencies are kept until it ends, 4 bytes each.
const CALLS_MAX: f64 = 20e6;
/// Node-seconds of one run: calls are counted by node and tenth of a second, 4 bytes each.
const NODE_SECONDS_MAX: f64 = 1e6;
/// How often agents publish in one run, all together: each costs some tens of nanoseconds at least.
const TURNS_MAX: f64 = 100e6;
/// Events of a file.
const EVENTS_MAX: usize = 10_000;
/// How often nodes change between up and down in one run.
const FLAPS_MAX: f64 = 1e6;

/// Why a scenario cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ScenarioError {
    /// The line of the file, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub text: String,
}

/// Judges values and knows where they stood.
struct Judge<'a> {
    text: &'a str,
}

type Judged<T> = Result<T, ScenarioError>;

pub(super) fn scenario(text: &str) -> Judged<Scenario> {
    let judge = Judge { text };
    let file: File = toml::from_str(text).map_err(|error| ScenarioError {
        line: error.span().map(|span| judge.line(&span)),
        text: error.message().replace('\n', ", "),
    })?;
    let duration = judge.seconds("duration_s", &file.duration_s, 0.001..=DURATION_S_MAX)?;
    let warmup = judge.seconds("warmup_s", &file.warmup_s, 0.0..=DURATION_S_MAX)?;
    if warmup >= duration {
        return judge.fail(&file.warmup_s, "warmup_s must be less than duration_s");
    }
    let mut nodes = judge.nodes(&file)?;
    let mut events = Vec::new();
    for happening in &file.events {
        events.push(judge.event(happening.get_ref(), duration, nodes.len())?);
    }
    events.sort_by_key(|event| event.at);
    start_outside(&mut nodes, &events);
    let scenario = Scenario {
        name: file.name.clone(),
        duration,
        warmup,
        agents: judge.count("agents", file.agents.as_ref(), 1, AGENTS_MAX)?,
        readers: judge.count("readers", file.readers.as_ref(), 4, READERS_MAX)?,
        agent_zones: file
            .agent_zones
            .as_ref()
            .map_or_else(Vec::new, |zones| zones.get_ref().clone()),
        publish: judge.millis("publish_ms", file.publish_ms.as_ref(), 10.0, 0.1..=60_000.0)?,
        rate_per_s: judge.within("rate_per_s", &file.rate_per_s, 0.001..=1e6)?,
        timeout: judge.millis("timeout_ms", Some(&file.timeout_ms), 0.0, 0.001..=600_000.0)?,
        report_delay: judge.millis(
            "report_delay_ms",
            file.report_delay_ms.as_ref(),
            0.0,
            0.0..=600_000.0,
        )?,
        report_loss: judge.share("report_loss", file.report_loss.as_ref(), 0.0)?,
        nodes,
        events,
    };
    judge.size(&scenario, &file)?;
    Ok(scenario)
}

/// A node whose first change of the route is `add` is not in it before.
fn start_outside(nodes: &mut [NodePlan], events: &[Event]) {
    let mut settled = vec![false; nodes.len()];
    for event in events {
        if matches!(event.change, Change::Add | Change::Remove | Change::Drain) {
            for &node in &event.nodes {
                let node = node as usize;
                if !settled[node] {
                    nodes[node].routed = event.change != Change::Add;
                    settled[node] = true;
                }
            }
        }
    }
}

impl Judge<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        1 + before.matches('\n').count()
    }

    fn fail<T, S>(&self, at: &Spanned<S>, text: impl Into<String>) -> Judged<T> {
        Err(ScenarioError {
            line: Some(self.line(&at.span())),
            text: text.into(),
        })
    }

    fn within(&self, key: &str, value: &Spanned<f64>, range: RangeInclusive<f64>) -> Judged<f64> {
        let given = *value.get_ref();
        if range.contains(&given) {
            return Ok(given);
        }
        let (start, end) = range.into_inner();
        self.fail(
            value,
            format!("{key} = {given} is out of range: {start} to {end}"),
        )
    }

    fn seconds(&self, key: &str, value: &Spanned<f64>, range: RangeInclusive<f64>) -> Judged<u64> {
        Ok(nanos(self.within(key, value, range)? * 1e3))
    }

    fn millis(
        &self,
        key: &str,
        value: Option<&Spanned<f64>>,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> Judged<u64> {
        let Some(value) = value else {
            return Ok(nanos(default));
        };
        Ok(nanos(self.within(key, value, range)?))
    }

    fn share(&self, key: &str, value: Option<&Spanned<f64>>, default: f64) -> Judged<f64> {
        value.map_or(Ok(default), |value| self.within(key, value, 0.0..=1.0))
    }

    fn count(&self, key: &str, value: Option<&Spanned<u32>>, default: u32, max: u32) -> Judged<u32> {
        match value {
            None => Ok(default),
            Some(value) if (1..=max).contains(value.get_ref()) => Ok(*value.get_ref()),
            Some(value) => self.fail(
                value,
                format!("{key} = {} is out of range: 1 to {max}", value.get_ref()),
            ),
        }
    }

    fn nodes(&self, file: &File) -> Judged<Vec<NodePlan>> {
        let mut nodes = Vec::new();
        for group in file.nodes.get_ref() {
            let Group {
                count,
                workers,
                service_ms,
                weight,
                zone,
            } = group.get_ref();
            let many = self.count("count", Some(count), 1, NODES_MAX as u32)?;
            if nodes.len() + many as usize > NODES_MAX {
                return self.fail(count, format!("a route has {NODES_MAX} nodes at most"));
            }
            let plan = NodePlan {
                workers: self.count("workers", Some(workers), 1, WORKERS_MAX)?,
                service: self.service(service_ms)?,
                weight: match weight {
                    Some(weight) if !(1..=WEIGHT_MAX).contains(weight.get_ref()) => {
                        let text =
                            format!("weight = {} is out of range: 1 to {WEIGHT_MAX}", weight.get_ref());
                        return self.fail(weight, text);
                    }
                    Some(weight) => *weight.get_ref(),
                    None => WEIGHT_DEFAULT,
                },
                zone: match zone {
                    Some(zone) if zone.get_ref().len() > ZONE_BYTES_MAX => {
                        return self.fail(zone, format!("a zone has {ZONE_BYTES_MAX} bytes at most"));
                    }
                    Some(zone) => zone.get_ref().clone(),
                    None => "a".to_owned(),
                },
                routed: true,
            };
            nodes.extend(std::iter::repeat_n(plan, many as usize));
        }
        if nodes.is_empty() {
            return self.fail(&file.nodes, "a scenario needs [[nodes]]");
        }
        Ok(nodes)
    }

    fn service(&self, given: &Spanned<Distribution>) -> Judged<Service> {
        let Distribution { kind, mean, sigma } = given.get_ref();
        if !(0.001..=600_000.0).contains(mean) {
            return self.fail(given, format!("mean = {mean} is out of range: 0.001 to 600000"));
        }
        let mean = mean * 1e6;
        match (kind, *sigma) {
            (Kind::Exponential, None) => Ok(Service::Exponential { mean }),
            (Kind::Constant, None) => Ok(Service::Constant { mean }),
            (Kind::Lognormal, Some(sigma)) if (0.0..=5.0).contains(&sigma) => {
                Ok(Service::Lognormal { mean, sigma })
            }
            (Kind::Lognormal, Some(sigma)) => {
                self.fail(given, format!("sigma = {sigma} is out of range: 0 to 5"))
            }
            (Kind::Lognormal, None) => self.fail(given, "lognormal needs sigma"),
            (Kind::Exponential | Kind::Constant, Some(_)) => {
                self.fail(given, "sigma belongs to lognormal alone")
            }
        }
    }

    fn event(&self, given: &Happening, duration: u64, nodes: usize) -> Judged<Event> {
        let at = self.seconds("at_s", &given.at_s, 0.0..=DURATION_S_MAX)?;
        if at >= duration {
            let text = format!("at_s = {} is not before the end of the run", given.at_s.get_ref());
            return self.fail(&given.at_s, text);
        }
        let numbers = given.nodes.get_ref();
        if numbers.is_empty() {
            return self.fail(
                &given.nodes,
                "nodes is empty: name the nodes that this happens to",
            );
        }
        let mut seen = std::collections::BTreeSet::new();
        for &number in numbers {
            if number as usize >= nodes {
                let text = format!(
                    "there is no node {number}: they are numbered 0 to {}",
                    nodes.saturating_sub(1)
                );
                return self.fail(&given.nodes, text);
            }
            if !seen.insert(number) {
                return self.fail(&given.nodes, format!("node {number} is named twice"));
            }
        }
        Ok(Event {
            at,
            nodes: numbers.clone(),
            change: self.change(given)?,
        })
    }

    fn change(&self, given: &Happening) -> Judged<Change> {
        self.keys_fit(given)?;
        let share = || self.share("share", given.share.as_ref(), 1.0);
        Ok(match given.what.get_ref() {
            What::BlackHole => Change::BlackHole,
            What::Slow => match &given.factor {
                Some(factor) => Change::Slow {
                    factor: self.within("factor", factor, 0.001..=1e6)?,
                },
                None => return self.fail(&given.what, "slow needs factor"),
            },
            What::Fail => Change::Fail {
                share: share()?,
                after: self.millis("in_ms", given.in_ms.as_ref(), 0.0, 0.0..=600_000.0)?,
            },
            What::Noise => Change::Noise { share: share()? },
            What::Flap => match (&given.up_s, &given.down_s) {
                (Some(up), Some(down)) => Change::Flap {
                    up: self.seconds("up_s", up, 0.001..=DURATION_S_MAX)?,
                    down: self.seconds("down_s", down, 0.001..=DURATION_S_MAX)?,
                },
                _ => return self.fail(&given.what, "flap needs up_s and down_s"),
            },
            What::Heal => Change::Heal,
            What::Add => Change::Add,
            What::Remove => Change::Remove,
            What::Drain => Change::Drain,
        })
    }

    /// Each kind of event has the keys that it needs, and no other.
    fn keys_fit(&self, given: &Happening) -> Judged<()> {
        let needed: &[&str] = match given.what.get_ref() {
            What::Slow => &["factor"],
            What::Fail => &["share", "in_ms"],
            What::Noise => &["share"],
            What::Flap => &["up_s", "down_s"],
            What::BlackHole | What::Heal | What::Add | What::Remove | What::Drain => &[],
        };
        let keys = [
            ("factor", &given.factor),
            ("share", &given.share),
            ("in_ms", &given.in_ms),
            ("up_s", &given.up_s),
            ("down_s", &given.down_s),
        ];
        for (key, value) in keys {
            match value {
                Some(value) if !needed.contains(&key) => {
                    return self.fail(value, format!("{key} does not belong to this kind of event"));
                }
                None if needed.contains(&key) => {
                    return self.fail(&given.what, format!("this kind of event needs {key}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What would take too long, or too much memory.
    fn size(&self, scenario: &Scenario, file: &File) -> Judged<()> {
        let seconds = scenario.seconds();
        let calls = scenario.rate_per_s * seconds;
        if calls > CALLS_MAX {
            let text = format!("rate_per_s x duration_s is {calls:.0} calls: {CALLS_MAX:.0} at most");
            return self.fail(&file.rate_per_s, text);
        }
        let node_seconds = seconds * scenario.nodes.len() as f64;
        if node_seconds > NODE_SECONDS_MAX {
            let text = format!("nodes x duration_s is {node_seconds:.0}: {NODE_SECONDS_MAX:.0} at most");
            return self.fail(&file.duration_s, text);
        }
        if scenario.agents * scenario.readers > VIEWS_MAX {
            let text = format!("agents x readers is at most {VIEWS_MAX}");
            return match (&file.agents, &file.readers) {
                (_, Some(at)) | (Some(at), None) => self.fail(at, text),
                (None, None) => Ok(()),
            };
        }
        let turns = f64::from(scenario.agents) * scenario.duration as f64 / scenario.publish as f64;
        if turns > TURNS_MAX {
            let text = format!("agents publish {turns:.0} times: {TURNS_MAX:.0} at most; raise publish_ms");
            return match (&file.publish_ms, &file.agents) {
                (Some(at), _) => self.fail(at, text),
                (None, Some(at)) => self.fail(at, text),
                (None, None) => self.fail(&file.duration_s, text),
            };
        }
        if let Some(beyond) = file.events.get(EVENTS_MAX) {
            return self.fail(beyond, format!("a scenario has {EVENTS_MAX} events at most"));
        }
        let flaps: f64 = scenario
            .events
            .iter()
            .map(|event| flaps(event, scenario.duration))
            .sum();
        if flaps > FLAPS_MAX {
            return self.fail(
                &file.duration_s,
                format!("nodes flap {flaps:.0} times: {FLAPS_MAX:.0} at most"),
            );
        }
        Ok(())
    }
}

/// How often the nodes of an event change between up and down until the end.
fn flaps(event: &Event, duration: u64) -> f64 {
    match event.change {
        Change::Flap { up, down } => {
            2.0 * event.nodes.len() as f64 * (duration - event.at) as f64 / (up + down) as f64
        }
        _ => 0.0,
    }
}

/// Milliseconds to nanoseconds.
fn nanos(millis: f64) -> u64 {
    (millis * (SECOND / 1_000) as f64).round() as u64
}
