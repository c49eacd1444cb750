//! Names for people in the embedded file.

use super::SqliteStore;
use crate::error::StoreError;
use crate::names::{NameStore, readable, table_of};
use lars_wire::names::{NameOf, NameRow, check_name};
use rusqlite::{Connection, params};

impl NameStore for SqliteStore {
    async fn names(
        &mut self,
        of: NameOf,
        number: Option<u32>,
        after: Option<u32>,
        rows_max: u32,
    ) -> Result<Vec<NameRow>, StoreError> {
        Ok(read(&self.connection, of, number, after, rows_max)?)
    }

    async fn set_name(
        &mut self,
        of: NameOf,
        number: u32,
        name: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        name.map_or(Ok(()), check_name).map_err(StoreError::Refused)?;
        let transaction = self.writing()?;
        let before = read(&transaction, of, Some(number), None, 1)?
            .pop()
            .map(|row| row.name);
        let (table, column) = table_of(of);
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE {column} = ?1"))?
            .execute([number])?;
        if let Some(name) = name {
            transaction
                .prepare_cached(&format!(
                    "INSERT INTO {table} ({column}, content) VALUES (?1, ?2)"
                ))?
                .execute(params![number, name])?;
        }
        transaction.commit()?;
        Ok(before)
    }
}

fn read(
    connection: &Connection,
    of: NameOf,
    number: Option<u32>,
    after: Option<u32>,
    rows_max: u32,
) -> rusqlite::Result<Vec<NameRow>> {
    let (table, column) = table_of(of);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {column}, content, MIN(id) FROM {table}
         WHERE typeof({column}) = 'integer' AND {column} > ?1 AND {column} <= ?2
           AND typeof(content) = 'text' AND TRIM(content) <> ''
         GROUP BY {column} ORDER BY {column} LIMIT ?3"
    ))?;
    let (after, last) = match number {
        Some(number) => (i64::from(number) - 1, number),
        None => (after.map_or(-1, i64::from), u32::MAX),
    };
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get_ref(1)?.as_str().map(readable).ok().flatten()));
    let found = statement.query_map(params![after, last, rows_max], row)?;
    let named = |(number, name): (u32, Option<String>)| name.map(|name| NameRow { number, name });
    found.filter_map(|row| row.map(named).transpose()).collect()
}
