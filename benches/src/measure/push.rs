//! A change made through Lars: from the moment it is sent to dns until a caller's pick sees it.

use super::Table;
use crate::echo::Io;
use crate::error::{BenchError, Doing};
use crate::greeting::{ANSWER_WITHIN, ask, greet, receive, send};
use crate::harness::Harness;
use crate::load;
use crate::load::place::Stream;
use crate::results::Unit;
use crate::services::{self, Services, node, row};
use crate::spread::percentile;
use lars_wire::admin::{EditRoutes, Edited, RouteEdit};
use lars_wire::caller::{Node, Pick};
use lars_wire::{ModuleId, NodeAddr};
use std::net::TcpStream;
use std::time::Instant;

/// A change until it is seen.
pub(super) const TABLE: Table = Table {
    what: "a change made through Lars until a pick sees it",
    names: &["dns.push.own", "dns.push.own.p99"],
    quick: true,
    measure,
};

/// Changes of one run: enough that the slowest of a hundred is seen.
const CHANGES: usize = 100;
/// The numbers of the two nodes that take each other's place.
const NODES: [u32; 2] = [1_000, 1_001];

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let agent = services.agent(harness, Io::Uring)?;
    let module = load::module(0);
    let mut dns = TcpStream::connect(&services.dns).doing("connect to dns")?;
    dns.set_read_timeout(Some(ANSWER_WITHIN))
        .doing("set a time-out")?;
    dns.set_nodelay(true).doing("set TCP_NODELAY")?;
    greet(&mut dns)?;
    let mut caller = agent.target.connect(0)?;
    let (mut runs, mut p99s) = (Vec::new(), Vec::new());
    for _ in 0..harness.rounds(1) {
        // The ten nodes of the load make room for one.
        let leave = (0..services::NODES).map(node).chain([node(NODES[1])]).collect();
        seen_after(&mut dns, &mut caller, module, NODES[0], leave)?;
        let mut times = Vec::new();
        for change in 1..=CHANGES {
            let [come, leave] = [NODES[change % 2], NODES[(change + 1) % 2]];
            times.push(seen_after(
                &mut dns,
                &mut caller,
                module,
                come,
                vec![node(leave)],
            )?);
        }
        times.sort_by(f64::total_cmp);
        p99s.extend(percentile(&times, 0.99));
        runs.extend(times);
    }
    harness.push("dns.push.own", Unit::Ms, runs, None)?;
    harness.push("dns.push.own.p99", Unit::Ms, p99s, None)
}

/// Puts one node into the module and removes others; returns the milliseconds until a pick answers the new one.
fn seen_after(
    dns: &mut TcpStream,
    caller: &mut Stream,
    module: ModuleId,
    come: u32,
    leave: Vec<NodeAddr>,
) -> Result<f64, BenchError> {
    let mut edits = vec![RouteEdit::Put(row(module, come))];
    edits.extend(leave.into_iter().map(|node| RouteEdit::Remove { module, node }));
    let started = Instant::now();
    send(dns, &EditRoutes { edits })?;
    loop {
        let picked: Node = ask(caller, &Pick::new(module))?;
        if picked.node == node(come) {
            break;
        }
        if started.elapsed() > ANSWER_WITHIN {
            return Err(BenchError::Answer(format!(
                "a change is not seen within {ANSWER_WITHIN:?}"
            )));
        }
    }
    let seen = started.elapsed();
    receive::<Edited>(dns)?;
    Ok(seen.as_secs_f64() * 1e3)
}
