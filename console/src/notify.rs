//! Tells systemd how the service does (sd_notify(3)): a datagram to the socket that it named. Without one, nothing.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What systemd can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The service answers.
    Ready,
    /// The service ends.
    Stopping,
}

/// Tells systemd, where `NOTIFY_SOCKET` names it; a failure is logged and hurts nothing.
pub fn notify(state: State) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(name.as_encoded_bytes(), state) {
        tracing::warn!("systemd was not told that the service is {state:?}: {error}");
    }
}

fn send(name: &[u8], state: State) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(name))?,
    };
    let text: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagram_reaches_the_named_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        send(path.as_os_str().as_encoded_bytes(), State::Ready).expect("sent");
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).expect("received");
        assert_eq!(&bytes[..length], b"READY=1");
    }
}
