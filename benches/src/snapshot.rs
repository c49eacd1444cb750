//! An agent that knows its routes from disk: as many modules as a measurement wants, without a dns that would have to
//! be told of each. The file is made by the agent's own book.

use crate::child::Child;
use crate::error::{BenchError, Doing};
use crate::harness::{Harness, Server};
use crate::role;
use crate::services::{Started, node};
use lars_shard::{Noted, RouteBook};
use lars_wire::caller::Status;
use lars_wire::directory::{RouteHead, pages};
use lars_wire::{ModuleId, Route, RouteNode};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Modules of an agent that has room for as many as the largest measurement asks for.
const MODULES_MAX: u32 = 1 << 20;
/// How long an agent may take until it has read a million modules and published them.
const START_WITHIN: Duration = Duration::from_mins(2);
/// Where nobody listens (tcpmux, which no host of ours runs): dns would take away what it does not know.
const NOBODY: &str = "127.0.0.1:1";

/// What an agent is to know, and how it is to be.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Modules, from number 0 on.
    pub modules: u32,
    /// Nodes of each.
    pub nodes: u32,
    /// The policy; the agent's default where none is given.
    pub policy: Option<&'static str>,
    /// Where report listens; nobody is reported to where none is given.
    pub report: Option<String>,
    /// How often counts are given to report.
    pub flush_interval_ms: u32,
}

/// An agent's files, from which it starts with all that it is to know.
#[derive(Debug)]
pub struct WrittenDown {
    socket: PathBuf,
    config: PathBuf,
}

impl WrittenDown {
    /// Starts the agent; returns when it listens, with everything on its board.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(self, harness: &Harness) -> Result<Server, BenchError> {
        let words = ["lars", "agent", "--config", &self.config.to_string_lossy()].map(str::to_owned);
        let child = Child::start(role::LARS, harness.processors.serving, &words)?;
        let agent = Started::when_it_listens(child, "agent", START_WITHIN)?;
        Ok(agent.server(self.socket))
    }
}

/// Module `number` of a snapshot.
pub fn module(number: u32) -> ModuleId {
    ModuleId::new(300, number)
}

impl Snapshot {
    /// So many modules and nodes, by the agent's defaults, reported to nobody.
    pub fn of(modules: u32, nodes: u32) -> Self {
        Self {
            modules,
            nodes,
            policy: None,
            report: None,
            flush_interval_ms: 1_000,
        }
    }

    /// Starts an agent that knows this much, on the processor that serves; returns when it listens, with everything on
    /// its board.
    ///
    /// # Errors
    /// The file cannot be written, or the agent does not start.
    pub fn start(&self, harness: &mut Harness) -> Result<Server, BenchError> {
        let written = self.write_down(harness)?;
        written.start(harness)
    }

    /// The same up to the agent's start.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_down(&self, harness: &mut Harness) -> Result<WrittenDown, BenchError> {
        let socket = harness.socket();
        let config = PathBuf::from(format!("{}.toml", socket.display()));
        let routes = format!("{}.routes", socket.display());
        self.write(Path::new(&routes))?;
        fs::write(&config, self.config(&socket, &routes)).doing("write a configuration")?;
        Ok(WrittenDown { socket, config })
    }

    fn write(&self, path: &Path) -> Result<(), BenchError> {
        let nodes = (0..self.nodes).map(|number| RouteNode::new(node(number)));
        let route = Route::new(nodes.collect());
        let mut book = RouteBook::new();
        for module in (0..self.modules).map(module) {
            book.subscribe(module);
            let head = RouteHead {
                module,
                status: Status::Ok,
                instance: 1,
                version: 1,
                explained: true,
            };
            let noted = pages(head, &route).into_iter().map(|page| book.page(page)).last();
            if !matches!(noted, Some(Noted::Whole(..))) {
                return Err(BenchError::Answer(format!(
                    "the book does not take {module}: {noted:?}"
                )));
            }
        }
        fs::write(path, book.to_disk()).doing("write routes")
    }

    fn config(&self, socket: &Path, routes: &str) -> String {
        let socket = socket.display();
        let mut text = format!(
            "[agent]\nsocket = '{socket}'\nroutes_path = '{routes}'\nspool_path = '{socket}.spool'\nspool_bytes_max = 0\n\
             cores = 1\nadmin_listen = '127.0.0.1:0'\ndns = ['{NOBODY}']\nreport = ['{}']\nmodules_max = {MODULES_MAX}\n\
             module_idle_s = 86400\nflush_interval_ms = {}\n",
            self.report.as_deref().unwrap_or(NOBODY),
            self.flush_interval_ms,
        );
        if let Some(policy) = self.policy {
            // Writing to a string does not fail.
            let _ = write!(text, "[policy]\nname = '{policy}'\n");
        }
        text
    }
}
