//! The store of an existing installation: MySQL or MariaDB, one connection, made anew when it is lost; a second one while
//! there is much to read or to write. The traits' bodies stand beside it in `mysql/`.
//!
//! Every call has a deadline. A call that misses it costs the connection, since nobody can tell what of it the
//! database has done; a transaction that was not committed is then rolled back by the database.

pub mod access;
mod calls;
mod changes;
mod edit;
mod expected;
mod halves;
mod layout;
pub mod migrate;
mod names;
mod routes;
mod tls;
mod upsert;
pub mod url;
mod whole;

use crate::error::StoreError;
use access::Access;
use layout::Layout;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, IoError, ServerError};
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long one call may take: a transaction of ours takes milliseconds, reading a page of a large table tens of them.
const CALL_MAX: Duration = Duration::from_secs(10);
/// A transaction that the database ended for another's sake is tried again within this time of its first beginning: a
/// deadlock many times, a lock that was waited for in vain not at all. Then the store is away, and whoever called it
/// keeps what he has and comes again; he must be able to stop meanwhile.
const AGAIN_WITHIN: Duration = Duration::from_millis(900);
/// A database without what `lars migrate` adds is looked at again after this time: it may have been migrated meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// One connection to the database.
pub struct MysqlStore {
    access: Access,
    place: String,
    connection: Option<Connection>,
    /// A second connection, for what is stored by two transactions at a time.
    second: Option<Box<MysqlStore>>,
    size: routes::SizeSeen,
}

/// A living connection and what was found behind it.
struct Connection {
    conn: Conn,
    layout: Layout,
    opened: Instant,
    /// Statements for many rows, prepared.
    many_rows: Vec<upsert::ManyRows>,
}

impl MysqlStore {
    /// Connects to a database and looks at its tables.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] where the URL is none, the account may not what it must, or tables are missing (the text
    /// says what would mend it); [`StoreError::Away`] where nobody answers.
    pub async fn open(access: impl Into<Access>) -> Result<Self, StoreError> {
        let mut store = Self::unconnected(access.into())?;
        store.connection = Some(store.take().await?);
        Ok(store)
    }

    fn unconnected(access: Access) -> Result<Self, StoreError> {
        access.check().map_err(StoreError::Unfit)?;
        Ok(Self {
            place: access.place(),
            access,
            connection: None,
            second: None,
            size: routes::SizeSeen::default(),
        })
    }

    /// Where the store is and what it is, for status.
    pub fn describe(&self) -> String {
        let found = self
            .connection
            .as_ref()
            .map_or_else(|| "away".to_owned(), |found| found.layout.describe());
        format!("mysql {}, {found}", self.place)
    }

