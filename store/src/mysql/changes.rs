//! Changes of nodes' states in the database: one statement a batch.

use super::MysqlStore;
use crate::calls::PRUNE_ROWS_MAX;
use crate::changes::{ChangeRecord, ChangeStore, state_of, state_word};
use crate::error::StoreError;
use lars_wire::{ModuleId, NodeAddr};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};

const COLUMNS: &str =
    "incarnation, number, caller, unix_ms, modid, cmdid, ip, port, state_from, state_to, reason";

impl ChangeStore for MysqlStore {
    async fn store_changes(&mut self, changes: &[ChangeRecord]) -> Result<bool, StoreError> {
        self.call("storing changes of nodes", async |db| {
            if !db.layout.has_changes() || changes.is_empty() {
                return Ok(db.layout.has_changes());
            }
            let rows = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; changes.len()].join(", ");
            let statement = format!(
                "INSERT INTO lars_change ({COLUMNS}) VALUES {rows} ON DUPLICATE KEY UPDATE number = VALUES(number)"
            );
            let values: Vec<Value> = changes.iter().flat_map(values).collect();
            db.conn.exec_drop(statement, values).await?;
            Ok(true)
        })
        .await
    }

    async fn changes(
        &mut self,
        module: Option<ModuleId>,
        rows_max: u32,
    ) -> Result<Vec<ChangeRecord>, StoreError> {
        self.call("reading changes of nodes", async |db| {
            if !db.layout.has_changes() {
                return Ok(Vec::new());
            }
            let mut keys: Vec<Value> = module.map_or_else(Vec::new, |module| {
                vec![Value::from(module.modid), Value::from(module.cmdid)]
            });
            keys.push(Value::from(rows_max));
            let of_module = module.map_or("", |_| "WHERE modid = ? AND cmdid = ? ");
            let statement = format!(
                "SELECT {COLUMNS} FROM lars_change {of_module}ORDER BY unix_ms DESC, number DESC LIMIT ?"
            );
            let rows: Vec<Row> = db.conn.exec(statement, keys).await?;
            Ok(rows.iter().filter_map(record).collect())
        })
        .await
    }

    async fn prune_node_changes(&mut self, unix_ms_first: u64) -> Result<u64, StoreError> {
        self.call("pruning changes of nodes", async |db| {
            if !db.layout.has_changes() {
                return Ok(0);
            }
            db.conn
                .exec_drop(
                    "DELETE FROM lars_change WHERE unix_ms < ? ORDER BY unix_ms LIMIT ?",
                    (unix_ms_first, PRUNE_ROWS_MAX),
                )
                .await?;
            Ok(db.conn.affected_rows())
        })
        .await
    }
}

fn values(change: &ChangeRecord) -> [Value; 11] {
    [
        Value::from(&change.incarnation[..]),
        Value::from(change.number),
        Value::from(change.caller),
        Value::from(change.unix_ms),
        Value::from(change.module.modid),
        Value::from(change.module.cmdid),
        Value::from(&change.node.octets()[..]),
        Value::from(change.node.port()),
        Value::from(state_word(change.from)),
        Value::from(state_word(change.to)),
        Value::from(change.reason.as_bytes()),
    ]
}

fn record(row: &Row) -> Option<ChangeRecord> {
    let bytes = |index| row.get::<Vec<u8>, _>(index);
    let word = |index| String::from_utf8(bytes(index)?).ok();
    Some(ChangeRecord {
        incarnation: bytes(0)?.try_into().ok()?,
        number: row.get(1)?,
        caller: row.get(2)?,
        unix_ms: row.get(3)?,
        module: ModuleId::new(row.get(4)?, row.get(5)?),
        node: NodeAddr::from_octets(bytes(6)?.try_into().ok()?, row.get(7)?),
        from: state_of(&word(8)?)?,
        to: state_of(&word(9)?)?,
        reason: word(10)?,
    })
}
