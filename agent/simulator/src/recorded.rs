//! What a recording holds: when calls began, and how each node answered at which time. The file is one JSON object a
//! line, as `lars record` writes it.

use fastrand::Rng;
use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Calls within half of this of an instant tell how a node answered then.
const WINDOW: u64 = 1_000_000_000;
/// Where there are fewer calls than these in the window, so many of the nearest are taken, however far off.
const SAMPLES_MIN: usize = 20;
/// Calls of one recording at most: as many as a scenario may have.
const CALLS_MAX: usize = 20_000_000;

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    t_us: u64,
    modid: u32,
    cmdid: u32,
    node: String,
    outcome: Word,
    latency_us: u32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Ok,
    Failed,
    TimedOut,
    Cancelled,
}

/// Why a recording cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct RecordedError {
    /// Of the file, from 1; none where it is the whole of it.
    pub line: Option<usize>,
    text: String,
}

/// A call as it was. Times are nanoseconds since the first began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) began: u64,
    pub(crate) latency: u64,
    pub(crate) outcome: Outcome,
}

/// The calls of one module.
#[derive(Debug)]
pub struct Recorded {
    /// The module.
    pub module: ModuleId,
    /// Its nodes, in order of address: a node's number is its place here.
    pub nodes: Vec<NodeAddr>,
    /// When each call began, in order; and the node that it went to.
    pub(crate) begins: Vec<(u64, u32)>,
    /// By node, in order of their beginning.
    answers: Vec<Vec<Answer>>,
}

/// How a node would have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) answer: Answer,
    /// Whether it is from another time than was asked for.
    pub(crate) borrowed: bool,
}

impl Recorded {
    /// Reads a recording. One of several modules needs the word which is meant.
    pub fn parse(text: &str, module: Option<ModuleId>) -> Result<Self, RecordedError> {
        let mut calls = Vec::new();
        let mut modules = BTreeSet::new();
        for (place, line) in text.lines().enumerate() {
            let at = |text: String| RecordedError {
                line: Some(place + 1),
                text,
            };
            let (of, node, answer) = read(line).map_err(at)?;
            modules.insert(of);
            if module.is_none_or(|module| module == of) {
                calls.push((node, answer));
            }
            if calls.len() > CALLS_MAX {
                return Err(at(format!("more than {CALLS_MAX} calls")));
            }
        }
        let whole = |text: String| RecordedError { line: None, text };
        let listed: Vec<String> = modules.iter().map(ToString::to_string).collect();
        match (module, modules.len()) {
            (None, 2..) => Err(whole(format!(
                "it has calls of modules {}: say which with --module",
                listed.join(", ")
            ))),
            _ if calls.is_empty() => Err(whole(match module {
                Some(module) => format!(
                    "it has no calls of module {module}, but of: {}",
                    listed.join(", ")
                ),
                None => "it has no calls".to_owned(),
            })),
            _ => {
                let module = module.or(modules.first().copied()).unwrap_or_default();
                Ok(Self::new(module, calls))
            }
        }
    }

    fn new(module: ModuleId, mut calls: Vec<(NodeAddr, Answer)>) -> Self {
        calls.sort_by_key(|(node, answer)| (answer.began, *node));
        let nodes: BTreeSet<NodeAddr> = calls.iter().map(|(node, _)| *node).collect();
        let nodes: Vec<NodeAddr> = nodes.into_iter().collect();
        let first = calls.first().map_or(0, |(_, answer)| answer.began);
        let mut answers = vec![Vec::new(); nodes.len()];
        let mut begins = Vec::with_capacity(calls.len());
        for (node, mut answer) in calls {
            answer.began -= first;
            let number = nodes.partition_point(|known| *known < node);
            begins.push((answer.began, number as u32));
            answers[number].push(answer);
        }
        Self {
            module,
            nodes,
            begins,
            answers,
        }
    }

    /// How the node answers a call that begins at `at`: as it answered one of those around that time, drawn with equal
    /// chance.
    pub(crate) fn answer(&self, node: u32, at: u64, random: &mut Rng) -> Sample {
        let answers = &self.answers[node as usize];
        let (mut low, mut high) = (
            answers.partition_point(|answer| answer.began + WINDOW / 2 < at),
            answers.partition_point(|answer| answer.began <= at.saturating_add(WINDOW / 2)),
        );
        let wanted = SAMPLES_MIN.min(answers.len());
        while high - low < wanted {
            let before = low.checked_sub(1).map(|place| at - answers[place].began);
            let after = answers.get(high).map(|answer| answer.began - at);
            match (before, after) {
                (Some(before), Some(after)) if before > after => high += 1,
                (Some(_), _) => low -= 1,
                (None, _) => high += 1,
            }
        }
        let answer = answers[low + random.usize(..high - low)];
        Sample {
            answer,
            borrowed: answer.began.abs_diff(at) > WINDOW / 2,
        }
    }

    /// All that was recorded, in no particular order.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().flatten()
    }

    /// Calls to each node.
    pub(crate) fn calls_by_node(&self) -> impl Iterator<Item = usize> {
        self.answers.iter().map(Vec::len)
    }

    /// From the first beginning to the last, in seconds.
    pub fn seconds(&self) -> f64 {
        self.begins.last().map_or(0.0, |(at, _)| *at as f64 / 1e9)
    }

    /// How many calls there are.
    pub fn calls(&self) -> usize {
        self.begins.len()
    }
}

fn read(line: &str) -> Result<(ModuleId, NodeAddr, Answer), String> {
    let line: Line = serde_json::from_str(line).map_err(|error| {
        // The place in the line; the line itself is told by the caller.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        format!("{text} (column {})", error.column())
    })?;
    let node: NodeAddr = line
        .node
        .parse()
        .map_err(|_| format!("node {:?} is no IP:PORT", line.node))?;
    let began_us = line.t_us.saturating_sub(line.latency_us.into());
    let answer = Answer {
        began: began_us.saturating_mul(1_000),
        latency: u64::from(line.latency_us) * 1_000,
        outcome: match line.outcome {
            Word::Ok => Outcome::Ok,
            Word::Failed => Outcome::Failed,
            Word::TimedOut => Outcome::TimedOut,
            Word::Cancelled => Outcome::Cancelled,
        },
    };
    Ok((ModuleId::new(line.modid, line.cmdid), node, answer))
}
