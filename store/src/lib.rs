//! Where routes and call records are kept: traits, and behind them the embedded SQLite file or a MySQL database. The
//! schema of both stands here, and nowhere else.
//!
//! Read in this order: [`routes`] (what dns needs), [`calls`] and [`changes`] (what report needs), [`names`] (names for people), [`sqlite`] (the embedded store),
//! [`mysql`] (the database of an existing installation), [`any`] (the store that a configuration names).
#![forbid(unsafe_code)]

pub mod any;
pub mod calls;
pub mod changes;
mod error;
mod fold;
mod judge;
#[cfg(feature = "mariadb")]
pub mod mariadb;
pub mod mysql;
pub mod names;
pub mod routes;
mod schema;
pub mod sqlite;

pub use any::{AnyStore, StoreConfig};
pub use calls::{CallBatch, CallRecord, CallStatus, CallStore, HistoryRow, Stored};
pub use changes::{ChangeRecord, ChangeStore};
pub use error::StoreError;
pub use mysql::MysqlStore;
pub use mysql::url::MysqlUrl;
pub use names::NameStore;
pub use routes::{BadRow, ChangeRow, EditDone, Observation, PageRead, RouteRecord, RouteStore, Rows};
pub use sqlite::SqliteStore;
