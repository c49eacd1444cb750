//! `lars changes`: which nodes were taken out or back lately, and why.

use super::explain::{duration, state_name};
use super::table::table;
use super::{OnlyModule, print, print_json};
use crate::find::Find;
use crate::outcome::Failure;
use clap::Args;
use lars_client::ChangeRows;
use lars_wire::event::StateChange;
use serde_json::{Value, json};

#[derive(Args, Debug)]
#[command(
    after_help = "The agent keeps its last 2,048 changes; report stores them all, in the table lars_change."
)]
pub(super) struct Changes {
    #[command(flatten)]
    only: OnlyModule,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

impl Changes {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.find.client("lars changes")?;
        let rows = client.changes(self.only.module())?;
        if self.json {
            let changes: Vec<Value> = rows.changes.iter().map(as_json).collect();
            print_json(&json!({ "total": rows.total, "lost": rows.lost, "changes": changes }))
        } else {
            print(&as_text(&rows))
        }
    }
}

/// One change, as `lars explain` prints it too.
pub(super) fn as_json(change: &StateChange) -> Value {
    json!({
        "number": change.number, "modid": change.module.modid, "cmdid": change.module.cmdid,
        "node": change.node.to_string(), "age_ms": change.age_ms, "from": state_name(change.from),
        "to": state_name(change.to), "why": change.reason,
    })
}

fn as_text(rows: &ChangeRows) -> String {
    let row = |change: &StateChange| {
        vec![
            change.number.to_string(),
            duration(change.age_ms),
            change.module.to_string(),
            change.node.to_string(),
            state_name(change.from).to_owned(),
            state_name(change.to).to_owned(),
            change.reason.clone(),
        ]
    };
    let lines: Vec<Vec<String>> = rows.changes.iter().map(row).collect();
    let mut text = table(&["change", "ago", "module", "node", "from", "to", "why"], &lines);
    let (shown, total) = (lines.len().to_string(), rows.total.to_string());
    text.extend([shown.as_str(), " of ", &total, " since the agent started"]);
    if rows.lost > 0 {
        let lost = rows.lost.to_string();
        text.extend(["; ", &lost, " were forgotten before report had stored them"]);
    }
    text.push('\n');
    text
}
