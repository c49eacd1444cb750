//! A Unix socket of packets that can carry a file each: how the board and the rings change hands. Every call returns at
//! once; whoever waits does so in [`wait`].

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Connections that wait to be accepted.
const BACKLOG: libc::c_int = 128;
/// Room for the control message of one descriptor.
const CONTROL_BYTES: usize = 32;

/// One end of a connection.
#[derive(Debug)]
pub struct Packets {
    socket: OwnedFd,
}

/// Accepts connections.
#[derive(Debug)]
pub struct PacketListener {
    socket: OwnedFd,
}

/// A packet as it came: its length in the buffer, and the file that it carried.
#[derive(Debug)]
pub struct Packet {
    /// Bytes of it; 0 when the other end has closed.
    pub bytes: usize,
    /// What was passed.
    pub file: Option<OwnedFd>,
}

impl PacketListener {
    /// Listens at `path`. What stood there is replaced: the socket beside it tells whether another agent lives.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = socket()?;
        let (addr, bytes) = address(path)?;
        // SAFETY: the address lives through the call, and `bytes` is its size.
        done(unsafe { libc::bind(socket.as_raw_fd(), (&raw const addr).cast(), bytes) })?;
        // SAFETY: no memory is passed.
        done(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })?;
        Ok(Self { socket })
    }

    /// Takes the next connection; none where none waits.
    pub fn accept(&self) -> io::Result<Option<Packets>> {
        // SAFETY: no address is asked for.
        let fd = unsafe {
            libc::accept4(
                self.socket.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            )
        };
        match owned(fd) {
            Ok(socket) => Ok(Some(Packets { socket })),
            Err(error) if is_not_now(&error) || error.raw_os_error() == Some(libc::ECONNABORTED) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Packets {
    /// Connects; fails at once where nobody listens, or so many wait to be accepted that the agent must hang.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        let (addr, bytes) = address(path)?;
        // SAFETY: the address lives through the call, and `bytes` is its size.
        done(unsafe { libc::connect(socket.as_raw_fd(), (&raw const addr).cast(), bytes) })?;
        Ok(Self { socket })
    }

    /// Two ends of one connection.
    pub fn pair() -> io::Result<(Self, Self)> {
        let mut fds: [RawFd; 2] = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the kernel writes two descriptors into the array.
        done(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
        let [one, other] = fds.map(owned);
        Ok((Self { socket: one? }, Self { socket: other? }))
    }

    /// Sends one packet, and a file with it. An error where the other end is gone or does not read.
    pub fn send(&self, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut control = Control([0; CONTROL_BYTES]);
        let mut part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let mut header = header(&mut part);
        if let Some(file) = file {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = space(size_of::<RawFd>());
            // SAFETY: the header points to a control buffer that is aligned and has room for one message of one
            // descriptor, so the first message and its data are inside of it.
            unsafe {
                let message = libc::CMSG_FIRSTHDR(&raw const header);
                (*message).cmsg_level = libc::SOL_SOCKET;
                (*message).cmsg_type = libc::SCM_RIGHTS;
                (*message).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
                libc::CMSG_DATA(message)
                    .cast::<RawFd>()
                    .write_unaligned(file.as_raw_fd());
            }
        }
        loop {
            // SAFETY: the header, its part and its control buffer live through the call, which only reads them.
            let sent =
                unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
            if sent >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Takes the next packet; none where none waits. A packet longer than `bytes`, or with more than one file, is an
    /// error.
    pub fn receive(&self, bytes: &mut [u8]) -> io::Result<Option<Packet>> {
        let mut control = Control([0; CONTROL_BYTES]);
        let mut part = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let mut header = header(&mut part);
        header.msg_control = control.0.as_mut_ptr().cast();
        // No more room than for one: the kernel closes what does not fit, and says so.
        header.msg_controllen = length(size_of::<RawFd>());
        // SAFETY: the kernel writes into the part and the control buffer, both lent with their sizes.
        let received =
            unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        if received < 0 {
            let error = io::Error::last_os_error();
            return if is_not_now(&error) { Ok(None) } else { Err(error) };
        }
        let file = passed(&header);
        if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a packet too long, or with too many files",
            ));
        }
        Ok(Some(Packet {
            bytes: received as usize,
            file,
        }))
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for PacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits until one of `sockets` has something to read (or has ended), at most for `timeout`. Returns for each whether
/// it has.
pub fn wait(sockets: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = sockets
        .iter()
        .map(|socket| libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up, so that who waits for a moment does not spin until it has come.
    let timeout_ms = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the kernel reads and writes as many entries as the vector has.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout_ms) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted {
            Ok(vec![false; sockets.len()])
        } else {
            Err(error)
        };
    }
    Ok(polled.iter().map(|polled| polled.revents != 0).collect())
}

/// Bytes for a control message, aligned as its header needs.
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

const _: () = assert!(CONTROL_BYTES >= space(size_of::<RawFd>()));

const fn space(bytes: usize) -> usize {
    // SAFETY: arithmetic alone.
    (unsafe { libc::CMSG_SPACE(bytes as u32) }) as usize
}

const fn length(bytes: usize) -> usize {
    // SAFETY: arithmetic alone.
    (unsafe { libc::CMSG_LEN(bytes as u32) }) as usize
}

fn header(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: all zeros is a header that names nothing.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header
}

/// The file that came with what was just received.
fn passed(header: &libc::msghdr) -> Option<OwnedFd> {
    // SAFETY: the kernel has filled in the control buffer that the header points to, and its length.
    let message = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    let is_file = (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    if !is_file || message.cmsg_len < length(size_of::<RawFd>()) {
        return None;
    }
    // SAFETY: the message is long enough for one descriptor, which the kernel has just made for us.
    let fd = unsafe { libc::CMSG_DATA(message).cast::<RawFd>().read_unaligned() };
    owned(fd).ok()
}

fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is passed.
    owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })
}

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: all zeros is an address without a name.
    let mut addr: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    // A zero stays behind the name.
    if bytes.is_empty() || bytes.len() >= addr.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path cannot be that of a Unix socket",
        ));
    }
    for (place, &byte) in addr.sun_path.iter_mut().zip(bytes) {
        *place = byte as libc::c_char;
    }
    Ok((addr, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::io::Write;

    fn file_of(text: &str) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        io::Seek::rewind(&mut file).expect("at the start");
        file
    }

    #[test]
    fn packet_comes_whole_and_brings_its_file() {
        let (here, there) = Packets::pair().expect("a connection");
        let mut bytes = [0; 16];
        assert!(there.receive(&mut bytes).expect("nothing yet").is_none());
        here.send(b"one", None).expect("sent");
        here.send(b"two", Some(file_of("passed").as_fd())).expect("sent");
        let one = there.receive(&mut bytes).expect("good").expect("a packet");
        assert_eq!((&bytes[..one.bytes], one.file.is_some()), (&b"one"[..], false));
        let two = there.receive(&mut bytes).expect("good").expect("a packet");
        assert_eq!(&bytes[..two.bytes], b"two");
        let mut text = String::new();
        let mut file = File::from(two.file.expect("a file"));
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "passed");
        drop(here);
        let end = there.receive(&mut bytes).expect("good").expect("the end");
        assert_eq!(end.bytes, 0);
    }

    #[test]
    fn packet_that_is_too_long_is_an_error_and_its_file_is_closed() {
        let (here, there) = Packets::pair().expect("a connection");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        here.send(&[7; 17], Some(writer.as_fd())).expect("sent");
        drop(writer);
        assert!(there.receive(&mut [0; 16]).is_err());
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("the last writer is gone");
    }

    #[test]
    fn listener_replaces_what_is_dead_and_waits_until_somebody_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("packets");
        drop(PacketListener::bind(&path).expect("bound"));
        assert!(Packets::connect(&path).is_err(), "nobody listens any more");
        let listener = PacketListener::bind(&path).expect("bound again");
        let none = wait(&[listener.as_fd()], Some(Duration::ZERO)).expect("polled");
        assert_eq!(none, [false]);
        assert!(listener.accept().expect("good").is_none());
        let caller = Packets::connect(&path).expect("connected");
        assert_eq!(wait(&[listener.as_fd()], None).expect("polled"), [true]);
        let agent = listener.accept().expect("good").expect("a connection");
        caller.send(b"x", None).expect("sent");
        let ready = wait(&[listener.as_fd(), agent.as_fd()], None).expect("polled");
        assert_eq!(ready, [false, true]);
    }

    #[test]
    fn path_that_no_socket_can_have_is_refused() {
        let long = "x".repeat(200);
        assert!(Packets::connect(Path::new(&long)).is_err());
        assert!(Packets::connect(Path::new("")).is_err());
    }
}
