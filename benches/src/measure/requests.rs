//! What a pick costs besides time: system calls and allocations of the agent, counted by itself between two moments of
//! 64 connections' steady asking. Processor time for a pick is the inverse of `pick.socket.N.per_core_s`.

use super::Table;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::{Harness, Server};
use crate::load::rate::Carousel;
use crate::machine;
use crate::results::Unit;
use crate::scrape;
use crate::services::Services;
use std::time::{Duration, Instant};

/// Counts for each pick.
pub(super) const TABLE: Table = Table {
    what: "system calls and allocations for each pick",
    names: &[
        "pick.socket.64.syscalls",
        "pick.socket.64.allocations",
        "epoll.pick.socket.64.syscalls",
    ],
    quick: true,
    measure,
};

/// Callers that ask.
const CONNECTIONS: u32 = 64;
/// The agent's own count of its calls.
const SYSTEM_CALLS: &str = "lars_pool_system_calls_total";

/// What was counted for each pick.
struct Counted {
    system_calls: f64,
    allocations: f64,
}

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let mut ring = services.agent(harness, Io::Uring)?;
    let mut epoll = services.agent(harness, Io::Epoll)?;
    let (mut on_ring, mut on_epoll) = (Vec::new(), Vec::new());
    for _ in 0..harness.rounds(3) {
        on_ring.push(count(harness, &mut ring)?);
        on_epoll.push(count(harness, &mut epoll)?);
    }
    let calls = |counted: &[Counted]| -> Vec<f64> { counted.iter().map(|one| one.system_calls).collect() };
    harness.push(
        "epoll.pick.socket.64.syscalls",
        Unit::Count,
        calls(&on_epoll),
        None,
    )?;
    let beside = Some("epoll.pick.socket.64.syscalls");
    harness.push("pick.socket.64.syscalls", Unit::Count, calls(&on_ring), beside)?;
    let allocations = on_ring.iter().map(|one| one.allocations);
    harness.push("pick.socket.64.allocations", Unit::Count, allocations, None)
}

fn count(harness: &Harness, server: &mut Server) -> Result<Counted, BenchError> {
    let (asking, time) = (harness.processors.asking, harness.slice());
    // A thread of its own, since it stays on its processor.
    let work = || {
        machine::pin(asking);
        let mut carousel = Carousel::start(&server.target, CONNECTIONS, 1)?;
        let mut turn_for = |time: Duration| -> Result<u64, BenchError> {
            let (started, mut rounds) = (Instant::now(), 0);
            while started.elapsed() < time {
                carousel.round()?;
                rounds += 1;
            }
            Ok(rounds)
        };
        turn_for(time / 10)?;
        let mut counts = || {
            let calls: f64 = scrape::figures(&server.admin, SYSTEM_CALLS)?.iter().sum();
            Ok::<_, BenchError>((calls, server.child.allocations()? as f64))
        };
        // Telling them costs a few itself: what telling costs is told by telling twice.
        let (first, before) = (counts()?, counts()?);
        let picks = (turn_for(time)? * u64::from(CONNECTIONS)) as f64;
        let after = counts()?;
        Ok(Counted {
            system_calls: (after.0 - before.0 - (before.0 - first.0)).max(0.0) / picks,
            allocations: (after.1 - before.1 - (before.1 - first.1)).max(0.0) / picks,
        })
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(BenchError::Answer("a measuring thread panicked".to_owned())))
}
