//! `[report]` of the configuration: every key with its default, unit and range.

use lars_pool::IoChoice;
use lars_wire::bounds::TALLIES_MAX;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// `[report]`. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Where agents connect; port 0 takes a free one. Default `127.0.0.1:7779`.
    pub listen: SocketAddr,
    /// Whether the addresses may be others than loopback: links are not authenticated. Default false.
    pub insecure: bool,
    /// Where `/metrics`, `/healthz` and `/readyz` are served when report runs by itself. Default `127.0.0.1:7783`.
    pub admin_listen: SocketAddr,
    /// How bytes are moved: `auto` (the kernel's ring where it works, else epoll), `uring` or `epoll`. Default `auto`.
    pub io: IoChoice,
    /// Threads that serve agents; 0 takes min(4, the processors that may be used). One decodes millions of tallies a
    /// second, far more than a store takes. 0 to 64, default 1.
    pub cores: u16,
    /// Whether each of those threads is pinned to a processor of its own. Default true.
    pub pin: bool,
    /// Connections of agents at a time; more are closed at once. 1 to 1,000,000, default 10,000.
    pub connections_max: u32,
    /// Mebibytes of answers that may wait on each core for agents to read them. Above half of it an agent must have read
    /// its last answer before it gets the next; at all of it those that hold most are closed. 4 to 65,536, default 64.
    pub unsent_max_mib: u32,
    /// Tallies that may wait for the store (some 120 bytes each); an agent that sends one more is turned away and
    /// tries again, here or elsewhere. 1,024 to 100,000,000, default 1,000,000.
    pub tallies_waiting_max: u32,
    /// Tallies stored in one transaction: more is faster, fewer is answered sooner. 512 to 1,000,000, default 16,384.
    pub transaction_tallies_max: u32,
    /// How long history is kept, in days. 1 to 3,650, default 7.
    pub history_retention_days: u32,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7779)),
            insecure: false,
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7783)),
            io: IoChoice::Auto,
            cores: 1,
            pin: true,
            connections_max: 10_000,
            unsent_max_mib: 64,
            tallies_waiting_max: 1_000_000,
            transaction_tallies_max: 16_384,
            history_retention_days: 7,
        }
    }
}

impl ReportConfig {
    /// Says which key is out of range, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        for (key, addr) in [("listen", self.listen), ("admin_listen", self.admin_listen)] {
            if !self.insecure && !addr.ip().to_canonical().is_loopback() {
                return Err(format!(
                    "{key} is {addr}, which others can reach, and links are not authenticated: \
                     use a loopback address, or set insecure = true"
                ));
            }
        }
        let ranges = [
            ("cores", u32::from(self.cores), 0, 64),
            ("connections_max", self.connections_max, 1, 1_000_000),
            ("unsent_max_mib", self.unsent_max_mib, 4, 65_536),
            (
                "tallies_waiting_max",
                self.tallies_waiting_max,
                1_024,
                100_000_000,
            ),
            (
                "transaction_tallies_max",
                self.transaction_tallies_max,
                TALLIES_MAX as u32,
                1_000_000,
            ),
            ("history_retention_days", self.history_retention_days, 1, 3_650),
        ];
        match ranges
            .iter()
            .find(|(_, value, min, max)| value < min || value > max)
        {
            Some((key, value, min, max)) => Err(format!("{key} is {value}: it may be {min} to {max}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut ReportConfig)) -> String {
        let mut config = ReportConfig::default();
        change(&mut config);
        config.check().expect_err("out of range")
    }

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(ReportConfig::default().check(), Ok(()));
    }

    #[test]
    fn key_that_is_out_of_range_is_named() {
        assert!(wrong(|config| config.cores = 65).contains("cores is 65"));
        assert!(wrong(|config| config.connections_max = 0).contains("connections_max"));
        assert!(wrong(|config| config.tallies_waiting_max = 1).contains("tallies_waiting_max"));
        assert!(wrong(|config| config.transaction_tallies_max = 511).contains("transaction_tallies_max"));
        assert!(wrong(|config| config.history_retention_days = 0).contains("history_retention_days"));
    }

    #[test]
    fn address_that_others_reach_needs_insecure() {
        let open: SocketAddr = "0.0.0.0:7779".parse().expect("an address");
        assert!(wrong(|config| config.listen = open).contains("listen is 0.0.0.0:7779"));
        assert!(wrong(|config| config.admin_listen = open).contains("admin_listen"));
        let config = ReportConfig {
            listen: open,
            insecure: true,
            ..ReportConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn written_file_is_read_back_and_unknown_keys_are_refused() {
        for io in [IoChoice::Auto, IoChoice::Uring, IoChoice::Epoll] {
            let config = ReportConfig {
                io,
                cores: 3,
                ..ReportConfig::default()
            };
            let text = toml::to_string(&config).expect("it can be written");
            assert_eq!(toml::from_str::<ReportConfig>(&text), Ok(config), "{text}");
        }
        assert_eq!(toml::from_str::<ReportConfig>(""), Ok(ReportConfig::default()));
        assert!(
            toml::from_str::<ReportConfig>("colour = 1")
                .is_err_and(|error| error.to_string().contains("colour"))
        );
    }
}
