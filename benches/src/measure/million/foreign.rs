//! A change that another program writes, statement by statement as the old page does: from before its first statement
//! until a caller's pick sees it. And a bare DELETE, which tells nobody.

use super::store_of;
use crate::database::Database;
use crate::echo::Io;
use crate::error::BenchError;
use crate::greeting::{ask, greet, register};
use crate::harness::Harness;
use crate::load::place::Stream;
use crate::results::Unit;
use crate::services::{Services, node};
use crate::spread::percentile;
use lars_wire::caller::{Node, Pick};
use lars_wire::{ModuleId, NodeAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Changes of one run.
const CHANGES: u32 = 50;
/// Modules that are watched; each gets a node, whose address is edited later.
const MODULES: u32 = CHANGES / 2;
/// Bare deletes of one run.
const DELETES: u32 = 2;
/// Between two picks: an agent that is asked without a pause would take a processor from dns and the database.
const PICK_EVERY: Duration = Duration::from_millis(1);
/// Picks in a row that must not see a node: of two nodes each is picked every second time.
const UNSEEN: u32 = 20;
/// A change that is not seen by then is lost.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// The modules whose changes are watched, with the row that each was given last and the node in it.
#[derive(Debug)]
pub(super) struct Watched {
    rows: Vec<Option<(u64, NodeAddr)>>,
    /// The last node that was given out.
    last: u32,
}

fn module(number: u32) -> ModuleId {
    ModuleId::new(300, number)
}

impl Watched {
    /// Puts one node into each module that will be watched.
    pub(super) fn put_into(database: &mut Database) -> Result<Self, BenchError> {
        for number in 0..MODULES {
            database.run(&insert(number, node(0)))?;
        }
        Ok(Self {
            rows: vec![None; MODULES as usize],
            last: 0,
        })
    }

    /// What the old page writes next, to which module, and the node that picks then see: a new row for each module, then
    /// an edit of each of those, then new rows again.
    fn next(&mut self, change: u32) -> (String, u32, NodeAddr) {
        self.last += 1;
        let (number, come) = (change % MODULES, node(self.last));
        let ip = come.ipv4_number().unwrap_or_default();
        let row = match self.rows[number as usize] {
            Some((id, _)) => format!("UPDATE RouteData SET serverip = {ip} WHERE id = {id}"),
            None => insert(number, come),
        };
        (row, number, come)
    }
}

fn insert(number: u32, node: NodeAddr) -> String {
    let ModuleId { modid, cmdid } = module(number);
    let (ip, port) = (node.ipv4_number().unwrap_or_default(), node.port());
    format!(
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES ({modid}, {cmdid}, {ip}, {port})"
    )
}

pub(super) fn measure(
    harness: &mut Harness,
    database: &mut Database,
    watched: &mut Watched,
    suffix: &str,
) -> Result<(), BenchError> {
    let services = Services::start_on(harness, harness.processors.asking, &store_of(database))?;
    let agent = services.agent(harness, Io::Uring)?;
    let mut caller = agent.target.place.connect()?;
    greet(&mut caller)?;
    for number in 0..MODULES {
        register(&mut caller, module(number))?;
    }
    let (mut runs, mut p99s, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..harness.rounds(1) {
        let mut times = Vec::new();
        for change in 0..CHANGES {
            // Anywhere between two looks of dns.
            sleep(Duration::from_millis(u64::from(change * 37 % 150)));
            let (row, number, come) = watched.next(change);
            let started = Instant::now();
            let id = database.old_page(&row, module(number))?;
            let kept = &mut watched.rows[number as usize];
            *kept = kept.map(|(id, _)| id).or(id).map(|id| (id, come));
            until(started, || Ok(picked(&mut caller, number)? == come))?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        p99s.extend(percentile(&times, 0.99));
        runs.extend(times);
        for number in 0..DELETES {
            if let Some((id, gone)) = watched.rows[number as usize] {
                deletes.push(deleted_after(database, &mut caller, number, id, gone)?);
            }
        }
        // The next round inserts anew.
        watched.rows.iter_mut().for_each(|row| *row = None);
    }
    harness.push(format!("dns.push.foreign{suffix}"), Unit::Ms, runs, None)?;
    harness.push(format!("dns.push.foreign{suffix}.p99"), Unit::Ms, p99s, None)?;
    harness.push(format!("dns.delete.foreign{suffix}"), Unit::Ms, deletes, None)
}

/// Deletes a row without a word; the milliseconds until picks see its node no more.
fn deleted_after(
    database: &mut Database,
    caller: &mut Stream,
    number: u32,
    id: u64,
    gone: NodeAddr,
) -> Result<f64, BenchError> {
    let started = Instant::now();
    database.run(&format!("DELETE FROM RouteData WHERE id = {id}"))?;
    let (mut unseen, mut last_seen) = (0, started);
    until(started, || {
        if picked(caller, number)? == gone {
            (unseen, last_seen) = (0, Instant::now());
        } else {
            unseen += 1;
        }
        Ok(unseen == UNSEEN)
    })?;
    Ok((last_seen - started).as_secs_f64() * 1e3)
}

fn picked(caller: &mut Stream, number: u32) -> Result<NodeAddr, BenchError> {
    let picked: Node = ask(caller, &Pick::new(module(number)))?;
    Ok(picked.node)
}

/// Picks until something is seen.
fn until(started: Instant, mut seen: impl FnMut() -> Result<bool, BenchError>) -> Result<(), BenchError> {
    while !seen()? {
        if started.elapsed() > SEEN_WITHIN {
            return Err(BenchError::Answer(format!(
                "a change is not seen within {SEEN_WITHIN:?}"
            )));
        }
        sleep(PICK_EVERY);
    }
    Ok(())
}
