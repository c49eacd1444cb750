//! `agent.rss.1000`: the memory that an agent holds, pages of code and registered buffers included, when it has the
//! routes of 1,000 modules of 10 nodes and nobody asks it anything.

use super::Table;
use crate::echo::Io;
use crate::error::BenchError;
use crate::greeting::{greet, register};
use crate::harness::Harness;
use crate::memory::resident_bytes;
use crate::results::Unit;
use crate::services::{NODES, Services, row};
use lars_client::admin::RouteEdit;
use lars_wire::ModuleId;

/// Memory at rest.
pub(super) const TABLE: Table = Table {
    what: "an agent's memory with 1,000 modules",
    names: &["agent.rss.1000"],
    quick: true,
    measure,
};

/// How many modules the agent holds.
const MODULES: u32 = 1_000;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let modules: Vec<ModuleId> = (0..MODULES).map(|cmdid| ModuleId::new(200, cmdid)).collect();
    let edits = modules
        .iter()
        .flat_map(|&module| (0..NODES).map(move |number| RouteEdit::Put(row(module, number))));
    services.edit(edits.collect())?;
    let mut sizes = Vec::new();
    for _ in 0..harness.rounds(1) {
        let agent = services.agent(harness, Io::Uring)?;
        let mut stream = agent.target.place.connect()?;
        greet(&mut stream)?;
        for &module in &modules {
            register(&mut stream, module)?;
        }
        sizes.push(resident_bytes(agent.child.id())?);
    }
    harness.push("agent.rss.1000", Unit::Bytes, sizes, None)
}
