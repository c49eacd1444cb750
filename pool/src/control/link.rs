//! A TCP connection of the control thread: owned buffers in and out, two bodies (tokio-uring and plain tokio).
//!
//! A read that tokio-uring drops loses the next bytes, so one task owns the reader and never drops a read under way;
//! it ends by [`LinkWriter::shutdown`].

use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Makes connections.
pub struct Link;

/// The reading half; owned by one task.
pub struct LinkReader {}

/// The writing half; cheap to clone, writes are kept in order.
#[derive(Clone)]
pub struct LinkWriter {}

impl Link {
    /// Connects (TCP_NODELAY set), or fails with the time-out.
    pub async fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<(LinkReader, LinkWriter)> {
        let _ = (addr, timeout);
        todo!()
    }
}

impl LinkReader {
    /// Appends what arrives to `buffer` and gives it back with how many bytes came; 0 is the end.
    pub async fn read(&mut self, buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        let _ = buffer;
        todo!()
    }
}

impl LinkWriter {
    /// Writes all of `bytes`.
    pub async fn write_all(&self, bytes: Bytes) -> io::Result<()> {
        let _ = bytes;
        todo!()
    }

    /// Ends both directions: a read under way returns 0.
    pub fn shutdown(&self) {
        todo!()
    }
}
