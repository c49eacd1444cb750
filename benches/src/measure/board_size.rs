//! The board with a million modules, and with a thousand nodes in each of a thousand: what a pick with its report costs
//! when no cache holds the board, beside one dependent access to as much memory; and how much memory that is.

use super::Table;
use super::board::{REPORTS_PER_S, call};
use crate::error::{BenchError, Doing};
use crate::harness::{Harness, Server};
use crate::load::board::Doings;
use crate::results::Unit;
use crate::snapshot::Snapshot;
use std::fs;
use std::time::Duration;

/// Many nodes.
pub(super) const THOUSAND_NODES: Table = Table {
    what: "1,000 modules of 1,000 nodes on the board",
    names: &["board.pair.1000nodes.p50", "memory.dependent.1000nodes.p50"],
    quick: false,
    measure: measure_thousand_nodes,
};

/// Many modules.
pub(super) const MILLION: Table = Table {
    what: "1,000,000 modules of 10 nodes on the board",
    names: &[
        "board.pair.1m.p50",
        "memory.dependent.p50",
        "board.bytes_per_module",
        "board.bytes_per_module.bare",
        "board.drain.cpu.1m",
        "board.drain.cpu.1m.reports_per_s",
    ],
    quick: false,
    measure: measure_million,
};

const MILLION_MODULES: u32 = 1_000_000;
const NODES: u32 = 10;
/// What must be known of a module: itself, its route's version, and each node's address, port, weight and cost.
const BARE_BYTES: u32 = 8 + 8 + NODES * (4 + 2 + 2 + 4);
/// How long after its start an agent has so large a board in huge pages, two megabytes with each beat.
pub(super) const SETTLED: Duration = Duration::from_secs(14);
/// An agent that gives no counts to report while it is measured: what a flush costs is another measurement.
const FLUSH_NEVER_MS: u32 = 60_000;

fn measure_thousand_nodes(harness: &mut Harness) -> Result<(), BenchError> {
    let agent = Snapshot::of(1_000, 1_000).start(harness)?;
    std::thread::sleep(SETTLED / 5);
    let doings = Doings::PairsBesideMemory(board_bytes(&agent)?);
    let (mut pairs, mut accesses) = (Vec::new(), Vec::new());
    for _ in 0..harness.rounds(3) {
        let run = call(harness, &agent, 1_000, doings, harness.seconds())?;
        pairs.push(run.pair_ns);
        accesses.push(run.access_ns);
    }
    let floor = "memory.dependent.1000nodes.p50";
    harness.push(floor, Unit::Ns, accesses, None)?;
    harness.push("board.pair.1000nodes.p50", Unit::Ns, pairs, Some(floor))
}

fn measure_million(harness: &mut Harness) -> Result<(), BenchError> {
    let snapshot = Snapshot {
        flush_interval_ms: FLUSH_NEVER_MS,
        ..Snapshot::of(MILLION_MODULES, NODES)
    };
    let agent = snapshot.start(harness)?;
    std::thread::sleep(SETTLED);
    let bytes = board_bytes(&agent)?;
    let (mut pairs, mut accesses) = (Vec::new(), Vec::new());
    let (mut shares, mut rates) = (Vec::new(), Vec::new());
    let seconds = harness.seconds() * 5.0;
    for _ in 0..harness.rounds(1) {
        let doings = Doings::PairsBesideMemory(bytes);
        let run = call(harness, &agent, MILLION_MODULES, doings, seconds)?;
        pairs.push(run.pair_ns);
        accesses.push(run.access_ns);
        let doings = Doings::Paced(REPORTS_PER_S);
        let run = call(harness, &agent, MILLION_MODULES, doings, seconds)?;
        shares.push(run.agent_share);
        rates.push(run.per_s);
    }
    harness.push("memory.dependent.p50", Unit::Ns, accesses, None)?;
    harness.push("board.pair.1m.p50", Unit::Ns, pairs, Some("memory.dependent.p50"))?;
    let each = bytes as f64 / f64::from(MILLION_MODULES);
    let bare = "board.bytes_per_module.bare";
    harness.push(bare, Unit::Bytes, [f64::from(BARE_BYTES)], None)?;
    harness.push("board.bytes_per_module", Unit::Bytes, [each], Some(bare))?;
    harness.push("board.drain.cpu.1m", Unit::Ratio, shares, None)?;
    harness.push("board.drain.cpu.1m.reports_per_s", Unit::PerS, rates, None)
}

/// Memory that the agent's board takes: what of its file is in place, in all of its parts.
fn board_bytes(agent: &Server) -> Result<usize, BenchError> {
    let path = format!("/proc/{}/smaps", agent.target.process);
    let maps = fs::read_to_string(&path).doing(&path)?;
    let kib = resident_kib(&maps, "/memfd:lars-board");
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| BenchError::Answer(format!("{path} shows no board")))
}

/// What is in place of the mappings of this file; none where there are none.
fn resident_kib(maps: &str, file: &str) -> Option<usize> {
    let (mut is_it, mut sum) = (false, None);
    for line in maps.lines() {
        // A mapping begins with its addresses; lines about it begin with a capital letter.
        if !line.starts_with(|first: char| first.is_ascii_uppercase()) {
            is_it = line.contains(file);
        } else if let (true, Some(rest)) = (is_it, line.strip_prefix("Rss:")) {
            let kib: usize = rest.trim().trim_end_matches(" kB").parse().ok()?;
            sum = Some(sum.unwrap_or(0) + kib);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_of_a_file_are_summed_and_no_other_is() {
        let maps = "7f00-7f10 rw-s 0 00:01 1 /memfd:lars-board (deleted)\nSize: 64 kB\nRss: 12 kB\n\
                    7f10-7f20 rw-s 0 00:01 1 /memfd:lars-board (deleted)\nSize: 64 kB\nRss: 30 kB\n\
                    7f20-7f30 rw-p 0 00:00 0 [heap]\nSize: 64 kB\nRss: 7 kB\n";
        assert_eq!(resident_kib(maps, "lars-board"), Some(42));
        assert_eq!(resident_kib(maps, "lars-ring"), None);
    }
}
