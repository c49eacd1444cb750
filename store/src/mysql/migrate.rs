//! Brings a database to the newest schema, step by step, and says what it would do. Idempotent: what is there stays.

use super::access::Access;
use super::{CallError, MysqlStore, connect};
use crate::error::StoreError;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// The tables of the C++ system, made where they are missing.
pub(super) const BASE: &str = include_str!("../../schema/mysql-base.sql");
/// The steps of what Lars adds, in order: the first makes version 1. A step that was ever released is never edited.
pub(super) const STEPS: &[&str] = &[
    include_str!("../../schema/mysql-1.sql"),
    include_str!("../../schema/mysql-2.sql"),
];

/// What a migration did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version found; 0 for none.
    pub from: u64,
    /// The version there is now, or would be.
    pub to: u64,
    /// The statements, in order.
    pub statements: Vec<String>,
}

/// Whether this program knows the schema version `found`.
pub(super) fn check_known(found: u64) -> Result<(), String> {
    let known = STEPS.len() as u64;
    if found <= known {
        return Ok(());
    }
    Err(format!(
        "its schema has version {found}, this program knows versions up to {known}: use a newer lars"
    ))
}

/// Brings a database to the newest schema; with `dry_run` only says how. A second call finds nothing to do.
///
/// # Errors
/// [`StoreError::Unfit`] where the account may not make or alter tables: the text names the statement that failed.
/// What was done before it stays, and the next call goes on from there.
pub async fn migrate(access: impl Into<Access>, dry_run: bool) -> Result<Migration, StoreError> {
    let store = MysqlStore::unconnected(access.into())?;
    let named = |error: CallError| store.named(error);
    let connecting = super::within(super::CONNECT_MAX, "connecting", connect(&store.access));
    let mut conn = connecting.await.map_err(named)?;
    let migration = plan(&mut conn).await.map_err(named)?;
    if dry_run {
        return Ok(migration);
    }
    for statement in &migration.statements {
        if let Err(error) = conn.query_drop(statement).await {
            let error = match CallError::from(error) {
                // The text says why; another server is named, not another account.
                CallError::Away(text) if text.contains("read-only") || text.contains("read only") => {
                    CallError::Unfit(format!(
                        "{text}: name the server that takes writes, not its replica"
                    ))
                }
                CallError::Unfit(text)
                | CallError::Again(text)
                | CallError::Away(text)
                | CallError::Refused(text) => CallError::Unfit(format!(
                    "{text}, at this statement; run it with an account that may: {statement}"
                )),
            };
            return Err(named(error));
        }
    }
    Ok(migration)
}

async fn plan(conn: &mut Conn) -> Result<Migration, CallError> {
    let tables: Vec<String> = conn
        .query(
            "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE()",
        )
        .await?;
    let has = |name: &str| tables.iter().any(|table| table.eq_ignore_ascii_case(name));
    let from = if has("lars_schema") {
        super::layout::schema_version(conn).await?
    } else {
        0
    };
    check_known(from).map_err(CallError::Unfit)?;
    let missing = |statement: &&str| {
        let name = statement.split_whitespace().nth(5).unwrap_or_default();
        !has(name)
    };
    let mut todo: Vec<String> = statements(BASE).filter(missing).map(str::to_owned).collect();
    let version_rows: u64 = if has("RouteVersion") {
        let counted = conn
            .query_first("SELECT COUNT(*) FROM RouteVersion WHERE id = 1")
            .await?;
        counted.unwrap_or(0)
    } else {
        0
    };
    if version_rows == 0 {
        todo.push("INSERT INTO RouteVersion (id, version) VALUES (1, 0)".to_owned());
    }
    for (place, step) in STEPS.iter().enumerate().skip(from as usize) {
        todo.extend(remaining(conn, place, step, &tables).await?);
    }
    Ok(Migration {
        from,
        to: STEPS.len() as u64,
        statements: todo,
    })
}

/// The statements of a step that are still to be done: DDL commits by itself, so a step may have ended in the middle.
async fn remaining(
    conn: &mut Conn,
    place: usize,
    step: &str,
    tables: &[String],
) -> Result<Vec<String>, CallError> {
    let altered: u64 = conn
        .query_first(
            "SELECT COUNT(*) FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = 'RouteData' AND column_name = 'serverip6'",
        )
        .await?
        .unwrap_or(0);
    let is_done = |statement: &&str| {
        let mut words = statement.split_whitespace();
        match (words.next(), words.nth(1)) {
            (Some("CREATE"), Some(table)) => tables.iter().any(|known| known.eq_ignore_ascii_case(table)),
            (Some("ALTER"), Some("RouteData")) => place == 0 && altered > 0,
            _ => false,
        }
    };
    Ok(statements(step)
        .filter(|statement| !is_done(statement))
        .map(str::to_owned)
        .collect())
}

/// The statements of a file, without its comments. No text in the files holds a semicolon.
pub(super) fn statements(file: &str) -> impl Iterator<Item = &str> {
    file.split(';')
        .map(|statement| {
            let mut rest = statement.trim();
            while let Some(comment) = rest.strip_prefix("--") {
                rest = comment
                    .split_once('\n')
                    .map_or("", |(_, after)| after.trim_start());
            }
            rest
        })
        .filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fall_into_whole_statements() {
        let base: Vec<_> = statements(BASE).collect();
        assert_eq!(base.len(), 6);
        assert!(
            base.iter()
                .all(|statement| statement.starts_with("CREATE TABLE IF NOT EXISTS ")),
            "{base:?}"
        );
        let first: Vec<_> = statements(STEPS[0])
            .map(|s| s.split_whitespace().next().unwrap_or_default())
            .collect();
        assert_eq!(first, ["ALTER", "CREATE", "CREATE", "CREATE", "CREATE", "INSERT"]);
    }

    #[test]
    fn newer_schema_is_refused() {
        assert_eq!(check_known(STEPS.len() as u64), Ok(()));
        assert!(check_known(99).is_err_and(|text| text.contains("99")));
    }
}
