//! `lars simulate`: a scenario in virtual time, with the agent's own shard and board, or a policy that it is
//! compared with.

mod figures;
mod replay;

use super::{print, print_json};
use crate::config::Config;
use crate::outcome::Failure;
use clap::Args;
use lars_simulator::{Policy, Scenario, plot, simulate};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Args, Debug)]
#[command(
    after_help = "The scenario's format and the meaning of every figure stand in docs/SIMULATOR.md; benches/scenarios has \
                  examples."
)]
pub(super) struct Simulate {
    /// The scenario
    #[arg(value_name = "SCENARIO.toml", required_unless_present = "recorded")]
    scenario: Option<PathBuf>,
    /// Replay what `lars record` wrote instead: how would those calls have gone?
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "svg"])]
    recorded: Option<PathBuf>,
    /// With --recorded: the module, where there are calls of several
    #[arg(long, value_name = "MODID.CMDID", requires = "recorded")]
    module: Option<String>,
    /// One of ours (as in [policy] name), or round-robin, least-request-outlier, peak-ewma-breaker
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Runs, each with other luck
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Take thresholds from the [policy] of this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Draw the run with seed 1: latency, errors, each node's share of calls and state over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Simulate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let policy = self.policy()?;
        let Some(path) = &self.scenario else {
            return self.replay(&policy);
        };
        let scenario = read(path)?;
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let drawn = self.svg.is_some();
        let (report, series) = simulate(&scenario, &policy, self.seeds, threads, Instant::now(), drawn)
            .map_err(|error| Failure::other(format!("the simulation ended: {error}")))?;
        if let (Some(path), Some(series)) = (&self.svg, series) {
            let drawing = plot::svg(&scenario, &policy, 1, &series);
            std::fs::write(path, drawing)
                .map_err(|error| Failure::other(format!("{}: {error}", path.display())))?;
        }
        if self.json {
            let value = serde_json::to_value(&report)
                .map_err(|error| Failure::other(format!("the figures do not become JSON: {error}")))?;
            print_json(&value)
        } else {
            print(&figures::text(&scenario, &report))
        }
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let config = match &self.config {
            Some(path) => Config::read(path)?.policy,
            None => Config::default().policy,
        };
        match &self.policy {
            Some(name) => {
                Policy::named(name, &config).map_err(|error| Failure::usage(format!("--policy: {error}")))
            }
            None => Ok(Policy::Lars(Box::new(config))),
        }
    }
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    Scenario::parse(&text).map_err(|error| {
        let line = error.line.map_or(String::new(), |line| format!(":{line}"));
        Failure::usage(format!("{place}{line}: {error}"))
    })
}
