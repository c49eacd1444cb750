//! Others that stand in the same run: `--peer NAME=udp:HOST:PORT`, an agent that answers the datagrams of the C++ Lars,
//! and `--peer NAME=dns:HOST:PORT`, a server of the DNS that answers questions for SRV records: what people use today
//! instead. How each is asked stands in [`crate::load::old_callers`] and [`crate::load::srv`].

use crate::error::{BenchError, Doing};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What its rows are called: `peer.NAME.`.
    pub name: String,
    /// What it speaks.
    pub speaks: Speaks,
    /// Where it listens; with the first of its three ports, where it speaks as the C++ Lars.
    pub addr: SocketAddr,
}

/// What a peer speaks, each in datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The C++ Lars: "get host" is answered with a node.
    Lars,
    /// DNS: a question for the SRV records of a name, answered with one for each node.
    Srv,
}

impl FromStr for Peer {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, BenchError> {
        let wrong = || {
            BenchError::Usage(format!(
                "--peer wants NAME=udp:HOST:PORT or NAME=dns:HOST:PORT, not '{text}'"
            ))
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (word, place) = rest.split_once(':').ok_or_else(wrong)?;
        let speaks = match word {
            "udp" => Speaks::Lars,
            "dns" => Speaks::Srv,
            _ => return Err(wrong()),
        };
        let addr = place.to_socket_addrs().ok().and_then(|mut all| all.next());
        let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || !name.chars().all(good) {
            return Err(wrong());
        }
        Ok(Self {
            name: name.to_owned(),
            speaks,
            addr: addr.ok_or_else(wrong)?,
        })
    }
}

impl Peer {
    /// The process that has the peer's socket, where it is one of this machine that we may look into: then its
    /// processor time can be told.
    pub fn process(&self) -> Option<u32> {
        let port = format!(":{:04X}", self.addr.port());
        let table = if self.addr.is_ipv4() { "udp" } else { "udp6" };
        let inodes: Vec<String> = [table, "udp6"]
            .iter()
            .flat_map(|table| {
                let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
                text.lines()
                    .filter_map(|line| inode(line, &port))
                    .collect::<Vec<_>>()
            })
            .collect();
        let processes = fs::read_dir("/proc").ok()?;
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find(|process| holds(*process, &inodes).unwrap_or(false))
    }
}

/// The inode of a line of `/proc/net/udp` whose local port is `port`.
fn inode(line: &str, port: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    local.ends_with(port).then(|| fields.nth(7).map(str::to_owned))?
}

/// Whether a process has one of these sockets.
fn holds(process: u32, inodes: &[String]) -> Result<bool, BenchError> {
    let folder = format!("/proc/{process}/fd");
    for file in fs::read_dir(&folder).doing(&folder)? {
        let target = fs::read_link(file.doing(&folder)?.path());
        let name = target.unwrap_or_default().to_string_lossy().into_owned();
        let socket = name
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        if socket.is_some_and(|inode| inodes.iter().any(|one| one == inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn peer_has_a_name_a_language_and_a_place() {
        let peer: Peer = "old=udp:127.0.0.1:8888".parse().expect("a peer");
        assert_eq!(
            (peer.name.as_str(), peer.speaks, peer.addr.port()),
            ("old", Speaks::Lars, 8888)
        );
        let peer: Peer = "srv=dns:[::1]:53".parse().expect("a peer");
        assert_eq!((peer.speaks, peer.addr.is_ipv6()), (Speaks::Srv, true));
        for text in [
            "",
            "old",
            "old=udp",
            "old=tcp:127.0.0.1:1",
            "=udp:127.0.0.1:1",
            "a.b=udp:127.0.0.1:1",
            "old=udp:127.0.0.1",
        ] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }

    #[test]
    fn process_behind_a_socket_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let peer = Peer {
            name: "us".to_owned(),
            speaks: Speaks::Lars,
            addr: socket.local_addr().expect("it is bound"),
        };
        assert_eq!(peer.process(), Some(std::process::id()));
        drop(socket);
        assert_eq!(peer.process(), None);
    }
}
