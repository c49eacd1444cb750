//! The two ways in which a link's bytes move; apart from it nothing knows which one is in use.

use crate::control::runtime;
use crate::cores::IoKind;
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use tokio_uring::buf::BoundedBuf;

/// A connected stream in the hands of this thread's runtime.
pub(super) enum Body {
    Uring(tokio_uring::net::TcpStream),
    Plain(tokio::net::TcpStream),
}

impl Body {
    pub(super) fn new(stream: tokio::net::TcpStream) -> io::Result<Self> {
        match runtime::kind() {
            IoKind::Epoll => Ok(Self::Plain(stream)),
            IoKind::Uring => {
                let stream = stream.into_std()?;
                // Older kernels answer a ring's read of a non-blocking socket with EAGAIN instead of waiting.
                stream.set_nonblocking(false)?;
                Ok(Self::Uring(tokio_uring::net::TcpStream::from_std(stream)))
            }
        }
    }

    /// Appends to `buffer`, which has room.
    pub(super) async fn read(&self, buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        match self {
            Self::Uring(stream) => {
                let behind = buffer.len();
                let (result, slice) = stream.read(buffer.slice(behind..)).await;
                (result, slice.into_inner())
            }
            Self::Plain(stream) => read_plain(stream, buffer).await,
        }
    }

    pub(super) async fn write_all(&self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Uring(stream) => stream.write_all(bytes).await.0,
            Self::Plain(stream) => write_plain(stream, bytes).await,
        }
    }

    /// Ends both directions. Fails only where the peer has ended them already.
    pub(super) fn shutdown(&self) {
        match self {
            Self::Uring(stream) => drop(stream.shutdown(Shutdown::Both)),
            Self::Plain(stream) => {
                // SAFETY: no memory is passed, and the descriptor is open: `stream` owns it.
                unsafe { libc::shutdown(stream.as_raw_fd(), libc::SHUT_RDWR) };
            }
        }
    }
}

async fn read_plain(stream: &tokio::net::TcpStream, mut buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
    loop {
        let result = match stream.readable().await {
            Ok(()) => stream.try_read_buf(&mut buffer),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return (result, buffer),
        }
    }
}

async fn write_plain(stream: &tokio::net::TcpStream, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(&bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => drop(bytes.split_to(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uring(stream) => write!(out, "Uring({})", stream.as_raw_fd()),
            Self::Plain(stream) => write!(out, "Plain({})", stream.as_raw_fd()),
        }
    }
}
