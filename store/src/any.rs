//! The store that a configuration names, behind both traits.

use crate::calls::{CallBatch, CallStatus, CallStore, HistoryRow, Stored};
use crate::changes::{ChangeRecord, ChangeStore};
use crate::error::StoreError;
use crate::mysql::MysqlStore;
use crate::mysql::access::Access;
use crate::mysql::url::MysqlUrl;
use crate::names::NameStore;
use crate::routes::{EditDone, Observation, PageRead, RouteRecord, RouteStore, Rows};
use crate::sqlite::SqliteStore;
use lars_wire::ModuleId;
use lars_wire::admin::RouteEdit;
use lars_wire::names::{NameOf, NameRow};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[store]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The embedded store's file; made where there is none. Default `lars-data/lars.sqlite`.
    pub sqlite_path: PathBuf,
    /// The MySQL or MariaDB database that is used instead, `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, with
    /// `?socket=PATH` for a Unix socket; percent signs stand for what a URL cannot hold. Default none.
    /// `?require_ssl=true` asks for TLS, in a `lars` that was built with it. Shown with stars for the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mysql_url: Option<MysqlUrl>,
    /// The file that holds the password, where `mysql_url` has none; read at every connect, a newline at its end does
    /// not count. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mysql_password_path: Option<PathBuf>,
    /// The file with the certificates (PEM) of those who may vouch for the server, in place of the public ones. Only
    /// with `require_ssl=true`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mysql_ca_path: Option<PathBuf>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            sqlite_path: PathBuf::from("lars-data/lars.sqlite"),
            mysql_url: None,
            mysql_password_path: None,
            mysql_ca_path: None,
        }
    }
}

impl StoreConfig {
    /// Whether every key is in its range; names the first that is not.
    pub fn check(&self) -> Result<(), String> {
        match self.mysql() {
            Some(access) => access.check().map_err(|reason| format!("mysql_url: {reason}"))?,
            None if self.mysql_password_path.is_some() => {
                return Err("mysql_password_path: there is no mysql_url that it belongs to".to_owned());
            }
            None if self.mysql_ca_path.is_some() => {
                return Err("mysql_ca_path: there is no mysql_url that it belongs to".to_owned());
            }
            None => {}
        }
        if self.sqlite_path.file_name().is_none() {
            return Err(format!(
                "sqlite_path: '{}' names no file",
                self.sqlite_path.display()
            ));
        }
        Ok(())
    }

    /// Which store it names, for people; without the password.
    pub fn describe(&self) -> String {
        match self.mysql() {
            Some(access) => format!("mysql {}", access.place()),
            None => format!("sqlite {}", self.sqlite_path.display()),
        }
    }

    /// How the MySQL database is reached, where one is named.
    pub fn mysql(&self) -> Option<Access> {
        Some(Access {
            url: self.mysql_url.clone()?,
            password_path: self.mysql_password_path.clone(),
            ca_path: self.mysql_ca_path.clone(),
        })
    }
}

/// Any store.
pub enum AnyStore {
    /// The embedded SQLite file.
    Sqlite(SqliteStore),
    /// A MySQL or MariaDB database.
    Mysql(Box<MysqlStore>),
}

impl AnyStore {
    /// Connects to the store that `config` names. What the embedded one does, it does within the call.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        config.check().map_err(StoreError::Unfit)?;
        if let Some(access) = config.mysql() {
            return Ok(Self::Mysql(Box::new(MysqlStore::open(access).await?)));
        }
        SqliteStore::open(&config.sqlite_path).map(Self::Sqlite)
    }

    /// Which store it is, for status.
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(store) => store.describe(),
            Self::Mysql(store) => store.describe(),
        }
    }
}

impl RouteStore for AnyStore {
    async fn observe(&mut self, changes_after: u64) -> Result<Observation, StoreError> {
        match self {
            Self::Sqlite(store) => store.observe(changes_after).await,
            Self::Mysql(store) => store.observe(changes_after).await,
        }
    }

    async fn rows_of(&mut self, modules: &[ModuleId]) -> Result<Rows, StoreError> {
        match self {
            Self::Sqlite(store) => store.rows_of(modules).await,
            Self::Mysql(store) => store.rows_of(modules).await,
        }
    }

    fn passes_over_all(&self) -> bool {
        match self {
            Self::Sqlite(store) => store.passes_over_all(),
            Self::Mysql(store) => store.passes_over_all(),
        }
    }

