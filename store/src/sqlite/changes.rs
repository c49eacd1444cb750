//! Changes of nodes' states in the embedded file.

use super::{SqliteStore, bound, unsigned};
use crate::calls::PRUNE_ROWS_MAX;
use crate::changes::{ChangeRecord, ChangeStore, state_of, state_word};
use crate::error::StoreError;
use lars_wire::{ModuleId, NodeAddr};
use rusqlite::{Row, params};

impl ChangeStore for SqliteStore {
    async fn store_changes(&mut self, changes: &[ChangeRecord]) -> Result<bool, StoreError> {
        let transaction = self.writing()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO lars_change (incarnation, number, caller, unix_ms, modid, cmdid, ip, port, state_from,
                     state_to, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (incarnation, number) DO NOTHING",
            )?;
            for change in changes {
                insert.execute(params![
                    change.incarnation,
                    bound(change.number),
                    change.caller,
                    bound(change.unix_ms),
                    change.module.modid,
                    change.module.cmdid,
                    change.node.octets(),
                    change.node.port(),
                    state_word(change.from),
                    state_word(change.to),
                    change.reason,
                ])?;
            }
        }
        transaction.commit()?;
        Ok(true)
    }

    async fn changes(
        &mut self,
        module: Option<ModuleId>,
        rows_max: u32,
    ) -> Result<Vec<ChangeRecord>, StoreError> {
        let (modid, cmdid) = module.map(|module| (module.modid, module.cmdid)).unzip();
        let mut statement = self.connection.prepare_cached(
            "SELECT incarnation, number, caller, unix_ms, modid, cmdid, ip, port, state_from, state_to, reason
             FROM lars_change WHERE (?1 IS NULL OR (modid = ?1 AND cmdid = ?2))
             ORDER BY unix_ms DESC, number DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(params![modid, cmdid, rows_max], record)?;
        let records: Vec<Option<ChangeRecord>> = rows.collect::<Result<_, _>>()?;
        Ok(records.into_iter().flatten().collect())
    }

    async fn prune_node_changes(&mut self, unix_ms_first: u64) -> Result<u64, StoreError> {
        let transaction = self.writing()?;
        let deleted = transaction
            .prepare_cached(
                "DELETE FROM lars_change WHERE (incarnation, number) IN
                 (SELECT incarnation, number FROM lars_change WHERE unix_ms < ?1 LIMIT ?2)",
            )
            .and_then(|mut statement| statement.execute(params![bound(unix_ms_first), PRUNE_ROWS_MAX]))?;
        transaction.commit()?;
        Ok(deleted as u64)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Option<ChangeRecord>> {
    let states: [String; 2] = [row.get(8)?, row.get(9)?];
    let (Some(from), Some(to)) = (state_of(&states[0]), state_of(&states[1])) else {
        return Ok(None);
    };
    Ok(Some(ChangeRecord {
        incarnation: row.get(0)?,
        number: unsigned(row.get(1)?),
        caller: row.get(2)?,
        unix_ms: unsigned(row.get(3)?),
        module: ModuleId::new(row.get(4)?, row.get(5)?),
        node: NodeAddr::from_octets(row.get(6)?, row.get(7)?),
        from,
        to,
        reason: row.get(10)?,
    }))
}
