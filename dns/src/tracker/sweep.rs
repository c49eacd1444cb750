//! The sweep: passes over the store's rows by primary key, a slice at each look, and so finds what nobody announced:
//! bare deletes and edited rows.

use crate::bad_rows::BadRows;
use lars_store::routes::{BadRow, Rows};
use std::time::Duration;

/// A whole pass takes so long, however many rows there are ...
const PASS: Duration = Duration::from_secs(4);
/// ... and so long when the number of rows says that there is something to find.
const PASS_IN_A_HURRY: Duration = Duration::from_secs(1);
/// A slice is at least so many rows: reading them costs less than the statement itself does, and a small table is
/// then passed over at every look.
const SLICE_ROWS_MIN: u64 = 512;
/// A slice is at most so many rows (some 20 ms of reading): with more than 1.3 million rows a pass takes longer ...
const SLICE_ROWS_MAX: u64 = 32_768;
/// ... and so many where there is something to find (some 80 ms, for which others wait then).
const SLICE_ROWS_MAX_IN_A_HURRY: u64 = 131_072;

/// What to read next: at most `rows_max` rows with an id above `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) after: u64,
    pub(crate) rows_max: u32,
}

impl Slice {
    /// The last id about which the rows read say something: behind it nothing is known, unless the table ended.
    pub(crate) fn covers_to(&self, rows: &Rows) -> u64 {
        let full = rows.good.len() + rows.bad.len() >= self.rows_max as usize;
        rows.last_id.filter(|_| full).unwrap_or(u64::MAX)
    }

    /// Whether the rows read are the last of the table.
    pub(crate) fn ends_pass(&self, rows: &Rows) -> bool {
        self.covers_to(rows) == u64::MAX
    }
}

/// Where the sweep stands.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// Looks in a pass.
    slices: u64,
    slices_in_a_hurry: u64,
    after: u64,
    pass: u64,
    hurried_until: u64,
    bad_rows_so_far: BadRows,
    bad_rows: BadRows,
}

impl Sweep {
    /// A sweep at the table's start; a slice is read at every look, each `interval`.
    pub(crate) fn new(interval: Duration, bad_rows: BadRows) -> Self {
        let looks = |pass: Duration| (pass.as_millis() / interval.as_millis().max(1)).max(1) as u64;
        Self {
            slices: looks(PASS),
            slices_in_a_hurry: looks(PASS_IN_A_HURRY),
            after: 0,
            pass: 1,
            hurried_until: 0,
            bad_rows_so_far: BadRows::default(),
            bad_rows,
        }
    }

    /// The pass under way, counted from 1.
    pub(crate) fn pass(&self) -> u64 {
        self.pass
    }

    /// Rows that the last whole pass could not understand.
    pub(crate) fn bad_rows(&self) -> &BadRows {
        &self.bad_rows
    }

    /// There is something to find, or to see again: be quick until a whole pass is done.
    pub(crate) fn hurry(&mut self) {
        self.hurried_until = self.pass + 1;
    }

    /// What to read next of a table of `rows`.
    pub(crate) fn next(&self, rows: u64) -> Slice {
        let (slices, most) = if self.pass <= self.hurried_until {
            (self.slices_in_a_hurry, SLICE_ROWS_MAX_IN_A_HURRY)
        } else {
            (self.slices, SLICE_ROWS_MAX)
        };
        let rows_max = (rows / slices + 1).clamp(SLICE_ROWS_MIN, most);
        Slice {
            after: self.after,
            rows_max: rows_max as u32,
        }
    }

    /// `slice` was read and compared, which found rows that say what others say.
    pub(crate) fn advance(&mut self, slice: &Slice, rows: &Rows, repeated: &[BadRow]) {
        self.bad_rows_so_far.add(&rows.bad);
        self.bad_rows_so_far.add(repeated);
        self.after = slice.covers_to(rows);
        if slice.ends_pass(rows) {
            self.bad_rows = std::mem::take(&mut self.bad_rows_so_far);
            self.after = 0;
            self.pass += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_store::routes::RouteRecord;
    use lars_wire::{ModuleId, NodeAddr, NodeState};
    use std::sync::Arc;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn table(rows: u64) -> Vec<RouteRecord> {
        let row = |id| RouteRecord {
            id,
            module: ModuleId::new(1, 1),
            node: NodeAddr::from_ipv4_number(id as u32, 80),
            weight: 1,
            state: NodeState::Serving,
            zone: Arc::from(""),
        };
        (1..=rows).map(row).collect()
    }

    fn read(table: &[RouteRecord], slice: &Slice) -> Rows {
        let first = table.partition_point(|row| row.id <= slice.after);
        let good: Vec<_> = table[first..]
            .iter()
            .take(slice.rows_max as usize)
            .cloned()
            .collect();
        Rows {
            last_id: good.last().map(|row| row.id),
            good,
            bad: Vec::new(),
        }
    }

    fn slices_of_a_pass(sweep: &mut Sweep, table: &[RouteRecord]) -> usize {
        (1..1_000)
            .find(|_| {
                let slice = sweep.next(table.len() as u64);
                let rows = read(table, &slice);
                sweep.advance(&slice, &rows, &[]);
                slice.ends_pass(&rows)
            })
            .expect("a pass ends")
    }

    #[test]
    fn pass_takes_forty_looks_over_a_large_table_and_one_over_a_small() {
        for (rows, slices) in [(0, 1), (500, 1), (100_000, 40), (1_000_000, 40)] {
            let mut sweep = Sweep::new(INTERVAL, BadRows::default());
            assert_eq!(slices_of_a_pass(&mut sweep, &table(rows)), slices, "{rows} rows");
            assert_eq!(sweep.pass(), 2);
        }
    }

    #[test]
    fn hurried_sweep_is_quick_until_a_whole_pass_is_done() {
        let (mut sweep, table) = (Sweep::new(INTERVAL, BadRows::default()), table(100_000));
        sweep.hurry();
        assert_eq!(slices_of_a_pass(&mut sweep, &table), 10);
        assert_eq!(
            slices_of_a_pass(&mut sweep, &table),
            10,
            "the first pass had begun before"
        );
        assert_eq!(slices_of_a_pass(&mut sweep, &table), 40);
    }

    #[test]
    fn slice_that_ends_the_table_covers_every_larger_id() {
        let slice = Slice {
            after: 2,
            rows_max: 3,
        };
        assert_eq!(slice.covers_to(&read(&table(5), &slice)), 5);
        assert_eq!(slice.covers_to(&read(&table(4), &slice)), u64::MAX);
        assert_eq!(slice.covers_to(&read(&table(0), &slice)), u64::MAX);
    }
}
