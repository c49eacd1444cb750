//! `lars agent`, `lars dns`, `lars report`: one service in this process, by its configuration file.

use super::io::Io;
use super::print;
use crate::admin_http::{AdminHttp, Readiness};
use crate::config::Config;
use crate::database::Database;
use crate::notify::{State, notify};
use crate::outcome::Failure;
use crate::reload::Reload;
use crate::signals::EndSignals;
use clap::Args;
use lars_agent::Agent;
use lars_dns::Dns;
use lars_report::Report;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Which service.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Agent,
    Dns,
    Report,
}

#[derive(Args, Debug)]
pub(super) struct Service {
    /// The configuration file (TOML); `lars check FILE --print` shows every key. An agent reads [policy] and [[module]]
    /// again on SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    io: Io,
}

/// A running service, whichever it is.
enum Running {
    Agent(Agent),
    Dns(Dns),
    Report(Report),
}

impl Service {
    pub(super) fn run(self, kind: Kind) -> Result<(), Failure> {
        crate::logging::start("info");
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        // What is read again is compared with what stood in the file.
        let of_file = config.clone();
        self.io.put_into(&mut config);
        // The environment says here what it says to `lars up`.
        Database::default().put_into(&mut config.store);
        let signals = EndSignals::listen().map_err(|error| Failure::other(format!("signals: {error}")))?;
        let running = Running::start(kind, &config)?;
        let mut registry = Registry::default();
        let readiness = running.register(&mut registry);
        let admin = AdminHttp::start(kind.admin(&config), registry, readiness)
            .map_err(|error| Failure::other(error.to_string()))?;
        print(&format!(
            "listening: {}, admin {}\n",
            running.place(&config),
            admin.addr()
        ))?;
        if let (Running::Agent(agent), Some(path)) = (&running, self.config) {
            Reload::listen(path, of_file, agent.policies())
                .map_err(|error| Failure::other(format!("signals: {error}")))?;
        }
        notify(State::Ready);
        signals.wait(None);
        notify(State::Stopping);
        drop(admin);
        running.stop();
        Ok(())
    }
}

impl Kind {
    fn admin(self, config: &Config) -> SocketAddr {
        match self {
            Self::Agent => config.agent.admin_listen,
            Self::Dns => config.dns.admin_listen,
            Self::Report => config.report.admin_listen,
        }
    }
}

impl Running {
    fn start(kind: Kind, config: &Config) -> Result<Self, Failure> {
        let policies = config.module_policies().map_err(Failure::usage)?;
        Ok(match kind {
            Kind::Agent => Self::Agent(Agent::start_with(
                &config.agent,
                &config.compat,
                &config.policy,
                policies,
            )?),
            Kind::Dns => Self::Dns(Dns::start(&config.dns, &config.store)?),
            Kind::Report => Self::Report(Report::start(&config.report, &config.store)?),
        })
    }

    /// Puts the service's metrics into the registry; what comes back tells whether it is ready.
    fn register(&self, registry: &mut Registry) -> Readiness {
        let ready: Box<dyn Fn() -> bool + Send + Sync> = match self {
            Self::Agent(agent) => {
                registry.register_collector(Box::new(agent.stats()));
                let readiness = agent.readiness();
                Box::new(move || readiness.ready())
            }
            Self::Dns(dns) => {
                registry.register_collector(Box::new(dns.stats()));
                let readiness = dns.readiness();
                Box::new(move || readiness.ready())
            }
            Self::Report(report) => {
                registry.register_collector(Box::new(report.stats()));
                let readiness = report.readiness();
                Box::new(move || readiness.ready())
            }
        };
        let missing = match self {
            Self::Agent(_) => "no routes on disk and no link to dns yet",
            Self::Dns(_) | Self::Report(_) => "the store is away",
        };
        Arc::new(move || if ready() { Ok(()) } else { Err(missing.to_owned()) })
    }

    fn place(&self, config: &Config) -> String {
        match self {
            Self::Agent(agent) => {
                let socket = config.agent.socket.display();
                format!("agent {socket}{}", super::up::front_words(agent.old_front()))
            }
            Self::Dns(dns) => format!("dns {}", dns.addr()),
            Self::Report(report) => format!("report {}", report.addr()),
        }
    }

    fn stop(self) {
        match self {
            Self::Agent(agent) => agent.stop(),
            Self::Dns(dns) => dns.stop(),
            Self::Report(report) => report.stop(),
        }
    }
}
