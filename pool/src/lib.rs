//! One core's ring and registered buffers, its epoll twin, and the threads that run them. Knows no message.
//!
//! Read in this order: [`Handler`] (what a service decides) and [`Turn`] (what it can do about it), [`Plan`] and
//! [`Cores`] (threads, listeners, hand-out of connections), [`BufferPool`] (the heart: registered memory, lent and
//! given back), [`mail`] (between cores), [`control`] (the runtime of links, timers and files), [`memory`] (what the
//! allocator keeps).

mod buffers;
mod by_connection;
pub mod control;
mod cores;
mod epoll;
mod handler;
mod ladder;
mod listener;
pub mod mail;
pub mod memory;
mod ring;
pub mod scrape;
mod seldom;
mod stats;
mod turn;

pub use buffers::{
    Buffer, BufferClass, BufferCounters, BufferPool, BufferPoolConfig, BufferUse, HEAP_BUFFER_BYTES_MAX,
    RECEIVE_SMALL,
};
pub use by_connection::ByConnection;
pub use cores::{Bind, Cores, CoresConfig, IoChoice, IoInUse, IoKind, Plan, UNSENT_BYTES_MIN};
pub use handler::{CloseReason, ConnectionId, CoreIndex, Handler, Peer, Received};
pub use seldom::Seldom;
pub use stats::{CoreStats, Count, Metric};
pub use turn::Turn;
