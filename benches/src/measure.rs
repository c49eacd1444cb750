//! What is measured: tables of results, in the order in which they are made. Each file says what its results mean.
//!
//! To add results: a file with a `TABLE` whose `measure` ends in [`Harness::push`], and a line in [`TABLES`].

mod board;
mod board_size;
mod buffers;
mod catalog;
mod compat;
mod connections;
mod directory;
mod fanout;
mod flood;
mod latency;
mod million;
mod open;
mod peers;
mod push;
mod rates;
mod record;
mod record_mariadb;
mod requests;
mod rest;
mod start;

use crate::error::BenchError;
use crate::harness::Harness;

/// Results that are measured together.
#[derive(Debug)]
pub struct Table {
    /// What it is, for whoever waits.
    pub what: &'static str,
    /// Its results' names; one that ends with a dot stands for all that begin so.
    pub names: &'static [&'static str],
    /// Whether a quick run has it. What takes more than a few seconds is left out there, unless asked for by name.
    pub quick: bool,
    /// Makes them.
    pub measure: fn(&mut Harness) -> Result<(), BenchError>,
}

/// All tables.
pub const TABLES: &[Table] = &[
    buffers::TABLE,
    latency::TABLE,
    open::TABLE,
    peers::TABLE,
    rates::TABLE,
    rates::TWINS,
    compat::TABLE,
    requests::TABLE,
    connections::TABLE,
    flood::TABLE,
    directory::TABLE,
    start::TABLE,
    rest::TABLE,
    push::TABLE,
    fanout::TABLE,
    record::TABLE,
    board::HOT,
    board::CHANGES,
    board::DRAIN,
    board_size::THOUSAND_NODES,
    board_size::MILLION,
    record_mariadb::TABLE,
    million::TABLE,
    catalog::TABLE,
];
