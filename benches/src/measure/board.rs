//! A caller that picks from the board in its own process: what a pick and its report cost it, how soon it sees what the
//! agent thinks, and what its reports cost the agent.
//!
//! One module is hot, and stays in the caches of its caller, as the modules do that a program calls all the time; the
//! agent has 1,000 of 10 nodes. What is said of one second of one core (`board.drain.cpu`) is the processor time of the
//! whole agent: draining, judging and giving counts to report.

use super::Table;
use crate::child::Child;
use crate::error::BenchError;
use crate::harness::{Harness, Server};
use crate::load::board::{BoardTask, BoardTimes, Doings};
use crate::load::change::{ChangeTask, ChangeTimes};
use crate::load::place::Place;
use crate::results::Unit;
use crate::role;
use crate::services::Services;
use crate::snapshot::Snapshot;
use std::path::PathBuf;
use std::time::Duration;

/// One hot module.
pub(super) const HOT: Table = Table {
    what: "picks from the board in the caller's process",
    names: &[
        "board.pick.p50",
        "board.report.p50",
        "board.pair.p50",
        "board.pair.per_s",
        "board.pair.bare.p50",
        "board.pair.classic.p50",
        "board.pair.written.p50",
        "board.pair.written.changes_per_s",
        "board.pair.1000modules.p50",
        "board.call.p50",
    ],
    quick: true,
    measure: measure_hot,
};

/// Changes of the agent's mind.
pub(super) const CHANGES: Table = Table {
    what: "a change of the agent's mind until a caller sees it",
    names: &["board.change."],
    quick: false,
    measure: measure_changes,
};

/// Reports that the agent drains.
pub(super) const DRAIN: Table = Table {
    what: "an agent that drains 1,000,000 reports a second",
    names: &["board.drain.cpu", "board.drain.cpu.1000modules"],
    quick: false,
    measure: measure_drain,
};

/// Modules on the board.
const MODULES: u32 = 1_000;
/// Nodes of each.
const NODES: u32 = 10;
/// Reports a second that are drained.
pub(super) const REPORTS_PER_S: u32 = 1_000_000;
/// Changes of one run: enough that the slowest of a hundred is seen.
const CHANGED: u32 = 200;

/// Lets a caller on the processor that asks do something with so many modules.
pub(super) fn call(
    harness: &Harness,
    agent: &Server,
    modules: u32,
    doings: Doings,
    seconds: f64,
) -> Result<BoardTimes, BenchError> {
    let task = BoardTask {
        socket: socket(agent)?,
        agent: agent.target.process,
        modules,
        doings,
        seconds,
    };
    let mut child = Child::start(role::LOAD_BOARD, harness.processors.asking, &task)?;
    child.report(Duration::from_secs_f64(seconds * 2.0))
}

fn socket(agent: &Server) -> Result<PathBuf, BenchError> {
    match &agent.target.place {
        Place::Unix(path) => Ok(path.clone()),
        Place::Tcp(addr) => Err(BenchError::Answer(format!("{addr} lends no board"))),
    }
}

fn measure_hot(harness: &mut Harness) -> Result<(), BenchError> {
    let seconds = harness.seconds();
    let agent = Snapshot::of(MODULES, NODES).start(harness)?;
    let classic = Snapshot {
        policy: Some("classic"),
        ..Snapshot::of(MODULES, NODES)
    };
    let classic = classic.start(harness)?;
    let mut runs: [Vec<BoardTimes>; 7] = Default::default();
    for _ in 0..harness.rounds(5) {
        let [halves, pairs, beside, calls, spread, classic_pairs, written] = &mut runs;
        halves.push(call(harness, &agent, 1, Doings::Halves, seconds)?);
        pairs.push(call(harness, &agent, 1, Doings::Pairs, seconds)?);
        beside.push(call(harness, &agent, 1, Doings::PairsBesideBare, seconds)?);
        calls.push(call(harness, &agent, 1, Doings::Calls, seconds)?);
        spread.push(call(harness, &agent, MODULES, Doings::Pairs, seconds)?);
        classic_pairs.push(call(harness, &classic, 1, Doings::Pairs, seconds)?);
        written.push(call(harness, &classic, 1, Doings::PairsBesideChanges, seconds)?);
    }
    let [halves, pairs, beside, calls, spread, classic_pairs, written] = &runs;
    let mut push = |name: &str, unit, of: &[BoardTimes], value: fn(&BoardTimes) -> f64, beside| {
        harness.push(name, unit, of.iter().map(value), beside)
    };
    let (pair_ns, floor) = (|run: &BoardTimes| run.pair_ns, Some("board.pair.bare.p50"));
    push("board.pair.bare.p50", Unit::Ns, beside, |run| run.bare_ns, None)?;
    push("board.pair.p50", Unit::Ns, beside, pair_ns, floor)?;
    push("board.pick.p50", Unit::Ns, halves, |run| run.pick_ns, floor)?;
    push("board.report.p50", Unit::Ns, halves, |run| run.report_ns, floor)?;
    push("board.pair.per_s", Unit::PerS, pairs, |run| run.per_s, None)?;
    push("board.call.p50", Unit::Ns, calls, pair_ns, floor)?;
    push("board.pair.1000modules.p50", Unit::Ns, spread, pair_ns, floor)?;
    push("board.pair.classic.p50", Unit::Ns, classic_pairs, pair_ns, floor)?;
    push(
        "board.pair.written.p50",
        Unit::Ns,
        written,
        |run| run.pair_ns,
        Some("board.pair.classic.p50"),
    )?;
    push(
        "board.pair.written.changes_per_s",
        Unit::PerS,
        written,
        |run| run.changes_per_s,
        None,
    )
}

fn measure_changes(harness: &mut Harness) -> Result<(), BenchError> {
    for (name, in_ring) in [("board.change.ring", true), ("board.change.socket", false)] {
        let (mut p50s, mut p99s) = (Vec::new(), Vec::new());
        for _ in 0..harness.rounds(1) {
            let snapshot = Snapshot {
                policy: Some("classic"),
                ..Snapshot::of(CHANGED, NODES)
            };
            let agent = snapshot.start(harness)?;
            let task = ChangeTask {
                socket: socket(&agent)?,
                modules: CHANGED,
                nodes: NODES,
                in_ring,
            };
            let mut child = Child::start(role::LOAD_CHANGE, harness.processors.asking, &task)?;
            let times: ChangeTimes = child.report(Duration::from_secs(20))?;
            p50s.push(times.p50);
            p99s.push(times.p99);
        }
        harness.push(format!("{name}.p50"), Unit::Ms, p50s, None)?;
        harness.push(format!("{name}.p99"), Unit::Ms, p99s, None)?;
    }
    Ok(())
}

fn measure_drain(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let snapshot = Snapshot {
        report: Some(services.report.clone()),
        ..Snapshot::of(MODULES, NODES)
    };
    let agent = snapshot.start(harness)?;
    // Several rounds of the agent's flush in each.
    let seconds = harness.seconds() * 5.0;
    for (name, modules) in [("board.drain.cpu", 1), ("board.drain.cpu.1000modules", MODULES)] {
        let (mut shares, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..harness.rounds(1) {
            let run = call(harness, &agent, modules, Doings::Paced(REPORTS_PER_S), seconds)?;
            shares.push(run.agent_share);
            rates.push(run.per_s);
        }
        harness.push(name, Unit::Ratio, shares, None)?;
        harness.push(format!("{name}.reports_per_s"), Unit::PerS, rates, None)?;
    }
    Ok(())
}
