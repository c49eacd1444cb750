//! What a caller embeds: ask the agent of this machine which node to call, call it, tell how it went.
//!
//! Read in this order: [`Client`] (cheap to clone, shared by all threads), [`Picker`] (for one thread), [`Call`] (one
//! use of a node; measures itself and reports), [`Attempts`] (a call that is retried elsewhere), [`PickError`] and
//! [`ClientError`] (what can go wrong, with texts that say what to do), then [`admin`] (what the `lars` command asks of
//! any service). Every operation has a deadline, and nothing waits for a node: calling it is the caller's own business.
//!
//! Where the agent lends its board, picks are made from it in this process, without a system call, and reports are
//! written to rings in shared memory; where it does not, the agent is asked over its socket. The results are the same, but
//! that a record in a ring has no room for the `retcode` of [`Call::failed`], which is dropped. [`Client::transport`] tells
//! which it is. A client with a board keeps one thread, which finds the agent again when it restarts; meanwhile picks go on
//! from the last board, and [`Call::is_stale`] says so of each.
//!
//! Inside: `seat` (reader and ring of one picker), `outlet` (the ring), `link` (what pickers share), `keeper` (the thread),
//! `doubt` (what it thinks of nodes while nobody else does), `places` (what threads without a picker borrow); `pool`,
//! `connection` and `stream` are the way over the socket, and `outbox` what async callers report there.
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
//! Async callers take the feature `tokio`: `connect_async`, `pick_async` of a client, a picker and of attempts, `register_async` and
//! `flush_async`. The verdict of a call that was picked so waits for nobody either; what else there is over the socket
//! waits (`report`, `route`, `status` and so on) and belongs into `spawn_blocking`.
//!
//! Fork: a client refuses to work in a child of the process that made it ([`ClientError::Forked`]), since both would
//! write to the same connections and rings. Make the client after the fork, or a new one in the child.
#![forbid(unsafe_code)]

pub mod admin;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attempts;
mod back_off;
mod builder;
mod call;
mod client;
mod connection;
mod doubt;
mod endpoint;
mod error;
mod keeper;
mod link;
#[cfg(feature = "tokio")]
mod outbox;
mod outlet;
mod picker;
mod places;
mod pool;
mod recording;
mod route;
mod seat;
mod stream;

pub use attempts::{AttemptError, Attempts};
pub use builder::Builder;
pub use call::{Call, Chosen};
pub use client::{Client, PickOptions};
pub use endpoint::Endpoint;
pub use error::{ClientError, PickError};
pub use link::Transport;
pub use picker::Picker;
pub use route::RouteView;

pub use lars_wire::admin::{Reason, StatusText};
pub use lars_wire::caller::{Explanation, Outcome, Report};
pub use lars_wire::event::ChangeRows;
pub use lars_wire::recording::{Seen, SeenCall};
pub use lars_wire::{ModuleId, NodeAddr, NodeState, RouteNode};
