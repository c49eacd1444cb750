//! Call records in the embedded file: each batch with its acknowledgement in one transaction.

use super::{SqliteStore, bound, unix_now_s, unsigned};
use crate::calls::{CallBatch, CallStatus, CallStore, HistoryRow, PRUNE_ROWS_MAX, Stored};
use crate::error::StoreError;
use crate::fold::Fold;
use lars_wire::{ModuleId, NodeAddr};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

impl CallStore for SqliteStore {
    async fn store(&mut self, batches: &[CallBatch]) -> Result<Vec<Stored>, StoreError> {
        let now_s = unix_now_s();
        let transaction = self.writing()?;
        let stored = write(&transaction, batches, now_s)?;
        transaction.commit()?;
        Ok(stored)
    }

    async fn call_status(&mut self, module: Option<ModuleId>) -> Result<Vec<CallStatus>, StoreError> {
        let transaction = self.reading()?;
        let mut status = Vec::new();
        for table in ["ServerCallStatus", "lars_call_status6"] {
            read_status(&transaction, table, module, &mut status)?;
        }
        transaction.commit()?;
        status.sort_by_key(|row| (row.module, row.node, row.caller));
        Ok(status)
    }

    async fn history(
        &mut self,
        module: Option<ModuleId>,
        minute_first: u64,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        Ok(read_history(&self.connection, module, minute_first)?)
    }

    async fn prune(&mut self, minute_first: u64, ack_idle_s: u64) -> Result<u64, StoreError> {
        let ack_ts_first = unix_now_s().saturating_sub(ack_idle_s);
        let transaction = self.writing()?;
        let history = prune_history(&transaction, bound(minute_first))?;
        let acks = transaction
            .prepare_cached(
                "DELETE FROM lars_ack WHERE incarnation IN
                 (SELECT incarnation FROM lars_ack WHERE stored_ts < ?1 LIMIT ?2)",
            )
            .and_then(|mut statement| statement.execute(params![bound(ack_ts_first), PRUNE_ROWS_MAX]))?;
        transaction.commit()?;
        Ok((history + acks) as u64)
    }
}

/// Deletes the oldest rows up to the key of the last that may go: one range of the tree.
fn prune_history(connection: &Connection, minute_first: i64) -> rusqlite::Result<usize> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM lars_history WHERE (minute, modid, cmdid, ip, port) <=
             (SELECT minute, modid, cmdid, ip, port FROM lars_history WHERE minute < ?1
              ORDER BY minute, modid, cmdid, ip, port LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![minute_first, PRUNE_ROWS_MAX - 1])?;
    if deleted > 0 {
        return Ok(deleted);
    }
    // There are fewer than that.
    connection
        .prepare_cached("DELETE FROM lars_history WHERE minute < ?1")?
        .execute([minute_first])
}

fn write(connection: &Connection, batches: &[CallBatch], now_s: u64) -> rusqlite::Result<Vec<Stored>> {
    let mut fold = Fold::default();
    let mut stored = Vec::with_capacity(batches.len());
    for batch in batches {
        let outcome = if batch.is_unnumbered() {
            Stored::Now(batch.sequence)
        } else {
            acknowledge(connection, batch, now_s)?
        };
        if matches!(outcome, Stored::Now(_)) {
            fold.add(batch);
        }
        stored.push(outcome);
    }
    write_history(connection, &mut fold)?;
    write_status(connection, &mut fold)?;
    Ok(stored)
}

/// Moves the incarnation's sequence on by this batch, or says why not.
fn acknowledge(connection: &Connection, batch: &CallBatch, now_s: u64) -> rusqlite::Result<Stored> {
    let (incarnation, sequence) = (batch.incarnation, bound(batch.sequence));
    let moved = connection
        .prepare_cached(
            "UPDATE lars_ack SET seq = ?2, stored_ts = ?3 WHERE incarnation = ?1 AND seq = ?2 - 1",
        )?
        .execute(params![incarnation, sequence, bound(now_s)])?;
    if moved == 1 {
        return Ok(Stored::Now(batch.sequence));
    }
    let newest: Option<i64> = connection
        .prepare_cached("SELECT seq FROM lars_ack WHERE incarnation = ?1")?
        .query_row([incarnation], |row| row.get(0))
        .optional()?;
    match newest {
        Some(newest) if newest >= sequence => Ok(Stored::Before(unsigned(newest))),
        Some(newest) => Ok(Stored::Gap(unsigned(newest))),
        None => {
            connection
                .prepare_cached("INSERT INTO lars_ack (incarnation, seq, stored_ts) VALUES (?1, ?2, ?3)")?
                .execute(params![incarnation, sequence, bound(now_s)])?;
            Ok(Stored::Now(batch.sequence))
        }
    }
}

