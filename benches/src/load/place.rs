//! Where a server listens, and a blocking connection to it: over a Unix socket or over TCP.

use crate::error::{BenchError, Doing};
use crate::greeting::ANSWER_WITHIN;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A Unix socket's path.
    Unix(PathBuf),
    /// Address and port.
    Tcp(String),
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TCP, without waiting for more to send.
    Tcp(TcpStream),
}

impl Place {
    /// Connects; a read that waits for [`ANSWER_WITHIN`] fails.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(&self) -> Result<Stream, BenchError> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).doing(&path.display().to_string())?;
                stream
                    .set_read_timeout(Some(ANSWER_WITHIN))
                    .doing("set a time-out")?;
                Ok(Stream::Unix(stream))
            }
            Self::Tcp(addr) => {
                let stream = TcpStream::connect(addr).doing(addr)?;
                stream
                    .set_read_timeout(Some(ANSWER_WITHIN))
                    .doing("set a time-out")?;
                stream.set_nodelay(true).doing("set TCP_NODELAY")?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl Stream {
    /// From here on nothing waits.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(true),
            Self::Tcp(stream) => stream.set_nonblocking(true),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(into),
            Self::Tcp(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
