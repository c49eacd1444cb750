//! The control thread of a service: tokio-uring where io_uring works, plain tokio elsewhere, one code for both.

pub mod file;
mod link;

pub use link::{Link, LinkReader, LinkWriter};

use crate::cores::IoKind;
use std::future::Future;
use std::io;
use std::thread::JoinHandle;

/// Starts a thread called `name` that runs the future made by `start` to its end, on the runtime that fits `io`.
/// Inside, `tokio::task::spawn_local`, tokio's timers and channels work; so do [`Link`] and [`mod@file`].
pub fn spawn<F, Fut>(name: &str, io: IoKind, start: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let _ = (name, io, start);
    todo!()
}
