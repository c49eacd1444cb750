//! Reading routes from the embedded file.

use super::{SqliteStore, bound, edit, unix_now_s, unsigned};
use crate::error::StoreError;
use crate::judge::{Judge, RawRow};
use crate::routes::{ChangeRow, EditDone, Observation, PageRead, RouteRecord, RouteStore, Rows};
use lars_wire::ModuleId;
use lars_wire::admin::RouteEdit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// Change rows are kept for as long as any dns may look back.
const CHANGES_KEPT_S: u64 = 3_600;

/// How many rows `RouteData` had, and when. Counting a million rows takes milliseconds, and nearly every look finds
/// that nobody wrote since: `data_version` differs as soon as another connection has committed anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct SizeSeen {
    data_version: i64,
    rows: u64,
    max_id: u64,
}

impl RouteStore for SqliteStore {
    async fn observe(&mut self, changes_after: u64) -> Result<Observation, StoreError> {
        let seen = self.size_seen;
        let transaction = self.reading()?;
        let (size, observation) = look(&transaction, changes_after, seen)?;
        transaction.commit()?;
        self.size_seen = Some(size);
        Ok(observation)
    }

    async fn rows_of(&mut self, modules: &[ModuleId]) -> Result<Rows, StoreError> {
        let modules: BTreeSet<ModuleId> = modules.iter().copied().collect();
        let transaction = self.reading()?;
        let mut judge = Judge::new();
        for module in modules {
            read_module(&transaction, module, &mut judge)?;
        }
        transaction.commit()?;
        Ok(judge.into_rows())
    }

    async fn rows_after(&mut self, after: u64, rows_max: u32) -> Result<Rows, StoreError> {
        let mut judge = Judge::new();
        read_page(&self.connection, after, rows_max, |raw| judge.take(raw))?;
        Ok(judge.into_rows())
    }

    async fn each_after(
        &mut self,
        after: u64,
        rows_max: u32,
        take: &mut impl FnMut(RouteRecord),
    ) -> Result<PageRead, StoreError> {
        let mut judge = Judge::new();
        read_page(&self.connection, after, rows_max, |raw| {
            if let Some(record) = judge.judge(raw) {
                take(record);
            }
        })?;
        Ok(judge.into_page())
    }

    async fn edit(&mut self, edits: &[RouteEdit]) -> Result<EditDone, StoreError> {
        self.size_seen = None;
        let transaction = self.writing()?;
        let done = edit::apply(&transaction, edits, unix_now_s())?;
        transaction.commit()?;
        Ok(done)
    }

    async fn prune_changes(&mut self, seen_long_ago: u64) -> Result<u64, StoreError> {
        let now_s = unix_now_s();
        let pruned = self
            .connection
            .prepare_cached("DELETE FROM RouteChange WHERE version < ?1 OR (version > ?2 AND id <= ?3)")
            .and_then(|mut statement| {
                let oldest = now_s.saturating_sub(CHANGES_KEPT_S);
                statement.execute([bound(oldest), bound(now_s), bound(seen_long_ago)])
            })?;
        Ok(pruned as u64)
    }
}

fn look(
    connection: &Connection,
    changes_after: u64,
    seen: Option<SizeSeen>,
) -> rusqlite::Result<(SizeSeen, Observation)> {
    // The first statement of the transaction: it opens the snapshot that all others read.
    let data_version = connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?;
    let size = match seen {
        Some(seen) if seen.data_version == data_version => seen,
        _ => connection
            .prepare_cached("SELECT (SELECT COUNT(*) FROM RouteData), (SELECT MAX(id) FROM RouteData)")?
            .query_row([], |row| {
                let max_id = row.get::<_, Option<i64>>(1)?;
                Ok(SizeSeen {
                    data_version,
                    rows: row.get(0)?,
                    max_id: unsigned(max_id.unwrap_or(0)),
                })
            })?,
    };
    let version: Option<i64> = connection
        .prepare_cached("SELECT version FROM RouteVersion WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let mut statement = connection
        .prepare_cached("SELECT id, modid, cmdid, version FROM RouteChange WHERE id > ?1 ORDER BY id")?;
    let mut found = statement.query([bound(changes_after)])?;
    let mut changes = Vec::new();
    while let Some(row) = found.next()? {
        changes.extend(change(row)?);
    }
    let observation = Observation {
        version: unsigned(version.unwrap_or(0)),
        changes,
        rows: Some(size.rows),
        max_id: size.max_id,
    };
    Ok((size, observation))
}

/// None for a row that names no module: the version that its writer set still tells that something changed.
fn change(row: &Row<'_>) -> rusqlite::Result<Option<ChangeRow>> {
    let key = |value| integer(value).and_then(|value| u32::try_from(value).ok());
    let (Some(modid), Some(cmdid)) = (key(row.get_ref(1)?), key(row.get_ref(2)?)) else {
        return Ok(None);
    };
    Ok(Some(ChangeRow {
        id: unsigned(row.get(0)?),
        module: ModuleId::new(modid, cmdid),
        version: integer(row.get_ref(3)?).unwrap_or(0),
    }))
}

fn read_module(connection: &Connection, module: ModuleId, judge: &mut Judge) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT id, modid, cmdid, serverip, serverport, weight, zone, state, serverip6 FROM RouteData
         WHERE modid = ?1 AND cmdid = ?2 ORDER BY id",
    )?;
    let mut found = statement.query(params![module.modid, module.cmdid])?;
    while let Some(row) = found.next()? {
        judge.take(&raw(row)?);
    }
    Ok(())
}

fn read_page(
    connection: &Connection,
    after: u64,
    rows_max: u32,
    mut take: impl FnMut(&RawRow<'_>),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT id, modid, cmdid, serverip, serverport, weight, zone, state, serverip6 FROM RouteData
         WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut found = statement.query(params![bound(after), rows_max])?;
    while let Some(row) = found.next()? {
        take(&raw(row)?);
    }
    Ok(())
}

fn raw<'a>(row: &'a Row<'_>) -> rusqlite::Result<RawRow<'a>> {
    Ok(RawRow {
        id: unsigned(row.get(0)?),
        modid: integer(row.get_ref(1)?),
        cmdid: integer(row.get_ref(2)?),
        serverip: integer(row.get_ref(3)?),
        serverport: integer(row.get_ref(4)?),
        weight: integer(row.get_ref(5)?),
        zone: row.get_ref(6)?.as_str().ok(),
        state: row.get_ref(7)?.as_str().ok(),
        serverip6: match row.get_ref(8)? {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes,
            _ => &[],
        },
    })
}

/// SQLite takes any type into any column; only an integer is one.
fn integer(value: ValueRef<'_>) -> Option<i64> {
    value.as_i64().ok()
}
