//! An agent as report sees it, on a blocking socket.

use crate::place::DEADLINE;
use lars_report::Report;
use lars_wire::admin::{Reason, Refusal};
use lars_wire::bounds::HEADER_BYTES;
use lars_wire::caller::{Hello, Welcome};
use lars_wire::record::{Tally, TallyAck, TallyBatch, Window};
use lars_wire::{Header, Kind, Message, ModuleId, NodeAddr, PREFACE, VERSION, codec};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(crate) struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// A connection that has said nothing.
    pub(crate) fn silent(report: &Report) -> Self {
        let stream = TcpStream::connect_timeout(&report.addr(), DEADLINE).expect("report listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self { stream }
    }

    /// A connection that was welcomed.
    pub(crate) fn welcomed(report: &Report) -> Self {
        let mut peer = Self::silent(report);
        peer.write(&PREFACE);
        peer.send(
            &Hello {
                version: u16::from(VERSION),
                name: "test".to_owned(),
            },
            7,
        );
        let (header, welcome): (_, Welcome) = peer.receive();
        assert_eq!((header.sequence, welcome.version), (7, u16::from(VERSION)));
        peer
    }

    /// Writes bytes; a peer that is being closed may find nobody.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(
                matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                "{error}"
            );
        }
    }

    pub(crate) fn send(&mut self, message: &impl Message, question: u32) {
        self.write(&bytes_of(message, question));
    }

    /// The next frame, which must be this message.
    pub(crate) fn receive<M: Message>(&mut self) -> (Header, M) {
        let mut head = [0; HEADER_BYTES];
        self.stream.read_exact(&mut head).expect("a header");
        let header = Header::read(&head).expect("a good header");
        let mut body = vec![0; header.body_bytes as usize];
        self.stream.read_exact(&mut body).expect("a body");
        assert_eq!(header.kind, M::KIND, "{:?}", codec::decode::<Refusal>(&body));
        (header, codec::decode(&body).expect("a good body"))
    }

    /// Sends a batch and waits for its acknowledgement; returns the sequence in it.
    pub(crate) fn deliver(&mut self, batch: &TallyBatch) -> u64 {
        self.send(batch, 99);
        let (header, ack): (_, TallyAck) = self.receive();
        assert_eq!((header.sequence, ack.incarnation), (99, batch.incarnation));
        ack.sequence
    }

    /// Waits for a refusal, then for the end of the connection.
    pub(crate) fn refused(mut self) -> Refusal {
        let (_, refusal): (_, Refusal) = self.receive();
        self.ended();
        refusal
    }

    /// Waits for the end of the connection.
    pub(crate) fn ended(mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(rest, [0; 0], "nothing comes behind a refusal"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// From now on gives up after so long.
    pub(crate) fn wait_at_most(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a time-out");
    }

    /// Whether an acknowledgement comes in time.
    pub(crate) fn hears(&mut self) -> bool {
        let is_there = self.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        if is_there {
            self.receive::<TallyAck>();
        }
        is_there
    }

    /// Asserts that nothing comes for a while.
    pub(crate) fn hears_nothing(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a time-out");
        let mut byte = [0];
        let error = self.stream.read_exact(&mut byte).expect_err("nothing comes");
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    }
}

pub(crate) fn bytes_of(message: &impl Message, question: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, question, &mut bytes).expect("it fits a frame");
    bytes
}

pub(crate) fn module() -> ModuleId {
    ModuleId::new(5, 6)
}

pub(crate) fn node(last: u8) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + u32::from(last), 8_080)
}

/// 3 successes, 1 failure, 1 time-out.
pub(crate) fn tally(node: NodeAddr) -> Tally {
    Tally {
        module: module(),
        node,
        age_ms: 0,
        ok: 3,
        failed: 1,
        timed_out: 1,
        cancelled: 0,
        latency_sum_us: 90,
        latency_max_us: 50,
        window: Window {
            succ: 3,
            err: 2,
            overloaded: false,
        },
    }
}

pub(crate) fn batch(incarnation: u8, sequence: u64, tallies: Vec<Tally>) -> TallyBatch {
    TallyBatch {
        incarnation: [incarnation; 16],
        sequence,
        caller: 0x7f00_0001,
        age_ms: 0,
        tallies,
    }
}

/// Asserts why a connection was closed.
pub(crate) fn assert_refused(peer: Peer, reason: Reason, part: &str) {
    let refusal = peer.refused();
    assert_eq!(refusal.reason, reason, "{refusal:?}");
    assert!(refusal.text.contains(part), "'{}' lacks '{part}'", refusal.text);
}

/// A header with a body that is not what it says.
pub(crate) fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let head: &mut [u8; HEADER_BYTES] = (&mut bytes[..]).try_into().expect("12 bytes");
    Header {
        body_bytes: body.len() as u32,
        kind,
        sequence: 0,
    }
    .put(head);
    bytes.extend(body);
    bytes
}
