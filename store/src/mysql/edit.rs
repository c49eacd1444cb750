//! Changing routes in the database: what an edit means, row by row, inside a transaction that the caller commits.

use super::routes::integer;
use super::{CallError, Connection};
use crate::judge::state_text;
use crate::routes::{EditDone, check_put};
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::{NODES_MAX, WEIGHT_DEFAULT};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use std::collections::BTreeSet;

/// Applies all edits, then writes change rows and the version where anything did change. The version row is locked
/// first, so that the order of commits is the order of versions, whoever else writes so.
pub(super) async fn apply(
    db: &mut Connection,
    edits: &[RouteEdit],
    now_s: u64,
) -> Result<EditDone, CallError> {
    let version = lock_version(db).await?;
    let mut done = EditDone {
        put: 0,
        removed: 0,
        version,
    };
    let (mut changed, mut grown) = (BTreeSet::new(), BTreeSet::new());
    for edit in edits {
        let module = edit.module();
        match edit {
            RouteEdit::Put(row) => {
                check_put(row).map_err(CallError::Refused)?;
                match put(db, row).await? {
                    Put::Same => continue,
                    Put::Changed => {}
                    Put::Added => drop(grown.insert(module)),
                }
                done.put += 1;
            }
            RouteEdit::Remove { node, .. } => {
                let removed = remove(db, module, *node).await?;
                if removed == 0 {
                    continue;
                }
                done.removed += removed;
            }
        }
        changed.insert(module);
    }
    for module in grown {
        check_size(db, module).await?;
    }
    if !changed.is_empty() {
        done.version = (version + 1).max(now_s);
        move_on(db, done.version, &changed).await?;
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

async fn lock_version(db: &mut Connection) -> Result<u64, CallError> {
    let locked = "SELECT version FROM RouteVersion WHERE id = 1 FOR UPDATE";
    if let Some(version) = db.conn.exec_first::<Value, _, _>(locked, ()).await? {
        return Ok(integer(Some(&version))
            .and_then(|version| u64::try_from(version).ok())
            .unwrap_or(0));
    }
    db.conn
        .exec_drop("INSERT INTO RouteVersion (id, version) VALUES (1, 0)", ())
        .await?;
    Ok(0)
}

/// Where a node stands in the table, as bound parameters behind the module.
struct Place {
    condition: &'static str,
    keys: Vec<Value>,
}

impl Place {
    fn of(db: &Connection, module: ModuleId, node: NodeAddr) -> Result<Self, CallError> {
        let mut keys = vec![Value::from(module.modid), Value::from(module.cmdid)];
        let (ip, ip6) = columns(node);
        keys.extend([Value::from(ip), Value::from(node.port())]);
        if !db.layout.has_node_columns() {
            if ip6.is_some() {
                return Err(unmigrated(&format!("node {node} is IPv6")));
            }
            return Ok(Self {
                condition: "modid = ? AND cmdid = ? AND serverip = ? AND serverport = ?",
                keys,
            });
        }
        keys.push(Value::from(ip6));
        let condition = "modid = ? AND cmdid = ? AND serverip = ? AND serverport = ? AND serverip6 <=> ?";
        Ok(Self { condition, keys })
    }
}

async fn put(db: &mut Connection, row: &RouteRow) -> Result<Put, CallError> {
    let place = Place::of(db, row.module, row.node)?;
    let wanted = (u32::from(row.weight), row.zone.clone(), state_text(row.state));
    let plain = (
        u32::from(WEIGHT_DEFAULT),
        String::new(),
        state_text(NodeState::Serving),
    );
    if !db.layout.has_node_columns() && wanted != plain {
        return Err(unmigrated(&format!(
            "node {} has a weight, a zone or is draining",
            row.node
        )));
    }
    let known = known(db, &place).await?;
    match known.as_slice() {
        [] => insert(db, row).await.map(|()| Put::Added),
        [(_, weight, zone, state)] if (*weight, zone, state.as_str()) == (wanted.0, &wanted.1, wanted.2) => {
            Ok(Put::Same)
        }
        // Other programs may have written the node more than once: one row of it remains.
        [(first, ..), others @ ..] => {
            if db.layout.has_node_columns() {
                db.conn
                    .exec_drop(
                        "UPDATE RouteData SET weight = ?, zone = ?, state = ? WHERE id = ?",
                        (wanted.0, wanted.1, wanted.2, *first),
                    )
                    .await?;
            }
            for (id, ..) in others {
                db.conn
                    .exec_drop("DELETE FROM RouteData WHERE id = ?", (*id,))
                    .await?;
            }
            Ok(Put::Changed)
        }
    }
}

/// The rows of one node: id, weight, zone, state. Locked, so that no other program changes them meanwhile.
async fn known(db: &mut Connection, place: &Place) -> Result<Vec<(u64, u32, String, String)>, CallError> {
    let columns = match db.layout.has_node_columns() {
        true => "id, weight, zone, state",
        false => "id, 100, '', 'serving'",
    };
    let statement = format!(
        "SELECT {columns} FROM RouteData WHERE {} ORDER BY id FOR UPDATE",
        place.condition
    );
    Ok(db.conn.exec(statement, place.keys.clone()).await?)
}

async fn insert(db: &mut Connection, row: &RouteRow) -> Result<(), CallError> {
    let (ip, ip6) = columns(row.node);
    let ModuleId { modid, cmdid } = row.module;
    if db.layout.has_node_columns() {
        let statement =
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport, serverip6, weight, zone, state)
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let state = state_text(row.state);
        let values = (
            modid,
            cmdid,
            ip,
            row.node.port(),
            ip6,
            row.weight,
            &row.zone,
            state,
        );
        return Ok(db.conn.exec_drop(statement, values).await?);
    }
    let statement = "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (?, ?, ?, ?)";
    Ok(db
        .conn
        .exec_drop(statement, (modid, cmdid, ip, row.node.port()))
        .await?)
}

async fn remove(db: &mut Connection, module: ModuleId, node: NodeAddr) -> Result<u32, CallError> {
    let place = Place::of(db, module, node)?;
    db.conn
        .exec_drop(
            format!("DELETE FROM RouteData WHERE {}", place.condition),
            place.keys,
        )
        .await?;
    Ok(u32::try_from(db.conn.affected_rows()).unwrap_or(u32::MAX))
}

async fn check_size(db: &mut Connection, module: ModuleId) -> Result<(), CallError> {
    let statement = "SELECT COUNT(*) FROM RouteData WHERE modid = ? AND cmdid = ?";
    let rows: u64 = db
        .conn
        .exec_first(statement, (module.modid, module.cmdid))
        .await?
        .unwrap_or(0);
    if rows > NODES_MAX as u64 {
        let text = format!("module {module} would have {rows} nodes, at most {NODES_MAX} are served");
        return Err(CallError::Refused(text));
    }
    Ok(())
}

async fn move_on(db: &mut Connection, version: u64, changed: &BTreeSet<ModuleId>) -> Result<(), CallError> {
    for module in changed {
        db.conn
            .exec_drop(
                "INSERT INTO RouteChange (modid, cmdid, version) VALUES (?, ?, ?)",
                (module.modid, module.cmdid, version),
            )
            .await?;
    }
    Ok(db
        .conn
        .exec_drop("UPDATE RouteVersion SET version = ? WHERE id = 1", (version,))
        .await?)
}

/// `serverip` and `serverip6` of a node.
fn columns(node: NodeAddr) -> (u32, Option<Vec<u8>>) {
    match node.ipv4_number() {
        Some(number) => (number, None),
        None => (0, Some(node.octets().to_vec())),
    }
}

fn unmigrated(what: &str) -> CallError {
    CallError::Refused(format!(
        "{what}: this database has no column for that; `lars migrate` adds it"
    ))
}
