//! A caller as these tests need it: one blocking connection that speaks lars-wire and nothing more.

use lars_wire::caller::{
    Explain, Explanation, GetRoute, Hello, Node, Outcome, Pick, Ping, Pong, Register, Registered, Report,
    ReportBatch, Welcome,
};
use lars_wire::directory::{RoutePage, route_nodes};
use lars_wire::{Kind, Message, ModuleId, NodeAddr, PREFACE, Route, codec, frame};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to the agent.
pub(crate) struct Caller {
    stream: UnixStream,
    buffer: Vec<u8>,
    sequence: u32,
    pub(crate) welcome: Option<Welcome>,
}

/// A frame that owns its body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: Kind,
    pub(crate) sequence: u32,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn decode<M: Message>(&self) -> M {
        assert_eq!(self.kind, M::KIND, "{self:?}");
        codec::decode(&self.body).expect("the agent sends good bytes")
    }
}

impl Caller {
    /// A connection that has not said anything.
    pub(crate) fn silent(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the agent listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        Self {
            stream,
            buffer: Vec::new(),
            sequence: 0,
            welcome: None,
        }
    }

    /// A connection that was welcomed.
    pub(crate) fn connect(socket: &Path) -> Self {
        let mut caller = Self::silent(socket);
        caller.write(&PREFACE);
        let hello = Hello {
            version: 1,
            name: "test".to_owned(),
        };
        caller.welcome = Some(caller.ask(&hello));
        caller
    }

    /// Bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the agent reads");
    }

    /// Bytes as they are, to an agent that may have closed.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// From now on a write that waits for so long fails.
    pub(crate) fn give_up_after(&self, timeout: Duration) {
        self.stream.set_write_timeout(Some(timeout)).expect("a time-out");
    }

    /// Sends a message; returns its sequence.
    pub(crate) fn send<M: Message>(&mut self, message: &M) -> u32 {
        self.sequence += 1;
        let mut bytes = Vec::new();
        codec::append(message, self.sequence, &mut bytes).expect("it fits");
        self.write(&bytes);
        self.sequence
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        loop {
            if let Some(whole) = frame::split(&self.buffer).expect("the agent sends good frames") {
                let received = Received {
                    kind: whole.header.kind,
                    sequence: whole.header.sequence,
                    body: whole.body.to_vec(),
                };
                let bytes = whole.bytes();
                self.buffer.drain(..bytes);
                return Some(received);
            }
            let mut chunk = [0; 16_384];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(bytes) => self.buffer.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// Asks and takes the answer, which must be the next frame.
    pub(crate) fn ask<M: Message, R: Message>(&mut self, message: &M) -> R {
        let sequence = self.send(message);
        let received = self.receive().expect("an answer");
        assert_eq!(received.sequence, sequence);
        received.decode()
    }

    pub(crate) fn pick(&mut self, module: ModuleId) -> Node {
        self.ask(&Pick::new(module))
    }

    pub(crate) fn pick_within(&mut self, module: ModuleId, deadline_ms: u32) -> Node {
        self.ask(&Pick {
            deadline_ms,
            ..Pick::new(module)
        })
    }

    pub(crate) fn register(&mut self, module: ModuleId, deadline_ms: u32) -> Registered {
        self.ask(&Register { module, deadline_ms })
    }

    pub(crate) fn explain(&mut self, module: ModuleId) -> Explanation {
        self.ask(&Explain { module })
    }

    /// All pages of a route, and the first of them.
    pub(crate) fn route(&mut self, module: ModuleId, deadline_ms: u32) -> (RoutePage, Route) {
        let first: RoutePage = self.ask(&GetRoute { module, deadline_ms });
        let mut nodes = route_nodes(&first.zones, &first.nodes);
        while nodes.len() < first.total as usize {
            let page: RoutePage = self.receive().expect("the next page").decode();
            assert_eq!(page.first as usize, nodes.len());
            nodes.extend(route_nodes(&page.zones, &page.nodes));
        }
        (first, Route::new(nodes))
    }

    /// Reports the same outcome `count` times, and waits until they are taken.
    pub(crate) fn report(&mut self, module: ModuleId, node: NodeAddr, outcome: Outcome, count: usize) {
        let report = Report {
            module,
            node,
            token: 0,
            outcome,
            retcode: 0,
            latency_us: 1_000,
        };
        for chunk in vec![report; count].chunks(1_000) {
            self.send(&ReportBatch {
                reports: chunk.to_vec(),
            });
        }
        self.ping();
    }

    /// Reports that the call of a pick went well, after this long.
    pub(crate) fn succeed(&mut self, module: ModuleId, picked: &Node, latency_us: u32) {
        self.send(&Report {
            module,
            node: picked.node,
            token: picked.token,
            outcome: Outcome::Ok,
            retcode: 0,
            latency_us,
        });
    }

    /// Waits until everything before was taken.
    pub(crate) fn ping(&mut self) {
        let echo = u64::from(self.sequence);
        assert_eq!(self.ask::<_, Pong>(&Ping { echo }), Pong { echo });
    }
}
