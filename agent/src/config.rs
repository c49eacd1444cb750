//! `[agent]` of the configuration: every key with its default, unit and range.

use lars_pool::IoChoice;
use lars_shard::ZONE_USABLE_PERCENT_DEFAULT;
use lars_wire::bounds::ZONE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// `[agent]`. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Path of the Unix socket that callers connect to; core N listens at `SOCKET.N` besides. Default `agent.sock`.
    pub socket: PathBuf,
    /// Where `/metrics`, `/healthz` and `/readyz` are served when the agent runs by itself. Default `127.0.0.1:7781`.
    pub admin_listen: SocketAddr,
    /// Whether `admin_listen` may be an address that other machines reach. Default false.
    pub insecure: bool,
    /// How bytes are moved: `auto` (the kernel's ring where it works, else epoll), `uring` or `epoll`. Default `auto`.
    pub io: IoChoice,
    /// Threads that serve callers; 0 takes min(4, the processors that may be used). 0 to 64, default 0.
    pub cores: u16,
    /// Whether each of those threads is pinned to a processor of its own. Default true.
    pub pin: bool,
    /// Microseconds for which each of those threads looks for more to do before it sleeps: answers come sooner by a
    /// wake-up, and a processor is taken while there is anything to do now and then. 0 to 1,000,000, default 0 (off).
    pub busy_poll_us: u32,
    /// Connections of callers at a time; more are closed at once. 1 to 1,000,000, default 10,000.
    pub connections_max: u32,
    /// Mebibytes of answers that may wait on each core for callers to read them. Above half of it a caller must have
    /// read its last answer before it gets the next; at all of it those that hold most are closed. 4 to 65,536,
    /// default 64.
    pub unsent_max_mib: u32,
    /// Addresses of dns, `HOST:PORT`: tried in turn from a random one, names resolved at each try. 1 to 16.
    /// Default `127.0.0.1:7778`.
    pub dns: Vec<String>,
    /// Addresses of report, likewise. Default `127.0.0.1:7779`.
    pub report: Vec<String>,
    /// File that keeps the last good routes, so that a restart needs no dns. Written at most once a second, when
    /// something changed, and at stop. Default `agent.routes`.
    pub routes_path: PathBuf,
    /// Folder for counts that report does not acknowledge: written when report has been silent for a second, and at
    /// stop. Each agent needs one of its own. Default `agent.spool`.
    pub spool_path: PathBuf,
    /// Bytes in that folder at most; beyond them counts stay in memory, merged. An agent with 1,000 busy nodes takes
    /// 100 MB a day. 0 (never write counts to disk) or 1,000,000 to 1,000,000,000,000, default 256,000,000.
    pub spool_bytes_max: u64,
    /// What `ServerCallStatus` names this agent. Left out: the host's first IPv4 address that is not loopback; on a
    /// host with IPv6 alone a number from 240.0.0.0/4 made of that; on a host with loopback alone 127.0.0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_ip: Option<Ipv4Addr>,
    /// Modules held at a time, shared out evenly over the cores; more are answered as failed. The board reserves
    /// address space for them, not memory. 64 to 1,048,576, default 65,536.
    pub modules_max: u32,
    /// Call rings taken from callers at a time: one for each of their threads that pick from the board. Their memory is
    /// the callers'. More report over the socket; 0 hands out no board. 0 to 32,768, default 1,024.
    pub rings_max: u32,
    /// How long a call whose report never comes counts as in flight at least, in milliseconds; half as long again at
    /// most; so do the calls of a caller that has died. For callers over the socket; those with the board count for themselves. 100 to 600,000, default 10,000: longer
    /// than callers wait for an answer.
    pub call_bound_ms: u32,
    /// The zone of this host, as routes name them: nodes of it are used before those of others. Empty for no preference.
    /// At most 32 bytes; default empty.
    pub zone: String,
    /// While at least so much of the weight of the zone's serving nodes is usable, in percent, the nodes of other zones
    /// are kept in reserve; below it all are used alike. 1 to 100, default 70: Envoy's over-provisioning factor of 1.4.
    pub zone_usable_percent: u8,
    /// How long a module is kept, in seconds, after it was last asked for. 10 to 86,400, default 600.
    pub module_idle_s: u32,
    /// How often counts go to report, in milliseconds. 10 to 60,000, default 1,000.
    pub flush_interval_ms: u32,
    /// How often what is held is compared with dns, in seconds: repairs what a push lost. 1 to 3,600, default 30.
    pub digest_interval_s: u32,
    /// How often all subscriptions are told to dns anew, in seconds: repairs what dns lost. 10 to 86,400, default 600.
    pub repull_interval_s: u32,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            socket: "agent.sock".into(),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7781)),
            insecure: false,
            io: IoChoice::Auto,
            cores: 0,
            pin: true,
            busy_poll_us: 0,
            connections_max: 10_000,
            unsent_max_mib: 64,
            dns: vec!["127.0.0.1:7778".to_owned()],
            report: vec!["127.0.0.1:7779".to_owned()],
            routes_path: "agent.routes".into(),
            spool_path: "agent.spool".into(),
            spool_bytes_max: 256_000_000,
            caller_ip: None,
            modules_max: 65_536,
            rings_max: 1_024,
            call_bound_ms: 10_000,
            zone: String::new(),
            zone_usable_percent: ZONE_USABLE_PERCENT_DEFAULT,
            module_idle_s: 600,
            flush_interval_ms: 1_000,
            digest_interval_s: 30,
            repull_interval_s: 600,
        }
    }
}

