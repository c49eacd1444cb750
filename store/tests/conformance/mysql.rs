//! MySQL's place: a database of its own on a MariaDB that all tests of this program share. Other programs are plain
//! connections, as the `mysql` command has them.

use crate::place::Place;
use lars_store::mariadb::{self, MariaDb};
use lars_store::mysql::migrate::migrate;
use lars_store::{AnyStore, StoreConfig};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::sync::OnceLock;

/// One server for the whole program; it ends with it.
static SERVER: OnceLock<MariaDb> = OnceLock::new();

/// The URL of a new and empty database.
pub(crate) async fn empty_database() -> String {
    let server = SERVER.get_or_init(|| MariaDb::start().unwrap_or_else(|error| panic!("{error}")));
    server.database().await.unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) async fn open(url: &str) -> Result<AnyStore, lars_store::StoreError> {
    AnyStore::open(&StoreConfig {
        mysql_url: Some(url.into()),
        ..StoreConfig::default()
    })
    .await
}

pub(crate) async fn run(url: &str, statements: &str) {
    mariadb::run(url, statements)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

pub(crate) struct MysqlPlace {
    pub(crate) url: String,
}

impl Place for MysqlPlace {
    type Held = Conn;

    async fn fresh() -> Self {
        let url = empty_database().await;
        migrate(&url, false).await.expect("the tables are made");
        Self { url }
    }

    async fn open(&self) -> AnyStore {
        open(&self.url).await.expect("the store opens")
    }

    async fn foreign(&self, sql: &str) {
        run(&self.url, sql).await;
    }

    async fn widen(&self) {
        self.foreign(
            "ALTER TABLE RouteChange MODIFY modid BIGINT;
             ALTER TABLE RouteData MODIFY modid BIGINT, MODIFY zone VARCHAR(64)",
        )
        .await;
    }

    async fn hold(&self) -> Conn {
        let opts = Opts::from_url(&self.url).expect("a URL");
        let mut conn = Conn::new(opts).await.expect("a connection");
        conn.query_drop(
            "START TRANSACTION; SELECT * FROM RouteVersion FOR UPDATE; SELECT * FROM lars_ack FOR UPDATE",
        )
        .await
        .expect("nobody else writes");
        conn
    }
}
