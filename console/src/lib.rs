//! The doors for people: the `lars` command, and the library entry that starts any service in-process.
//!
//! Read in this order: [`config`] (one file for all services), [`up`] (everything in one process), [`find`] (how
//! tools find a running Lars), [`database`] (which MySQL a command means), [`outcome`] (exit codes), [`reload`]
//! (SIGHUP), [`cli`] (one file a subcommand), [`demo`] (the story).
#![forbid(unsafe_code)]

pub mod addresses;
pub mod admin_http;
pub mod cli;
pub mod config;
pub mod database;
pub mod demo;
mod families;
pub mod find;
pub mod logging;
pub mod notify;
pub mod old_config;
pub mod old_dns;
pub mod outcome;
pub mod reload;
pub mod signals;
pub mod up;

pub use config::Config;
pub use up::{Up, UpOptions};
