//! One run: what it was asked for, where it happens, and what came out so far.

use crate::arguments::Options;
use crate::baseline::{self, Baseline};
use crate::child::Child;
use crate::echo::{EchoTask, Io};
use crate::error::{BenchError, Doing};
use crate::exchange::Ask;
use crate::load::place::Place;
use crate::load::{ServerKind, Target};
use crate::machine::{self, Processors};
use crate::measure::{self, Table};
use crate::peer::Peer;
use crate::plots;
use crate::results::{Results, Row, Unit};
use crate::role;
use crate::spread::Spread;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Tasks that may want to run beside a measurement without a word about it: the run that has just ended, mostly.
const LOAD_QUIET: f64 = 1.5;

/// A run under way.
#[derive(Debug)]
pub struct Harness {
    options: Options,
    /// Who runs where.
    pub processors: Processors,
    results: Results,
    folder: TempDir,
    sockets: u32,
}

/// A server that was started, and how it is asked.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub child: Child,
    /// How a load reaches it.
    pub target: Target,
    /// Where it tells its counts; nowhere, where it is an echo.
    pub admin: String,
}

/// Measures all that was asked for, prints the table and writes the file.
///
/// # Errors
/// A measurement failed (the others were made and printed all the same), or there is none of that name.
pub fn run(options: Options) -> Result<(), BenchError> {
    let started = Instant::now();
    let mut harness = Harness::new(options)?;
    if harness.processors.are_shared() {
        eprintln!("mesh: one processor serves and asks; times are those of that");
    }
    if machine::load() > LOAD_QUIET {
        eprintln!(
            "mesh: others use this machine (load {:.1}); ratios may still be right",
            machine::load()
        );
    }
    let mut failed = None;
    for table in measure::TABLES {
        if harness.wants_table(table) {
            eprintln!("mesh: {:>5.1} s {}", started.elapsed().as_secs_f64(), table.what);
            if let Err(error) = (table.measure)(&mut harness) {
                eprintln!("mesh: {}: {error}", table.what);
                failed.get_or_insert(error);
            }
        }
    }
    if let Some(prefix) = harness.options.only.clone() {
        harness.results.keep(&prefix);
    }
    print!("{}", harness.results.to_text());
    let path = harness.results.write()?;
    let drawn = plots::write(&harness.results)?.len();
    println!(
        "written to {} and drawn in {drawn} files beside it after {:.1} s",
        path.display(),
        started.elapsed().as_secs_f64()
    );
    match failed {
        Some(error) => Err(error),
        None if harness.results.is_empty() => Err(BenchError::Usage("no result has such a name".to_owned())),
        None => harness.hold(),
    }
}

impl Harness {
    /// A harness that has measured nothing.
    ///
    /// # Errors
    /// There is no room for its folder.
    pub fn new(options: Options) -> Result<Self, BenchError> {
        Ok(Self {
            options,
            processors: Processors::choose(),
            results: Results::default(),
            folder: tempfile::tempdir().doing("make a folder")?,
            sockets: 0,
        })
    }

    /// Writes the ratios down, or holds them beside those that are, as was asked for.
    fn hold(&self) -> Result<(), BenchError> {
        if self.options.check {
            baseline::check(&self.results)?;
        }
        if self.options.save {
            let mut baseline = Baseline::read()?;
            baseline.take(&self.results);
            baseline.write()?;
        }
        Ok(())
    }

    /// Whether any of a table's results is asked for.
    fn wants_table(&self, table: &Table) -> bool {
        let in_time = table.quick || !self.options.quick || self.options.only.is_some();
        in_time && table.names.iter().any(|name| self.wants(name))
    }

    /// Others that are asked in this run.
    pub fn peers(&self) -> Vec<Peer> {
        self.options.peers.clone()
    }

    /// Whether a result is asked for. `name` may be the beginning of names, ended by a dot.
    pub fn wants(&self, name: &str) -> bool {
        let Some(prefix) = &self.options.only else {
            return true;
        };
        name.starts_with(prefix.as_str()) || (name.ends_with('.') && prefix.starts_with(name))
    }

    /// How often a comparison is made: both sides in turn, so that what disturbs the machine disturbs both.
    pub fn rounds(&self, quick: usize) -> usize {
        if self.options.quick { quick } else { 3 * quick }
    }

    /// How long one side of one round asks, in seconds.
    pub fn seconds(&self) -> f64 {
        if self.options.quick { 0.15 } else { 0.6 }
    }

    /// The same as a time.
    pub fn slice(&self) -> Duration {
        Duration::from_secs_f64(self.seconds())
    }

    /// A folder that is removed with the run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path for a socket that nobody has used.
    pub fn socket(&mut self) -> PathBuf {
        self.sockets += 1;
        self.folder.path().join(format!("{}.sock", self.sockets))
    }

    /// Starts one of the echoes.
    ///
    /// # Errors
    /// It does not start.
    pub fn echo(&mut self, role: &str, io: Io) -> Result<Server, BenchError> {
        let place = Place::Unix(self.socket());
        let ask = Ask::Pick;
        self.start_echo(role, &EchoTask { place, io, ask })
    }

    fn start_echo(&self, role: &str, task: &EchoTask) -> Result<Server, BenchError> {
        let mut child = Child::start(role, self.processors.serving, task)?;
        let target = Target {
            place: child.report(Duration::ZERO)?,
            process: child.id(),
            kind: ServerKind::Echo,
            ask: task.ask,
        };
        Ok(Server {
            child,
            target,
            admin: String::new(),
        })
    }

    /// Starts the pool's echo of a route's bytes, over TCP as dns does.
    ///
    /// # Errors
    /// It does not start.
    pub fn route_echo(&self) -> Result<Server, BenchError> {
        let task = EchoTask {
            place: Place::Tcp("127.0.0.1:0".to_owned()),
            io: Io::Uring,
            ask: Ask::Route,
        };
        self.start_echo(role::ECHO_POOLED, &task)
    }

    /// Starts the pool's echo.
    ///
    /// # Errors
    /// It does not start.
    pub fn pooled_echo(&mut self, io: Io) -> Result<Server, BenchError> {
        self.echo(role::ECHO_POOLED, io)
    }

    /// Adds a result of several runs.
    ///
    /// # Errors
    /// There were none.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        unit: Unit,
        runs: impl IntoIterator<Item = f64>,
        beside: Option<&str>,
    ) -> Result<(), BenchError> {
        let name = name.into();
        let spread =
            Spread::of(runs).ok_or_else(|| BenchError::Answer(format!("{name}: nothing was measured")))?;
        self.results.push(Row {
            name,
            unit,
            spread,
            beside: beside.map(str::to_owned),
        });
        Ok(())
    }
}
