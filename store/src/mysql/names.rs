//! Names for people in the database. Its tables are often older than ours and keep other letters than we write: what
//! they cannot keep as it is, is refused.

use super::layout::check_right;
use super::routes::{integer, text};
use super::{CallError, Connection, MysqlStore};
use crate::error::StoreError;
use crate::names::{NameStore, readable, table_of};
use lars_wire::names::{NameOf, NameRow, check_name};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};

impl NameStore for MysqlStore {
    async fn names(
        &mut self,
        of: NameOf,
        number: Option<u32>,
        after: Option<u32>,
        rows_max: u32,
    ) -> Result<Vec<NameRow>, StoreError> {
        self.call("reading names", async |db| {
            if !db.layout.has_names(of) {
                return Ok(Vec::new());
            }
            read(db, of, number, after, rows_max).await
        })
        .await
    }

    async fn set_name(
        &mut self,
        of: NameOf,
        number: u32,
        name: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        name.map_or(Ok(()), check_name).map_err(StoreError::Refused)?;
        self.call("naming", async |db| {
            let (table, column) = table_of(of);
            if !db.layout.has_names(of) {
                let text = format!(
                    "this database has no table {table} ({column}, content): `lars migrate` makes it"
                );
                return Err(CallError::Refused(text));
            }
            check_right(
                &mut db.conn,
                &format!("INSERT INTO {table} ({column}, content) VALUES (?, ?)"),
            )
            .await?;
            check_right(&mut db.conn, &format!("DELETE FROM {table} WHERE {column} = ?")).await?;
            db.begin().await?;
            let before = replace(db, of, number, name).await?;
            db.commit().await?;
            Ok(before)
        })
        .await
    }
}

async fn read(
    db: &mut Connection,
    of: NameOf,
    number: Option<u32>,
    after: Option<u32>,
    rows_max: u32,
) -> Result<Vec<NameRow>, CallError> {
    let (table, column) = table_of(of);
    // The tables have no index but that of the id: one pass finds the oldest row of each number.
    let statement = format!(
        "SELECT named.{column}, named.content FROM {table} AS named
         JOIN (SELECT MIN(id) AS id FROM {table}
               WHERE {column} > ? AND {column} <= ? AND TRIM(content) <> ''
               GROUP BY {column} ORDER BY {column} LIMIT ?) AS oldest ON oldest.id = named.id
         ORDER BY named.{column}"
    );
    let (after, last) = match number {
        Some(number) => (i64::from(number) - 1, number),
        None => (after.map_or(-1, i64::from), u32::MAX),
    };
    let rows: Vec<Row> = db.conn.exec(statement, (after, last, rows_max)).await?;
    let named = |row: &Row| {
        Some(NameRow {
            number: integer(row.as_ref(0)).and_then(|number| u32::try_from(number).ok())?,
            name: text(row.as_ref(1)?).and_then(readable)?,
        })
    };
    Ok(rows.iter().filter_map(named).collect())
}

async fn replace(
    db: &mut Connection,
    of: NameOf,
    number: u32,
    name: Option<&str>,
) -> Result<Option<String>, CallError> {
    // Whoever writes through Lars waits here, so that two names at once do not leave two rows.
    db.conn
        .query_drop("SELECT version FROM RouteVersion WHERE id = 1 FOR UPDATE")
        .await?;
    let before = read(db, of, Some(number), None, 1)
        .await?
        .pop()
        .map(|row| row.name);
    let (table, column) = table_of(of);
    db.conn
        .exec_drop(format!("DELETE FROM {table} WHERE {column} = ?"), (number,))
        .await?;
    let Some(name) = name else { return Ok(before) };
    let insert = format!("INSERT INTO {table} ({column}, content) VALUES (?, ?)");
    let inserted = db.conn.exec_drop(insert, (number, name)).await;
    let reason = match inserted.map_err(CallError::from) {
        Ok(()) => {
            let kept = read(db, of, Some(number), None, 1)
                .await?
                .pop()
                .map(|row| row.name);
            if kept.as_deref() == Some(name) {
                return Ok(before);
            }
            "it would not be read as it was written".to_owned()
        }
        Err(CallError::Refused(text)) => text,
        Err(error) => return Err(error),
    };
    let kind = column_kind(db, table).await?;
    Err(CallError::Refused(format!(
        "the name of {column} {number} does not fit this database: {reason}; {table}.content is {kind}, and `ALTER \
         TABLE {table} MODIFY content CHAR(255) CHARACTER SET utf8mb4 NOT NULL` makes room for every name"
    )))
}

/// What the column of names is, for people: `char(255) in latin1`.
async fn column_kind(db: &mut Connection, table: &str) -> Result<String, CallError> {
    let found: Option<(Value, Value)> = db
        .conn
        .exec_first(
            "SELECT column_type, character_set_name FROM information_schema.columns
             WHERE table_schema = DATABASE() AND LOWER(table_name) = LOWER(?) AND LOWER(column_name) = 'content'",
            (table,),
        )
        .await?;
    let (kind, letters) = found.unwrap_or((Value::NULL, Value::NULL));
    let (kind, letters) = (
        text(&kind).unwrap_or("unknown"),
        text(&letters).unwrap_or("no character set"),
    );
    Ok(format!("{kind} in {letters}"))
}
