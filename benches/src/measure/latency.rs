//! One caller, one question outstanding: a pick beside the bare echo of the same bytes, in interleaved pairs; and the
//! pool's echoes, over the ring and over epoll, beside both.

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
        "echo.unix.",
        "pick.socket.1.p50",
        "pick.socket.1.p99",
        "pick.socket.1.p999",
        "pick_over_echo.1",
    ],
    quick: true,
    measure,
};

/// The pool's own echoes are timed beside the pair in every so many rounds.
const OTHERS_EVERY: usize = 3;

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
    let mut times = servers.each_ref().map(|_| Vec::new());
    for round in 0..harness.rounds(15) {
        // The first two are the pair, each first in every other round: what is left of the one before then falls on both.
        let order = if round % 2 == 0 {
            [0, 1, 2, 3]
        } else {
            [1, 0, 3, 2]
        };
        let count = if round % OTHERS_EVERY == 0 { 4 } else { 2 };
        for &side in &order[..count] {
            times[side].push(ask(harness, &servers[side])?);
        }
    }
    let [blocking, agent, epoll, ring] = &times;
    push(harness, "echo.unix", blocking, None)?;
    push(harness, "echo.unix.epoll", epoll, Some("echo.unix"))?;
    push(harness, "echo.unix.ring", ring, Some("echo.unix"))?;
    push(harness, "pick.socket.1", agent, Some("echo.unix"))?;
    let pairs = blocking.iter().zip(agent).map(|(echo, pick)| pick.p50 / echo.p50);
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
