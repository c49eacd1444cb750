//! `[dns]` of the configuration: every key with its default, unit and range.

use lars_pool::IoChoice;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// `[dns]`. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Address that agents and tools connect to, `IP:PORT`; port 0 takes a free one. Default `127.0.0.1:7778`.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served when dns runs by itself. Default `127.0.0.1:7782`.
    pub admin_listen: SocketAddr,
    /// Whether the two may be addresses that other machines reach, although links are neither encrypted nor
    /// authenticated yet. Default false.
    pub insecure: bool,
    /// How bytes are moved: `auto` (the kernel's ring where it works, else epoll), `uring` or `epoll`. Default `auto`.
    pub io: IoChoice,
    /// Threads that serve connections; 0 takes min(4, the processors that may be used). 0 to 64, default 1.
    pub cores: u16,
    /// Whether each of those threads is pinned to a processor of its own. Default true.
    pub pin: bool,
    /// Connections at a time; more are closed at once. 1 to 1,000,000, default 100,000.
    pub connections_max: u32,
    /// Mebibytes of answers and pushes that may wait on each core for peers to read them, what many of them get counted
    /// once. Above half of it a peer must have read its last answer before it gets the next; at all of it those that
    /// hold most are closed. 4 to 65,536, default 256.
    pub unsent_max_mib: u32,
    /// How often the store is looked at, in milliseconds. 10 to 60,000, default 100.
    pub poll_interval_ms: u32,
    /// Subscriptions of all connections together, shared out evenly over the cores. 1 to 1,000,000,000, default
    /// 100,000,000 (a hundred thousand agents with a thousand modules each; a subscription costs 12 bytes).
    pub subscriptions_max: u32,
    /// Subscriptions of one connection. 1 to 16,777,216, default 1,048,576: the most modules that an agent may hold.
    pub connection_subscriptions_max: u32,
    /// Whether change rows older than an hour are deleted. Default true; false where another program needs them.
    pub prune_changes: bool,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7778)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7782)),
            insecure: false,
            io: IoChoice::Auto,
            cores: 1,
            pin: true,
            connections_max: 100_000,
            unsent_max_mib: 256,
            poll_interval_ms: 100,
            subscriptions_max: 100_000_000,
            connection_subscriptions_max: 1_048_576,
            prune_changes: true,
        }
    }
}

impl DnsConfig {
    /// Says which key is out of range, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        for (key, addr) in [("listen", self.listen), ("admin_listen", self.admin_listen)] {
            if !self.insecure && !addr.ip().to_canonical().is_loopback() {
                return Err(format!(
                    "{key} is {addr}, which other machines may reach: choose a loopback address, or set insecure = \
                     true where the network is trusted"
                ));
            }
        }
        let ranges = [
            ("cores", u32::from(self.cores), 0, 64),
            ("connections_max", self.connections_max, 1, 1_000_000),
            ("unsent_max_mib", self.unsent_max_mib, 4, 65_536),
            ("poll_interval_ms", self.poll_interval_ms, 10, 60_000),
            ("subscriptions_max", self.subscriptions_max, 1, 1_000_000_000),
            (
                "connection_subscriptions_max",
                self.connection_subscriptions_max,
                1,
                16_777_216,
            ),
        ];
        match ranges
            .iter()
            .find(|(_, value, min, max)| value < min || value > max)
        {
            Some((key, value, min, max)) => Err(format!("{key} is {value}: it may be {min} to {max}")),
            None => Ok(()),
        }
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.poll_interval_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(DnsConfig::default().check(), Ok(()));
    }

    #[test]
    fn address_that_others_reach_needs_a_word_beside_it() {
        for open in ["0.0.0.0:7778", "[::]:7778", "10.0.0.1:7778"] {
            let listen = open.parse().expect("an address");
            let closed = DnsConfig {
                listen,
                ..DnsConfig::default()
            };
            assert!(
                closed
                    .check()
                    .is_err_and(|text| text.contains("listen") && text.contains("insecure"))
            );
            assert_eq!(
                DnsConfig {
                    insecure: true,
                    ..closed
                }
                .check(),
                Ok(())
            );
        }
        for loopback in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let listen = loopback.parse().expect("an address");
            assert_eq!(
                DnsConfig {
                    listen,
                    ..DnsConfig::default()
                }
                .check(),
                Ok(())
            );
        }
    }

    #[test]
    fn key_that_is_out_of_range_is_named() {
        let default = DnsConfig::default;
        for (config, key) in [
            (
                DnsConfig {
                    cores: 65,
                    ..default()
                },
                "cores is 65",
            ),
            (
                DnsConfig {
                    connections_max: 0,
                    ..default()
                },
                "connections_max is 0",
            ),
            (
                DnsConfig {
                    poll_interval_ms: 5,
                    ..default()
                },
                "poll_interval_ms is 5",
            ),
            (
                DnsConfig {
                    subscriptions_max: 0,
                    ..default()
                },
                "subscriptions_max is 0",
            ),
            (
                DnsConfig {
                    connection_subscriptions_max: 0,
                    ..default()
                },
                "connection_subscriptions_max is 0",
            ),
        ] {
            assert!(config.check().is_err_and(|text| text.starts_with(key)), "{key}");
        }
    }
}
