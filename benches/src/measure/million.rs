//! A directory of a million nodes in a hundred thousand modules, in MariaDB: first as the C++ system made the database,
//! then as `lars migrate` leaves it. One table, since to fill the database takes longer than most of its results.

mod foreign;
mod load;

use super::Table;
use crate::database::Database;
use crate::error::BenchError;
use crate::harness::Harness;
use foreign::Watched;

/// Times and sizes with a million rows.
pub(super) const TABLE: Table = Table {
    what: "a million routes in MariaDB",
    names: &[
        "mysql.read.1m",
        "mysql.read.1m.unmigrated",
        "dns.load.1m",
        "dns.load.1m.unmigrated",
        "dns.bytes_per_node",
        "dns.rss.1m",
        "dns.reload_spike",
        "dns.push.foreign",
        "dns.push.foreign.p99",
        "dns.push.foreign.unmigrated",
        "dns.push.foreign.unmigrated.p99",
        "dns.delete.foreign",
        "dns.delete.foreign.unmigrated",
    ],
    quick: false,
    measure,
};

/// What the second half of a name says of the database.
const UNMIGRATED: &str = ".unmigrated";

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let mut database = Database::start()?;
    database.fill()?;
    let mut watched = Watched::put_into(&mut database)?;
    for suffix in [UNMIGRATED, ""] {
        if suffix.is_empty() {
            database.migrate()?;
        }
        if [
            "mysql.read.1m",
            "dns.load.1m",
            "dns.bytes_per_node",
            "dns.rss.1m",
            "dns.reload_spike",
        ]
        .iter()
        .any(|name| harness.wants(&format!("{name}{suffix}")))
        {
            load::measure(harness, &mut database, suffix)?;
        }
        let [push, delete] = ["push", "delete"].map(|kind| format!("dns.{kind}.foreign{suffix}"));
        if harness.wants(&push) || harness.wants(&format!("{push}.p99")) || harness.wants(&delete) {
            foreign::measure(harness, &mut database, &mut watched, suffix)?;
        }
    }
    Ok(())
}

/// What stands in `[store]` of a service that uses the database.
fn store_of(database: &Database) -> String {
    format!("mysql_url = '{}'", database.url())
}
