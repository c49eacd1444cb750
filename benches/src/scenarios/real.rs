//! Some scenarios once more in real time: real nodes on loopback, a whole running Lars, callers with its client. Beside
//! each figure stands that of the simulator for the same timeline.

mod callers;
mod nodes;

use super::{committed, report};
use crate::error::{BenchError, Doing};
use crate::results::target;
use lars_client::admin::{Admin, RouteEdit, RouteRow};
use lars_client::{Client, Endpoint, ModuleId};
use lars_console::config::Config;
use lars_console::up::{Up, UpOptions};
use lars_simulator::{Estimate, Figures, Metrics, Policy, Scenario};
use lars_wire::{NodeAddr, NodeState};
use nodes::Nodes;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// The module of every run.
pub(super) const MODULE: ModuleId = ModuleId::new(1, 1);
/// Those whose faults can happen to a real node within two minutes.
const SCENARIOS: [&str; 5] = ["one_dead", "slow_half", "one_slow", "one_fails_fast", "heal"];
/// A quick look runs a third of the time: every instant of the file divided by this.
const QUICK: u64 = 3;
/// Seeds of the simulated side.
const SEEDS: u64 = 10;

/// One figure: its name, what it is multiplied by, where it stands on both sides.
type Line = (
    &'static str,
    f64,
    fn(&Figures) -> Option<f64>,
    fn(&Metrics) -> Option<Estimate>,
);

const LINES: [Line; 7] = [
    (
        "errors %",
        100.0,
        |seen| seen.errors_share,
        |metrics| metrics.errors_share,
    ),
    ("p50 ms", 1.0, |seen| seen.p50_ms, |metrics| metrics.p50_ms),
    ("p99 ms", 1.0, |seen| seen.p99_ms, |metrics| metrics.p99_ms),
    (
        "refused",
        1.0,
        |seen| Some(seen.refused as f64),
        |metrics| metrics.refused,
    ),
    (
        "share after fault %",
        100.0,
        |seen| seen.share_after_fault.first().copied()?,
        |metrics| metrics.share_after_fault.get(&0).copied()?,
    ),
    (
        "readmission s",
        1.0,
        |seen| seen.readmission_s.first().copied()?,
        |metrics| metrics.readmission_s.get(&0).copied()?,
    ),
    (
        "peak of 10 s %",
        100.0,
        |seen| seen.peak_share_10s.first().copied()?,
        |metrics| metrics.peak_share_10s.get(&0).copied()?,
    ),
];

/// Runs them all, prints both sides, and writes `target/bench/scenarios_real.json`.
pub(super) fn measure(quick: bool, only: Option<&str>) -> Result<(), BenchError> {
    let mut rows = Vec::new();
    for (name, mut scenario) in committed()? {
        if !SCENARIOS.contains(&name.as_str()) || only.is_some_and(|only| !name.starts_with(only)) {
            continue;
        }
        if quick {
            shorten(&mut scenario);
        }
        rows.push(row(&name, &scenario)?);
    }
    let path = target("scenarios_real.json")?;
    let text = format!("{:#}\n", json!({ "quick": quick, "seeds": SEEDS, "rows": rows }));
    fs::write(&path, text).doing(&format!("writing {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn shorten(scenario: &mut Scenario) {
    scenario.duration /= QUICK;
    scenario.warmup /= QUICK;
    for event in &mut scenario.events {
        event.at /= QUICK;
    }
}

fn row(name: &str, scenario: &Scenario) -> Result<Value, BenchError> {
    let simulated = report(scenario, &Policy::Lars(Box::default()), SEEDS)?;
    let seen = in_real_time(scenario)?;
    println!(
        "{name}: {} s, {} calls/s; real calls began at most {:.1} ms late at p99",
        scenario.seconds(),
        scenario.rate_per_s,
        seen.late_p99.as_secs_f64() * 1e3
    );
    println!("{:22}{:>12}{:>12}{:>10}", "", "real", "simulated", "± 95%");
    let mut figures = serde_json::Map::new();
    for (figure, scale, real, simulated_of) in LINES {
        let (real, estimate) = (real(&seen.figures), simulated_of(&simulated.metrics));
        if real.is_none() && estimate.is_none() {
            continue;
        }
        let text = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.3}", value * scale));
        let half = estimate.and_then(|estimate| Some(estimate.high? - estimate.mean));
        let mean = estimate.map(|estimate| estimate.mean);
        println!(
            "{figure:22}{:>12}{:>12}{:>10}",
            text(real),
            text(mean),
            text(half)
        );
        figures.insert(
            figure.to_owned(),
            json!({ "real": real.map(|value| value * scale), "simulated": mean.map(|value| value * scale) }),
        );
    }
    Ok(json!({ "scenario": name, "seconds": scenario.seconds(), "figures": figures }))
}

/// Starts everything, runs the scenario, stops everything.
fn in_real_time(scenario: &Scenario) -> Result<callers::Seen, BenchError> {
    let folder = tempfile::tempdir().doing("a folder")?;
    let up = Up::start(UpOptions {
        data: folder.path().join("lars"),
        port: 0,
        config: Config::default(),
    })
    .map_err(|failure| BenchError::Answer(failure.to_string()))?;
    let answered = |error: &dyn std::fmt::Display| BenchError::Answer(error.to_string());
    let nodes = Nodes::start(&scenario.nodes)?;
    let edits = nodes.addrs.iter().zip(&scenario.nodes).map(|(addr, plan)| {
        RouteEdit::Put(RouteRow {
            module: MODULE,
            node: NodeAddr::from(*addr),
            weight: plan.weight,
            state: NodeState::Serving,
            zone: plan.zone.clone(),
        })
    });
    let dns = Endpoint::Tcp(up.addresses().dns.to_string());
    Admin::connect(&dns)
        .and_then(|mut admin| admin.edit_routes(edits.collect()))
        .map_err(|error| answered(&error))?;
    let client = Client::connect(up.addresses().agent.clone()).map_err(|error| answered(&error))?;
    client
        .register(MODULE, Duration::from_secs(5))
        .map_err(|error| answered(&error))?;
    let seen = callers::run(scenario, &nodes, &client);
    drop(client);
    up.stop();
    seen
}
