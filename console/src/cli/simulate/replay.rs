//! `lars simulate --recorded`: what was recorded, with another choice of nodes, side by side.

use super::super::table::table;
use super::super::{print, print_json};
use super::Simulate;
use crate::outcome::Failure;
use lars_simulator::{Estimate, Policy, Recorded, ReplayReport, replay};
use lars_wire::ModuleId;
use std::time::Instant;

/// Rows of nodes that are shown; --json has them all.
const NODES_SHOWN_MAX: usize = 20;

impl Simulate {
    pub(super) fn replay(&self, policy: &Policy) -> Result<(), Failure> {
        let Some(path) = &self.recorded else {
            return Err(Failure::usage(
                "name a scenario, or a recording with --recorded FILE",
            ));
        };
        let module = self.module.as_deref().map(module).transpose()?;
        let place = path.display();
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
        let recorded = Recorded::parse(&text, module).map_err(|error| {
            let line = error.line.map_or(String::new(), |line| format!(":{line}"));
            Failure::usage(format!("{place}{line}: {error}"))
        })?;
        drop(text);
        let report = replay(&recorded, policy, self.seeds, Instant::now())
            .map_err(|error| Failure::other(format!("the replay ended: {error}")))?;
        if self.json {
            let value = serde_json::to_value(&report)
                .map_err(|error| Failure::other(format!("the figures do not become JSON: {error}")))?;
            print_json(&value)
        } else {
            print(&as_text(&report))
        }
    }
}

fn module(text: &str) -> Result<ModuleId, Failure> {
    let numbers = text.split_once('.');
    let numbers = numbers.and_then(|(modid, cmdid)| Some((modid.parse().ok()?, cmdid.parse().ok()?)));
    numbers
        .map(|(modid, cmdid)| ModuleId::new(modid, cmdid))
        .ok_or_else(|| Failure::usage(format!("--module {text}: give it as MODID.CMDID, such as 1.2")))
}

fn as_text(report: &ReplayReport) -> String {
    let mut text = format!(
        "module {}.{}: {} calls in {:.1} s; as recorded, and with {} ({} seeds)\n\n",
        report.modid, report.cmdid, report.calls, report.seconds, report.policy, report.seeds
    );
    let (before, after) = (&report.recorded, &report.metrics);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let row = |what: &str, recorded: Option<f64>, replayed: Option<Estimate>, scale: f64| {
        let half = replayed.and_then(|estimate| Some((estimate.high? - estimate.mean) * scale));
        vec![
            what.to_owned(),
            number(recorded.map(|value| value * scale)),
            number(replayed.map(|estimate| estimate.mean * scale)),
            number(half),
        ]
    };
    let rows = [
        row("errors %", Some(before.errors_share), after.errors_share, 100.0),
        row("p50 ms", before.p50_ms, after.p50_ms, 1.0),
        row("p99 ms", before.p99_ms, after.p99_ms, 1.0),
        row("p99.9 ms", before.p999_ms, after.p999_ms, 1.0),
        row("refused a node", None, after.refused, 1.0),
        row("ejections", None, after.ejections, 1.0),
    ];
    text.push_str(&table(&["all calls", "recorded", "replayed", "± 95%"], &rows));
    let nodes = after.share_of_calls.iter().take(NODES_SHOWN_MAX);
    let nodes: Vec<Vec<String>> = nodes
        .map(|(node, share)| row(node, before.share_of_calls.get(node).copied(), *share, 100.0))
        .collect();
    text.push('\n');
    text.push_str(&table(&["node", "recorded %", "replayed %", "± 95%"], &nodes));
    text.push_str("\nWhat this replay cannot tell:\n");
    for limit in &report.cannot_tell {
        text.extend(["- ", limit, "\n"]);
    }
    text
}
