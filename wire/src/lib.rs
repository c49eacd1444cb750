//! The bytes that Lars programs exchange, and nothing else: no clock, no sockets, no files.
//!
//! Read in this order: [`ModuleId`] and [`NodeAddr`] (what is asked for, what is answered), [`frame`] (how bytes
//! are cut into frames), [`codec`] (the one place that knows bincode), then the four conversations:
//! [`caller`] (caller and agent; with [`recording`]), [`directory`] (agent and dns), [`record`] (agent and report; with
//! [`event`]), [`admin`]
//! (the `lars` command and any service; with [`names`] and [`held`], which dns alone is asked). `docs/PROTOCOL.md` draws the same for other languages.
#![forbid(unsafe_code)]

pub mod admin;
mod bounded;
pub mod bounds;
mod byte_enum;
pub mod caller;
pub mod codec;
pub mod directory;
pub mod event;
pub mod frame;
pub mod held;
mod module;
pub mod names;
mod node;
mod plain;
pub mod record;
pub mod recording;
pub mod ring;
pub mod route;
pub mod session;

pub use codec::{CodecError, Message};
pub use frame::{FrameError, Header, Kind, PREFACE, VERSION};
pub use module::ModuleId;
pub use node::NodeAddr;
pub use route::{ContentHash, NodeState, Route, RouteNode};