impl AgentConfig {
    /// Says which key is out of range, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.socket.as_os_str().is_empty() {
            return Err("socket is empty: give the path of a Unix socket".to_owned());
        }
        let longest = board_socket(&self.socket).as_os_str().len();
        if longest > SOCKET_BYTES_MAX {
            return Err(format!(
                "socket is {} bytes too long: a Unix socket's path has at most {SOCKET_BYTES_MAX}, what is put \
                 behind it included; choose a shorter path",
                longest - SOCKET_BYTES_MAX
            ));
        }
        if self.routes_path.as_os_str().is_empty() {
            return Err("routes_path is empty: give the path of a file".to_owned());
        }
        if self.spool_path.as_os_str().is_empty() {
            return Err("spool_path is empty: give the path of a folder".to_owned());
        }
        if self.zone.len() > ZONE_BYTES_MAX {
            return Err(format!(
                "zone has {} bytes: it may have {ZONE_BYTES_MAX}",
                self.zone.len()
            ));
        }
        if !(1..=100).contains(&self.zone_usable_percent) {
            return Err(format!(
                "zone_usable_percent is {}: it may be 1 to 100",
                self.zone_usable_percent
            ));
        }
        if self.spool_bytes_max != 0 && !SPOOL_BYTES.contains(&self.spool_bytes_max) {
            return Err(format!(
                "spool_bytes_max is {}: it may be 0, or {} to {}",
                self.spool_bytes_max,
                SPOOL_BYTES.start(),
                SPOOL_BYTES.end()
            ));
        }
        if !self.insecure && !self.admin_listen.ip().to_canonical().is_loopback() {
            return Err(format!(
                "admin_listen is {}, which other machines may reach: choose a loopback address, or set insecure = \
                 true where the network is trusted",
                self.admin_listen
            ));
        }
        check_addrs("dns", &self.dns)?;
        check_addrs("report", &self.report)?;
        let ranges = [
            ("cores", u32::from(self.cores), 0, u32::from(CORES_MAX)),
            ("busy_poll_us", self.busy_poll_us, 0, 1_000_000),
            ("connections_max", self.connections_max, 1, 1_000_000),
            ("unsent_max_mib", self.unsent_max_mib, 4, 65_536),
            ("modules_max", self.modules_max, 64, 1_048_576),
            ("rings_max", self.rings_max, 0, 32_768),
            ("call_bound_ms", self.call_bound_ms, 100, 600_000),
            ("module_idle_s", self.module_idle_s, 10, 86_400),
            ("flush_interval_ms", self.flush_interval_ms, 10, 60_000),
            ("digest_interval_s", self.digest_interval_s, 1, 3_600),
            ("repull_interval_s", self.repull_interval_s, 10, 86_400),
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

fn check_addrs(key: &str, addrs: &[String]) -> Result<(), String> {
    if addrs.is_empty() || addrs.len() > ADDRS_MAX {
        return Err(format!(
            "{key} has {} addresses: it may have 1 to {ADDRS_MAX}",
            addrs.len()
        ));
    }
    let is_addr = |addr: &str| {
        let parts = addr.rsplit_once(':');
        let good =
            |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0);
        addr.len() <= ADDR_BYTES_MAX && parts.is_some_and(good)
    };
    match addrs.iter().find(|addr| !is_addr(addr)) {
        Some(addr) => Err(format!(
            "{key} has '{addr}': write HOST:PORT, such as 127.0.0.1:7778"
        )),
        None => Ok(()),
    }
}

