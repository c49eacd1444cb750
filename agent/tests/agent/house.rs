//! One agent between a fake dns and a fake report, in a folder of its own, and waiting without sleeping blindly.

use crate::caller::{Caller, PATIENCE};
use crate::fake_dns::FakeDns;
use crate::fake_report::FakeReport;
use lars_agent::{Agent, AgentConfig, AgentError, CompatConfig};
use lars_pool::IoChoice;
use lars_shard::{PolicyConfig, PolicyName};
use lars_wire::{ModuleId, NodeAddr};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Everything that a test needs; stopped and removed at its end.
pub(crate) struct House {
    pub(crate) config: AgentConfig,
    pub(crate) compat: CompatConfig,
    pub(crate) policy: PolicyConfig,
    pub(crate) dns: Option<FakeDns>,
    pub(crate) report: FakeReport,
    agent: Option<Agent>,
    folder: tempfile::TempDir,
}

impl House {
    /// Two cores, nothing known.
    pub(crate) fn new(io: IoChoice) -> Self {
        Self::with_report(io, FakeReport::start())
    }

    pub(crate) fn with_report(io: IoChoice, report: FakeReport) -> Self {
        let (folder, dns) = (tempfile::tempdir().expect("a folder"), FakeDns::start());
        let config = AgentConfig {
            socket: folder.path().join("agent.sock"),
            io,
            cores: 2,
            pin: false,
            dns: vec![dns.addr.clone()],
            report: vec![report.addr.clone()],
            routes_path: folder.path().join("agent.routes"),
            spool_path: folder.path().join("agent.spool"),
            flush_interval_ms: 20,
            ..AgentConfig::default()
        };
        Self {
            config,
            compat: CompatConfig::default(),
            policy: PolicyConfig {
                name: Some(PolicyName::Classic),
                ..PolicyConfig::default()
            },
            dns: Some(dns),
            report,
            agent: None,
            folder,
        }
    }

    /// A house whose agent runs and is ready.
    pub(crate) fn ready(io: IoChoice) -> Self {
        let mut house = Self::new(io);
        house.start();
        house
    }

    pub(crate) fn start(&mut self) {
        self.agent = Some(self.try_start().expect("the agent starts"));
        eventually("the agent is ready", || self.agent().ready());
    }

    pub(crate) fn try_start(&self) -> Result<Agent, AgentError> {
        Agent::start_with(&self.config, &self.compat, &self.policy, HashMap::new())
    }

    /// Stops the agent; how long it took.
    pub(crate) fn stop(&mut self) -> Duration {
        let started = Instant::now();
        self.agent.take().expect("the agent runs").stop();
        started.elapsed()
    }

    /// Ends the agent as a kill does: nothing is flushed, nothing written down.
    pub(crate) fn kill(&mut self) {
        drop(self.agent.take().expect("the agent runs"));
    }

    pub(crate) fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("the agent runs")
    }

    pub(crate) fn dns(&self) -> &FakeDns {
        self.dns.as_ref().expect("dns runs")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A figure as it is scraped, under its name there with its labels.
    pub(crate) fn scraped(&self, name: &str) -> u64 {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(self.agent().stats()));
        encode(&mut text, &registry).expect("a string takes it");
        let figure = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        figure
            .and_then(|figure| figure.parse().ok())
            .unwrap_or_else(|| panic!("there is no {name} in:\n{text}"))
    }

    /// A caller on the shared socket.
    pub(crate) fn caller(&self) -> Caller {
        Caller::connect(&self.config.socket)
    }

    /// A caller that core `core` serves.
    pub(crate) fn caller_of(&self, core: u16) -> Caller {
        Caller::connect(&lars_agent::core_socket(&self.config.socket, core))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop();
        }
    }
}

/// Asks until the answer is as wanted, or fails the test.
pub(crate) fn eventually(what: &str, mut wanted: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A module that core `core` of two owns, different for each `number`.
pub(crate) fn module_of(core: u16, number: usize) -> ModuleId {
    (1..)
        .map(|cmdid| ModuleId::new(1, cmdid))
        .filter(|module| module.shard(2) == core)
        .nth(number)
        .expect("there is always one more")
}

pub(crate) fn node(text: &str) -> NodeAddr {
    text.parse().expect("a node")
}

/// Whether tests of `io` can run here; says so where they cannot.
pub(crate) fn can(io: IoChoice) -> bool {
    let config = lars_pool::CoresConfig {
        name: "probe",
        io,
        cores: 1,
        pin: false,
        connections_max: 1,
        unsent_bytes_max: lars_pool::UNSENT_BYTES_MIN,
    };
    match lars_pool::Plan::<()>::new(config) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("not tested over {io:?}: {error}");
            false
        }
    }
}

/// Runs one body over the ring and over epoll, as two tests.
macro_rules! over_both {
    ($($body:ident),+ $(,)?) => {$(
        mod $body {
            #[test]
            fn over_the_ring() {
                if crate::house::can(lars_pool::IoChoice::Uring) {
                    super::$body(lars_pool::IoChoice::Uring);
                }
            }

            #[test]
            fn over_epoll() {
                super::$body(lars_pool::IoChoice::Epoll);
            }
        }
    )+};
}
pub(crate) use over_both;
