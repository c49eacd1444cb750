//! From nothing to the first answer: an agent with no routes on disk, beside a running dns.

use super::Table;
use crate::echo::Io;
use crate::error::{BenchError, Doing};
use crate::exchange::{Exchange, NODE_BYTES};
use crate::harness::Harness;
use crate::load;
use crate::results::Unit;
use crate::services::Services;
use std::io::{Read, Write};
use std::time::Instant;

/// Start of the process to its first pick.
pub(super) const TABLE: Table = Table {
    what: "an agent's start to its first pick",
    names: &["agent.start"],
    quick: true,
    measure,
};

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let mut times = Vec::new();
    for _ in 0..harness.rounds(5) {
        let started = Instant::now();
        let agent = services.agent(harness, Io::Uring)?;
        let mut stream = agent.target.connect(0)?;
        let exchange = Exchange::new(agent.target.ask, load::module(0))?;
        let (mut out, mut answer) = (Vec::new(), [0; NODE_BYTES]);
        exchange.begin(&mut out);
        stream.write_all(&out).doing("ask")?;
        stream.read_exact(&mut answer).doing("take an answer")?;
        exchange.follow(&answer, &mut out)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    harness.push("agent.start", Unit::Ms, times, None)
}
