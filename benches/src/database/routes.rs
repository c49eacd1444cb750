//! A million routes as in life: few large modules and many small ones, their rows in no order; and the old page, which
//! writes them statement by statement.

use super::Database;
use crate::error::BenchError;
use lars_wire::ModuleId;
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use std::fmt::Write;
use std::time::Instant;

/// Rows of `RouteData`.
pub const ROWS: u32 = 1_000_000;
/// Modules that they belong to.
pub const MODULES: u32 = 100_000;
/// Rows of the largest.
const NODES_MAX: u32 = 10_000;
/// Rows of one statement that fills the table.
const ROWS_A_STATEMENT: u32 = 5_000;
/// Has no divisor in common with [`ROWS`]: steps of it meet every row once, in no visible order.
const STEP: u64 = 618_033;

/// Module number `rank` by size, from the largest.
pub fn module(rank: u32) -> ModuleId {
    ModuleId::new(1_000 + rank % 97, rank)
}

impl Database {
    /// Fills `RouteData` with [`ROWS`] rows in [`MODULES`] modules of 1 to [`NODES_MAX`] nodes, their sizes by Zipf's law.
    ///
    /// # Errors
    /// The server's.
    pub fn fill(&mut self) -> Result<(), BenchError> {
        let nodes = sizes()
            .into_iter()
            .zip(0..)
            .flat_map(|(size, rank)| (0..size).map(move |number| (rank, number)));
        let nodes: Vec<(u32, u32)> = nodes.collect();
        for first in (0..ROWS).step_by(ROWS_A_STATEMENT as usize) {
            let mut statement =
                "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES ".to_owned();
            for row in first..first + ROWS_A_STATEMENT {
                let (rank, number) = nodes[(u64::from(row) * STEP % u64::from(ROWS)) as usize];
                let ModuleId { modid, cmdid } = module(rank);
                let divider = if row == first { "" } else { ", " };
                let ip = 0x0a00_0000 + number;
                // Writing to a string cannot fail.
                let _ = write!(
                    statement,
                    "{divider}({modid}, {cmdid}, {ip}, {})",
                    1_024 + rank % 60_000
                );
            }
            self.run(&statement)?;
        }
        self.run("ANALYZE TABLE RouteData").map(drop)
    }

    /// What the old page does: a statement for the row, then the change, then the version, each by itself. Gives the id
    /// that the row was given, if any.
    ///
    /// # Errors
    /// The server's.
    pub fn old_page(&mut self, row: &str, module: ModuleId) -> Result<Option<u64>, BenchError> {
        let id = self.run(row)?;
        let ModuleId { modid, cmdid } = module;
        self.run(&format!(
            "INSERT INTO RouteChange (modid, cmdid, version) VALUES ({modid}, {cmdid}, UNIX_TIMESTAMP())"
        ))?;
        self.run("UPDATE RouteVersion SET version = UNIX_TIMESTAMP() WHERE id = 1")?;
        Ok(id)
    }

    /// Seconds that the bare driver takes to read all routes, in one statement, and to look at none.
    ///
    /// # Errors
    /// The server's.
    pub fn read_routes(&mut self) -> Result<f64, BenchError> {
        let started = Instant::now();
        let Self { conn, runtime, .. } = self;
        let rows = runtime.block_on(async {
            let mut rows = conn
                .exec_iter("SELECT * FROM RouteData WHERE id > ? ORDER BY id", (0,))
                .await?;
            let mut count = 0;
            while let Some(row) = rows.next().await? {
                let _: Row = row;
                count += 1;
            }
            Ok::<u32, mysql_async::Error>(count)
        });
        match rows? {
            rows if rows >= ROWS => Ok(started.elapsed().as_secs_f64()),
            rows => Err(BenchError::Answer(format!("RouteData has {rows} rows"))),
        }
    }
}

/// How many nodes each module has, by rank: `NODES_MAX / rank ^ s`, and `s` so that all together are [`ROWS`].
fn sizes() -> Vec<u32> {
    let all = |s: f64| -> Vec<u32> {
        (1..=MODULES)
            .map(|rank| (f64::from(NODES_MAX) / f64::from(rank).powf(s)).max(1.0) as u32)
            .collect()
    };
    let (mut low, mut high) = (0.5, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if all(middle).iter().sum::<u32>() > ROWS {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut sizes = all(high);
    // What rounding has left goes to those behind the largest, one each.
    let left = (ROWS - sizes.iter().sum::<u32>()) as usize;
    sizes[1..=left].iter_mut().for_each(|size| *size += 1);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn sizes_are_a_million_nodes_in_a_hundred_thousand_modules() {
        let sizes = sizes();
        assert_eq!((sizes.len() as u32, sizes.iter().sum::<u32>()), (MODULES, ROWS));
        assert_eq!((sizes[0], sizes[sizes.len() - 1] < 4), (NODES_MAX, true));
        assert!(sizes.is_sorted_by(|one, next| one >= next));
    }

    #[test]
    fn steps_meet_every_row_once() {
        let met: HashSet<u64> = (0..u64::from(ROWS))
            .map(|row| row * STEP % u64::from(ROWS))
            .collect();
        assert_eq!(met.len() as u32, ROWS);
    }
}
