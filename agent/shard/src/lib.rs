//! The pure mind of the agent: no clock, no sockets, no unsafe. Time and randomness come in as arguments; what to do
//! comes out as commands.
//!
//! Read in this order: [`Shard`] (the modules that one core owns), [`policy`] (when a node is bad), [`RouteBook`]
//! (what dns said, page by page, and what is kept on disk), [`trust`] (whether it is believed), [`ChangeLog`] (changes of
//! nodes' states), [`TallyOutbox`] (counts on their way to report), [`Spool`] (the same with a disk behind it).
#![forbid(unsafe_code)]

pub mod book;
pub mod changes;
mod checksum;
mod guard;
pub mod outbox;
pub mod policy;
mod shard;
pub mod spool;
pub mod trust;

pub use book::{Noted, RouteBook, RouteNews};
pub use changes::{ChangeLog, NodeChange};
pub use outbox::TallyOutbox;
pub use policy::{InFlight, Policy, PolicyConfig, PolicyName, Preset, Uncounted};
pub use shard::{
    AHEAD, CallRun, Command, Shard, ShardConfig, ShardCounts, ZONE_USABLE_PERCENT_DEFAULT, ZonePreference,
};
pub use spool::{Spool, SpoolConfig};
