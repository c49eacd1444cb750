//! Many rows written by few statements, prepared once a connection. Its own file because every table of call records is
//! written so.

use super::{CallError, Connection};
use mysql_async::prelude::Queryable;
use mysql_async::{Statement, Value};

/// Rows of the largest statement: beyond this a statement gets no cheaper a row. What is left is written by halves of
/// it, so that some prepared statements serve every number.
const ROWS_MAX: usize = 1_024;

/// A prepared statement that writes so many rows.
pub(super) struct ManyRows {
    head: String,
    rows: usize,
    statement: Statement,
}

impl Connection {
    /// Writes rows: `head VALUES (?, ..), (?, ..), .. tail`. While the database does one statement, the values of the
    /// next are made.
    pub(super) async fn write_rows<const COLUMNS: usize>(
        &mut self,
        head: &str,
        tail: &str,
        mut rows: impl Iterator<Item = [Value; COLUMNS]>,
    ) -> Result<(), CallError> {
        let mut make = || {
            let mut values = Vec::with_capacity(ROWS_MAX * COLUMNS);
            values.extend(rows.by_ref().take(ROWS_MAX).flatten());
            values
        };
        let mut values = make();
        while values.len() == ROWS_MAX * COLUMNS {
            let statement = self.statement(head, tail, COLUMNS, ROWS_MAX).await?;
            let done;
            (done, values) = tokio::join!(self.conn.exec_drop(statement, values), async { make() });
            done?;
        }
        let mut left = values.into_iter();
        while left.len() > 0 {
            let rows = 1 << (left.len() / COLUMNS).ilog2();
            let some: Vec<Value> = left.by_ref().take(rows * COLUMNS).collect();
            let statement = self.statement(head, tail, COLUMNS, rows).await?;
            self.conn.exec_drop(statement, some).await?;
        }
        Ok(())
    }

    /// The prepared statement for so many rows. Kept here, since the driver's own cache is asked with the whole text,
    /// which for a thousand rows has tens of thousands of letters.
    async fn statement(
        &mut self,
        head: &str,
        tail: &str,
        columns: usize,
        rows: usize,
    ) -> Result<Statement, CallError> {
        let known = self
            .many_rows
            .iter()
            .find(|known| known.rows == rows && known.head == head);
        if let Some(known) = known {
            return Ok(known.statement.clone());
        }
        let row = format!("({})", vec!["?"; columns].join(", "));
        let text = format!("{head} VALUES {} {tail}", vec![row.as_str(); rows].join(", "));
        let statement = self.conn.prep(text).await?;
        self.many_rows.push(ManyRows {
            head: head.to_owned(),
            rows,
            statement: statement.clone(),
        });
        Ok(statement)
    }
}
