//! How a tool finds the Lars it talks to: by address, by data folder, by environment, in this order. An environment
//! variable that is set but empty counts as not set, as shells and service managers cannot always unset one.

use crate::addresses::Addresses;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::{Client, Endpoint};
use std::ffi::OsString;
use std::path::PathBuf;

/// The data folder where none is named.
pub const DATA_DEFAULT: &str = "./lars-data";

/// Options of every tool that talks to a running Lars.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which Lars")]
pub struct Find {
    /// Data folder of a running `lars up` (its addresses.json is read) [env: LARS_DATA] [default: ./lars-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The agent's Unix socket [env: LARS_AGENT]
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Address of dns [env: LARS_DNS]
    #[arg(long, value_name = "HOST:PORT")]
    pub dns: Option<String>,
    /// Address of report [env: LARS_REPORT]
    #[arg(long, value_name = "HOST:PORT")]
    pub report: Option<String>,
}

/// The data folder: the one that is given, else that of `LARS_DATA`, else the default.
pub fn data_folder(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| environment("LARS_DATA").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
}

fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

impl Find {
    /// The agent's socket.
    pub fn agent(&self) -> Result<PathBuf, Failure> {
        match self.agent_named() {
            Some(path) => Ok(path),
            None => Ok(self.addresses("--agent PATH", "LARS_AGENT")?.agent),
        }
    }

    /// Connected to the agent, over its socket: what it says is wanted, not what it shares. `name` is what it may call us.
    pub fn client(&self, name: &str) -> Result<Client, Failure> {
        let client = Client::builder().board(false).path(self.agent()?).name(name);
        Ok(client.connect()?)
    }

    /// dns.
    pub fn dns(&self) -> Result<Endpoint, Failure> {
        let address = match self.dns_named() {
            Some(address) => address,
            None => self.addresses("--dns HOST:PORT", "LARS_DNS")?.dns.to_string(),
        };
        Ok(Endpoint::Tcp(address))
    }

    /// report.
    pub fn report(&self) -> Result<Endpoint, Failure> {
        let address = match self.report_named() {
            Some(address) => address,
            None => self
                .addresses("--report HOST:PORT", "LARS_REPORT")?
                .report
                .to_string(),
        };
        Ok(Endpoint::Tcp(address))
    }

    /// Whether a data folder is named, by option or environment.
    pub fn is_data_named(&self) -> bool {
        self.data.is_some() || environment("LARS_DATA").is_some()
    }

    /// The agent's socket where it is named by itself.
    pub fn agent_named(&self) -> Option<PathBuf> {
        self.agent
            .clone()
            .or_else(|| self.beside_options("LARS_AGENT").map(PathBuf::from))
    }

    /// The address of dns where it is named by itself.
    pub fn dns_named(&self) -> Option<String> {
        self.dns
            .clone()
            .or_else(|| self.address_beside_options("LARS_DNS"))
    }

    /// The address of report where it is named by itself.
    pub fn report_named(&self) -> Option<String> {
        self.report
            .clone()
            .or_else(|| self.address_beside_options("LARS_REPORT"))
    }

    fn address_beside_options(&self, variable: &str) -> Option<String> {
        // A name that is no text is no address either: that is told when it is tried.
        self.beside_options(variable)
            .map(|value| value.to_string_lossy().into_owned())
    }

    /// A variable, which says nothing where `--data` was given: what is typed is meant.
    fn beside_options(&self, variable: &str) -> Option<OsString> {
        match self.data {
            Some(_) => None,
            None => environment(variable),
        }
    }

    fn addresses(&self, option: &str, variable: &str) -> Result<Addresses, Failure> {
        let data = data_folder(self.data.clone());
        match Addresses::read(&data) {
            Ok(Some(addresses)) => Ok(addresses),
            Ok(None) => Err(Failure::new(
                Code::Unreachable,
                format!(
                    "no Lars runs on {}: start one with `lars up`, or name one with --data DIR, {option} or {variable}",
                    data.display()
                ),
            )),
            Err(error) => Err(Failure::usage(format!(
                "{}: {error}; start `lars up` again, or name the address with {option}",
                data.join(crate::addresses::FILE_NAME).display()
            ))),
        }
    }
}
