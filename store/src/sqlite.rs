//! The embedded store: one SQLite file, opened, brought to the newest schema, and spoken to. The two traits' bodies
//! stand beside it in `sqlite/`.
//!
//! Calls block the thread: for about the time of one write to the disk, and for at most [`BUSY_MAX`] while another
//! program holds the file. So a store belongs on a control thread.

mod calls;
mod changes;
mod edit;
mod names;
mod routes;

use crate::error::StoreError;
use crate::schema;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a call waits for another writer before it says that the store is away. Long against a transaction of ours
/// (milliseconds), short against the 1.5 s in which a service has to stop.
pub const BUSY_MAX: Duration = Duration::from_millis(300);

/// Between two looks at a lock that another holds. SQLite's own handler sleeps up to 100 ms; beside a writer that
/// stores one transaction after the other it would hardly ever find the moment between two.
const BUSY_LOOK: Duration = Duration::from_millis(1);

/// How long opening waits for others that open the same new file: they make the schema meanwhile.
const OPEN_MAX: Duration = Duration::from_millis(500);
/// Between two tries to open.
const OPEN_RETRY: Duration = Duration::from_millis(5);
/// Prepared statements kept; there are fewer different ones in this crate.
const STATEMENTS_MAX: usize = 64;
/// The write-ahead log is cut back to this when it has grown beyond.
const LOG_BYTES_KEPT: u32 = 16 * 1024 * 1024;

/// One connection to the file.
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    schema: u64,
    /// Of `RouteData` as it was when no other connection had written since; none after a write of our own.
    size_seen: Option<routes::SizeSeen>,
}

impl SqliteStore {
    /// Opens the file at `path`, makes it and its folder where there is none, and brings its schema to the newest
    /// version.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] where the path is no place for a file, the file is no SQLite database, or its schema is
    /// newer than this program; [`StoreError::Away`] where others keep it busy.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                StoreError::Unfit(format!("cannot make the folder {}: {error}", folder.display()))
            })?;
        }
        let deadline = Instant::now() + OPEN_MAX;
        loop {
            match Self::try_open(path) {
                // Switching a new file to its write-ahead log needs it alone, and does not wait by itself.
                Err(StoreError::Away(_)) if Instant::now() < deadline => std::thread::sleep(OPEN_RETRY),
                other => return other,
            }
        }
    }

    /// Where the store is and what it is, for status.
    pub fn describe(&self) -> String {
        format!("sqlite {}, schema {}", self.path.display(), self.schema)
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let named = |error: rusqlite::Error| prefixed(path, error.into());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(path, flags).map_err(named)?;
        connection.busy_handler(Some(wait_while_busy)).map_err(named)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let journal: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(named)?;
        if journal != "wal" {
            let text =
                "its file system cannot hold a write-ahead log (shared memory is missing): use a local disk";
            return Err(prefixed(path, StoreError::Unfit(text.to_owned())));
        }
        // An acknowledged batch and an answered edit are on the disk.
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(named)?;
        connection
            .pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)
            .map_err(named)?;
        let schema = migrate(&mut connection).map_err(|error| prefixed(path, error))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            schema,
            size_seen: None,
        })
    }

    /// A transaction that holds the file's write lock from its start, so that it cannot fail for another's later.
    fn writing(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// A transaction that reads one snapshot and blocks nobody.
    fn reading(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Deferred)?)
    }
}

/// Brings the schema to the newest version; returns it.
fn migrate(connection: &mut Connection) -> Result<u64, StoreError> {
    let newest = schema::SQLITE_STEPS.len() as u64;
    if version_of(connection)? == newest {
        return Ok(newest);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another may have brought it there while this one waited.
    let found = version_of(&transaction)?;
    for step in schema::steps_from(schema::SQLITE_STEPS, found).map_err(StoreError::Unfit)? {
        transaction.execute_batch(step)?;
    }
    transaction
        .execute("UPDATE lars_schema SET version = ?1", [newest])
        .and_then(|_| transaction.commit())?;
    if found < newest {
        tracing::info!(found, newest, "brought the store's schema up");
    }
    Ok(newest)
}

/// The schema's version; 0 where there is none yet.
fn version_of(connection: &Connection) -> Result<u64, StoreError> {
    let tables: i64 = connection.query_row(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'lars_schema'",
        [],
        |row| row.get(0),
    )?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(connection.query_row("SELECT version FROM lars_schema", [], |row| row.get(0))?)
}

/// What a failure of SQLite means for who called the store.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Away("another program holds the SQLite file".to_owned())
            }
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
                Self::Away(error.to_string())
            }
            _ => Self::Unfit(error.to_string()),
        }
    }
}

/// Called by SQLite while another holds a lock that it needs; `looks` counts from 0. False gives up.
fn wait_while_busy(looks: i32) -> bool {
    std::thread::sleep(BUSY_LOOK);
    u128::from(looks.unsigned_abs()) < BUSY_MAX.as_millis() / BUSY_LOOK.as_millis()
}

fn prefixed(path: &Path, error: StoreError) -> StoreError {
    let path = path.display();
    match error {
        StoreError::Away(text) => StoreError::Away(format!("{path}: {text}")),
        StoreError::Unfit(text) => StoreError::Unfit(format!("{path}: {text}")),
        StoreError::Refused(text) => StoreError::Refused(format!("{path}: {text}")),
    }
}

/// The Unix time in seconds.
fn unix_now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// SQLite's integers are signed: what is beyond them stays at their end.
fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The other way; a negative number that another program wrote counts as 0.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_is_on_the_disk_before_it_is_answered() {
        let folder = tempfile::tempdir().expect("a folder for one test");
        let store = SqliteStore::open(&folder.path().join("lars.sqlite")).expect("it opens");
        let pragma = |name| {
            store
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        };
        assert_eq!(pragma("synchronous"), Ok(2.into()), "2 is FULL");
        assert_eq!(pragma("journal_mode"), Ok("wal".to_owned().into()));
    }

    #[test]
    fn failure_says_whether_to_try_again() {
        let sqlite = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None).into();
        for away in [
            rusqlite::ffi::SQLITE_BUSY,
            rusqlite::ffi::SQLITE_FULL,
            rusqlite::ffi::SQLITE_IOERR_FSYNC,
        ] {
            assert!(matches!(sqlite(away), StoreError::Away(_)), "{away}");
        }
        for unfit in [
            rusqlite::ffi::SQLITE_READONLY,
            rusqlite::ffi::SQLITE_CORRUPT,
            rusqlite::ffi::SQLITE_ERROR,
        ] {
            assert!(matches!(sqlite(unfit), StoreError::Unfit(_)), "{unfit}");
        }
    }
}
