//! How a tool finds the Lars it talks to: by address, by data folder, by environment, in this order.

use crate::addresses::Addresses;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::Endpoint;
use std::path::PathBuf;

/// The data folder where none is named.
pub const DATA_DEFAULT: &str = "./lars-data";

/// Options of every tool that talks to a running Lars.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which Lars")]
pub struct Find {
    /// Data folder of a running `lars up` (its addresses.json is read) [default: ./lars-data]
    #[arg(long, value_name = "DIR", env = "LARS_DATA")]
    pub data: Option<PathBuf>,
    /// The agent's Unix socket
    #[arg(long, value_name = "PATH", env = "LARS_AGENT")]
    pub agent: Option<PathBuf>,
    /// Address of dns
    #[arg(long, value_name = "HOST:PORT", env = "LARS_DNS")]
    pub dns: Option<String>,
    /// Address of report
    #[arg(long, value_name = "HOST:PORT", env = "LARS_REPORT")]
    pub report: Option<String>,
}

impl Find {
    /// The agent's socket.
    pub fn agent(&self) -> Result<PathBuf, Failure> {
        match &self.agent {
            Some(path) => Ok(path.clone()),
            None => Ok(self.addresses("--agent PATH", "LARS_AGENT")?.agent),
        }
    }

    /// dns.
    pub fn dns(&self) -> Result<Endpoint, Failure> {
        match &self.dns {
            Some(address) => Ok(Endpoint::Tcp(address.clone())),
            None => Ok(Endpoint::Tcp(
                self.addresses("--dns HOST:PORT", "LARS_DNS")?.dns.to_string(),
            )),
        }
    }

    /// report.
    pub fn report(&self) -> Result<Endpoint, Failure> {
        match &self.report {
            Some(address) => Ok(Endpoint::Tcp(address.clone())),
            None => Ok(Endpoint::Tcp(
                self.addresses("--report HOST:PORT", "LARS_REPORT")?
                    .report
                    .to_string(),
            )),
        }
    }

    fn addresses(&self, option: &str, variable: &str) -> Result<Addresses, Failure> {
        let data = self.data.clone().unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
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
