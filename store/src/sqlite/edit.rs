//! Changing routes in the embedded file: what an edit means, row by row, inside a transaction that the caller commits
//! or drops.

use super::{bound, unsigned};
use crate::error::StoreError;
use crate::judge::state_text;
use crate::routes::{EditDone, check_put};
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::NODES_MAX;
use lars_wire::{ModuleId, NodeAddr};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;

/// Applies all edits, then writes change rows and the version where anything did change. Nothing of it counts before
/// the transaction commits.
pub(super) fn apply(
    connection: &Connection,
    edits: &[RouteEdit],
    now_s: u64,
) -> Result<EditDone, StoreError> {
    let version = version(connection)?;
    let mut done = EditDone {
        put: 0,
        removed: 0,
        version: unsigned(version),
    };
    let mut changed = BTreeSet::new();
    let mut grown = BTreeSet::new();
    for edit in edits {
        let module = edit.module();
        match edit {
            RouteEdit::Put(row) => {
                check_put(row).map_err(StoreError::Refused)?;
                match put(connection, row)? {
                    Put::Same => continue,
                    Put::Changed => {}
                    Put::Added => drop(grown.insert(module)),
                }
                done.put += 1;
            }
            RouteEdit::Remove { node, .. } => {
                let removed = remove(connection, module, *node)?;
                if removed == 0 {
                    continue;
                }
                done.removed += removed;
            }
        }
        changed.insert(module);
    }
    for module in grown {
        check_size(connection, module)?;
    }
    if !changed.is_empty() {
        let version = version.saturating_add(1).max(bound(now_s));
        move_on(connection, version, &changed)?;
        done.version = unsigned(version);
    }
    Ok(done)
}

/// What a put did.
enum Put {
    /// The row stands there exactly so.
    Same,
    /// It was there otherwise.
    Changed,
    /// It was not there.
    Added,
}

fn put(connection: &Connection, row: &RouteRow) -> rusqlite::Result<Put> {
    let (ip, ip6) = columns(row.node);
    let mut find = connection.prepare_cached(
        "SELECT id, weight IS ?6 AND zone IS ?7 AND state IS ?8 FROM RouteData
         WHERE modid = ?1 AND cmdid = ?2 AND serverip = ?3 AND serverport = ?4 AND serverip6 IS ?5 ORDER BY id",
    )?;
    let ModuleId { modid, cmdid } = row.module;
    let state = state_text(row.state);
    let port = row.node.port();
    let known: Vec<(i64, bool)> = find
        .query_map(
            params![modid, cmdid, ip, port, ip6, row.weight, row.zone, state],
            |found| Ok((found.get(0)?, found.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    match known.as_slice() {
        [] => {
            let mut insert = connection.prepare_cached(
                "INSERT INTO RouteData (modid, cmdid, serverip, serverport, serverip6, weight, zone, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            insert.execute(params![modid, cmdid, ip, port, ip6, row.weight, row.zone, state])?;
            Ok(Put::Added)
        }
        [(_, true)] => Ok(Put::Same),
        // Other programs may have written the node more than once: one row of it remains.
        [(first, _), others @ ..] => {
            let mut update = connection
                .prepare_cached("UPDATE RouteData SET weight = ?2, zone = ?3, state = ?4 WHERE id = ?1")?;
            update.execute(params![first, row.weight, row.zone, state])?;
            let mut delete = connection.prepare_cached("DELETE FROM RouteData WHERE id = ?1")?;
            for (id, _) in others {
                delete.execute([id])?;
            }
            Ok(Put::Changed)
        }
    }
}

fn remove(connection: &Connection, module: ModuleId, node: NodeAddr) -> rusqlite::Result<u32> {
    let (ip, ip6) = columns(node);
    let mut delete = connection.prepare_cached(
        "DELETE FROM RouteData
         WHERE modid = ?1 AND cmdid = ?2 AND serverip = ?3 AND serverport = ?4 AND serverip6 IS ?5",
    )?;
    let removed = delete.execute(params![module.modid, module.cmdid, ip, node.port(), ip6])?;
    Ok(removed as u32)
}

fn check_size(connection: &Connection, module: ModuleId) -> Result<(), StoreError> {
    let rows: u64 = connection
        .prepare_cached("SELECT COUNT(*) FROM RouteData WHERE modid = ?1 AND cmdid = ?2")
        .and_then(|mut statement| statement.query_row([module.modid, module.cmdid], |row| row.get(0)))?;
    if rows > NODES_MAX as u64 {
        let text = format!("module {module} would have {rows} nodes, at most {NODES_MAX} are served");
        return Err(StoreError::Refused(text));
    }
    Ok(())
}

/// The version before the edit. The caller's transaction holds the write lock, so it stays that until the commit.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let version: Option<i64> = connection
        .prepare_cached("SELECT version FROM RouteVersion WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(version.unwrap_or(0).max(0))
}

fn move_on(connection: &Connection, version: i64, changed: &BTreeSet<ModuleId>) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT INTO RouteChange (modid, cmdid, version) VALUES (?1, ?2, ?3)")?;
    for module in changed {
        insert.execute(params![module.modid, module.cmdid, version])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO RouteVersion (id, version) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET version = ?1",
        )?
        .execute([version])?;
    Ok(())
}

/// `serverip` and `serverip6` of a node.
fn columns(node: NodeAddr) -> (u32, Option<[u8; 16]>) {
    match node.ipv4_number() {
        Some(number) => (number, None),
        None => (0, Some(node.octets())),
    }
}
