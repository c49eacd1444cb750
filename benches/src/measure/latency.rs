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
    measure,
};

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
    let us = |times: &[Latencies], of: fn(&Latencies) -> f64| -> Vec<f64> {
        times.iter().map(|one| of(one) / 1e3).collect()
    };
    harness.push("echo.unix.p50", Unit::Us, us(&echoes, |one| one.p50), None)?;
    harness.push("echo.unix.p99", Unit::Us, us(&echoes, |one| one.p99), None)?;
    harness.push("echo.unix.p999", Unit::Us, us(&echoes, |one| one.p999), None)?;
    harness.push(
        "pick.socket.1.p50",
        Unit::Us,
        us(&picks, |one| one.p50),
        Some("echo.unix.p50"),
    )?;
    harness.push(
        "pick.socket.1.p99",
        Unit::Us,
        us(&picks, |one| one.p99),
        Some("echo.unix.p99"),
    )?;
    harness.push(
        "pick.socket.1.p999",
        Unit::Us,
        us(&picks, |one| one.p999),
        Some("echo.unix.p999"),
    )?;
    let pairs = echoes.iter().zip(&picks).map(|(echo, pick)| pick.p50 / echo.p50);
    harness.push("pick_over_echo.1", Unit::Ratio, pairs.collect::<Vec<_>>(), None)
}

fn ask(harness: &Harness, server: &Server) -> Result<Latencies, BenchError> {
    let task = LatencyTask {
        target: server.target.clone(),
        seconds: harness.seconds(),
    };
    Child::start(role::LOAD_LATENCY, harness.processors.asking, &task)?.report(harness.slice() * 2)
}
