//! Callers of the C++ Lars: one of them beside a bare UDP echo (a blocking thread; the ring's echo stands by), and
//! sixteen that ask and report beside a ring echo of the same datagrams, two received and one sent for each pair.

use super::{Table, latency};
use crate::child::Child;
use crate::echo::Io;
use crate::echo::datagrams::DatagramEchoTask;
use crate::error::{BenchError, Doing};
use crate::harness::Harness;
use crate::load::datagram::Answers;
use crate::load::latency::Latencies;
use crate::load::old_callers::{OldAsk, OldCallersTask, PORTS};
use crate::results::Unit;
use crate::role;
use crate::services::Services;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// Rows of callers of the C++ Lars.
pub(super) const TABLE: Table = Table {
    what: "callers of the C++ Lars beside a bare UDP echo",
    names: &["compat.", "echo.udp.", "compat_over_echo.1"],
    quick: false,
    measure,
};

/// Callers where there are many.
const CALLERS: u32 = 16;
/// Rounds in a quick run, of one caller and of many.
const ROUNDS_OF_ONE: usize = 15;
const ROUNDS_OF_MANY: usize = 7;
/// How often three free ports in a row are looked for.
const BASES_MAX: usize = 100;

/// A server of datagrams, and how it is asked.
struct OldServer {
    child: Child,
    port: u16,
    has_routes: bool,
}

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let base = free_base()?;
    let agent = OldServer {
        child: services.agent_with_old_front(harness, base)?,
        port: base,
        has_routes: true,
    };
    measure_one(harness, &agent)?;
    measure_many(harness, &agent)
}

fn measure_one(harness: &mut Harness, agent: &OldServer) -> Result<(), BenchError> {
    let (echo, ring) = (echo(harness, None)?, echo(harness, Some(Io::Uring))?);
    let servers = [&echo, &ring, agent];
    let [echoes, rings, picks] = interleaved(harness, ROUNDS_OF_ONE, 1, OldAsk::Host, servers)?;
    let times = |answers: &[Answers]| -> Vec<Latencies> { answers.iter().map(|one| one.times).collect() };
    latency::push(harness, "echo.udp", &times(&echoes), None)?;
    latency::push(harness, "echo.udp.ring", &times(&rings), Some("echo.udp"))?;
    latency::push(harness, "compat.pick.1", &times(&picks), Some("echo.udp"))?;
    let pairs = echoes.iter().zip(&picks);
    let ratios: Vec<f64> = pairs
        .map(|(echo, pick)| pick.times.p50 / echo.times.p50)
        .collect();
    harness.push("compat_over_echo.1", Unit::Ratio, ratios, None)
}

fn measure_many(harness: &mut Harness, agent: &OldServer) -> Result<(), BenchError> {
    let echo = echo(harness, Some(Io::Uring))?;
    let [echoes, pairs] = interleaved(harness, ROUNDS_OF_MANY, CALLERS, OldAsk::Pair, [&echo, agent])?;
    let rates =
        |answers: &[Answers]| -> Vec<f64> { answers.iter().map(|one| one.rate.per_core_s()).collect() };
    let beside = format!("echo.udp.pair.{CALLERS}.per_core_s");
    harness.push(beside.clone(), Unit::PerS, rates(&echoes), None)?;
    let name = format!("compat.pair.{CALLERS}.per_core_s");
    harness.push(name, Unit::PerS, rates(&pairs), Some(&beside))
}

/// Asks all in turn, in the one order and then in the other, and so on.
fn interleaved<const N: usize>(
    harness: &Harness,
    rounds: usize,
    callers: u32,
    ask: OldAsk,
    servers: [&OldServer; N],
) -> Result<[Vec<Answers>; N], BenchError> {
    let mut answers = [const { Vec::new() }; N];
    for round in 0..harness.rounds(rounds) {
        for place in 0..N {
            let place = if round % 2 == 0 { place } else { N - 1 - place };
            let server = servers[place];
            let task = OldCallersTask {
                addr: (Ipv4Addr::LOCALHOST, server.port).into(),
                process: Some(server.child.id()),
                has_routes: server.has_routes,
                ask,
                callers,
                seconds: harness.seconds(),
            };
            let mut load = Child::start(role::LOAD_OLD_CALLERS, harness.processors.asking, &task)?;
            answers[place].push(load.report(harness.slice() * 2)?);
        }
    }
    Ok(answers)
}

/// Starts an echo of such callers' datagrams.
fn echo(harness: &Harness, io: Option<Io>) -> Result<OldServer, BenchError> {
    let task = DatagramEchoTask { io };
    let mut child = Child::start(role::ECHO_DATAGRAMS, harness.processors.serving, &task)?;
    Ok(OldServer {
        port: child.report(Duration::ZERO)?,
        child,
        has_routes: false,
    })
}

/// The first of three free UDP ports in a row.
fn free_base() -> Result<u16, BenchError> {
    let bound = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
    for _ in 0..BASES_MAX {
        let base = bound(0)
            .and_then(|socket| socket.local_addr())
            .doing("find a port")?
            .port();
        if base <= u16::MAX - PORTS && (base..base + PORTS).map(bound).all(|socket| socket.is_ok()) {
            return Ok(base);
        }
    }
    Err(BenchError::Answer("no three ports in a row are free".to_owned()))
}
