//! The bare driver's writes beside report's: the same rows in the same statements, prepared, sorted, as many in a
//! transaction, with all values made before the clock runs.

use super::Database;
use crate::error::BenchError;
use lars_wire::record::{Tally, TallyBatch};
use mysql_async::prelude::Queryable;
use mysql_async::{TxOpts, Value};
use std::time::{Duration, Instant};

/// Rows of one statement: beyond this a statement gets no cheaper a row.
const ROWS_A_STATEMENT: usize = 1_024;
/// Rows of one transaction, as report's default has it.
const ROWS_A_TRANSACTION: usize = 16_384;

/// What is written for each tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Its row of `ServerCallStatus`.
    Status,
    /// And its row of history, which the database must be migrated for.
    StatusAndHistory,
}

/// The rows of one table, in statements.
struct Writing {
    text: String,
    statements: Vec<Vec<Value>>,
    columns: usize,
    /// A column that is another one each time: what stands in the database already would cost it less.
    counted: usize,
}

impl Database {
    /// Tallies that the bare driver writes a second, going round over all of `batches` for `time`.
    ///
    /// # Errors
    /// The server's.
    pub fn upsert(
        &mut self,
        batches: &[TallyBatch],
        written: Written,
        time: Duration,
    ) -> Result<f64, BenchError> {
        let mut writings = vec![status(batches)];
        if written == Written::StatusAndHistory {
            writings.push(history(batches));
        }
        let Self { conn, runtime, .. } = self;
        runtime.block_on(async {
            let mut prepared = Vec::new();
            for writing in &writings {
                prepared.push((conn.prep(&writing.text).await?, writing));
            }
            let (started, mut rows, mut place) = (Instant::now(), 0, 0);
            while started.elapsed() < time {
                let mut transaction = conn.start_transaction(TxOpts::default()).await?;
                for _ in 0..ROWS_A_TRANSACTION / ROWS_A_STATEMENT {
                    for (statement, writing) in &prepared {
                        let mut values = writing.statements[place % writing.statements.len()].clone();
                        for row in values.chunks_exact_mut(writing.columns) {
                            row[writing.counted] = (place as u64).into();
                        }
                        transaction.exec_drop(statement, values).await?;
                    }
                    place += 1;
                    rows += ROWS_A_STATEMENT;
                }
                transaction.commit().await?;
            }
            Ok(rows as f64 / started.elapsed().as_secs_f64())
        })
    }
}

fn status(batches: &[TallyBatch]) -> Writing {
    let newer = |column: &str| format!("{column} = IF(VALUES(ts) >= ts, VALUES({column}), {column})");
    let columns = [
        "modid", "cmdid", "ip", "port", "caller", "succ_cnt", "err_cnt", "ts", "overload",
    ];
    let tail = ["succ_cnt", "err_cnt", "overload", "ts"].map(newer).join(", ");
    let row = |tally: &Tally, caller: u32| -> Vec<Value> {
        vec![
            tally.module.modid.into(),
            tally.module.cmdid.into(),
            tally.node.ipv4_number().into(),
            tally.node.port().into(),
            caller.into(),
            tally.window.succ.into(),
            tally.window.err.into(),
            1_700_000_000_u64.into(),
            "0".into(),
        ]
    };
    writing("ServerCallStatus", &columns, "succ_cnt", &tail, batches, row)
}

fn history(batches: &[TallyBatch]) -> Writing {
    let columns = [
        "minute",
        "modid",
        "cmdid",
        "ip",
        "port",
        "ok",
        "failed",
        "timed_out",
        "cancelled",
        "latency_sum_us",
        "latency_max_us",
    ];
    let add = |column: &str| {
        format!(
            "{column} = {column} + LEAST(VALUES({column}), {} - {column})",
            i64::MAX
        )
    };
    let sums = ["ok", "failed", "timed_out", "cancelled", "latency_sum_us"]
        .map(add)
        .join(", ");
    let tail = format!("{sums}, latency_max_us = GREATEST(latency_max_us, VALUES(latency_max_us))");
    let row = |tally: &Tally, _| -> Vec<Value> {
        vec![
            28_333_333_u64.into(),
            tally.module.modid.into(),
            tally.module.cmdid.into(),
            tally.node.octets().to_vec().into(),
            tally.node.port().into(),
            tally.ok.into(),
            tally.failed.into(),
            tally.timed_out.into(),
            tally.cancelled.into(),
            tally.latency_sum_us.into(),
            tally.latency_max_us.into(),
        ]
    };
    writing("lars_history", &columns, "ok", &tail, batches, row)
}

fn writing(
    table: &str,
    columns: &[&str],
    counted: &str,
    tail: &str,
    batches: &[TallyBatch],
    row: impl Fn(&Tally, u32) -> Vec<Value>,
) -> Writing {
    let one = format!("({})", vec!["?"; columns.len()].join(", "));
    let mut tallies: Vec<(&Tally, u32)> = batches
        .iter()
        .flat_map(|batch| batch.tallies.iter().map(|tally| (tally, batch.caller)))
        .collect();
    tallies.sort_by_key(|(tally, caller)| (tally.module, tally.node, *caller));
    Writing {
        columns: columns.len(),
        counted: columns.iter().position(|column| *column == counted).unwrap_or(0),
        text: format!(
            "INSERT INTO {table} ({}) VALUES {} ON DUPLICATE KEY UPDATE {tail}",
            columns.join(", "),
            vec![one.as_str(); ROWS_A_STATEMENT].join(", ")
        ),
        statements: tallies
            .chunks_exact(ROWS_A_STATEMENT)
            .map(|some| {
                some.iter()
                    .flat_map(|(tally, caller)| row(tally, *caller))
                    .collect()
            })
            .collect(),
    }
}