fn write_history(connection: &Connection, fold: &mut Fold) -> rusqlite::Result<()> {
    // A sum beyond 63 bits would turn into a floating point number: it stays at the largest integer instead.
    let mut upsert = connection.prepare_cached(
        "INSERT INTO lars_history
             (minute, modid, cmdid, ip, port, ok, failed, timed_out, cancelled, latency_sum_us, latency_max_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (minute, modid, cmdid, ip, port) DO UPDATE SET
             ok = min(ok + excluded.ok, 9223372036854775807),
             failed = min(failed + excluded.failed, 9223372036854775807),
             timed_out = min(timed_out + excluded.timed_out, 9223372036854775807),
             cancelled = min(cancelled + excluded.cancelled, 9223372036854775807),
             latency_sum_us = min(latency_sum_us + excluded.latency_sum_us, 9223372036854775807),
             latency_max_us = max(latency_max_us, excluded.latency_max_us)",
    )?;
    for row in fold.history() {
        upsert.execute(params![
            bound(row.minute),
            row.module.modid,
            row.module.cmdid,
            row.node.octets(),
            row.node.port(),
            bound(row.ok),
            bound(row.failed),
            bound(row.timed_out),
            bound(row.cancelled),
            bound(row.latency_sum_us),
            row.latency_max_us,
        ])?;
    }
    Ok(())
}

fn write_status(connection: &Connection, fold: &mut Fold) -> rusqlite::Result<()> {
    let upsert = |table: &str| {
        connection.prepare_cached(&format!(
            "INSERT INTO {table} (modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (modid, cmdid, ip, port, caller) DO UPDATE SET
                 succ_cnt = excluded.succ_cnt, err_cnt = excluded.err_cnt, ts = excluded.ts,
                 overload = excluded.overload
             WHERE excluded.ts >= {table}.ts"
        ))
    };
    let (mut upsert4, mut upsert6) = (upsert("ServerCallStatus")?, upsert("lars_call_status6")?);
    for row in fold.status() {
        let ModuleId { modid, cmdid } = row.module;
        let (port, caller, overload) = (
            row.node.port(),
            row.caller,
            if row.overloaded { "1" } else { "0" },
        );
        let (succ, err, ts) = (bound(row.succ), bound(row.err), bound(row.ts));
        match row.node.ipv4_number() {
            Some(ip) => upsert4.execute(params![modid, cmdid, ip, port, caller, succ, err, ts, overload])?,
            None => {
                let ip = row.node.octets();
                upsert6.execute(params![modid, cmdid, ip, port, caller, succ, err, ts, overload])?
            }
        };
    }
    Ok(())
}

fn read_status(
    connection: &Connection,
    table: &str,
    module: Option<ModuleId>,
    status: &mut Vec<CallStatus>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload FROM {table}
         WHERE (modid, cmdid) >= (?1, ?2) AND (modid, cmdid) <= (?3, ?4)"
    ))?;
    let (first, last) = one_or_all(module);
    let mut found = statement.query(params![first.modid, first.cmdid, last.modid, last.cmdid])?;
    while let Some(row) = found.next()? {
        status.extend(status_of(row)?);
    }
    Ok(())
}

/// None for a row of another program whose key names no module, node or caller.
fn status_of(row: &Row<'_>) -> rusqlite::Result<Option<CallStatus>> {
    let (modid, cmdid) = (number(row, 0)?, number(row, 1)?);
    let (Ok(modid), Ok(cmdid)) = (u32::try_from(modid), u32::try_from(cmdid)) else {
        return Ok(None);
    };
    let (Ok(port), Ok(caller)) = (u16::try_from(number(row, 3)?), u32::try_from(number(row, 4)?)) else {
        return Ok(None);
    };
    let node = match row.get_ref(2)? {
        ValueRef::Integer(ip) => u32::try_from(ip)
            .ok()
            .map(|ip| NodeAddr::from_ipv4_number(ip, port)),
        ValueRef::Blob(ip) => ip.try_into().ok().map(|ip| NodeAddr::from_octets(ip, port)),
        _ => None,
    };
    let Some(node) = node else {
        return Ok(None);
    };
    Ok(Some(CallStatus {
        module: ModuleId::new(modid, cmdid),
        node,
        caller,
        succ: unsigned(number(row, 5)?),
        err: unsigned(number(row, 6)?),
        ts: unsigned(number(row, 7)?),
        overloaded: row.get_ref(8)?.as_bytes().is_ok_and(|text| text == b"1"),
    }))
}

/// What is no integer counts as a number that nothing has.
fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(index)?.as_i64().unwrap_or(-1))
}

fn read_history(
    connection: &Connection,
    module: Option<ModuleId>,
    minute_first: u64,
) -> rusqlite::Result<Vec<HistoryRow>> {
    // The key starts with the minute: step from minute to minute, and find the module in each.
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE minutes (minute) AS (
             SELECT (SELECT min(minute) FROM lars_history WHERE minute >= ?5)
             UNION ALL
             SELECT (SELECT min(minute) FROM lars_history WHERE minute > minutes.minute)
             FROM minutes WHERE minutes.minute IS NOT NULL
         )
         SELECT modid, cmdid, ip, port, minute, ok, failed, timed_out, cancelled, latency_sum_us, latency_max_us
         FROM minutes CROSS JOIN lars_history USING (minute)
         WHERE (modid, cmdid) >= (?1, ?2) AND (modid, cmdid) <= (?3, ?4)
         ORDER BY modid, cmdid, ip, port, minute",
    )?;
    let (first, last) = one_or_all(module);
    let keys = params![
        first.modid,
        first.cmdid,
        last.modid,
        last.cmdid,
        bound(minute_first)
    ];
    let found = statement.query_map(keys, |row| {
        Ok(HistoryRow {
            module: ModuleId::new(row.get(0)?, row.get(1)?),
            node: NodeAddr::from_octets(row.get(2)?, row.get(3)?),
            minute: unsigned(row.get(4)?),
            ok: unsigned(row.get(5)?),
            failed: unsigned(row.get(6)?),
            timed_out: unsigned(row.get(7)?),
            cancelled: unsigned(row.get(8)?),
            latency_sum_us: unsigned(row.get(9)?),
            latency_max_us: row.get(10)?,
        })
    })?;
    found.collect()
}

/// The first and the last module to be read.
fn one_or_all(module: Option<ModuleId>) -> (ModuleId, ModuleId) {
    module.map_or(
        (ModuleId::new(0, 0), ModuleId::new(u32::MAX, u32::MAX)),
        |module| (module, module),
    )
}
