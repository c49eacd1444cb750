//! Everything in one process on loopback: what `lars up` runs, and what tests and benches start in-process.

use crate::addresses::Addresses;
use crate::admin_http::{AdminHttp, Readiness};
use crate::config::Config;
use crate::outcome::{Code, Failure};
use lars_agent::{Agent, AgentPolicies};
use lars_dns::Dns;
use lars_report::Report;
use lars_store::StoreConfig;
use prometheus_client::registry::Registry;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first of the four ports where none is given: dns, report, console, admin.
pub const PORT_DEFAULT: u16 = 7778;
/// The longest path of a Unix socket, which the kernel sets.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The file that keeps a second Lars out of the folder.
const LOCK_NAME: &str = "lock";
/// How long a start may take until a pick would succeed.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The folder that holds everything; made where there is none.
    pub data: PathBuf,
    /// The first port; 0 takes free ones.
    pub port: u16,
    /// What is not settled by the two above. Listeners, paths and links are.
    pub config: Config,
}

/// A running Lars: every service, in this process.
pub struct Up {
    addresses: Addresses,
    data: PathBuf,
    store: StoreConfig,
    // In the order in which they are to stop: the agent gives its last counts to report.
    admin: AdminHttp,
    agent: Agent,
    report: Report,
    dns: Dns,
    // Held so that no second Lars starts on the same folder.
    _lock: File,
}

impl Up {
    /// Starts everything; returns when a pick would succeed.
    pub fn start(options: UpOptions) -> Result<Self, Failure> {
        Self::start_unless(options, || false)
    }

    /// As `start`, and gives up when `is_ended` says so: a start that hangs on a bad disk can be ended like all else.
    pub fn start_unless(options: UpOptions, is_ended: impl Fn() -> bool) -> Result<Self, Failure> {
        let UpOptions { data, port, config } = options;
        check_port(port)?;
        let is_new = !data.exists();
        std::fs::create_dir_all(&data)
            .map_err(|error| Failure::other(format!("{}: cannot be made: {error}", data.display())))?;
        let data = data
            .canonicalize()
            .map_err(|error| Failure::other(format!("{}: {error}", data.display())))?;
        let lock = lock(&data)?;
        let started = Self::start_in(data.clone(), port, config, lock, is_ended);
        if started.is_err() && is_new {
            leave_nothing(&data);
        }
        started
    }

    fn start_in(
        data: PathBuf,
        port: u16,
        mut config: Config,
        lock: File,
        is_ended: impl Fn() -> bool,
    ) -> Result<Self, Failure> {
        Addresses::remove(&data);
        settle(&mut config, &data, port)?;

        let store = config.store.clone();
        let dns = Dns::start(&config.dns, &store)?;
        let report = Report::start(&config.report, &store)?;
        config.agent.dns = vec![dns.addr().to_string()];
        config.agent.report = vec![report.addr().to_string()];
        let policies = config.module_policies().map_err(Failure::usage)?;
        let agent = Agent::start_with(&config.agent, &config.compat, &config.policy, policies)?;

        let mut registry = Registry::default();
        registry.register_collector(Box::new(agent.stats()));
        registry.register_collector(Box::new(dns.stats()));
        registry.register_collector(Box::new(report.stats()));
        let probes = (agent.readiness(), dns.readiness(), report.readiness());
        let readiness: Readiness = std::sync::Arc::new(move || {
            let parts = [
                ("dns", probes.1.ready()),
                ("report", probes.2.ready()),
                ("agent", probes.0.ready()),
            ];
            let missing: Vec<_> = parts.iter().filter(|part| !part.1).map(|part| part.0).collect();
            if missing.is_empty() {
                Ok(())
            } else {
                Err(missing.join(", "))
            }
        });
        wait_until_ready(&readiness, is_ended).map_err(|failure| match dns.store_error() {
            Some(error) => Failure::new(Code::Unreachable, format!("{}: {error}", failure.text)),
            None => failure,
        })?;
        let admin_addr = loopback(if port == 0 { 0 } else { port + 3 });
        let admin = AdminHttp::start(admin_addr, registry, readiness)
            .map_err(|error| Failure::other(format!("{error}; choose other ports with --port BASE")))?;

        let addresses = Addresses {
            agent: config.agent.socket.clone(),
            dns: dns.addr(),
            report: report.addr(),
            console: None,
            admin: admin.addr(),
            compat: agent.old_front().to_vec(),
        };
        addresses
            .write(&data)
            .map_err(|error| Failure::other(format!("{}: addresses.json: {error}", data.display())))?;
        Ok(Self {
            addresses,
            data,
            store,
            admin,
            agent,
            report,
            dns,
            _lock: lock,
        })
    }