    async fn rows_between(
        &mut self,
        modules: &[ModuleId],
        after: u64,
        last: u64,
    ) -> Result<Vec<RouteRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.rows_between(modules, after, last).await,
            Self::Mysql(store) => store.rows_between(modules, after, last).await,
        }
    }

    async fn rows_with(&mut self, ids: &[u64]) -> Result<Vec<RouteRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.rows_with(ids).await,
            Self::Mysql(store) => store.rows_with(ids).await,
        }
    }

    async fn rows_after(&mut self, after: u64, rows_max: u32) -> Result<Rows, StoreError> {
        match self {
            Self::Sqlite(store) => store.rows_after(after, rows_max).await,
            Self::Mysql(store) => store.rows_after(after, rows_max).await,
        }
    }

    async fn each_after(
        &mut self,
        after: u64,
        rows_max: u32,
        take: &mut impl FnMut(RouteRecord),
    ) -> Result<PageRead, StoreError> {
        match self {
            Self::Sqlite(store) => store.each_after(after, rows_max, take).await,
            Self::Mysql(store) => store.each_after(after, rows_max, take).await,
        }
    }

    async fn each(&mut self, take: &mut impl FnMut(RouteRecord)) -> Result<PageRead, StoreError> {
        match self {
            Self::Sqlite(store) => store.each(take).await,
            Self::Mysql(store) => store.each(take).await,
        }
    }

    async fn edit(&mut self, edits: &[RouteEdit]) -> Result<EditDone, StoreError> {
        match self {
            Self::Sqlite(store) => store.edit(edits).await,
            Self::Mysql(store) => store.edit(edits).await,
        }
    }

    async fn prune_changes(&mut self, seen_long_ago: u64) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.prune_changes(seen_long_ago).await,
            Self::Mysql(store) => store.prune_changes(seen_long_ago).await,
        }
    }
}

impl CallStore for AnyStore {
    async fn store(&mut self, batches: &[CallBatch]) -> Result<Vec<Stored>, StoreError> {
        match self {
            Self::Sqlite(store) => store.store(batches).await,
            Self::Mysql(store) => store.store(batches).await,
        }
    }

    async fn call_status(&mut self, module: Option<ModuleId>) -> Result<Vec<CallStatus>, StoreError> {
        match self {
            Self::Sqlite(store) => store.call_status(module).await,
            Self::Mysql(store) => store.call_status(module).await,
        }
    }

    async fn history(
        &mut self,
        module: Option<ModuleId>,
        minute_first: u64,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        match self {
            Self::Sqlite(store) => store.history(module, minute_first).await,
            Self::Mysql(store) => store.history(module, minute_first).await,
        }
    }

    async fn prune(&mut self, minute_first: u64, ack_idle_s: u64) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.prune(minute_first, ack_idle_s).await,
            Self::Mysql(store) => store.prune(minute_first, ack_idle_s).await,
        }
    }
}

impl ChangeStore for AnyStore {
    async fn store_changes(&mut self, changes: &[ChangeRecord]) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.store_changes(changes).await,
            Self::Mysql(store) => store.store_changes(changes).await,
        }
    }

    async fn changes(
        &mut self,
        module: Option<ModuleId>,
        rows_max: u32,
    ) -> Result<Vec<ChangeRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.changes(module, rows_max).await,
            Self::Mysql(store) => store.changes(module, rows_max).await,
        }
    }

    async fn prune_node_changes(&mut self, unix_ms_first: u64) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.prune_node_changes(unix_ms_first).await,
            Self::Mysql(store) => store.prune_node_changes(unix_ms_first).await,
        }
    }
}

impl NameStore for AnyStore {
    async fn names(
        &mut self,
        of: NameOf,
        number: Option<u32>,
        after: Option<u32>,
        rows_max: u32,
    ) -> Result<Vec<NameRow>, StoreError> {
        match self {
            Self::Sqlite(store) => store.names(of, number, after, rows_max).await,
            Self::Mysql(store) => store.names(of, number, after, rows_max).await,
        }
    }

    async fn set_name(
        &mut self,
        of: NameOf,
        number: u32,
        name: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(store) => store.set_name(of, number, name).await,
            Self::Mysql(store) => store.set_name(of, number, name).await,
        }
    }
}
