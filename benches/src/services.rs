//! The real services, each in a process of its own, as an operator would run them.

use crate::child::Child;
use crate::echo::Io;
use crate::error::{BenchError, Doing};
use crate::exchange::Ask;
use crate::harness::{Harness, Server};
use crate::load::place::Place;
use crate::load::{self, ServerKind, Target};
use crate::role;
use lars_client::Endpoint;
use lars_client::admin::{Admin, RouteEdit, RouteRow};
use lars_wire::bounds::WEIGHT_DEFAULT;
use lars_wire::{ModuleId, NodeAddr, NodeState};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Nodes of each module that a load asks about.
pub const NODES: u32 = 10;

/// dns and report on a store of their own, and room for agents.
#[derive(Debug)]
pub struct Services {
    /// Where dns listens.
    pub dns: String,
    /// Where report listens.
    pub report: String,
    // Held so that they run, on their store, for as long as this.
    processes: [Child; 2],
    folder: Option<TempDir>,
}

/// A service that said where it listens.
#[derive(Debug)]
pub struct Started {
    child: Child,
    place: String,
    admin: String,
}

impl Services {
    /// Starts dns and report beside the loads, and stores the routes that loads ask about.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start(harness: &mut Harness) -> Result<Self, BenchError> {
        Self::start_with_dns_on(harness, harness.processors.asking)
    }

    /// The same with dns on a processor of its own, to be measured.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start_with_dns_on(harness: &Harness, processor: usize) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir_in(harness.folder()).doing("make a folder")?;
        let store = format!("sqlite_path = '{}'", folder.path().join("lars.sqlite").display());
        let mut services = Self::start_on(harness, processor, &store)?;
        services.folder = Some(folder);
        services.edit(routes_of_loads())?;
        Ok(services)
    }

    /// Starts both on a store that is there, with dns on `processor`; `store` is what stands in `[store]`.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start_on(harness: &Harness, processor: usize, store: &str) -> Result<Self, BenchError> {
        let (dns_process, dns) = start_dns(harness, processor, store)?;
        let config = section("report", store);
        let report = start(&[], harness, "report", harness.processors.asking, &config)?;
        Ok(Self {
            dns,
            report: report.place,
            processes: [dns_process, report.child],
            folder: None,
        })
    }

    /// How dns is asked for routes.
    pub fn dns_target(&self) -> Target {
        Target {
            place: Place::Tcp(self.dns.clone()),
            process: self.processes[0].id(),
            kind: ServerKind::Dns,
            ask: Ask::Route,
        }
    }

    /// Starts an agent that has nothing on disk; returns when it listens.
    ///
    /// # Errors
    /// It does not start.
    pub fn agent(&self, harness: &mut Harness, io: Io) -> Result<Server, BenchError> {
        self.agent_under(&[], harness, io)
    }

    /// The same by another program, which takes what to run behind its own words.
    ///
    /// # Errors
    /// It does not start.
    pub fn agent_under(&self, words: &[String], harness: &mut Harness, io: Io) -> Result<Server, BenchError> {
        self.start_agent(words, harness, io, 1)
    }

    /// An agent of so many cores that may have as many connections as the system allows.
    ///
    /// # Errors
    /// It does not start.
    pub fn agent_on(&self, harness: &mut Harness, io: Io, cores: u16) -> Result<Server, BenchError> {
        self.start_agent(&role::with_all_descriptors(), harness, io, cores)
    }

    fn start_agent(
        &self,
        words: &[String],
        harness: &mut Harness,
        io: Io,
        cores: u16,
    ) -> Result<Server, BenchError> {
        let socket = harness.socket();
        let config = self.agent_config(&socket, io, cores);
        let agent = start(words, harness, "agent", harness.processors.serving, &config)?;
        Ok(agent.server(socket))
    }

    /// Starts an agent that serves callers of the C++ Lars too, on three ports from `base` on.
    ///
    /// # Errors
    /// It does not start.
    pub fn agent_with_old_front(&self, harness: &mut Harness, base: u16) -> Result<Child, BenchError> {
        let config = format!(
            "{}[compat]\nenabled = true\nudp_base = {base}\n",
            self.agent_config(&harness.socket(), Io::Uring, 1)
        );
        let agent = start(&[], harness, "agent", harness.processors.serving, &config)?;
        Ok(agent.child)
    }

    /// Changes routes through dns.
    ///
    /// # Errors
    /// dns does not do so.
    pub fn edit(&self, edits: Vec<RouteEdit>) -> Result<(), BenchError> {
        edit(&self.dns, edits)
    }

    fn agent_config(&self, socket: &Path, io: Io, cores: u16) -> String {
        format!(
            "[agent]\nsocket = '{socket}'\nroutes_path = '{socket}.routes'\nspool_path = '{socket}.spool'\nio = '{io}'\ncores = {cores}\n\
             connections_max = 20000\nadmin_listen = '127.0.0.1:0'\ndns = ['{dns}']\nreport = ['{report}']\n",
            socket = socket.display(),
            io = io.name(),
            dns = self.dns,
            report = self.report,
        )
    }
}

