//! Many callers: what a pick costs the agent's core, beside the bare ring echo of the same bytes, and the ring beside
//! its epoll twin.

use super::Table;
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::exchange::Ask;
use crate::harness::Harness;
use crate::load::Target;
use crate::load::rate::{Rate, RateTask};
use crate::results::Unit;
use crate::role;
use crate::services::Services;

/// Answers in a second of the server's processor time.
pub(super) const TABLE: Table = Table {
    what: "many callers: picks and pairs beside a bare ring echo",
    names: &["echo.ring.", "pick.socket.", "pair.socket."],
    quick: true,
    measure,
};

/// The ring beside its twin.
pub(super) const TWINS: Table = Table {
    what: "the ring beside its epoll twin",
    names: &["uring_over_epoll.", "echo.uring_over_epoll."],
    quick: true,
    measure: measure_twins,
};

/// How many callers ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    connections: u32,
    outstanding: u32,
}

const CROWDS: [Crowd; 5] = [
    Crowd::new(1, 1),
    Crowd::new(16, 1),
    Crowd::new(64, 1),
    Crowd::new(1_000, 1),
    Crowd::new(64, 32),
];
/// Callers that ask the ring and its twin.
const TWIN_CONNECTIONS: [u32; 2] = [16, 64];
/// Rounds of each crowd in a quick run.
pub(super) const ROUNDS: usize = 3;
/// The same of picks, which have two speeds with some numbers of connections.
const RATE_ROUNDS: usize = 5;
/// The same of the twins, which differ by some hundredths.
const TWIN_ROUNDS: usize = 9;

impl Crowd {
    pub(super) const fn new(connections: u32, outstanding: u32) -> Self {
        Self {
            connections,
            outstanding,
        }
    }

    /// `16`, or `64x32` where more than one question is outstanding on each connection.
    pub(super) fn name(self) -> String {
        match self.outstanding {
            1 => self.connections.to_string(),
            outstanding => format!("{}x{outstanding}", self.connections),
        }
    }
}

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let crowds = CROWDS.map(|crowd| (crowd, format!("{}.per_core_s", crowd.name())));
    let wanted = |name: &str| {
        let whole = ["echo.ring.", "pick.socket.", "pair.socket."].map(|kind| format!("{kind}{name}"));
        whole.iter().any(|name| harness.wants(name))
    };
    let crowds: Vec<_> = crowds.into_iter().filter(|(_, name)| wanted(name)).collect();
    if crowds.is_empty() {
        return Ok(());
    }
    let services = Services::start(harness)?;
    let echo = harness.pooled_echo(Io::Uring)?;
    let agent = services.agent(harness, Io::Uring)?;
    let pair = Target {
        ask: Ask::Pair,
        ..agent.target.clone()
    };
    for (crowd, name) in crowds {
        let rates = interleaved(harness, crowd, [&echo.target, &agent.target, &pair], RATE_ROUNDS)?;
        let beside = format!("echo.ring.{name}");
        let kinds = [
            ("echo.ring.", None),
            ("pick.socket.", Some(&beside)),
            ("pair.socket.", Some(&beside)),
        ];
        for ((kind, beside), rates) in kinds.into_iter().zip(rates) {
            let runs = rates.iter().map(Rate::per_core_s);
            harness.push(
                format!("{kind}{name}"),
                Unit::PerS,
                runs,
                beside.map(String::as_str),
            )?;
        }
    }
    Ok(())
}

fn measure_twins(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let servers = [
        harness.pooled_echo(Io::Uring)?,
        harness.pooled_echo(Io::Epoll)?,
        services.agent(harness, Io::Uring)?,
        services.agent(harness, Io::Epoll)?,
    ];
    let targets = servers.each_ref().map(|server| &server.target);
    for connections in TWIN_CONNECTIONS {
        let rates = interleaved(harness, Crowd::new(connections, 1), targets, TWIN_ROUNDS)?;
        let [echo_ring, echo_epoll, ring, epoll] = &rates;
        let over = |ring: &[Rate], epoll: &[Rate]| -> Vec<f64> {
            let pairs = ring.iter().zip(epoll);
            pairs
                .map(|(ring, epoll)| ring.ns_each() / epoll.ns_each())
                .collect()
        };
        let (echoes, agents) = (over(echo_ring, echo_epoll), over(ring, epoll));
        let floor = format!("echo.uring_over_epoll.{connections}");
        harness.push(&floor, Unit::Ratio, echoes, None)?;
        let name = format!("uring_over_epoll.{connections}");
        harness.push(name, Unit::Ratio, agents, Some(&floor))?;
    }
    Ok(())
}

/// Asks each target in turn, in the one order and then in the other, and so on.
pub(super) fn interleaved<const N: usize>(
    harness: &Harness,
    crowd: Crowd,
    targets: [&Target; N],
    rounds: usize,
) -> Result<[Vec<Rate>; N], BenchError> {
    let mut rates = [const { Vec::new() }; N];
    for round in 0..harness.rounds(rounds) {
        for place in 0..N {
            let place = if round % 2 == 0 { place } else { N - 1 - place };
            rates[place].push(ask(harness, crowd, targets[place])?);
        }
    }
    Ok(rates)
}

pub(super) fn ask(harness: &Harness, crowd: Crowd, target: &Target) -> Result<Rate, BenchError> {
    let task = RateTask {
        target: target.clone(),
        connections: crowd.connections,
        outstanding: crowd.outstanding,
        seconds: harness.seconds(),
    };
    Child::start(role::LOAD_RATE, harness.processors.asking, &task)?.report(harness.slice() * 2)
}
