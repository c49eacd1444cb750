//! The other end: a blocking caller over either kind of socket, every wait bounded.

use crate::service::{Service, frame, verb};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait of a test for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) enum Caller {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Caller {
    pub(crate) fn unix(service: &Service) -> Self {
        Self::at(&service.path)
    }

    pub(crate) fn at(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the service listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time-out");
        stream.set_write_timeout(Some(ANSWER_MAX)).expect("a time-out");
        Self::Unix(stream)
    }

    pub(crate) fn tcp(service: &Service) -> Self {
        let stream = TcpStream::connect(service.addr).expect("the service listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time-out");
        stream.set_write_timeout(Some(ANSWER_MAX)).expect("a time-out");
        Self::Tcp(stream)
    }

    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone().expect("a descriptor")),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a descriptor")),
        }
    }

    pub(crate) fn send(&mut self, verb: u8, payload: &[u8]) {
        self.send_bytes(&frame(verb, payload)).expect("the service reads");
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Unix(stream) => stream.read(into),
                Self::Tcp(stream) => stream.read(into),
            };
            match result {
                // A machine that is paused and goes on interrupts sockets with a time-out.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The payload of the next frame; fails at the end of the connection.
    pub(crate) fn try_answer(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.read_whole(&mut length)?;
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.read_whole(&mut body)?;
        Ok(body.split_off(1))
    }

    pub(crate) fn answer(&mut self) -> Vec<u8> {
        self.try_answer().expect("an answer comes")
    }

    pub(crate) fn ask(&mut self, verb: u8, payload: &[u8]) -> Vec<u8> {
        self.send(verb, payload);
        self.answer()
    }

    pub(crate) fn core(&mut self) -> u16 {
        let answer = self.ask(verb::WHERE, b"");
        u16::from_le_bytes([answer[0], answer[1]])
    }

    pub(crate) fn echoes(&mut self, text: &[u8]) {
        assert_eq!(self.ask(verb::ECHO, text), text);
    }

    pub(crate) fn end_sending(&self) {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
        .expect("it is connected");
    }

    /// Whether the service closed the connection: by its end or by a reset.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = vec![0; 65536];
        loop {
            match self.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    fn read_whole(&mut self, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.read_exact(into),
            Self::Tcp(stream) => stream.read_exact(into),
        }
    }
}

/// A seed for a random test, printed so that `LARS_SEED=n` replays it.
pub(crate) fn seed() -> u64 {
    let fresh = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |at| at.as_nanos() as u64)
    };
    let seed = std::env::var("LARS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(fresh);
    println!("LARS_SEED={seed}");
    seed
}

/// A tiny generator (splitmix64): enough for cutting bytes at random places.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }
}