    /// A way to change the agent's policies.
    pub fn policies(&self) -> AgentPolicies {
        self.agent.policies()
    }

    /// Where everything listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The data folder, absolute.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The store.
    pub fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// Stops everything; what callers reported is stored first.
    pub fn stop(self) {
        Addresses::remove(&self.data);
        drop(self.admin);
        self.agent.stop();
        self.report.stop();
        self.dns.stop();
    }
}

/// Judged before anything is made on disk.
fn check_port(port: u16) -> Result<(), Failure> {
    if port > u16::MAX - 3 {
        return Err(Failure::usage(format!(
            "--port {port}: four ports follow from it, so at most {}",
            u16::MAX - 3
        )));
    }
    Ok(())
}

/// What the data folder and the port decide.
fn settle(config: &mut Config, data: &Path, port: u16) -> Result<(), Failure> {
    // The longest name in the folder: the socket of a core.
    let excess = data
        .join("agent.sock.999")
        .as_os_str()
        .len()
        .saturating_sub(SOCKET_PATH_BYTES_MAX);
    if excess > 0 {
        return Err(Failure::usage(format!(
            "{}: the folder's path is {excess} bytes too long for a Unix socket in it: choose a shorter one with --data DIR",
            data.display()
        )));
    }
    let place = |offset: u16| loopback(if port == 0 { 0 } else { port + offset });
    config.dns.listen = place(0);
    config.report.listen = place(1);
    config.agent.socket = data.join("agent.sock");
    config.agent.routes_path = data.join("routes");
    config.agent.spool_path = data.join("spool");
    config.store.sqlite_path = data.join("lars.sqlite");
    config.check().map_err(Failure::usage)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A start that was refused leaves no folder behind in which nothing but its lock stands.
fn leave_nothing(data: &Path) {
    let is_lock =
        |entry: std::io::Result<std::fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == LOCK_NAME);
    if std::fs::read_dir(data).is_ok_and(|mut entries| entries.all(is_lock)) {
        // What cannot be removed hurts nobody.
        let _ = std::fs::remove_file(data.join(LOCK_NAME)).and_then(|()| std::fs::remove_dir(data));
    }
}

/// Takes the folder for this process; the file holds our process id for whoever comes second.
fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join(LOCK_NAME);
    let at = |error: std::io::Error| Failure::other(format!("{}: {error}", path.display()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(at)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The id is only a help: without it the message is still right.
            let _ = file.read_to_string(&mut holder);
            return Err(Failure::usage(format!(
                "a Lars already runs on {} (process {}): stop it first, or choose another folder with --data DIR",
                data.display(),
                holder.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(at(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(at)?;
    writeln!(file, "{}", std::process::id()).map_err(at)?;
    Ok(file)
}

fn wait_until_ready(readiness: &Readiness, is_ended: impl Fn() -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        match readiness() {
            Ok(()) => return Ok(()),
            Err(missing) if Instant::now() > deadline => {
                let within = READY_WITHIN.as_secs();
                return Err(Failure::other(format!(
                    "not ready within {within} s: {missing}; see the log above"
                )));
            }
            Err(missing) if is_ended() => {
                return Err(Failure::other(format!(
                    "ended by a signal before it was ready: {missing}"
                )));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
