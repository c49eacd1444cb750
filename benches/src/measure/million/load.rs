//! How long dns takes from its start until it answers for a million nodes, beside a bare driver that reads the same rows
//! and drops them; and what it holds then, at rest and while it compares everything anew.

use super::store_of;
use crate::child::Child;
use crate::database::{Database, routes};
use crate::error::{BenchError, Doing};
use crate::greeting::{ANSWER_WITHIN, ask, greet, receive, send};
use crate::harness::Harness;
use crate::machine;
use crate::memory;
use crate::results::Unit;
use crate::services::start_dns;
use lars_wire::admin::{GetStatus, StatusText};
use lars_wire::caller::Status;
use lars_wire::directory::{KnownModule, RoutePage, StoreVersion, Subscribe};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks whether a comparison is done.
const LOOK: Duration = Duration::from_millis(20);

/// A dns that has loaded everything.
struct Loaded {
    process: Child,
    stream: TcpStream,
    seconds: f64,
}

pub(super) fn measure(
    harness: &mut Harness,
    database: &mut Database,
    suffix: &str,
) -> Result<(), BenchError> {
    let (mut bare, mut seconds, mut bytes, mut rest, mut spikes) = (vec![], vec![], vec![], vec![], vec![]);
    // The first reads what is not yet in the database's memory.
    database.read_routes()?;
    for _ in 0..harness.rounds(1) {
        bare.push(database.read_routes()?);
        let mut dns = Loaded::start(harness, database)?;
        seconds.push(dns.seconds);
        let [nodes, catalog, index] =
            ["nodes", "catalog_bytes", "row_index_bytes"].map(|name| dns.count(name));
        bytes.push((catalog? + index?) / nodes?);
        let resident = memory::resident_bytes(dns.process.id())?;
        rest.push(resident);
        spikes.push(dns.reload_peak(database)? / resident);
    }
    let beside = format!("mysql.read.1m{suffix}");
    harness.push(beside.clone(), Unit::S, bare, None)?;
    harness.push(format!("dns.load.1m{suffix}"), Unit::S, seconds, Some(&beside))?;
    if suffix.is_empty() {
        harness.push("dns.bytes_per_node", Unit::Bytes, bytes, None)?;
        harness.push("dns.rss.1m", Unit::Bytes, rest, None)?;
        harness.push("dns.reload_spike", Unit::Ratio, spikes, None)?;
    }
    Ok(())
}

impl Loaded {
    /// Starts a dns; returns when it has told a route.
    fn start(harness: &Harness, database: &Database) -> Result<Self, BenchError> {
        let started = Instant::now();
        let (process, place) = start_dns(harness, machine::ANY, &store_of(database))?;
        let mut stream = TcpStream::connect(&place).doing("connect to dns")?;
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .doing("set a time-out")?;
        greet(&mut stream)?;
        // Of the smallest module: one page, told as soon as everything is loaded.
        let module = routes::module(routes::MODULES - 1);
        let known = KnownModule {
            module,
            instance: 0,
            version: 0,
            hash: 0,
        };
        send(&mut stream, &Subscribe { modules: vec![known] })?;
        // Told first: how far the store is.
        receive::<StoreVersion>(&mut stream)?;
        let page: RoutePage = receive(&mut stream)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut loaded = Self {
            process,
            stream,
            seconds,
        };
        if page.status != Status::Ok || loaded.count("nodes")? < f64::from(routes::ROWS) {
            return Err(BenchError::Answer(format!(
                "module {module} is {:?}",
                page.status
            )));
        }
        Ok(loaded)
    }

    fn count(&mut self, name: &str) -> Result<f64, BenchError> {
        let status: StatusText = ask(&mut self.stream, &GetStatus { version: 1 })?;
        let count = status.counts.iter().find(|count| count.0 == name);
        let missing = || BenchError::Answer(format!("dns tells no {name}"));
        count.map(|count| count.1 as f64).ok_or_else(missing)
    }

    /// The most memory that dns holds while it compares everything, as it does when only the version has moved.
    fn reload_peak(&mut self, database: &mut Database) -> Result<f64, BenchError> {
        let (process, before) = (self.process.id(), self.count("comparisons")?);
        memory::forget_peak(process)?;
        database.run("UPDATE RouteVersion SET version = version + 1 WHERE id = 1")?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        while self.count("comparisons")? == before {
            if Instant::now() > deadline {
                return Err(BenchError::Answer("dns compares nothing".to_owned()));
            }
            sleep(LOOK);
        }
        // Counted when it begins; a million rows take less than a second more.
        sleep(Duration::from_secs(2));
        memory::peak_bytes(process)
    }
}
