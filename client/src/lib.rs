//! What a caller embeds: ask the agent of this machine which node to call, call it, tell how it went.
//!
//! Read in this order: [`Client`] (cheap to clone, shared by all threads), [`Call`] (one use of a node; measures
//! itself and reports), [`PickError`] and [`ClientError`] (what can go wrong, with texts that say what to do), then
//! [`admin`] (what the `lars` command asks of any service). Every operation has a deadline; nothing here starts a
//! thread, and nothing waits for a node: calling it is the caller's own business.
//!
//! ```no_run
//! use lars_client::{Client, ModuleId};
//!
//! let client = Client::connect("lars-data/agent.sock")?;
//! let call = client.pick(ModuleId::new(1, 1))?;
//! match std::net::TcpStream::connect(call.node().socket_addr()) {
//!     Ok(_stream) => call.ok()?,
//!     Err(error) => call.failed(error.raw_os_error().unwrap_or(-1))?,
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Fork: a child process must not use a client that its parent made. Both would write to the same connections and
//! take each other's answers. Make the client after the fork, or a new one in the child.
#![forbid(unsafe_code)]

pub mod admin;
mod back_off;
mod builder;
mod call;
mod client;
mod connection;
mod endpoint;
mod error;
mod pool;
mod route;
mod stream;

pub use builder::Builder;
pub use call::Call;
pub use client::{Client, PickOptions};
pub use endpoint::Endpoint;
pub use error::{ClientError, PickError};
pub use route::RouteView;

pub use lars_wire::admin::{Reason, StatusText};
pub use lars_wire::caller::{Explanation, Outcome, Report};
pub use lars_wire::{ModuleId, NodeAddr, NodeState, RouteNode};
