//! Where routes and call records are kept: traits, and the embedded SQLite file behind them. The schema stands here
//! once, for every database.
//!
//! Read in this order: [`routes`] (what dns needs), [`calls`] (what report needs), [`sqlite`] (the embedded store),
//! [`any`] (the store that a configuration names).
#![forbid(unsafe_code)]

pub mod any;
pub mod calls;
mod error;
pub mod routes;
pub mod sqlite;

pub use any::{AnyStore, StoreConfig};
pub use error::StoreError;
