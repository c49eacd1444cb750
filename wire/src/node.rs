//! Where a node is reached. IPv4 is mapped into IPv6 here and nowhere else.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What stands above the 32 bits of an IPv4 address.
const IPV4_MAPPED: u128 = 0xffff << 32;

/// Address and port of a node: 16 bytes (IPv4 mapped into IPv6, `::ffff:a.b.c.d`) and a port, 18 bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddr {
    ip: [u8; 16],
    port: u16,
}

impl NodeAddr {
    /// No node: what an answer without one carries.
    pub const NONE: Self = Self { ip: [0; 16], port: 0 };

    /// A node by address and port.
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        let ip = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Self { ip, port }
    }

    /// A node by its 16 address bytes as they travel.
    pub const fn from_octets(ip: [u8; 16], port: u16) -> Self {
        Self { ip, port }
    }

    /// An IPv4 node by the number that the database keeps, most significant octet first (192.168.0.1 = 3232235521).
    pub const fn from_ipv4_number(ip: u32, port: u16) -> Self {
        Self::from_octets((IPV4_MAPPED | ip as u128).to_be_bytes(), port)
    }

    /// The 16 address bytes as they travel.
    pub const fn octets(&self) -> [u8; 16] {
        self.ip
    }

    /// The same as two numbers in memory's order, each read by itself: a processor that has just written an address in
    /// halves waits for the whole.
    #[inline]
    pub fn halves(&self) -> [u64; 2] {
        let half = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (first, second) = self.ip.split_at(8);
        [half(first), half(second)]
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, IPv4 where it is a mapped one.
    pub const fn ip(&self) -> IpAddr {
        let v6 = Ipv6Addr::from_octets(self.ip);
        match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(v6),
        }
    }

    /// The number that the database keeps for an IPv4 node; none for IPv6.
    pub const fn ipv4_number(&self) -> Option<u32> {
        match self.ip() {
            IpAddr::V4(v4) => Some(v4.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    /// Whether a call could be made to it: neither address nor port may be zero.
    pub const fn is_callable(&self) -> bool {
        let ip = u128::from_be_bytes(self.ip);
        self.port != 0 && ip != 0 && ip != IPV4_MAPPED
    }

    /// The same as the standard library's type.
    pub const fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }
}

impl From<SocketAddr> for NodeAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_addr().fmt(f)
    }
}

/// The address travels as one little-endian number, which is the same 16 bytes: serde takes an array byte by byte, which
/// was most of the work of decoding a report (799 instructions; 238 so).
impl Serialize for NodeAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (u128::from_le_bytes(self.ip), self.port).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (ip, port) = <(u128, u16)>::deserialize(deserializer)?;
        Ok(Self::from_octets(ip.to_le_bytes(), port))
    }
}

/// Why a text is no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no node: write IPV4:PORT or [IPV6]:PORT, such as 10.0.0.1:7777, with neither zero")]
pub struct NodeAddrError {
    text: String,
}

impl FromStr for NodeAddr {
    type Err = NodeAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let node = SocketAddr::from_str(text)
            .ok()
            .map(Self::from)
            .filter(Self::is_callable);
        node.ok_or_else(|| NodeAddrError {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_octets_in_memorys_order() {
        let octets = std::array::from_fn(|place| place as u8);
        let halves = NodeAddr::from_octets(octets, 1).halves();
        assert_eq!(halves.map(u64::to_ne_bytes).concat(), octets);
    }

    #[test]
    fn database_number_is_most_significant_octet_first() {
        let node = NodeAddr::from_ipv4_number(3_232_235_521, 80);
        assert_eq!(node.to_string(), "192.168.0.1:80");
        assert_eq!(node.ipv4_number(), Some(3_232_235_521));
    }

    #[test]
    fn text_of_both_families_reads_back() {
        for text in ["10.0.0.1:7777", "[2001:db8::1]:7777"] {
            assert_eq!(
                text.parse::<NodeAddr>().map(|node| node.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn zero_address_and_zero_port_are_no_node() {
        for text in ["0.0.0.0:80", "[::]:80", "10.0.0.1:0", "10.0.0.1", "host:80", ""] {
            assert!(text.parse::<NodeAddr>().is_err(), "{text}");
        }
    }
}
