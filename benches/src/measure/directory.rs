//! The directory asked for routes of ten nodes, beside a bare ring echo over TCP that sends as many bytes.

use super::Table;
use super::rates::{Crowd, ROUNDS, interleaved};
use crate::error::BenchError;
use crate::harness::Harness;
use crate::load::rate::Rate;
use crate::results::Unit;
use crate::services::Services;

/// Answers in a second of the server's processor time.
pub(super) const TABLE: Table = Table {
    what: "routes from dns beside a bare ring echo over TCP",
    names: &["echo.tcp.", "dns.get."],
    quick: true,
    measure,
};

const CROWDS: [Crowd; 4] = [
    Crowd::new(1, 1),
    Crowd::new(1, 32),
    Crowd::new(100, 1),
    Crowd::new(64, 32),
];

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let named = CROWDS.map(|crowd| (crowd, format!("{}.per_core_s", crowd.name())));
    let wanted = |name: &str| {
        ["echo.tcp.", "dns.get."]
            .iter()
            .any(|kind| harness.wants(&format!("{kind}{name}")))
    };
    let crowds: Vec<_> = named.into_iter().filter(|(_, name)| wanted(name)).collect();
    if crowds.is_empty() {
        return Ok(());
    }
    let services = Services::start_with_dns_on(harness, harness.processors.serving)?;
    let echo = harness.route_echo()?;
    for (crowd, name) in crowds {
        let [echoes, routes] = interleaved(harness, crowd, [&echo.target, &services.dns_target()], ROUNDS)?;
        let beside = format!("echo.tcp.{name}");
        harness.push(
            beside.clone(),
            Unit::PerS,
            echoes.iter().map(Rate::per_core_s),
            None,
        )?;
        let runs = routes.iter().map(Rate::per_core_s);
        harness.push(format!("dns.get.{name}"), Unit::PerS, runs, Some(&beside))?;
    }
    Ok(())
}
