//! Many connections: how evenly they are spread over the cores, and what one that is idle costs the agent.

use super::Table;
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::{Harness, Server};
use crate::load::idle::IdleTask;
use crate::memory::resident_bytes;
use crate::results::Unit;
use crate::role;
use crate::scrape;
use crate::services::Services;
use std::time::Duration;

/// Spread and memory.
pub(super) const TABLE: Table = Table {
    what: "1,000 connections over two cores, and 10,000 idle ones",
    names: &[
        "accept.spread",
        "agent.idle.bytes_per_connection",
        "agent.idle.bytes_per_connection.wanted",
    ],
    quick: true,
    measure,
};

/// Connections that are spread, and cores.
const SPREAD: u32 = 1_000;
const CORES: u16 = 2;
/// Connections that are idle.
const IDLE: u32 = 10_000;
/// What each may cost at most: a page.
const IDLE_BYTES_WANTED: f64 = 4_096.0;
/// How long it may take until all of them are there.
const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let (mut spreads, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..harness.rounds(1) {
        let agent = services.agent_on(harness, Io::Uring, CORES)?;
        let idle = connect(harness, &agent, SPREAD)?;
        let loads = scrape::figures(&agent.admin, "lars_pool_core_connections")?;
        let most = loads.iter().copied().fold(0.0, f64::max);
        spreads.push(most * loads.len() as f64 / loads.iter().sum::<f64>());
        drop(idle);

        let agent = services.agent_on(harness, Io::Uring, 1)?;
        // What the first connections need once is not theirs.
        let _few = connect(harness, &agent, 10)?;
        let before = resident_bytes(agent.child.id())?;
        let _idle = connect(harness, &agent, IDLE)?;
        sizes.push((resident_bytes(agent.child.id())? - before) / f64::from(IDLE));
    }
    harness.push("accept.spread", Unit::Ratio, spreads, None)?;
    let most = "agent.idle.bytes_per_connection.wanted";
    harness.push(most, Unit::Bytes, [IDLE_BYTES_WANTED], None)?;
    harness.push("agent.idle.bytes_per_connection", Unit::Bytes, sizes, Some(most))
}

/// Connections that last as long as what is returned.
fn connect(harness: &Harness, agent: &Server, connections: u32) -> Result<Child, BenchError> {
    let task = IdleTask {
        target: agent.target.clone(),
        connections,
    };
    let words = role::with_all_descriptors();
    let mut child = Child::start_under(&words, role::LOAD_IDLE, harness.processors.asking, &task)?;
    child.report::<u32>(CONNECTED_WITHIN)?;
    Ok(child)
}
