//! The per-host agent: answers picks from the board, takes reports, keeps routes fresh and hands tallies to report.
//!
//! Read in this order: [`AgentConfig`] (what can be set), [`Agent`] (how it starts and stops), `core` (one core's
//! turn: requests and the shard it owns), `callers` (the board and the rings change hands), `mail` (what travels between threads), `control` (links to dns and report,
//! routes on disk), [`AgentStats`] (what can be scraped). What is decided about nodes is decided in `lars-shard`.
#![forbid(unsafe_code)]

mod address;
mod agent;
mod callers;
mod config;
mod control;
mod core;
mod disk;
mod error;
mod links;
mod mail;
mod old_front;
mod spool_state;
mod stats;
mod status;
mod tap;

pub use agent::{Agent, AgentPolicies, AgentReadiness};
pub use config::{AgentConfig, board_socket, core_socket};
pub use error::AgentError;
pub use old_front::CompatConfig;
pub use stats::AgentStats;
