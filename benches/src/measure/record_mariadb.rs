//! Tallies stored by report in MariaDB and acknowledged, beside a bare driver that writes the same rows. Three ways:
//! windows alone, as into a database that nobody migrated; with history, every tally another node's; with history, all
//! agents calling the same nodes, whose minutes are then summed before they are written.

use super::Table;
use super::record::{Nodes, Senders};
use crate::database::Database;
use crate::database::upserts::Written;
use crate::error::BenchError;
use crate::harness::Harness;
use crate::results::Unit;
use crate::services::Services;

/// Tallies a second into MariaDB.
pub(super) const TABLE: Table = Table {
    what: "tallies stored in MariaDB",
    names: &[
        "mysql.upsert.status",
        "report.rows.status.mariadb",
        "mysql.upsert.tallies",
        "report.rows.distinct.mariadb",
        "report.rows.mariadb",
    ],
    quick: false,
    measure,
};

/// Agents that send at a time: what some have on the way fills a transaction while the one before is stored.
const AGENTS: u8 = 96;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    // The bare driver has a database of its own: the tables of one may be in memory better than those of the other, and
    // both begin empty.
    let (mut plain, mut database) = (Database::start()?, Database::start()?);
    let store = format!("mysql_url = '{}'", database.url());
    for (written, name, beside) in [
        (
            Written::Status,
            "report.rows.status.mariadb",
            "mysql.upsert.status",
        ),
        (
            Written::StatusAndHistory,
            "report.rows.distinct.mariadb",
            "mysql.upsert.tallies",
        ),
    ] {
        if written == Written::StatusAndHistory {
            plain.migrate()?;
            database.migrate()?;
        }
        let services = Services::start_on(harness, harness.processors.asking, &store)?;
        let mut senders = Senders::connect(&services.report, AGENTS, Nodes::OfEach)?;
        let batches = senders.batches();
        let (mut floors, mut rates) = (Vec::new(), Vec::new());
        for round in 0..=harness.rounds(3) {
            let time = harness.slice() * 2;
            let (floor, rate) = (plain.upsert(&batches, written, time)?, senders.rate(time)?);
            // The first puts the rows there which all others change.
            if round > 0 {
                floors.push(floor);
                rates.push(rate);
            }
        }
        harness.push(beside, Unit::PerS, floors, None)?;
        harness.push(name, Unit::PerS, rates, Some(beside))?;
    }
    let services = Services::start_on(harness, harness.processors.asking, &store)?;
    let mut senders = Senders::connect(&services.report, AGENTS, Nodes::OfAll)?;
    let mut rates = Vec::new();
    for _ in 0..harness.rounds(3) {
        rates.push(senders.rate(harness.slice() * 2)?);
    }
    harness.push(
        "report.rows.mariadb",
        Unit::PerS,
        rates,
        Some("mysql.upsert.tallies"),
    )
}
