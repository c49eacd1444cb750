//! Call records in the database: many rows a statement, each batch with its acknowledgement in one transaction.

use super::halves::Halves;
use super::routes::{integer, unsigned_ip};
use super::{CallError, Connection, MysqlStore, unix_now_s};
use crate::calls::{CallBatch, CallStatus, CallStore, HistoryRow, PRUNE_ROWS_MAX, Stored};
use crate::error::StoreError;
use crate::fold::Fold;
use lars_wire::{ModuleId, NodeAddr};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Incarnations of one statement that reads acknowledgements.
const ACKS_A_STATEMENT: usize = 256;
/// Largest number of a signed column of 64 bits.
const SUM_MAX: u64 = i64::MAX as u64;

impl CallStore for MysqlStore {
    async fn store(&mut self, batches: &[CallBatch]) -> Result<Vec<Stored>, StoreError> {
        let halves = Halves::of(batches);
        let [first, second] = &halves.batches;
        if second.is_empty() {
            return self.store_together(first).await;
        }
        let mut other = match self.second.take() {
            Some(other) => other,
            None => Box::new(Self::unconnected(self.access.clone())?),
        };
        let (first, by_other) = tokio::join!(self.store_together(first), other.store_together(second));
        let second = match by_other {
            Ok(stored) => {
                self.second = Some(other);
                stored
            }
            // The account may have one connection, or the other was lost: what it stored is known as stored before.
            Err(_) if first.is_ok() => self.store_together(second).await?,
            Err(error) => return Err(error),
        };
        Ok(halves.in_order([first?, second]))
    }

    async fn call_status(&mut self, module: Option<ModuleId>) -> Result<Vec<CallStatus>, StoreError> {
        self.call("reading call status", async |db| {
            db.begin_snapshot().await?;
            let mut status = read_status(db, "ServerCallStatus", module).await?;
            if db.layout.has_history() {
                status.extend(read_status(db, "lars_call_status6", module).await?);
            }
            db.commit().await?;
            status.sort_by_key(|row| (row.module, row.node, row.caller));
            Ok(status)
        })
        .await
    }

    async fn history(
        &mut self,
        module: Option<ModuleId>,
        minute_first: u64,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.call("reading history", async |db| {
            if !db.layout.has_history() {
                return Ok(Vec::new());
            }
            let (of_module, keys) = condition(module);
            let statement = format!(
                "SELECT modid, cmdid, ip, port, minute, ok, failed, timed_out, cancelled, latency_sum_us, latency_max_us
                 FROM lars_history WHERE minute >= ?{of_module} ORDER BY modid, cmdid, ip, port, minute"
            );
            let keys: Vec<Value> = [Value::from(minute_first)].into_iter().chain(keys).collect();
            let rows: Vec<Row> = db.conn.exec(statement, keys).await?;
            Ok(rows.iter().filter_map(history_row).collect())
        })
        .await
    }

    async fn prune(&mut self, minute_first: u64, ack_idle_s: u64) -> Result<u64, StoreError> {
        let ack_ts_first = unix_now_s().saturating_sub(ack_idle_s);
        self.call("pruning", async |db| {
            if !db.layout.has_history() {
                return Ok(0);
            }
            db.conn
                .exec_drop(
                    "DELETE FROM lars_history WHERE minute < ? ORDER BY minute LIMIT ?",
                    (minute_first, PRUNE_ROWS_MAX),
                )
                .await?;
            let history = db.conn.affected_rows();
            db.conn
                .exec_drop(
                    "DELETE FROM lars_ack WHERE stored_ts < ? ORDER BY stored_ts LIMIT ?",
                    (ack_ts_first, PRUNE_ROWS_MAX),
                )
                .await?;
            Ok(history + db.conn.affected_rows())
        })
        .await
    }
}

impl MysqlStore {
    /// Stores batches in one transaction.
    async fn store_together(&mut self, batches: &[&CallBatch]) -> Result<Vec<Stored>, StoreError> {
        let now_s = unix_now_s();
        self.call("storing calls", async |db| {
            db.begin().await?;
            let stored = write(db, batches, now_s).await?;
            db.commit().await?;
            Ok(stored)
        })
        .await
    }
}

async fn write(db: &mut Connection, batches: &[&CallBatch], now_s: u64) -> Result<Vec<Stored>, CallError> {
    // Without a table for acknowledgements nothing can be told apart; a window written twice is the same window.
    let stored = if db.layout.has_history() {
        acknowledge(db, batches, now_s).await?
    } else {
        batches.iter().map(|batch| Stored::Now(batch.sequence)).collect()
    };
    let mut fold = Fold::default();
    for (batch, stored) in batches.iter().zip(&stored) {
        if matches!(stored, Stored::Now(_)) {
            fold.add(batch);
        }
    }
    write_status(db, &mut fold).await?;
    // Last: rows of history belong to all agents, and another transaction waits for them until this one ends.
    if db.layout.has_history() {
        write_history(db, &mut fold).await?;
    }
    Ok(stored)
}

