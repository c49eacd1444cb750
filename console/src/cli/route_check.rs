//! `lars route check`: every row of the store that dns cannot serve, and why.

use super::at_store::{AtStore, block_on};
use super::table::table;
use super::{print, print_json};
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_store::{AnyStore, BadRow, RouteStore, StoreError};
use lars_wire::bounds::NODES_MAX;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// Rows read at once.
const PAGE_ROWS: u32 = 20_000;

#[derive(Args, Debug)]
pub(super) struct RouteCheck {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: AtStore,
}

impl RouteCheck {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (rows, bad) = block_on(async {
            let mut store = self.store.open().await?;
            Ok::<_, Failure>(check(&mut store).await?)
        })??;
        if self.json {
            let row = |bad: &BadRow| json!({ "id": bad.id, "modid": bad.module.0, "cmdid": bad.module.1, "reason": bad.reason });
            print_json(&bad.iter().map(row).collect())?;
        } else if bad.is_empty() {
            print(&format!("{rows} rows, all can be served\n"))?;
        } else {
            let row = |bad: &BadRow| {
                vec![
                    bad.id.to_string(),
                    bad.module.0.to_string(),
                    bad.module.1.to_string(),
                    bad.reason.clone(),
                ]
            };
            let cells: Vec<_> = bad.iter().map(row).collect();
            print(&table(&["id", "modid", "cmdid", "reason"], &cells))?;
        }
        if bad.is_empty() {
            Ok(())
        } else {
            Err(Failure::silent(Code::Other))
        }
    }
}

/// How many rows there are, and those that cannot be served.
async fn check(store: &mut AnyStore) -> Result<(usize, Vec<BadRow>), StoreError> {
    let (mut rows, mut bad, mut after) = (0, Vec::new(), 0);
    // A page knows its own rows only.
    let (mut seen, mut nodes) = (HashSet::new(), HashMap::new());
    loop {
        let page = store.rows_after(after, PAGE_ROWS).await?;
        rows += page.good.len() + page.bad.len();
        bad.extend(page.bad);
        for row in page.good {
            if !seen.insert((row.module, row.node)) {
                bad.push(BadRow::repeated(&row));
                continue;
            }
            let nodes = nodes.entry(row.module).or_insert(0);
            *nodes += 1;
            if *nodes > NODES_MAX {
                bad.push(BadRow::beyond_bound(row.id, row.module));
            }
        }
        let Some(last) = page.last_id else { break };
        after = last;
    }
    bad.sort_by_key(|bad| bad.id);
    Ok((rows, bad))
}
