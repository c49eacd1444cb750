//! Changing routes in the database: what an edit means, row by row, inside a transaction that the caller commits.

use super::layout::Number;
use super::routes::{bytes, integer};
use super::{CallError, Connection};
use crate::judge::state_text;
use crate::routes::{EditDone, check_put};
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::{NODES_MAX, WEIGHT_DEFAULT};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
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
        let (ip, ip6) = columns(node, db.layout.route_ip);
        keys.extend([ip, Value::from(node.port())]);
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
    let wanted = Wish {
        weight: i64::from(row.weight),
        zone: row.zone.clone().into_bytes(),
        state: state_text(row.state).as_bytes().to_vec(),
    };
    if !db.layout.has_node_columns() && wanted != Wish::plain() {
        return Err(unmigrated(&format!(
            "node {} has a weight, a zone or is draining",
            row.node
        )));
    }
    let known = known(db, &place).await?;
    let [(first, found), others @ ..] = known.as_slice() else {
        return insert(db, row).await.map(|()| Put::Added);
    };
    if others.is_empty() && found.as_ref() == Some(&wanted) {
        return Ok(Put::Same);
    }
    // Other programs may have written the node more than once: one row of it remains.
    for (id, _) in others {
        db.conn
            .exec_drop("DELETE FROM RouteData WHERE id = ?", (id,))
            .await?;
    }
    if db.layout.has_node_columns() {
        db.conn
            .exec_drop(
                "UPDATE RouteData SET weight = ?, zone = ?, state = ? WHERE id = ?",
                (row.weight, &row.zone, state_text(row.state), first),
            )
            .await?;
        // Another program has just deleted it.
        if db.conn.affected_rows() == 0 {
            insert(db, row).await?;
        }
    }
    Ok(Put::Changed)
}

/// What is wanted of a node beside its address.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    weight: i64,
    zone: Vec<u8>,
    state: Vec<u8>,
}

impl Wish {
    /// What every node has in a database without columns for it.
    fn plain() -> Self {
        Self {
            weight: i64::from(WEIGHT_DEFAULT),
            zone: Vec::new(),
            state: state_text(NodeState::Serving).as_bytes().to_vec(),
        }
    }

    /// None where another program wrote something else.
    fn found(row: &Row) -> Option<Self> {
        if row.len() == 1 {
            return Some(Self::plain());
        }
        Some(Self {
            weight: integer(row.as_ref(1))?,
            zone: bytes(row.as_ref(2)?)?.to_vec(),
            state: bytes(row.as_ref(3)?)?.to_vec(),
        })
    }
}

/// The rows of one node, by id. Not locked: without an index by module that would lock every row of the table. Who
/// edits through Lars waits for the version row; another program that deletes a row meanwhile is noticed.
async fn known(db: &mut Connection, place: &Place) -> Result<Vec<(u64, Option<Wish>)>, CallError> {
    let columns = if db.layout.has_node_columns() {
        "id, weight, zone, state"
    } else {
        "id"
    };
    let statement = format!(
        "SELECT {columns} FROM RouteData WHERE {} ORDER BY id",
        place.condition
    );
    let rows: Vec<Row> = db.conn.exec(statement, place.keys.clone()).await?;
    let id = |row: &Row| integer(row.as_ref(0)).and_then(|id| u64::try_from(id).ok());
    Ok(rows
        .iter()
        .filter_map(|row| Some((id(row)?, Wish::found(row))))
        .collect())
}

async fn insert(db: &mut Connection, row: &RouteRow) -> Result<(), CallError> {
    let (ip, ip6) = columns(row.node, db.layout.route_ip);
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
    let mut removed = 0;
    for (id, _) in known(db, &place).await? {
        db.conn
            .exec_drop("DELETE FROM RouteData WHERE id = ?", (id,))
            .await?;
        removed += u32::from(db.conn.affected_rows() > 0);
    }
    Ok(removed)
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
fn columns(node: NodeAddr, kind: Number) -> (Value, Option<Vec<u8>>) {
    match node.ipv4_number() {
        Some(number) => (kind.address(number), None),
        None => (Value::from(0), Some(node.octets().to_vec())),
    }
}

fn unmigrated(what: &str) -> CallError {
    CallError::Refused(format!(
        "{what}: this database has no column for that; `lars migrate` adds it"
    ))
}
