//! `lars route accept`: people say that what the push guard of dns holds back is meant. It shows what that is, and dns
//! then serves the store as it is.

use super::name::Names;
use super::{print, print_json};
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::admin::{Admin, HeldRow};
use serde_json::{Value, json};
use std::time::Duration;

/// How long dns may take to read so many modules again.
const ACCEPT_MAX: Duration = Duration::from_mins(1);
/// Modules shown to people; the rest is counted.
const SHOWN_MAX: usize = 20;

#[derive(Args, Debug)]
pub(super) struct RouteAccept {
    /// Only show what is held back
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object, with every module
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

impl RouteAccept {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut admin = Admin::connect_with(&self.find.dns()?, ACCEPT_MAX)?;
        let (rows, waits) = admin.list_held()?;
        let names = if rows.is_empty() {
            Names::default()
        } else {
            Names::beside(&self.find, None)
        };
        if !self.json && !rows.is_empty() {
            print(&shown(&rows, &names))?;
        }
        let accepted = if self.dry_run || rows.is_empty() {
            None
        } else {
            Some(admin.accept_held()?)
        };
        if self.json {
            let held: Vec<Value> = rows.iter().map(|row| as_json(row, &names)).collect();
            let (released, changed) = accepted.map(|done| (done.released, done.changed)).unzip();
            print_json(&json!({ "waits": waits, "held": held, "released": released, "changed": changed }))?;
        } else if let Some(done) = accepted {
            print(&format!(
                "{} modules released, {} of them changed\n",
                done.released, done.changed
            ))?;
        } else if !rows.is_empty() {
            print(if waits {
                "they wait for `lars route accept`\n"
            } else {
                "they are published when the next pass over the store confirms it\n"
            })?;
        }
        if !rows.is_empty() {
            return Ok(());
        }
        let text = if self.json { "" } else { "nothing is held back" };
        Err(Failure::new(Code::NotFound, text))
    }
}

fn shown(rows: &[HeldRow], names: &Names) -> String {
    let row = |row: &HeldRow| {
        let store = if row.vanished { "no nodes" } else { "fewer nodes" };
        (row.module, vec![row.nodes.to_string(), store.to_owned()])
    };
    let first: Vec<_> = rows.iter().take(SHOWN_MAX).map(row).collect();
    let text = names.table(&["served", "the store has"], &first);
    match rows.len().saturating_sub(SHOWN_MAX) {
        0 => text,
        more => format!("{text}... and {more} modules more (--json lists all)\n"),
    }
}

fn as_json(row: &HeldRow, names: &Names) -> Value {
    let module = row.module;
    json!({
        "modid": module.modid, "modid_name": names.modid(module.modid),
        "cmdid": module.cmdid, "cmdid_name": names.cmdid(module.cmdid),
        "nodes": row.nodes, "vanished": row.vanished,
    })
}
