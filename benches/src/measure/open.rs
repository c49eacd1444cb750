//! One caller in an open loop: a pick beside the bare echo of the same bytes, both asked at the same random moments.

use super::{Table, latency};
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::{Harness, Server};
use crate::load::latency::Latencies;
use crate::load::open::OpenTask;
use crate::role;
use crate::services::Services;

/// Times without coordinated omission.
pub(super) const TABLE: Table = Table {
    what: "one caller in an open loop: pick beside a bare echo",
    names: &["echo.open.", "pick.open."],
    quick: true,
    measure,
};

/// Questions in a second: a fifth of what a blocking echo answers on a slow machine, so that queues stay short.
const PER_S: u32 = 5_000;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let echo = harness.echo(role::ECHO_BLOCKING, Io::Epoll)?;
    let agent = services.agent(harness, Io::Uring)?;
    let (mut echoes, mut picks) = (Vec::new(), Vec::new());
    for _ in 0..harness.rounds(3) {
        echoes.push(ask(harness, &echo)?);
        picks.push(ask(harness, &agent)?);
    }
    latency::push(harness, "echo.open", &echoes, None)?;
    latency::push(harness, "pick.open", &picks, Some("echo.open"))
}

fn ask(harness: &Harness, server: &Server) -> Result<Latencies, BenchError> {
    let task = OpenTask {
        target: server.target.clone(),
        per_s: PER_S,
        seconds: 2.0 * harness.seconds(),
    };
    Child::start(role::LOAD_OPEN, harness.processors.asking, &task)?.report(harness.slice() * 2)
}
