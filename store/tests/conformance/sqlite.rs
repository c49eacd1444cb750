//! The embedded store's place: a file in a folder of its own. Other programs are raw connections, as the `sqlite3`
//! command has them.

use crate::place::Place;
use lars_store::{AnyStore, StoreConfig};
use rusqlite::Connection;
use std::path::PathBuf;
use tempfile::TempDir;

pub(crate) struct SqlitePlace {
    folder: TempDir,
}

impl SqlitePlace {
    fn path(&self) -> PathBuf {
        self.folder.path().join("lars.sqlite")
    }

    fn raw(&self) -> Connection {
        Connection::open(self.path()).expect("the store's file opens for another program")
    }
}

impl Place for SqlitePlace {
    type Held = Connection;

    async fn fresh() -> Self {
        let folder = tempfile::tempdir().expect("a folder for one test");
        let place = Self { folder };
        drop(place.open().await);
        place
    }

    async fn open(&self) -> AnyStore {
        let config = StoreConfig {
            sqlite_path: self.path(),
            ..StoreConfig::default()
        };
        AnyStore::open(&config).await.expect("the store opens")
    }

    async fn foreign(&self, sql: &str) {
        self.raw()
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn hold(&self) -> Connection {
        let raw = self.raw();
        raw.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
        raw
    }
}
