//! The route directory: reads routes from the store, answers who asks, and pushes every change to who subscribed.
//! It never balances and knows nothing of calls; it keeps nothing that the store has not.
//!
//! Read in this order. Pure, without sockets and clocks: [`Catalog`] (every route, versioned, read by all cores),
//! `publisher` (its one writer), `load` (its first rows), `diff` (rows against routes), `tracker` (what to read again), `subscriptions` (who
//! wants to hear), `confirmations` (who has heard). Then `keeper` (the catalog follows the store), `control` (the
//! thread that owns the store), `core` (connections), and [`Dns`] (all of it, running).
#![forbid(unsafe_code)]

mod bad_rows;
mod catalog;
mod config;
mod confirmations;
mod control;
mod core;
mod diff;
mod error;
mod keeper;
mod load;
mod mail;
mod publication;
mod publisher;
mod row_index;
mod service;
mod stats;
mod subscriptions;
mod tracker;

pub use catalog::{BUCKETS, Catalog, PageCutter, View};
pub use config::DnsConfig;
pub use error::DnsError;
pub use service::{Dns, DnsReadiness};
pub use stats::DnsStats;