/// Addresses of one service at most: more replicas than these belong behind a name. Both services' links with an
/// error of 1 KiB each then fit one status (64 KiB).
const ADDRS_MAX: usize = 16;
/// Bytes of an address: the longest name (253), a colon, a port.
const ADDR_BYTES_MAX: usize = 259;

/// Bytes of a spool: less holds no journal worth having, more is a mistake.
const SPOOL_BYTES: RangeInclusive<u64> = 1_000_000..=1_000_000_000_000;

/// Cores of an agent at most.
const CORES_MAX: u16 = 64;
/// Bytes of a Unix socket's path at most (unix(7): 108 with the zero behind it).
const SOCKET_BYTES_MAX: usize = 107;

// What is put behind the path for the board is the longest.
const _: () = assert!(CORES_MAX < 1_000);

/// The socket beside it where callers come for the board.
pub fn board_socket(socket: &Path) -> PathBuf {
    let mut path = OsString::from(socket);
    path.push(".board");
    path.into()
}

/// The socket of core `core` beside the shared one.
pub fn core_socket(socket: &Path, core: u16) -> PathBuf {
    let mut path = OsString::from(socket);
    path.push(format!(".{core}"));
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(AgentConfig::default().check(), Ok(()));
    }

    #[test]
    fn key_that_is_out_of_range_is_named() {
        let wrong = |change: fn(&mut AgentConfig)| {
            let mut config = AgentConfig::default();
            change(&mut config);
            config.check().expect_err("out of range")
        };
        assert!(
            wrong(|config| config.admin_listen = ([0, 0, 0, 0], 1).into())
                .contains("admin_listen is 0.0.0.0:1")
        );
        assert!(wrong(|config| config.dns.clear()).contains("dns"));
        assert!(wrong(|config| config.report = vec!["nowhere".to_owned()]).contains("'nowhere'"));
        assert!(wrong(|config| config.modules_max = 1).contains("modules_max is 1"));
        assert!(wrong(|config| config.flush_interval_ms = 0).contains("flush_interval_ms"));
        assert!(wrong(|config| config.zone = "x".repeat(33)).contains("zone has 33 bytes"));
        assert!(wrong(|config| config.zone_usable_percent = 0).contains("zone_usable_percent is 0"));
        assert!(wrong(|config| config.spool_bytes_max = 999_999).contains("spool_bytes_max is 999999"));
        assert!(wrong(|config| config.spool_path = PathBuf::new()).contains("spool_path"));
        assert!(wrong(|config| config.socket = PathBuf::new()).contains("socket"));
        assert!(
            wrong(|config| config.socket = "s".repeat(102).into()).contains("socket is 1 bytes too long")
        );
    }

    #[test]
    fn socket_of_a_core_has_its_number_behind() {
        assert_eq!(
            core_socket(Path::new("/run/agent.sock"), 3),
            PathBuf::from("/run/agent.sock.3")
        );
    }
}
