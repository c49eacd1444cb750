//! A store in memory that fails when it is told to.

use super::{module, row};
use crate::keeper::*;
use lars_store::routes::{ChangeRow, PageRead, RouteRecord, Rows};
use std::collections::BTreeMap;

/// Tables as any program may write them.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) rows: BTreeMap<u64, RouteRecord>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) version: u64,
    pub(super) next_id: u64,
    /// It is too large to be counted.
    pub(super) is_uncounted: bool,
    /// It has no index by module.
    pub(super) passes_over_all: bool,
    /// Calls that still succeed; none for no failure.
    pub(super) calls_left: Option<u32>,
}

impl Memory {
    pub(super) fn insert(&mut self, cmdid: u32, last: u32) -> u64 {
        self.next_id += 1;
        self.rows.insert(self.next_id, row(self.next_id, cmdid, last));
        self.next_id
    }

    pub(super) fn announce(&mut self, cmdid: u32) {
        self.version += 1;
        let id = self.changes.len() as u64 + 1;
        self.changes.push(ChangeRow {
            id,
            module: module(cmdid),
            version: self.version as i64,
        });
    }

    pub(super) fn call(&mut self) -> Result<(), StoreError> {
        match &mut self.calls_left {
            Some(0) => Err(StoreError::Away("told to fail".to_owned())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl RouteStore for Memory {
    async fn observe(&mut self, changes_after: u64) -> Result<Observation, StoreError> {
        self.call()?;
        Ok(Observation {
            version: self.version,
            changes: self
                .changes
                .iter()
                .filter(|row| row.id > changes_after)
                .copied()
                .collect(),
            rows: (!self.is_uncounted).then_some(self.rows.len() as u64),
            max_id: self.rows.keys().next_back().copied().unwrap_or(0),
        })
    }

    async fn rows_of(&mut self, modules: &[ModuleId]) -> Result<Rows, StoreError> {
        self.call()?;
        let good: Vec<_> = self
            .rows
            .values()
            .filter(|row| modules.contains(&row.module))
            .cloned()
            .collect();
        Ok(Rows {
            last_id: good.last().map(|row| row.id),
            good,
            bad: Vec::new(),
        })
    }

    fn passes_over_all(&self) -> bool {
        self.passes_over_all
    }

    async fn rows_after(&mut self, after: u64, rows_max: u32) -> Result<Rows, StoreError> {
        self.call()?;
        let rows = self
            .rows
            .range(after.saturating_add(1)..)
            .map(|(_, row)| row.clone());
        let good: Vec<_> = rows.take(rows_max as usize).collect();
        Ok(Rows {
            last_id: good.last().map(|row| row.id),
            good,
            bad: Vec::new(),
        })
    }

    async fn each_after(
        &mut self,
        after: u64,
        rows_max: u32,
        take: &mut impl FnMut(RouteRecord),
    ) -> Result<PageRead, StoreError> {
        let page = self.rows_after(after, rows_max).await?;
        // Told to fail at the next call, it fails within this one: some rows were given away.
        let given = match self.calls_left {
            Some(0) => page.good.len() / 2,
            _ => page.good.len(),
        };
        let is_whole = given == page.good.len();
        page.good.into_iter().take(given).for_each(take);
        if !is_whole {
            return Err(StoreError::Away("told to fail in the middle".to_owned()));
        }
        Ok(PageRead {
            bad: page.bad,
            last_id: page.last_id,
        })
    }

    async fn edit(&mut self, edits: &[RouteEdit]) -> Result<EditDone, StoreError> {
        self.call()?;
        for edit in edits {
            let RouteEdit::Put(put) = edit else { continue };
            self.next_id += 1;
            let record = RouteRecord {
                node: put.node,
                ..row(self.next_id, put.module.cmdid, 0)
            };
            self.rows.insert(self.next_id, record);
            self.announce(put.module.cmdid);
        }
        Ok(EditDone {
            put: edits.len() as u32,
            removed: 0,
            version: self.version,
        })
    }

    async fn prune_changes(&mut self, _seen_long_ago: u64) -> Result<u64, StoreError> {
        self.call()?;
        Ok(std::mem::take(&mut self.changes).len() as u64)
    }
}