    /// Whether history can be kept: only where the database was migrated.
    pub fn has_history(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|found| found.layout.has_history())
    }

    /// The connection, made where there is none. Taken out, so that a call that is dropped in its middle takes the
    /// connection with it.
    async fn take(&mut self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.connection.take()
            && !connection.is_to_be_looked_at_again()
        {
            return Ok(connection);
        }
        let opened = within(CONNECT_MAX, "connecting", Connection::open(&self.access)).await;
        opened.map_err(|error| self.named(error))
    }

    /// Runs one call on the connection, within its deadline. What fails costs the connection unless the database
    /// itself said no; what it ended for another's sake is tried again while there is time.
    async fn call<T>(
        &mut self,
        what: &'static str,
        mut call: impl AsyncFnMut(&mut Connection) -> Result<T, CallError>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        loop {
            let mut connection = self.take().await?;
            let error = match within(CALL_MAX, what, call(&mut connection)).await {
                Ok(value) => {
                    self.connection = Some(connection);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if matches!(error, CallError::Refused(_) | CallError::Again(_)) {
                // A transaction that the failed call began ends here; a connection that cannot do that is no good.
                let ended = within(CONNECT_MAX, "rolling back", connection.roll_back()).await;
                self.connection = ended.is_ok().then_some(connection);
            }
            if !matches!(error, CallError::Again(_)) || begun.elapsed() >= AGAIN_WITHIN {
                return Err(self.named(error));
            }
        }
    }

    fn named(&self, error: CallError) -> StoreError {
        let place = &self.place;
        match error {
            CallError::Refused(text) => StoreError::Refused(text),
            CallError::Unfit(text) => StoreError::Unfit(format!("{place}: {text}")),
            CallError::Away(text) | CallError::Again(text) => StoreError::Away(format!("{place}: {text}")),
        }
    }
}

impl Connection {
    async fn open(access: &Access) -> Result<Self, CallError> {
        let mut conn = connect(access).await?;
        let layout = Layout::read(&mut conn).await?;
        Ok(Self {
            conn,
            layout,
            opened: Instant::now(),
            many_rows: Vec::new(),
        })
    }

    fn is_to_be_looked_at_again(&self) -> bool {
        !self.layout.has_history() && self.opened.elapsed() > LOOK_AGAIN
    }

    async fn begin(&mut self) -> Result<(), CallError> {
        Ok(self.conn.query_drop("START TRANSACTION").await?)
    }

    /// Everything read until the commit is of one moment.
    async fn begin_snapshot(&mut self) -> Result<(), CallError> {
        Ok(self
            .conn
            .query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            .await?)
    }

    async fn commit(&mut self) -> Result<(), CallError> {
        Ok(self.conn.query_drop("COMMIT").await?)
    }

    async fn roll_back(&mut self) -> Result<(), CallError> {
        Ok(self.conn.query_drop("ROLLBACK").await?)
    }
}

/// A bare connection; nothing is known yet of what is behind it.
async fn connect(access: &Access) -> Result<Conn, CallError> {
    let opts = access.options().map_err(CallError::Unfit)?;
    let fault = if opts.ssl_opts().is_some() {
        tls::fault
    } else {
        CallError::from
    };
    let database = opts.db_name().unwrap_or_default().to_owned();
    let connected = Conn::new(opts).await;
    connected.map_err(|error| mended(&database, error, fault))
}

/// A failure to connect, with what would mend it where the server's words do not say.
fn mended(
    database: &str,
    error: mysql_async::Error,
    otherwise: impl FnOnce(mysql_async::Error) -> CallError,
) -> CallError {
    let mysql_async::Error::Server(said) = &error else {
        return otherwise(error);
    };
    // `.. for user 'name'@'host' ..`, as the server knows the account.
    let account = said
        .message
        .split_whitespace()
        .find(|word| word.starts_with('\'') && word.contains("'@'"));
    let mend = match said.code {
        1049 => format!("this would make it: CREATE DATABASE `{database}`, and then `lars migrate` its tables"),
        1044 => format!(
            "this would mend it: GRANT SELECT, INSERT, UPDATE, DELETE ON `{database}`.* TO {}",
            account.unwrap_or("that account")
        ),
        1045 => "check the account and its password (in the URL, LARS_MYSQL_PASSWORD or [store] mysql_password_path)".to_owned(),
        _ => return otherwise(error),
    };
    CallError::Unfit(format!("{} (error {}); {mend}", said.message, said.code))
}

/// Why a call failed, by what is to be done.
#[derive(Debug)]
enum CallError {
    /// The request cannot be done; the connection is well.
    Refused(String),
    /// The database ended the transaction for another's sake: the same may pass now.
    Again(String),
    /// The database cannot be reached, or is not able to now.
    Away(String),
    /// It refuses and will again.
    Unfit(String),
}

impl From<mysql_async::Error> for CallError {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(error) => server(&error),
            // The driver says twice what the system says well enough.
            mysql_async::Error::Io(IoError::Io(error)) => Self::Away(error.to_string()),
            mysql_async::Error::Url(error) => Self::Unfit(error.to_string()),
            other => Self::Away(other.to_string()),
        }
    }
}

/// What the database's own error numbers mean (MariaDB and MySQL share them).
fn server(error: &ServerError) -> CallError {
    let text = format!("{} (error {})", error.message, error.code);
    match error.code {
        // Deadlock; lock wait time-out; a row that another has just made too; a changed row under a consistent read
        // (Galera, TiDB).
        1213 | 1205 | 1020 | 1062 | 8002 | 9007 => CallError::Again(text),
        // Access denied, in its four forms; no such database, table, column; no privilege.
        1044 | 1045 | 1142 | 1143 | 1227 | 1049 | 1146 | 1054 | 1370 => CallError::Unfit(text),
        // What does not fit its column: out of range, no number, no such text, too long.
        1264 | 1366 | 1292 | 1406 => CallError::Refused(text),
        // Too many connections, shutting down, read only, out of disk, a statement or query time-out, lost in the
        // middle, a node of a cluster that is not ready.
        _ => CallError::Away(text),
    }
}

/// Ends `work` after `time`.
async fn within<T>(
    time: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(time, work).await {
        Ok(done) => done,
        Err(_) => Err(CallError::Away(format!(
            "{what} took longer than {} s",
            time.as_secs()
        ))),
    }
}

/// The Unix time in seconds.
fn unix_now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_lock_is_tried_again_and_missing_right_is_not() {
        let error = |code| {
            server(&ServerError {
                code,
                message: "m".into(),
                state: "s".into(),
            })
        };
        assert!(matches!(error(1213), CallError::Again(_)));
        assert!(matches!(error(1142), CallError::Unfit(_)));
        assert!(matches!(error(1290), CallError::Away(_)));
    }
}
