//! One caller, one question outstanding: a pick beside the bare echo of the same bytes, in interleaved pairs; and the
//! pool's echoes, over the ring and over epoll, beside both.
//!
//! `pick.socket.1` asks again as soon as it has an answer. A thread that waits in a blocking read of a Unix socket is
//! woken then before the next question is written: the kernel tells it also that its last answer was read. So the same is
//! measured with a caller that is busy for a moment before it asks again, as one that uses the answer is: `pick.paused.1`.

use super::Table;
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::{Harness, Server};
use crate::load::latency::{Answered, Latencies, LatencyTask};
use crate::results::Unit;
use crate::role;
use crate::services::Services;

/// Times of single answers.
pub(super) const TABLE: Table = Table {
    what: "one caller: pick beside a bare echo",
    names: &[
        "echo.unix.",
        "echo.paused.",
        "pick.socket.1.p50",
        "pick.socket.1.p99",
        "pick.socket.1.p999",
        "pick.paused.1.p50",
        "pick.paused.1.p99",
        "pick.paused.1.p999",
        "pick_over_echo.1",
        "pick_over_echo.paused.1",
    ],
    quick: true,
    measure,
};

/// Rounds of a quick run, each a pair.
const ROUNDS: usize = 20;
/// Rounds go round in a third of what one side of other comparisons is asked: many short pairs tell more than few long
/// ones on a machine that is disturbed for seconds at a time.
const SLICES: f64 = 3.0;
/// What a caller that does something with its answer takes for it.
const PAUSE_US: u32 = 100;

/// How a row's name ends, and what of the times stands in it.
const PERCENTILES: [(&str, Percentile); 3] = [
    ("p50", |times| times.p50),
    ("p99", |times| times.p99),
    ("p999", |times| times.p999),
];

type Percentile = fn(&Latencies) -> f64;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let servers = [
        harness.echo(role::ECHO_BLOCKING, Io::Epoll)?,
        services.agent(harness, Io::Uring)?,
        harness.pooled_echo(Io::Epoll)?,
        harness.pooled_echo(Io::Uring)?,
    ];
    let all: Vec<&Server> = servers.iter().collect();
    let answered = ask_in_rounds(harness, &all, 0)?;
    let names = ["echo.unix", "pick.socket.1", "echo.unix.epoll", "echo.unix.ring"];
    push_rounds(harness, &names, &answered, "pick_over_echo.1")?;
    let answered = ask_in_rounds(harness, &all[..2], PAUSE_US)?;
    let names = ["echo.paused", "pick.paused.1"];
    push_rounds(harness, &names, &answered, "pick_over_echo.paused.1")
}

/// Asks all of them in interleaved rounds.
fn ask_in_rounds(harness: &Harness, servers: &[&Server], pause_us: u32) -> Result<Vec<Answered>, BenchError> {
    let task = LatencyTask {
        targets: servers.iter().map(|server| server.target.clone()).collect(),
        rounds: harness.rounds(ROUNDS),
        seconds: harness.seconds() / SLICES,
        pause_us,
    };
    let slices = (task.rounds * servers.len()) as u32;
    let time = harness.slice().div_f64(SLICES) * slices * 2;
    Child::start(role::LOAD_LATENCY, harness.processors.asking, &task)?.report(time)
}

/// Adds the rows of each, beside those of the first, and the ratio of the first two in each round.
fn push_rounds(
    harness: &mut Harness,
    names: &[&str],
    answered: &[Answered],
    ratio: &str,
) -> Result<(), BenchError> {
    for (number, (name, answered)) in names.iter().zip(answered).enumerate() {
        for (end, of) in PERCENTILES {
            let beside = (number > 0).then(|| format!("{}.{end}", names[0]));
            // Rounds are too short for the far ends.
            let ns = match end {
                "p50" => answered.p50s.clone(),
                _ => vec![of(&answered.all)],
            };
            let us = ns.into_iter().map(|ns| ns / 1e3);
            harness.push(format!("{name}.{end}"), Unit::Us, us, beside.as_deref())?;
        }
    }
    let pairs = answered[0].p50s.iter().zip(&answered[1].p50s);
    let ratios: Vec<f64> = pairs.map(|(echo, pick)| pick / echo).collect();
    harness.push(ratio, Unit::Ratio, ratios, None)
}

/// Adds `NAME.p50`, `.p99` and `.p999`, each beside the row of another name that ends alike.
pub(super) fn push(
    harness: &mut Harness,
    name: &str,
    runs: &[Latencies],
    beside: Option<&str>,
) -> Result<(), BenchError> {
    for (end, of) in PERCENTILES {
        let beside = beside.map(|beside| format!("{beside}.{end}"));
        let us = runs.iter().map(|run| of(run) / 1e3);
        harness.push(format!("{name}.{end}"), Unit::Us, us, beside.as_deref())?;
    }
    Ok(())
}

/// What one server answers to one caller in one round.
pub(super) fn ask(harness: &Harness, server: &Server) -> Result<Latencies, BenchError> {
    let task = LatencyTask {
        targets: vec![server.target.clone()],
        rounds: 1,
        seconds: harness.seconds(),
        pause_us: 0,
    };
    let answered: Vec<Answered> =
        Child::start(role::LOAD_LATENCY, harness.processors.asking, &task)?.report(harness.slice() * 2)?;
    let one = answered.first().map(|answered| answered.all);
    one.ok_or_else(|| BenchError::Answer("no server was asked".to_owned()))
}
