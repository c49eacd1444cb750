//! One caller, one question outstanding: a pick beside the bare echo of the same bytes, in interleaved pairs.

use super::Table;
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::{Harness, Server};
use crate::load::latency::{Latencies, LatencyTask};
use crate::results::Unit;
use crate::role;
use crate::services::Services;

/// Times of single answers.
pub(super) const TABLE: Table = Table {
    what: "one caller: pick beside a bare echo",
    names: &[
        "echo.unix.p50",
        "echo.unix.p99",
        "pick.socket.1.p50",
        "pick.socket.1.p99",
        "pick.socket.1.p999",
        "pick_over_echo.1",
    ],
    quick: true,
    measure,
};

/// How a row's name ends, and what of the times stands in it.
const PERCENTILES: [(&str, Percentile); 3] = [
    ("p50", |times| times.p50),
    ("p99", |times| times.p99),
    ("p999", |times| times.p999),
];

type Percentile = fn(&Latencies) -> f64;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let echo = harness.echo(role::ECHO_BLOCKING, Io::Epoll)?;
    let agent = services.agent(harness, Io::Uring)?;
    let (mut echoes, mut picks) = (Vec::new(), Vec::new());
    for round in 0..harness.rounds(15) {
        // Each goes first in every other pair: what is left of the one before then falls on both.
        let sides = [(&echo, &mut echoes), (&agent, &mut picks)];
        let mut sides = if round % 2 == 0 {
            sides
        } else {
            let [one, other] = sides;
            [other, one]
        };
        for (server, times) in &mut sides {
            times.push(ask(harness, server)?);
        }
    }
    push(harness, "echo.unix", &echoes, None)?;
    push(harness, "pick.socket.1", &picks, Some("echo.unix"))?;
    let pairs = echoes.iter().zip(&picks).map(|(echo, pick)| pick.p50 / echo.p50);
    harness.push("pick_over_echo.1", Unit::Ratio, pairs.collect::<Vec<_>>(), None)
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

pub(super) fn ask(harness: &Harness, server: &Server) -> Result<Latencies, BenchError> {
    let task = LatencyTask {
        target: server.target.clone(),
        seconds: harness.seconds(),
    };
    Child::start(role::LOAD_LATENCY, harness.processors.asking, &task)?.report(harness.slice() * 2)
}
