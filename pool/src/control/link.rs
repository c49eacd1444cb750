//! A TCP connection of the control thread: owned buffers in and out, two bodies (tokio-uring and plain tokio).
//!
//! A read that tokio-uring drops loses the next bytes, so one task owns the reader and never drops a read under way;
//! it ends by [`LinkWriter::shutdown`]. Where a read or a write is dropped all the same, the connection ends, in both
//! bodies alike: bytes are never lost in silence.

mod body;

use body::Body;
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Room that a read has at least.
const READ_BYTES_MIN: usize = 16 * 1024;

/// Makes connections.
#[derive(Debug)]
pub struct Link;

/// The reading half; owned by one task.
#[derive(Debug)]
pub struct LinkReader {
    shared: Rc<Shared>,
}

/// The writing half; cheap to clone, writes are kept in order.
#[derive(Clone, Debug)]
pub struct LinkWriter {
    shared: Rc<Shared>,
}

/// One connection, closed when both halves are gone.
#[derive(Debug)]
struct Shared {
    body: Body,
    /// Held by the write whose turn it is; waiting ones get it in the order in which they asked.
    write_turn: tokio::sync::Mutex<()>,
    ended: Cell<bool>,
}

impl Link {
    /// Connects (TCP_NODELAY set), or fails with the time-out.
    ///
    /// # Errors
    /// What the connect failed with; `TimedOut` when `timeout` passed first.
    pub async fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<(LinkReader, LinkWriter)> {
        // Tokio's connect on either runtime: unlike tokio-uring's it can be dropped when the time is over.
        let connect = tokio::time::timeout(timeout, tokio::net::TcpStream::connect(addr));
        let stream = connect.await.map_err(|_| {
            let text = format!("no connection to {addr} within {} ms", timeout.as_millis());
            io::Error::new(io::ErrorKind::TimedOut, text)
        })??;
        stream.set_nodelay(true)?;
        let shared = Rc::new(Shared {
            body: Body::new(stream)?,
            write_turn: tokio::sync::Mutex::new(()),
            ended: Cell::new(false),
        });
        Ok((
            LinkReader {
                shared: Rc::clone(&shared),
            },
            LinkWriter { shared },
        ))
    }
}

impl LinkReader {
    /// Appends what arrives to `buffer` and gives it back with how many bytes came; 0 is the end.
    pub async fn read(&mut self, mut buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        buffer.reserve(READ_BYTES_MIN);
        let unfinished = EndUnfinished(&self.shared);
        let result = self.shared.body.read(buffer).await;
        unfinished.finish();
        result
    }
}

impl LinkWriter {
    /// Writes all of `bytes`. A write that fails ends the connection: the peer may have seen a part of it.
    ///
    /// # Errors
    /// What the connection failed with; `BrokenPipe` behind [`Self::shutdown`] and behind a write that was dropped.
    pub async fn write_all(&self, bytes: Bytes) -> io::Result<()> {
        let _turn = self.shared.write_turn.lock().await;
        if self.shared.ended.get() {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the connection was ended on this side",
            ));
        }
        let unfinished = EndUnfinished(&self.shared);
        self.shared.body.write_all(bytes).await?;
        unfinished.finish();
        Ok(())
    }

    /// Ends both directions: a read under way returns 0, behind what had arrived already.
    pub fn shutdown(&self) {
        self.shared.end();
    }
}

impl Shared {
    fn end(&self) {
        self.ended.set(true);
        self.body.shutdown();
    }
}

/// Ends the connection unless the operation that holds it came to its end.
struct EndUnfinished<'a>(&'a Shared);

impl EndUnfinished<'_> {
    fn finish(self) {
        std::mem::forget(self);
    }
}

impl Drop for EndUnfinished<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