/// Moves the sequence of each incarnation on by its batches, or says why not: one statement that reads and locks, one
/// that writes. Locked, since a snapshot may be older than what another replica has just stored.
async fn acknowledge(
    db: &mut Connection,
    batches: &[&CallBatch],
    now_s: u64,
) -> Result<Vec<Stored>, CallError> {
    let numbered = batches.iter().filter(|batch| !batch.is_unnumbered());
    let incarnations: BTreeSet<[u8; 16]> = numbered.map(|batch| batch.incarnation).collect();
    let incarnations: Vec<[u8; 16]> = incarnations.into_iter().collect();
    let mut newest: BTreeMap<[u8; 16], u64> = BTreeMap::new();
    for some in incarnations.chunks(ACKS_A_STATEMENT) {
        // The last fills a statement up to a power of two, so that few different ones are prepared.
        let last = some.last().into_iter().cycle();
        let keys = some.iter().chain(last).take(some.len().next_power_of_two());
        let keys: Vec<Value> = keys.map(|incarnation| Value::from(&incarnation[..])).collect();
        let statement = format!(
            "SELECT incarnation, seq FROM lars_ack WHERE incarnation IN ({}) ORDER BY incarnation FOR UPDATE",
            vec!["?"; keys.len()].join(", ")
        );
        let rows: Vec<(Vec<u8>, Value)> = db.conn.exec(statement, keys).await?;
        newest.extend(rows.iter().filter_map(|(incarnation, sequence)| {
            let sequence = integer(Some(sequence)).and_then(|sequence| u64::try_from(sequence).ok());
            Some((incarnation.as_slice().try_into().ok()?, sequence.unwrap_or(0)))
        }));
    }
    let mut moved: BTreeMap<[u8; 16], u64> = BTreeMap::new();
    let judge = |batch: &&CallBatch| {
        let (incarnation, sequence) = (batch.incarnation, batch.sequence);
        if batch.is_unnumbered() {
            return Stored::Now(sequence);
        }
        match newest.get(&incarnation) {
            Some(&newest) if newest >= sequence => Stored::Before(newest),
            Some(&newest) if newest + 1 < sequence => Stored::Gap(newest),
            _ => {
                newest.insert(incarnation, sequence);
                moved.insert(incarnation, sequence);
                Stored::Now(sequence)
            }
        }
    };
    let stored = batches.iter().map(judge).collect();
    let values = moved.iter().map(|(incarnation, sequence)| {
        [
            Value::from(&incarnation[..]),
            Value::from(*sequence),
            Value::from(now_s),
        ]
    });
    let tail = "ON DUPLICATE KEY UPDATE seq = VALUES(seq), stored_ts = VALUES(stored_ts)";
    let head = "INSERT INTO lars_ack (incarnation, seq, stored_ts)";
    db.write_rows(head, tail, values).await?;
    Ok(stored)
}

async fn write_history(db: &mut Connection, fold: &mut Fold) -> Result<(), CallError> {
    let sum = |number: u64| Value::from(number.min(SUM_MAX));
    let values = fold.history().iter().map(|row| {
        [
            Value::from(row.minute),
            Value::from(row.module.modid),
            Value::from(row.module.cmdid),
            Value::from(&row.node.octets()[..]),
            Value::from(row.node.port()),
            sum(row.ok),
            sum(row.failed),
            sum(row.timed_out),
            sum(row.cancelled),
            sum(row.latency_sum_us),
            Value::from(row.latency_max_us),
        ]
    });
    // A sum beyond 63 bits stays at the largest number: what is left of the room is added at most.
    let add = |column: &str| format!("{column} = {column} + LEAST(VALUES({column}), {SUM_MAX} - {column})");
    let sums = ["ok", "failed", "timed_out", "cancelled", "latency_sum_us"]
        .map(add)
        .join(", ");
    let head = "INSERT INTO lars_history
        (minute, modid, cmdid, ip, port, ok, failed, timed_out, cancelled, latency_sum_us, latency_max_us)";
    let tail = format!(
        "ON DUPLICATE KEY UPDATE {sums}, latency_max_us = GREATEST(latency_max_us, VALUES(latency_max_us))"
    );
    db.write_rows(head, &tail, values).await
}

