//! `lars explain`: why the agent sees each node of a module as it does.

use super::table::table;
use super::{print, print_json};
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::{Client, Explanation, PickError, RouteView};
use lars_wire::ModuleId;
use lars_wire::caller::{NodeExplained, NodeView};
use lars_wire::event::StateChange;
use serde_json::{Value, json};
use std::time::Duration;

/// How long dns may take to answer for a module that nobody asked for before.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(1);
/// Changes below the table of nodes; `lars changes` lists more.
const CHANGES_SHOWN_MAX: usize = 10;

#[derive(Args, Debug)]
#[command(
    after_help = "The agent answers for modules that somebody on its host uses; `lars pick MODID CMDID` makes it ask dns for one.\n\
                  Exit codes: 0 explained, 3 no such module here, 5 no agent, or no route yet."
)]
pub(super) struct Explain {
    /// The business
    modid: u32,
    /// The service in the business
    cmdid: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let module = ModuleId::new(self.modid, self.cmdid);
        let client = self.find.client("lars explain")?;
        let explanation = explained(&client, module).map_err(|error| unexplained(module, error))?;
        // Weights and zones are the route's; a node that left it in between has none.
        let route = client.route(module).map_err(|error| unexplained(module, error))?;
        let changes = client.changes(Some(module))?.changes;
        if self.json {
            let mut object = as_json(module, &explanation, &route);
            object["changes"] = changes.iter().map(super::changes::as_json).collect();
            print_json(&object)
        } else {
            let mut text = as_text(module, &explanation, &route);
            if !changes.is_empty() {
                text.push_str("\nlast changes, the newest first\n");
                text.push_str(&last_changes(&changes));
            }
            print(&text)
        }
    }
}

/// A module that nobody asked for is asked for by the question itself: its first answer is waited for.
fn explained(client: &Client, module: ModuleId) -> Result<Explanation, PickError> {
    match client.explain(module) {
        Err(PickError::Pending { .. }) => {
            client.register(module, FIRST_ANSWER_MAX)?;
            client.explain(module)
        }
        answered => answered,
    }
}

fn unexplained(module: ModuleId, error: PickError) -> Failure {
    match error {
        PickError::NotFound { .. } => Failure::new(
            Code::NotFound,
            format!(
                "the agent knows no module {module}: nobody on this host asked for it of late, or dns has no such module; \
                 `lars pick {} {}` tells",
                module.modid, module.cmdid
            ),
        ),
        error => error.into(),
    }
}

/// As it is spelt in JSON and tables.
pub(super) fn state_name(view: NodeView) -> &'static str {
    match view {
        NodeView::Idle => "idle",
        NodeView::Overloaded => "overloaded",
        NodeView::Probing => "probing",
        NodeView::Draining => "draining",
    }
}

fn as_json(module: ModuleId, explanation: &Explanation, route: &RouteView) -> Value {
    let node = |line: &NodeExplained| {
        let routed = route.nodes.iter().find(|node| node.addr == line.node);
        json!({
            "node": line.node.to_string(), "state": state_name(line.view), "since_ms": line.since_ms,
            "why": line.reason, "cost_us": line.cost_us, "in_flight": line.in_flight,
            "next_probe_ms": line.next_probe_ms, "weight": routed.map(|node| node.weight),
            "zone": routed.map(|node| node.zone.as_ref()),
        })
    };
    json!({
        "modid": module.modid, "cmdid": module.cmdid, "policy": explanation.policy, "version": explanation.version,
        "nodes_total": explanation.total, "nodes": explanation.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

fn as_text(module: ModuleId, explanation: &Explanation, route: &RouteView) -> String {
    let row = |line: &NodeExplained| {
        let routed = route.nodes.iter().find(|node| node.addr == line.node);
        vec![
            line.node.to_string(),
            state_name(line.view).to_owned(),
            duration(line.since_ms),
            // A policy that does not look at costs has them all at 1.
            if line.cost_us > 1 {
                format!("{:.1}", f64::from(line.cost_us) / 1_000.0)
            } else {
                "-".to_owned()
            },
            line.in_flight.to_string(),
            line.next_probe_ms.map_or("-".to_owned(), duration),
            routed.map_or("-".to_owned(), |node| node.weight.to_string()),
            routed.map_or("-".to_owned(), |node| node.zone.to_string()),
            line.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = explanation.nodes.iter().map(row).collect();
    let mut text = format!(
        "module {module}, policy {}, version {}\n",
        explanation.policy, explanation.version
    );
    text.push_str(&table(
        &[
            "node",
            "state",
            "since",
            "cost ms",
            "in flight",
            "next probe",
            "weight",
            "zone",
            "why",
        ],
        &rows,
    ));
    let left_out = explanation.total as usize - explanation.nodes.len().min(explanation.total as usize);
    if left_out > 0 {
        let left_out = left_out.to_string();
        text.extend([
            "and ",
            &left_out,
            " more nodes, for which one answer has no room\n",
        ]);
    }
    text
}

fn last_changes(changes: &[StateChange]) -> String {
    let row = |change: &StateChange| {
        let states = format!("{} to {}", state_name(change.from), state_name(change.to));
        vec![
            duration(change.age_ms),
            change.node.to_string(),
            states,
            change.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = changes.iter().take(CHANGES_SHOWN_MAX).map(row).collect();
    table(&["ago", "node", "change", "why"], &rows)
}

/// In the two largest units that it has, for people.
pub(super) fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = ms / 1_000;
    match UNITS.iter().position(|(length, _)| seconds >= *length) {
        None => format!("{ms} ms"),
        Some(3) => format!("{}.{} s", seconds, ms % 1_000 / 100),
        Some(place) => {
            let ((large, name), (small, part)) = (UNITS[place], UNITS[place + 1]);
            format!("{} {name} {} {part}", seconds / large, seconds % large / small)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_told_in_its_two_largest_units() {
        let told = [0, 999, 1_950, 61_000, 3_661_000, 90_000_000].map(duration);
        assert_eq!(
            told,
            ["0 ms", "999 ms", "1.9 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
    }
}
