//! The control thread of a service: tokio-uring where io_uring works, plain tokio elsewhere, one code for both.

pub mod file;
mod link;
mod runtime;

pub use link::{Link, LinkReader, LinkWriter};
pub use runtime::spawn;
