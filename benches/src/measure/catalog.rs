//! Agents that know few modules and agents that know many: how long the routes take from disk to the board, what a node
//! costs the agent in memory, and what a pick costs a caller that makes it from the board, each time of a module at
//! random. `catalog.SIZE.*`, where the size is the number of modules, each of ten nodes.

use super::Table;
use super::board::call;
use super::board_size::SETTLED;
use crate::error::BenchError;
use crate::harness::Harness;
use crate::load::board::Doings;
use crate::memory::resident_bytes;
use crate::results::Unit;
use crate::snapshot::Snapshot;
use std::time::Instant;

/// Rows for each size.
pub(super) const TABLE: Table = Table {
    what: "catalogs of 10 to 1,000,000 modules",
    names: &["catalog."],
    quick: false,
    measure,
};

/// Modules.
const SIZES: [u32; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
/// With fewer modules than these an agent's memory tells more about its start than about them.
const WEIGHED_MIN: u32 = 1_000;
/// Nodes of each.
const NODES: u32 = 10;
/// Times that a size is measured: the agent starts anew for each.
const ROUNDS: usize = 3;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let mut empty_bytes = 0.0;
    for size in SIZES {
        let (mut loads, mut bytes, mut picks) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let written = Snapshot::of(size, NODES).write_down(harness)?;
            let started = Instant::now();
            let agent = written.start(harness)?;
            loads.push(started.elapsed().as_secs_f64());
            let resident = resident_bytes(agent.child.id())?;
            if size == SIZES[0] {
                empty_bytes = resident;
            }
            bytes.push((resident - empty_bytes) / f64::from(size * NODES));
            // Until what large boards are made of stands in huge pages, as it does in an agent that runs for longer.
            std::thread::sleep(SETTLED.mul_f64(f64::from(size) / f64::from(SIZES[5])));
            // Long enough that every module was picked before.
            let seconds = harness.seconds() * if size == SIZES[5] { 5.0 } else { 1.0 };
            picks.push(call(harness, &agent, size, Doings::Halves, seconds)?.pick_ns);
        }
        harness.push(format!("catalog.{size}.load"), Unit::S, loads, None)?;
        if size >= WEIGHED_MIN {
            harness.push(format!("catalog.{size}.bytes_per_node"), Unit::Bytes, bytes, None)?;
        }
        let beside = (size != SIZES[0]).then(|| format!("catalog.{}.pick", SIZES[0]));
        harness.push(format!("catalog.{size}.pick"), Unit::Ns, picks, beside.as_deref())?;
    }
    Ok(())
}