async fn write_status(db: &mut Connection, fold: &mut Fold) -> Result<(), CallError> {
    let kind = db.layout.status;
    let rows = fold.status();
    // An old table may have no room for a key: the rest must not wait for it.
    let values4 = rows.iter().filter_map(|row| {
        let (ip, ModuleId { modid, cmdid }) = (row.node.ipv4_number()?, row.module);
        Some([
            kind.modid.exact(u64::from(modid))?,
            kind.cmdid.exact(u64::from(cmdid))?,
            kind.ip.address(ip),
            kind.port.exact(u64::from(row.node.port()))?,
            kind.caller.address(row.caller),
            kind.succ.at_most(row.succ),
            kind.err.at_most(row.err),
            kind.ts.at_most(row.ts),
            overloaded(row),
        ])
    });
    let values6 = rows.iter().filter(|row| row.node.ipv4_number().is_none());
    let values6 = values6.map(|row| {
        [
            Value::from(row.module.modid),
            Value::from(row.module.cmdid),
            Value::from(&row.node.octets()[..]),
            Value::from(row.node.port()),
            Value::from(row.caller),
            Value::from(row.succ.min(u64::from(u32::MAX))),
            Value::from(row.err.min(u64::from(u32::MAX))),
            Value::from(row.ts.min(SUM_MAX)),
            overloaded(row),
        ]
    });
    // The ts comes last: the assignments are made in order, and the others compare with the ts before.
    let newer = |column: &str| format!("{column} = IF(VALUES(ts) >= ts, VALUES({column}), {column})");
    let tail = format!(
        "ON DUPLICATE KEY UPDATE {}",
        ["succ_cnt", "err_cnt", "overload", "ts"].map(newer).join(", ")
    );
    let head = |table: &str| {
        format!("INSERT INTO {table} (modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload)")
    };
    db.write_rows(&head("ServerCallStatus"), &tail, values4).await?;
    if db.layout.has_history() {
        db.write_rows(&head("lars_call_status6"), &tail, values6).await?;
    }
    Ok(())
}

fn overloaded(row: &CallStatus) -> Value {
    Value::from(if row.overloaded { "1" } else { "0" })
}

async fn read_status(
    db: &mut Connection,
    table: &str,
    module: Option<ModuleId>,
) -> Result<Vec<CallStatus>, CallError> {
    let (of_module, keys) = condition(module);
    let statement = format!(
        "SELECT modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload FROM {table} WHERE TRUE{of_module}"
    );
    let rows: Vec<Row> = db.conn.exec(statement, keys).await?;
    Ok(rows.iter().filter_map(status_row).collect())
}

fn condition(module: Option<ModuleId>) -> (&'static str, Vec<Value>) {
    match module {
        Some(module) => (
            " AND modid = ? AND cmdid = ?",
            vec![module.modid.into(), module.cmdid.into()],
        ),
        None => ("", Vec::new()),
    }
}

/// None for a row that another program wrote and that names no node.
fn status_row(row: &Row) -> Option<CallStatus> {
    let number = |place: usize| integer(row.as_ref(place)).and_then(|value| u64::try_from(value).ok());
    let address = |place: usize| u32::try_from(unsigned_ip(integer(row.as_ref(place))?)).ok();
    let key = |place: usize| u32::try_from(number(place)?).ok();
    Some(CallStatus {
        module: ModuleId::new(key(0)?, key(1)?),
        node: node(row.as_ref(2)?, u16::try_from(number(3)?).ok()?)?,
        caller: address(4)?,
        succ: number(5)?,
        err: number(6)?,
        ts: number(7)?,
        overloaded: matches!(row.as_ref(8), Some(Value::Bytes(text)) if text == b"1"),
    })
}

fn history_row(row: &Row) -> Option<HistoryRow> {
    let number = |place: usize| integer(row.as_ref(place)).and_then(|value| u64::try_from(value).ok());
    Some(HistoryRow {
        module: ModuleId::new(u32::try_from(number(0)?).ok()?, u32::try_from(number(1)?).ok()?),
        node: node(row.as_ref(2)?, u16::try_from(number(3)?).ok()?)?,
        minute: number(4)?,
        ok: number(5)?,
        failed: number(6)?,
        timed_out: number(7)?,
        cancelled: number(8)?,
        latency_sum_us: number(9)?,
        latency_max_us: u32::try_from(number(10)?).ok()?,
    })
}

/// An IPv4 number or 16 bytes.
fn node(ip: &Value, port: u16) -> Option<NodeAddr> {
    if let Value::Bytes(bytes) = ip
        && let Ok(octets) = <[u8; 16]>::try_from(bytes.as_slice())
    {
        return Some(NodeAddr::from_octets(octets, port));
    }
    let number = u32::try_from(unsigned_ip(integer(Some(ip))?)).ok()?;
    Some(NodeAddr::from_ipv4_number(number, port))
}
