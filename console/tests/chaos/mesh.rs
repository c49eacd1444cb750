//! The processes of a mesh and their database, each of which may be stopped, killed and started again.

use crate::cutter::{self, Cutting};
use lars_store::calls::CallStore;
use lars_store::mariadb::{self, MariaDb};
use lars_store::mysql::MysqlStore;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it: back-offs of 5 s and a time-out of 10 s add up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Calls by outcome: succeeded, failed, timed out, cancelled.
pub(crate) type Sum = [u64; 4];
/// What was counted of each node.
pub(crate) type Sums = BTreeMap<(ModuleId, NodeAddr), Sum>;

/// Whether the long form is wanted.
pub(crate) fn is_full() -> bool {
    std::env::var("LARS_CHAOS").is_ok_and(|form| form == "full")
}

/// A seed that is printed, or that of `LARS_SEED`.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(1, |since| since.as_nanos() as u64)
    });
    println!("LARS_SEED={seed}");
    seed
}

/// A small generator: chaos needs no better one.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}

/// A service as a process; killed with the test.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it and waits for its first line.
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lars"));
        for variable in [
            "LARS_DATA",
            "LARS_AGENT",
            "LARS_DNS",
            "LARS_REPORT",
            "LARS_MYSQL",
            "NOTIFY_SOCKET",
        ] {
            command.env_remove(variable);
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::with_capacity(1, stdout)
            .read_line(&mut line)
            .expect("a line");
        assert!(line.starts_with("listening"), "{args:?}: {line:?}");
        Self { child }
    }

    /// As a machine's end.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// As a service manager ends it.
    pub(crate) fn terminate(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().expect("gone").success());
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("sh")
        .args(["-c", "kill -$1 $2", "sh", name, &id])
        .status();
    assert!(sent.expect("sh runs").success());
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already where the test came so far.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A database and the files of services on it.
pub(crate) struct Mesh {
    pub(crate) server: MariaDb,
    pub(crate) url: String,
    folder: tempfile::TempDir,
    dns: Vec<u16>,
    report: Vec<u16>,
    agent_admin: Vec<u16>,
    /// The network between agents and reports.
    pub(crate) cutting: Arc<Cutting>,
}

impl Mesh {
    /// A migrated database, and files for so many of each service. Agents reach report through a network that can be
    /// made a bad one.
    pub(crate) fn new(agents: usize, dns: usize, report: usize, seed: u64) -> Self {
        let server = MariaDb::start_own().unwrap_or_else(|error| panic!("{error}"));
        let url = wait(server.database());
        let migrated = Command::new(env!("CARGO_BIN_EXE_lars"))
            .args(["migrate", "--mysql", &url])
            .output();
        assert!(migrated.expect("the binary runs").status.success());
        let ports = |count: usize| (0..count).map(|_| free_port()).collect::<Vec<_>>();
        let mesh = Self {
            server,
            url,
            folder: tempfile::tempdir().expect("a folder"),
            dns: ports(dns.max(1)),
            report: ports(report.max(1)),
            agent_admin: ports(agents),
            cutting: Arc::default(),
        };
        let fronts: Vec<u16> = mesh
            .report
            .iter()
            .map(|port| cutter::start(*port, seed, &mesh.cutting))
            .collect();
        let addrs = |ports: &[u16]| {
            ports
                .iter()
                .map(|port| format!("\"127.0.0.1:{port}\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (number, admin) in mesh.agent_admin.iter().enumerate() {
            let at = |name: &str| mesh.path(&format!("{name}{number}")).display().to_string();
            // Agents on one machine need names of their own.
            let text = format!(
                "[agent]\nsocket = \"{}\"\nroutes_path = \"{}\"\nspool_path = \"{}\"\ncores = 1\npin = false\n\
                 caller_ip = \"10.9.0.{number}\"\nflush_interval_ms = 200\nadmin_listen = \"127.0.0.1:{admin}\"\n\
                 dns = [{}]\nreport = [{}]\n",
                at("agent.sock"),
                at("routes"),
                at("spool"),
                addrs(&mesh.dns),
                addrs(&fronts)
            );
            mesh.write("agent", number, &text);
        }
        for (service, ports) in [("dns", &mesh.dns), ("report", &mesh.report)] {
            for (number, port) in ports.iter().enumerate() {
                let text = format!(
                    "[store]\nmysql_url = \"{}\"\n[{service}]\ncores = 1\npin = false\nlisten = \"127.0.0.1:{port}\"\n\
                     admin_listen = \"127.0.0.1:0\"\n",
                    mesh.url
                );
                mesh.write(service, number, &text);
            }
        }
        mesh
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, service: &str, number: usize, text: &str) {
        std::fs::write(self.path(&format!("{service}{number}.toml")), text).expect("written");
    }

    /// Starts one of them.
    pub(crate) fn start(&self, service: &str, number: usize) -> Process {
        let file = self.path(&format!("{service}{number}.toml"));
        Process::start(&[service, "--config", file.to_str().expect("a plain name")])
    }

    /// Where an agent listens.
    pub(crate) fn socket(&self, agent: usize) -> PathBuf {
        self.path(&format!("agent.sock{agent}"))
    }

    /// A figure of an agent; none where it does not answer.
    pub(crate) fn metric(&self, agent: usize, name: &str) -> Option<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.agent_admin[agent])).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nHost: lars\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let line = answer.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// What history says.
    pub(crate) fn history(&self) -> Sums {
        let read = async {
            let mut store = MysqlStore::open(self.url.as_str())
                .await
                .map_err(|error| error.to_string())?;
            store.history(None, 0).await.map_err(|error| error.to_string())
        };
        let mut sums = Sums::new();
        for row in wait(read) {
            let sum = sums.entry((row.module, row.node)).or_default();
            for (sum, count) in sum
                .iter_mut()
                .zip([row.ok, row.failed, row.timed_out, row.cancelled])
            {
                *sum += count;
            }
        }
        sums
    }

    /// Runs SQL as another program would.
    pub(crate) fn sql(&self, statements: &str) {
        wait(mariadb::run(&self.url, statements));
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a port").port()
}

/// Runs a future to its end.
pub(crate) fn wait<T>(work: impl Future<Output = Result<T, String>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .expect("a runtime")
        .block_on(work)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until a condition holds; how long that took.
pub(crate) fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < patience, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}
