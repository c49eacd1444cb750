//! The other end of a connection: a blocking socket that speaks the protocol, politely or not.

use crate::running::DEADLINE;
use lars_wire::admin::{
    EditRoutes, Edited, GetStatus, ListRoutes, RouteEdit, RouteRow, RouteRows, StatusText,
};
use lars_wire::bounds::{HEADER_BYTES, WEIGHT_DEFAULT};
use lars_wire::caller::{GetRoute, Hello, Status, Welcome};
use lars_wire::directory::{
    KnownModule, PushAck, RouteDelta, RoutePage, Subscribe, Unsubscribe, route_nodes,
};
use lars_wire::{Header, Kind, Message, ModuleId, NodeAddr, NodeState, PREFACE, Route, codec};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Peer {
    stream: TcpStream,
}

/// A frame as it arrived.
pub struct Arrived {
    pub header: Header,
    pub body: Vec<u8>,
}

impl Arrived {
    pub fn decode<M: Message>(&self) -> M {
        assert_eq!(self.header.kind, M::KIND, "another kind of frame arrived");
        codec::decode(&self.body).expect("dns sends what it should")
    }
}

/// A route that arrived whole.
#[derive(Debug)]
pub struct Whole {
    pub status: Status,
    pub instance: u64,
    pub version: u64,
    pub hash: u64,
    pub route: Route,
    pub sequence: u32,
}

impl Whole {
    pub fn nodes(&self) -> Vec<NodeAddr> {
        self.route.nodes().iter().map(|node| node.addr).collect()
    }
}

pub fn module(cmdid: u32) -> ModuleId {
    ModuleId::new(1, cmdid)
}

pub fn node(last: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + last, 7777)
}

pub fn put(cmdid: u32, last: u32) -> RouteEdit {
    RouteEdit::Put(RouteRow {
        module: module(cmdid),
        node: node(last),
        weight: WEIGHT_DEFAULT,
        state: NodeState::Serving,
        zone: String::new(),
    })
}

pub fn remove(cmdid: u32, last: u32) -> RouteEdit {
    RouteEdit::Remove {
        module: module(cmdid),
        node: node(last),
    }
}

pub fn unknown(cmdid: u32) -> KnownModule {
    KnownModule {
        module: module(cmdid),
        instance: 0,
        version: 0,
        hash: 0,
    }
}

impl Peer {
    /// Connects and says nothing.
    pub fn silent(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("dns listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket option");
        Self { stream }
    }

    /// Connects and says hello.
    pub fn connect(addr: SocketAddr) -> Self {
        let mut peer = Self::silent(addr);
        peer.write(&PREFACE);
        peer.send(
            &Hello {
                version: 1,
                name: "test".to_owned(),
            },
            1,
        );
        let welcome: Welcome = peer.next().decode();
        assert_eq!((welcome.version, welcome.sockets, welcome.board), (1, 0, false));
        peer
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dns reads");
    }

    /// Writes what the other end may not care to read.
    pub fn try_write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn send<M: Message>(&mut self, message: &M, sequence: u32) {
        let mut bytes = Vec::new();
        codec::append(message, sequence, &mut bytes).expect("a test's message fits");
        self.write(&bytes);
    }

    /// The next frame.
    pub fn next(&mut self) -> Arrived {
        self.try_next().expect("dns does not close this connection")
    }

