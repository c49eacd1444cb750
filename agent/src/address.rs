//! Which address this host is known by in `ServerCallStatus`, found by reading alone: nothing is sent.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What the caller's column says of an agent on a host with nothing but loopback.
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The host's address as the caller's column keeps it; see `AgentConfig::caller_ip`.
pub(crate) fn caller_ip() -> Ipv4Addr {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    choose(&read("/proc/net/fib_trie"), &read("/proc/net/if_inet6"))
}

fn choose(fib_trie: &str, if_inet6: &str) -> Ipv4Addr {
    first_ipv4(fib_trie)
        .or_else(|| first_ipv6(if_inet6).map(stand_in))
        .unwrap_or(LOOPBACK)
}

/// The kernel's routing tree names an address in one line (`|-- 10.0.0.2`) and says in a line below, deeper
/// indented, whether it is the host's own (`/32 host LOCAL`).
fn first_ipv4(fib_trie: &str) -> Option<Ipv4Addr> {
    let mut named = None;
    for line in fib_trie.lines() {
        let line = line.trim_start();
        if let Some(addr) = line.strip_prefix("|-- ") {
            named = addr.trim().parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            let own = named.filter(|addr| !addr.is_loopback() && !addr.is_unspecified());
            if own.is_some() {
                return own;
            }
        }
    }
    None
}

/// Each line is an address as 32 hex digits, then index, prefix length and scope; scope 0 is global.
fn first_ipv6(if_inet6: &str) -> Option<Ipv6Addr> {
    if_inet6.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let bits = u128::from_str_radix(words.next()?, 16).ok()?;
        let scope = words.nth(2)?;
        (scope == "00").then(|| Ipv6Addr::from_bits(bits))
    })
}

/// A number from 240.0.0.0/4, which no host has: the same for the same IPv6 address (FNV-1a, folded).
fn stand_in(addr: Ipv6Addr) -> Ipv4Addr {
    let hash = addr
        .octets()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Ipv4Addr::from_bits(0xf000_0000 | ((hash ^ (hash >> 32)) as u32 & 0x0fff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK_TRIE: &str = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
        +-- 127.0.0.0/8 2 0 2\n        +-- 127.0.0.0/31 1 0 0\n           |-- 127.0.0.0\n              \
        /8 host LOCAL\n           |-- 127.0.0.1\n              /32 host LOCAL\n        |-- 127.255.255.255\n           \
        /32 link BROADCAST\n";
    const LOOPBACK_V6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n";

    #[test]
    fn first_own_address_that_is_not_loopback_is_taken() {
        let trie = format!(
            "{LOOPBACK_TRIE}     +-- 172.17.0.0/16 2 0 2\n        |-- 172.17.0.0\n           /16 link UNICAST\n        \
             |-- 172.17.0.9\n           /32 host LOCAL\n        |-- 172.17.255.255\n           /32 link BROADCAST\n"
        );
        assert_eq!(choose(&trie, LOOPBACK_V6), Ipv4Addr::new(172, 17, 0, 9));
    }

    #[test]
    fn host_with_loopback_alone_is_loopback() {
        assert_eq!(choose(LOOPBACK_TRIE, LOOPBACK_V6), Ipv4Addr::LOCALHOST);
        assert_eq!(choose("", ""), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn host_with_ipv6_alone_gets_a_number_that_no_host_has() {
        let global = format!(
            "{LOOPBACK_V6}fe80000000000000020c29fffe000001 02 40 20 80     eth0\n\
             20010db8000000000000000000000001 02 40 00 80     eth0\n"
        );
        let addr = choose(LOOPBACK_TRIE, &global);
        assert_eq!(addr, stand_in("2001:db8::1".parse().expect("an address")));
        assert_eq!(addr.octets()[0] & 0xf0, 0xf0);
    }
}
