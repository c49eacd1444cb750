//! The embedded store: one SQLite file.

/// One connection to the file.
pub struct SqliteStore {}
