//! A MariaDB of the run's own, with the tables of the C++ system: what dns and report stand on where their rows are
//! measured, and the bare driver beside them, which does nothing but move the same rows.

pub mod routes;
pub mod upserts;

use crate::error::BenchError;
use lars_store::mariadb::MariaDb;
use lars_store::mysql::migrate::migrate;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::fmt;
use tokio::runtime::{Builder, Runtime};

/// The tables as the C++ system makes them.
const BASE: &str = include_str!("../../store/schema/mysql-base.sql");

/// One database on a server that ends with this, and a connection to it.
pub struct Database {
    url: String,
    conn: Conn,
    runtime: Runtime,
    // Held so that it runs for as long as this.
    _server: MariaDb,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Starts a server; the tables of its database are empty, and not migrated.
    ///
    /// # Errors
    /// MariaDB is not installed, or does not start.
    pub fn start() -> Result<Self, BenchError> {
        let server = MariaDb::start_own().map_err(BenchError::Answer)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| BenchError::Answer(error.to_string()))?;
        let url = runtime.block_on(server.database()).map_err(BenchError::Answer)?;
        let opts = Opts::from_url(&url).map_err(mysql_async::Error::from)?;
        let conn = runtime.block_on(Conn::new(opts))?;
        let mut database = Self {
            url,
            conn,
            runtime,
            _server: server,
        };
        database.run(BASE)?;
        database.run("INSERT INTO RouteVersion (id, version) VALUES (1, 0)")?;
        Ok(database)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements, each in a transaction of its own; gives the id that the last of them gave out, if any.
    ///
    /// # Errors
    /// The server's.
    pub fn run(&mut self, statements: &str) -> Result<Option<u64>, BenchError> {
        let Self { conn, runtime, .. } = self;
        runtime.block_on(conn.query_drop(statements))?;
        Ok(conn.last_insert_id())
    }

    /// As `lars migrate` does.
    ///
    /// # Errors
    /// The server's.
    pub fn migrate(&mut self) -> Result<(), BenchError> {
        let migrated = self.runtime.block_on(migrate(self.url.as_str(), false));
        migrated
            .map(drop)
            .map_err(|error| BenchError::Answer(error.to_string()))
    }
}