    /// The next frame, or none where the connection ends.
    pub fn try_next(&mut self) -> Option<Arrived> {
        let mut head = [0; HEADER_BYTES];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return None;
            }
            Err(error) => panic!("nothing arrived: {error}"),
        }
        let header = Header::read(&head).expect("dns sends frames");
        let mut body = vec![0; header.body_bytes as usize];
        self.stream.read_exact(&mut body).expect("a frame is whole");
        Some(Arrived { header, body })
    }

    /// A route of as many pages as it takes; acknowledged.
    pub fn route(&mut self) -> Whole {
        let whole = self.route_unacknowledged();
        self.ack(&whole);
        whole
    }

    pub fn route_unacknowledged(&mut self) -> Whole {
        let first = self.next();
        self.route_from(&first)
    }

    /// A route of which the first page is here.
    pub fn route_from(&mut self, first: &Arrived) -> Whole {
        let (mut page, mut nodes): (RoutePage, _) = (first.decode(), Vec::new());
        loop {
            assert_eq!(page.first as usize, nodes.len(), "pages come in order");
            nodes.extend(route_nodes(&page.zones, &page.nodes));
            if nodes.len() == page.total as usize {
                break;
            }
            page = self.next().decode();
        }
        let route = Route::new(nodes);
        assert_eq!(
            route.content_hash(),
            page.hash,
            "the hash is that of what arrived"
        );
        let RoutePage {
            status,
            instance,
            version,
            hash,
            ..
        } = page;
        assert_eq!(
            status,
            if route.is_empty() {
                Status::NotFound
            } else {
                Status::Ok
            }
        );
        Whole {
            status,
            instance,
            version,
            hash,
            route,
            sequence: first.header.sequence,
        }
    }

    pub fn delta(&mut self, older: &Whole) -> Whole {
        let delta: RouteDelta = self.next().decode();
        assert_eq!(
            (delta.instance, delta.base),
            (older.instance, older.version),
            "a delta of what is held"
        );
        let route = older
            .route
            .with_delta(route_nodes(&delta.zones, &delta.put), &delta.removed);
        assert_eq!(
            route.content_hash(),
            delta.hash,
            "the delta leads to what dns has"
        );
        let (version, hash) = (delta.version, delta.hash);
        let whole = Whole {
            status: Status::Ok,
            instance: delta.instance,
            version,
            hash,
            route,
            sequence: 0,
        };
        self.ack(&whole);
        whole
    }

    pub fn ack_module(&mut self, module: ModuleId, version: u64) {
        self.send(&PushAck { module, version }, 0);
    }

    fn ack(&mut self, whole: &Whole) {
        // Tests know one module a route; the version alone tells which push is meant.
        for cmdid in 0..4 {
            self.ack_module(module(cmdid), whole.version);
        }
    }

    pub fn subscribe(&mut self, modules: &[KnownModule]) {
        self.send(
            &Subscribe {
                modules: modules.to_vec(),
            },
            7,
        );
    }

    pub fn unsubscribe(&mut self, cmdids: &[u32]) {
        self.send(
            &Unsubscribe {
                modules: cmdids.iter().map(|cmdid| module(*cmdid)).collect(),
            },
            0,
        );
    }

    pub fn get_route(&mut self, cmdid: u32) -> Whole {
        self.send(
            &GetRoute {
                module: module(cmdid),
                deadline_ms: 0,
            },
            9,
        );
        let whole = self.route_unacknowledged();
        assert_eq!(whole.sequence, 9);
        whole
    }

    pub fn edit(&mut self, edits: &[RouteEdit]) -> Edited {
        self.send(
            &EditRoutes {
                edits: edits.to_vec(),
            },
            11,
        );
        let answer = self.next();
        assert_eq!(answer.header.sequence, 11);
        answer.decode()
    }

    pub fn list(&mut self, list: ListRoutes) -> RouteRows {
        self.send(&list, 12);
        self.next().decode()
    }

    pub fn status(&mut self) -> StatusText {
        self.send(&GetStatus { version: 1 }, 13);
        self.next().decode()
    }

    pub fn count(&mut self, name: &str) -> u64 {
        let status = self.status();
        status
            .counts
            .iter()
            .find(|count| count.0 == name)
            .unwrap_or_else(|| panic!("no {name} in {status:?}"))
            .1
    }

    /// Asserts that nothing more was sent before the answer to a question asked now.
    pub fn assert_silent(&mut self) {
        let status = self.status();
        assert_eq!(
            status.service, "dns",
            "nothing but the answer to the last question came"
        );
    }

    /// Whether nothing arrives for so long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a socket option");
        let silent = self
            .stream
            .peek(&mut [0])
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        silent
    }
}

pub fn known(cmdid: u32, whole: &Whole) -> KnownModule {
    KnownModule {
        module: module(cmdid),
        instance: whole.instance,
        version: whole.version,
        hash: whole.hash,
    }
}
