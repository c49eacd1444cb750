//! The store that a configuration names, behind both traits.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[store]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The embedded store's file; made where there is none.
    pub sqlite_path: PathBuf,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { sqlite_path: PathBuf::from("lars-data/lars.sqlite") }
    }
}

/// Any store: the embedded one so far.
pub enum AnyStore {
    /// The embedded SQLite file.
    Sqlite(crate::sqlite::SqliteStore),
}
