//! `[compat]` of the configuration: the front for callers of the C++ Lars, and where it listens.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Ports of the front: a caller takes the first, second or third by its module; any of them serves any module.
pub(crate) const PORTS: u16 = 3;

/// `[compat]`. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompatConfig {
    /// Whether callers of the C++ Lars are served, over UDP. Default false.
    pub enabled: bool,
    /// The address that they reach it at. Default `127.0.0.1`.
    pub address: IpAddr,
    /// The first of three ports; 0 takes free ones. Those callers know no others than 8888, 8889 and 8890. 0 to 65,533,
    /// default 8888.
    pub udp_base: u16,
    /// Whether `address` may be one that other machines reach: whoever reaches it may report calls. Default false.
    pub insecure: bool,
}

impl Default for CompatConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            udp_base: 8_888,
            insecure: false,
        }
    }
}

impl CompatConfig {
    /// Says which key is out of range, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !self.insecure && !self.address.to_canonical().is_loopback() {
            return Err(format!(
                "address is {}, which other machines may reach: choose a loopback address, or set insecure = true \
                 where the network is trusted",
                self.address
            ));
        }
        let base_max = u16::MAX - (PORTS - 1);
        if self.udp_base > base_max {
            return Err(format!(
                "udp_base is {}: it may be 0 to {base_max}",
                self.udp_base
            ));
        }
        Ok(())
    }

    /// Where the front listens.
    pub(crate) fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        let (address, base) = (self.address, self.udp_base);
        let ports = if self.enabled { 0..PORTS } else { 0..0 };
        ports.map(move |port| SocketAddr::new(address, if base == 0 { 0 } else { base + port }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut CompatConfig)) -> CompatConfig {
        let mut config = CompatConfig {
            enabled: true,
            ..CompatConfig::default()
        };
        change(&mut config);
        config
    }

    #[test]
    fn nothing_is_listened_at_unless_it_is_asked_for() {
        assert_eq!(CompatConfig::default().addrs().count(), 0);
        let addrs: Vec<_> = with(|_| {}).addrs().map(|addr| addr.to_string()).collect();
        assert_eq!(addrs, ["127.0.0.1:8888", "127.0.0.1:8889", "127.0.0.1:8890"]);
        assert!(
            with(|config| config.udp_base = 0)
                .addrs()
                .all(|addr| addr.port() == 0)
        );
    }

    #[test]
    fn address_that_others_reach_needs_a_word_beside_it() {
        let open = with(|config| config.address = "0.0.0.0".parse().expect("an address"));
        assert!(
            open.check()
                .is_err_and(|text| text.starts_with("address is 0.0.0.0"))
        );
        assert_eq!(
            CompatConfig {
                insecure: true,
                ..open
            }
            .check(),
            Ok(())
        );
        assert_eq!(CompatConfig::default().check(), Ok(()));
    }

    #[test]
    fn three_ports_fit_behind_the_base() {
        assert_eq!(with(|config| config.udp_base = 65_533).check(), Ok(()));
        assert!(
            with(|config| config.udp_base = 65_534)
                .check()
                .is_err_and(|text| text.starts_with("udp_base is 65534"))
        );
    }
}
