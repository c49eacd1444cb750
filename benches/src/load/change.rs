//! Changes of the agent's mind while a caller picks from the board: how soon a caller sees one, and what many of them
//! cost it. For agents of the classic policy, whose mind fifteen failures in a row change.

use super::board::{BoardTask, BoardTimes, connect};
use crate::error::BenchError;
use crate::machine;
use crate::snapshot;
use crate::spread::percentile;
use lars_client::{Client, ModuleId, NodeAddr, Outcome, Picker, Report};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Failures in a row that change the classic policy's mind, by its default.
const FAILURES: usize = 15;
/// How long a change may take until it is seen before the measurement is given up.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// From one change to the next.
const CHANGE_EVERY: Duration = Duration::from_millis(1);

/// What to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeTask {
    /// The agent's socket.
    pub socket: PathBuf,
    /// Of how many modules a node is to fail, one after the other.
    pub modules: u32,
    /// Nodes of each.
    pub nodes: u32,
    /// Whether failures are reported in the ring, or over the socket: then the agent knows them at once, and what is
    /// left is the way of its change to the caller.
    pub in_ring: bool,
}

/// How long a change took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ChangeTimes {
    /// The median.
    pub p50: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
}

/// From the last failure's report until no pick gets the node any more.
///
/// # Errors
/// The agent lends no board, or a change is never seen.
pub fn run(task: &ChangeTask) -> Result<ChangeTimes, BenchError> {
    let client = connect(&task.socket)?;
    let mut picker = client.picker();
    let mut times = Vec::new();
    for number in 0..task.modules {
        // Each starts at another moment of the agent's round.
        std::thread::sleep(Duration::from_micros(u64::from(number) * 1_117 % 20_000));
        times.push(one_change(&client, &mut picker, snapshot::module(number), task)?);
    }
    times.sort_by(f64::total_cmp);
    match (percentile(&times, 0.5), percentile(&times, 0.99)) {
        (Some(p50), Some(p99)) => Ok(ChangeTimes { p50, p99 }),
        _ => Err(BenchError::Answer("no change was measured".to_owned())),
    }
}

fn one_change(
    client: &Client,
    picker: &mut Picker,
    module: ModuleId,
    task: &ChangeTask,
) -> Result<f64, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Answer(error.to_string());
    let chosen = picker.choose(module).map_err(|error| failed(&error))?;
    if task.in_ring {
        for _ in 0..FAILURES {
            let told = picker.report(&chosen, Outcome::Failed, Duration::ZERO);
            told.map_err(|error| failed(&error))?;
        }
    } else {
        fail(client, module, chosen.node)?;
    }
    let told = Instant::now();
    // A round of the idle nodes without it: it is none of them. The round begins where it was missed first.
    let (mut missed, mut since) = (0, told);
    while missed < task.nodes {
        let picked = picker.choose(module).map_err(|error| failed(&error))?;
        if picked.node == chosen.node {
            (missed, since) = (0, Instant::now());
        } else {
            missed += 1;
        }
        if told.elapsed() > SEEN_WITHIN {
            return Err(BenchError::Answer(format!(
                "a change is not seen within {SEEN_WITHIN:?}"
            )));
        }
    }
    Ok((since - told).as_secs_f64() * 1e3)
}

/// Runs `pairs` while a node of the first module changes its state 1,000 times a second: it fails, and its own
/// successes bring it back.
///
/// # Errors
/// As the caller's; or the agent takes no reports.
pub fn beside(
    task: &BoardTask,
    pairs: impl FnOnce() -> Result<BoardTimes, BenchError>,
) -> Result<BoardTimes, BenchError> {
    let client = connect(&task.socket)?;
    let (done, module) = (AtomicBool::new(false), snapshot::module(0));
    let node = client.picker().choose(module);
    let node = node.map_err(|error| BenchError::Answer(error.to_string()))?.node;
    std::thread::scope(|scope| {
        let (client, done) = (&client, &done);
        let changing = scope.spawn(move || {
            // Beside the agent, so that the caller keeps its processor to itself.
            machine::pin(machine::Processors::choose().serving);
            let (begun, mut changes) = (Instant::now(), 0_u32);
            while !done.load(Ordering::Relaxed) {
                fail(client, module, node)?;
                changes += 1;
                let due = CHANGE_EVERY * changes;
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            Ok((f64::from(changes), begun.elapsed()))
        });
        let times = pairs();
        done.store(true, Ordering::Relaxed);
        let changed: Result<(f64, Duration), BenchError> = match changing.join() {
            Ok(changed) => changed,
            Err(_) => Err(BenchError::Answer("the thread that changes panicked".to_owned())),
        };
        let (changes, passed) = changed?;
        let changes_per_s = changes / passed.as_secs_f64();
        times.map(|times| BoardTimes {
            changes_per_s,
            ..times
        })
    })
}

/// Fifteen failures of a node, over the socket, in one frame.
fn fail(client: &Client, module: ModuleId, node: NodeAddr) -> Result<(), BenchError> {
    let report = Report {
        module,
        node,
        token: 0,
        outcome: Outcome::Failed,
        retcode: 0,
        latency_us: 0,
    };
    let told = client.report_many(&[report; FAILURES]);
    told.map_err(|error| BenchError::Answer(error.to_string()))
}
