//! Listening sockets: bound, told apart from dead ones, accepted from, and removed.

use crate::cores::Bind;
use crate::handler::Peer;
use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a socket may go on answering after its program was killed: the kernel takes a ring apart behind the
/// program's end, and until then the ring holds the socket (tens of milliseconds were seen on a busy machine).
const DYING_MAX: Duration = Duration::from_secs(1);
/// Between two looks whether it still does.
const DYING_RETRY: Duration = Duration::from_millis(10);
/// Connections that wait to be accepted; the kernel cuts it down to net.core.somaxconn (4,096 since Linux 5.4).
const BACKLOG: i32 = 4096;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    tag: u16,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A Unix socket's path, removed at the end if it is still ours.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// A connection just accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Peer,
}

impl Listener {
    /// Binds and listens.
    pub(crate) fn bind(bind: &Bind, tag: u16) -> io::Result<Self> {
        let socket = match bind {
            Bind::Unix(path) => {
                make_way(path)?;
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Socket::Unix(listener)
            }
            Bind::Tcp(addr) => {
                let listener = bind_tcp(*addr)?;
                listener.set_nonblocking(true)?;
                Socket::Tcp(listener)
            }
        };
        let listener = Self { socket, tag };
        // SAFETY: no memory is passed. A second listen only widens the backlog; where it fails the first stays.
        unsafe { libc::listen(listener.fd(), BACKLOG) };
        Ok(listener)
    }

    pub(crate) fn fd(&self) -> RawFd {
        match &self.socket {
            Socket::Unix(listener) => listener.as_raw_fd(),
            Socket::Tcp(listener) => listener.as_raw_fd(),
        }
    }

    pub(crate) fn tag(&self) -> u16 {
        self.tag
    }

    /// The bound TCP address.
    pub(crate) fn addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            Socket::Unix(_) => Ok(None),
            Socket::Tcp(listener) => listener.local_addr().map(Some),
        }
    }

    /// Takes the next connection; `None` where none waits. A peer that left before it was accepted is passed over.
    pub(crate) fn accept(&self) -> io::Result<Option<Accepted>> {
        loop {
            let accepted = match &self.socket {
                Socket::Unix(listener) => listener.accept().and_then(|(stream, _)| unix(stream)),
                Socket::Tcp(listener) => listener.accept().map(|(stream, addr)| {
                    // Answers are written whole, once a turn: waiting for more would only delay them. Where it fails
                    // the peer is gone, which the first read tells.
                    let _ = stream.set_nodelay(true);
                    Accepted {
                        socket: stream.into(),
                        peer: Peer::Tcp(addr),
                    }
                }),
            };
            match accepted {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(None),
                    Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::ENOTCONN) => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

impl Accepted {
    /// Tells a peer for whom there is no room why, as far as its socket takes it at once, and closes.
    pub(crate) fn turn_away(self, why: &[u8]) {
        // SAFETY: `why` is read for its length and no longer than this call. What cannot be sent is not: the peer is
        // turned away in any case.
        unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                why.as_ptr().cast(),
                why.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
    }
}

fn unix(stream: UnixStream) -> io::Result<Accepted> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes, the size of `credentials`, and their number into `bytes`.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut bytes,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Accepted {
        socket: stream.into(),
        peer: Peer::Unix {
            pid: credentials.pid,
            uid: credentials.uid,
        },
    })
}

/// Binds; an address that is in use may be that of a program just killed.
fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let deadline = Instant::now() + DYING_MAX;
    loop {
        match TcpListener::bind(addr) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(DYING_RETRY);
            }
            bound => return bound,
        }
    }
}

/// Removes a dead socket from `path`; a living one, or anything else, is an error.
fn make_way(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let text = format!("{} exists and is no socket: it is left alone", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let deadline = Instant::now() + DYING_MAX;
    loop {
        match connect_at_once(path) {
            Err(libc::ECONNREFUSED) => return std::fs::remove_file(path),
            Err(libc::ENOENT) => return Ok(()),
            // Taken, or too busy to take it now: alive, or just killed.
            Ok(()) | Err(libc::EAGAIN) if Instant::now() < deadline => std::thread::sleep(DYING_RETRY),
            Ok(()) | Err(libc::EAGAIN) => {
                let text = format!("{}: another program answers there", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Connects without waiting, so that a program whose backlog is full cannot hold us up; the errno where it fails.
fn connect_at_once(path: &Path) -> Result<(), i32> {
    let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    // SAFETY: no memory is passed.
    let fd = unsafe {
        libc::socket(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: the descriptor was just made and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all zeroes are a valid sockaddr_un.
    let mut addr: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    // The last byte stays zero.
    if bytes.len() >= addr.sun_path.len() {
        return Err(libc::ENAMETOOLONG);
    }
    for (to, from) in addr.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `addr` is a whole sockaddr_un of `length` bytes, only read, and lives as long as the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const addr).cast(), length) };
    if result < 0 { Err(errno()) } else { Ok(()) }
}

impl BoundPath {
    /// Remembers which socket was bound at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let bound = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: bound.dev(),
            inode: bound.ino(),
        })
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Whether an accept failed because descriptors, or the memory for them, are used up.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
