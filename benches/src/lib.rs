//! The harness that measures the whole mesh on one machine. Nothing imports it.
//!
//! Read in this order: [`arguments`] (how it is called), [`harness`] (what a run holds), [`measure`] (one file for
//! each table of results), [`load`] and [`echo`] (the processes that ask, and the bare ones that only echo),
//! [`services`] (the real ones; [`database`]: the MariaDB behind them; [`snapshot`]: an agent that knows a million
//! modules), [`peer`] (others that people name), [`child`] (how it starts itself again as any of them), [`results`]
//! (what is printed), [`plots`] (the same drawn), [`baseline`] (what `--check` compares with).
//! Beside that whole: [`cases`] (single pieces of the data path) and [`instructions`] (which counts theirs).
//! [`scenarios`] stands by itself: the simulator's scenarios with their gates, in virtual time.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod baseline;
pub mod cases;
pub mod child;
pub mod cpu;
pub mod database;
pub mod echo;
pub mod error;
pub mod exchange;
pub mod greeting;
pub mod harness;
pub mod instructions;
pub mod load;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod peer;
pub mod plots;
pub mod results;
pub mod role;
pub mod scenarios;
pub mod scrape;
pub mod services;
pub mod snapshot;
pub mod spread;

use arguments::Invocation;
use std::process::ExitCode;

/// Runs what the arguments (without the program's name) ask for.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let done = match Invocation::parse(arguments) {
        Ok(Invocation::Role(call)) => return role::run(&call),
        Ok(Invocation::Idle) => {
            println!("mesh: nothing to test; `cargo bench -p lars-benches --bench mesh` measures");
            return ExitCode::SUCCESS;
        }
        Ok(Invocation::Bench(options)) => harness::run(options),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesh: {error}");
            ExitCode::FAILURE
        }
    }
}
