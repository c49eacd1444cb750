//! A blocking byte stream whose every step ends in time, Unix or TCP.

use crate::endpoint::Endpoint;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The kernel takes no timeout of zero, so that a deadline that has just passed still needs one.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// The socket below.
enum Socketed {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connected stream.
pub(crate) struct Stream {
    socket: Socketed,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Stream {
    /// Connects before `deadline`.
    pub(crate) fn connect(endpoint: &Endpoint, deadline: Instant) -> io::Result<Self> {
        let socket = match endpoint {
            Endpoint::Unix(path) => Socketed::Unix(connect_unix(path, deadline)?),
            Endpoint::Tcp(addr) => Socketed::Tcp(connect_tcp(addr, deadline)?),
        };
        Ok(Self {
            socket,
            read_timeout: None,
            write_timeout: None,
        })
    }

    /// Reads what is there, at least one byte unless the peer closed (0); waits until `deadline` at most.
    pub(crate) fn read(&mut self, out: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let left = left(deadline)?;
        if is_stale(self.read_timeout, left) {
            match &self.socket {
                Socketed::Unix(unix) => unix.set_read_timeout(Some(with_slack(left)))?,
                Socketed::Tcp(tcp) => tcp.set_read_timeout(Some(with_slack(left)))?,
            }
            self.read_timeout = Some(with_slack(left));
        }
        loop {
            let result = match &mut self.socket {
                Socketed::Unix(unix) => unix.read(out),
                Socketed::Tcp(tcp) => tcp.read(out),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes all of `bytes`, until `deadline` at most.
    pub(crate) fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = left(deadline)?;
            if is_stale(self.write_timeout, left) {
                match &self.socket {
                    Socketed::Unix(unix) => unix.set_write_timeout(Some(with_slack(left)))?,
                    Socketed::Tcp(tcp) => tcp.set_write_timeout(Some(with_slack(left)))?,
                }
                self.write_timeout = Some(with_slack(left));
            }
            let result = match &mut self.socket {
                Socketed::Unix(unix) => unix.write(bytes),
                Socketed::Tcp(tcp) => tcp.write(bytes),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether `error` says that time ran out.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) => Ok(left.max(TIMEOUT_MIN)),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Whether a timeout set before is shorter than the time left, or longer by more than a sixteenth. Setting one is a
/// system call, and most operations ask with the same timeout and are answered at once.
fn is_stale(set: Option<Duration>, left: Duration) -> bool {
    set.is_none_or(|set| set.checked_sub(left).is_none_or(|over| over > set / 16))
}

/// The timeout to set: a little more than the time left, so that the next operation finds it good enough.
fn with_slack(left: Duration) -> Duration {
    left.saturating_add(left / 32)
}

fn connect_unix(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The kernel waits for room in the listener's backlog as long as a write may wait: the backlog of a stopped
    // agent is full sooner or later.
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

fn connect_tcp(addr: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in addr.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, left(deadline)?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
