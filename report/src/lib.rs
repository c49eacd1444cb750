//! The record of calls: takes batches of tallies from agents, stores each exactly once, acknowledges what is stored.
//!
//! Read in this order: [`Report`] (a running service) and [`ReportConfig`]; then, inside, `intake` (pure: what waits
//! for the store, and who asked), `records` (pure: ages become minutes), `old_agents` (pure: windows from agents of the
//! C++ Lars), `handler` (one core: frames in, answers out), `control` (the thread that alone speaks with the store).
#![forbid(unsafe_code)]

mod config;
mod control;
mod error;
mod handler;
mod intake;
mod mail;
mod old_agents;
mod records;
mod refusal;
mod service;
mod session;
mod stats;
mod status;

pub use config::ReportConfig;
pub use error::ReportError;
pub use service::{Report, ReportReadiness};
pub use stats::ReportStats;