/// Changes routes through the dns that listens at `dns`.
///
/// # Errors
/// It does not do so.
pub fn edit(dns: &str, edits: Vec<RouteEdit>) -> Result<(), BenchError> {
    let failed = |error: lars_client::ClientError| BenchError::Answer(error.to_string());
    let mut admin = Admin::connect(&Endpoint::Tcp(dns.to_owned())).map_err(failed)?;
    admin.edit_routes(edits).map_err(failed).map(drop)
}

/// The routes that loads ask about.
pub fn routes_of_loads() -> Vec<RouteEdit> {
    let modules = (0..load::MODULES).map(load::module);
    let routes = modules.flat_map(|module| (0..NODES).map(move |number| RouteEdit::Put(row(module, number))));
    routes.collect()
}

/// Node `number` of a module, as a row of the store.
pub fn row(module: ModuleId, number: u32) -> RouteRow {
    RouteRow {
        module,
        node: node(number),
        weight: WEIGHT_DEFAULT,
        state: NodeState::Serving,
        zone: String::new(),
    }
}

/// The address of node `number`; nobody ever calls it.
pub fn node(number: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0001 + number, 7777)
}

/// Starts dns alone; gives its process and where it listens, which it does before it has loaded anything.
///
/// # Errors
/// It does not start.
pub fn start_dns(harness: &Harness, processor: usize, store: &str) -> Result<(Child, String), BenchError> {
    start_dns_under(&[], harness, processor, store, "auto")
}

/// The same by another program, which takes what to run behind its own words, and with `io` as its configuration has it.
///
/// # Errors
/// It does not start.
pub fn start_dns_under(
    words: &[String],
    harness: &Harness,
    processor: usize,
    store: &str,
    io: &str,
) -> Result<(Child, String), BenchError> {
    let words = [&role::with_all_descriptors(), words].concat();
    let config = section("dns", store).replacen('\n', &format!("\nio = '{io}'\n"), 1);
    let dns = start(&words, harness, "dns", processor, &config)?;
    Ok((dns.child, dns.place))
}

fn section(service: &str, store: &str) -> String {
    format!(
        "[{service}]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\ncores = 1\n[store]\n{store}\n"
    )
}

/// Starts `lars SERVICE --config FILE` behind other words; returns when it says where it listens.
fn start(
    words: &[String],
    harness: &Harness,
    service: &str,
    processor: usize,
    config: &str,
) -> Result<Started, BenchError> {
    let path = config_path(harness.folder(), service);
    fs::write(&path, config).doing("write a configuration")?;
    let command = ["lars", service, "--config", &path.to_string_lossy()].map(str::to_owned);
    let child = Child::start_under(words, role::LARS, processor, &command)?;
    Started::when_it_listens(child, service, Duration::ZERO)
}

impl Started {
    /// An agent, asked over this socket of its.
    pub fn server(self, socket: PathBuf) -> Server {
        let target = Target {
            place: Place::Unix(socket),
            process: self.child.id(),
            kind: ServerKind::Agent,
            ask: Ask::Pick,
        };
        Server {
            child: self.child,
            target,
            admin: self.admin,
        }
    }

    /// Waits until a service says where it listens; it may take `work` and some time more.
    ///
    /// # Errors
    /// It does not, or says something else.
    pub fn when_it_listens(mut child: Child, service: &str, work: Duration) -> Result<Self, BenchError> {
        let line = child.line(work)?;
        let said = line.strip_prefix("listening: ").and_then(|rest| {
            let (place, admin) = rest.strip_prefix(service)?.trim_start().split_once(", admin ")?;
            Some((place.to_owned(), admin.to_owned()))
        });
        match said {
            Some((place, admin)) => Ok(Self { child, place, admin }),
            None => Err(BenchError::Answer(format!(
                "{service} says '{line}' instead of where it listens"
            ))),
        }
    }
}

fn config_path(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.toml"))
}
