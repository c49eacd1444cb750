//! The other end of a connection: a blocking socket that speaks the protocol, politely or not.

use crate::running::DEADLINE;
use lars_wire::admin::{
    EditRoutes, Edited, GetStatus, ListRoutes, RouteEdit, RouteRow, RouteRows, StatusText,
};
use lars_wire::bounds::{HEADER_BYTES, WEIGHT_DEFAULT};
use lars_wire::caller::{GetRoute, Hello, Status, Welcome};
use lars_wire::directory::{
    KnownModule, PushAck, RouteDelta, RoutePage, StoreVersion, Subscribe, Unsubscribe, route_nodes,
};
use lars_wire::{Header, Kind, Message, ModuleId, NodeAddr, NodeState, PREFACE, Route, codec};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Peer {
    stream: TcpStream,
    /// How far the store is, as dns has said it so far.
    pub(crate) store_versions: Vec<StoreVersion>,
    held: HashMap<ModuleId, Whole>,
}

/// A frame as it arrived.
pub(crate) struct Arrived {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    pub(crate) fn decode<M: Message>(&self) -> M {
        assert_eq!(self.header.kind, M::KIND, "another kind of frame arrived");
        codec::decode(&self.body).expect("dns sends what it should")
    }
}

/// A route that arrived whole.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) module: ModuleId,
    pub(crate) status: Status,
    pub(crate) instance: u64,
    pub(crate) version: u64,
    pub(crate) hash: u64,
    pub(crate) route: Route,
    pub(crate) sequence: u32,
}

impl Whole {
    pub(crate) fn nodes(&self) -> Vec<NodeAddr> {
        self.route.nodes().iter().map(|node| node.addr).collect()
    }
}

pub(crate) fn module(cmdid: u32) -> ModuleId {
    ModuleId::new(1, cmdid)
}

pub(crate) fn node(last: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + last, 7777)
}

pub(crate) fn put(cmdid: u32, last: u32) -> RouteEdit {
    RouteEdit::Put(RouteRow {
        module: module(cmdid),
        node: node(last),
        weight: WEIGHT_DEFAULT,
        state: NodeState::Serving,
        zone: String::new(),
    })
}

pub(crate) fn remove(cmdid: u32, last: u32) -> RouteEdit {
    RouteEdit::Remove {
        module: module(cmdid),
        node: node(last),
    }
}

pub(crate) fn unknown(cmdid: u32) -> KnownModule {
    KnownModule {
        module: module(cmdid),
        instance: 0,
        version: 0,
        hash: 0,
    }
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) fn silent(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("dns listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket option");
        Self {
            stream,
            store_versions: Vec::new(),
            held: HashMap::new(),
        }
    }

    /// Connects and says hello.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
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

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dns reads");
    }

    /// Writes what the other end may not care to read.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn send<M: Message>(&mut self, message: &M, sequence: u32) {
        let mut bytes = Vec::new();
        codec::append(message, sequence, &mut bytes).expect("a test's message fits");
        self.write(&bytes);
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Arrived {
        self.try_next().expect("dns does not close this connection")
    }

    /// The next frame, or none where the connection ends. How far the store is, is noted aside.
    pub(crate) fn try_next(&mut self) -> Option<Arrived> {
        loop {
            let arrived = self.try_next_of_any_kind()?;
            if arrived.header.kind != Kind::StoreVersion {
                return Some(arrived);
            }
            self.store_versions.push(arrived.decode());
        }
    }

    fn try_next_of_any_kind(&mut self) -> Option<Arrived> {
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

    /// The next route, whole or as a delta of what is held; acknowledged.
    pub(crate) fn route(&mut self) -> Whole {
        let whole = self.route_unacknowledged();
        self.ack_module(whole.module, whole.version);
        whole
    }

    /// The next route, which must come as a delta; acknowledged.
    pub(crate) fn delta(&mut self) -> Whole {
        let arrived = self.next();
        let whole = self.follow(&arrived.decode());
        self.ack_module(whole.module, whole.version);
        whole
    }

    /// The next route, which must come whole; acknowledged.
    pub(crate) fn whole(&mut self) -> Whole {
        let arrived = self.next();
        let whole = self.put_together(&arrived);
        self.ack_module(whole.module, whole.version);
        whole
    }

    pub(crate) fn route_unacknowledged(&mut self) -> Whole {
        let arrived = self.next();
        match arrived.header.kind {
            Kind::RouteDelta => self.follow(&arrived.decode()),
            _ => self.put_together(&arrived),
        }
    }

    /// A route of as many pages as it takes, the first of which is here.
    fn put_together(&mut self, first: &Arrived) -> Whole {
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
            module,
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
        self.hold(Whole {
            module,
            status,
            instance,
            version,
            hash,
            route,
            sequence: first.header.sequence,
        })
    }

    fn follow(&mut self, delta: &RouteDelta) -> Whole {
        let older = &self.held[&delta.module];
        assert_eq!(
            (delta.instance, delta.base),
            (older.instance, older.version),
            "a delta of what is held"
        );
        assert!(delta.version > delta.base);
        let route = older
            .route
            .with_delta(route_nodes(&delta.zones, &delta.put), &delta.removed);
        assert_eq!(
            route.content_hash(),
            delta.hash,
            "the delta leads to what dns has"
        );
        let RouteDelta {
            module,
            instance,
            version,
            hash,
            ..
        } = *delta;
        self.hold(Whole {
            module,
            status: Status::Ok,
            instance,
            version,
            hash,
            route,
            sequence: 0,
        })
    }

    fn hold(&mut self, whole: Whole) -> Whole {
        self.held.insert(whole.module, whole.clone());
        whole
    }

    pub(crate) fn ack_module(&mut self, module: ModuleId, version: u64) {
        self.send(&PushAck { module, version }, 0);
    }

    pub(crate) fn subscribe(&mut self, modules: &[KnownModule]) {
        self.send(
            &Subscribe {
                modules: modules.to_vec(),
            },
            7,
        );
    }

    pub(crate) fn unsubscribe(&mut self, cmdids: &[u32]) {
        self.send(
            &Unsubscribe {
                modules: cmdids.iter().map(|cmdid| module(*cmdid)).collect(),
            },
            0,
        );
    }

    pub(crate) fn get_route(&mut self, cmdid: u32) -> Whole {
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

    pub(crate) fn edit(&mut self, edits: &[RouteEdit]) -> Edited {
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

    pub(crate) fn list(&mut self, list: ListRoutes) -> RouteRows {
        self.send(&list, 12);
        self.next().decode()
    }

    pub(crate) fn status(&mut self) -> StatusText {
        self.send(&GetStatus { version: 1 }, 13);
        self.next().decode()
    }

    pub(crate) fn count(&mut self, name: &str) -> u64 {
        let status = self.status();
        status
            .counts
            .iter()
            .find(|count| count.0 == name)
            .unwrap_or_else(|| panic!("no {name} in {status:?}"))
            .1
    }

    /// Asserts that nothing more was sent before the answer to a question asked now.
    pub(crate) fn assert_silent(&mut self) {
        let status = self.status();
        assert_eq!(
            status.service, "dns",
            "nothing but the answer to the last question came"
        );
    }

    /// Whether nothing arrives for so long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a socket option");
        let silent = loop {
            match self.stream.peek(&mut [0]) {
                // A ring that this process has closed may still interrupt its threads.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                Ok(_) => break false,
            }
        };
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        silent
    }

    /// Asks for the status, and asserts that what comes before its answer says nothing new of what is held.
    pub(crate) fn assert_nothing_new(&mut self) {
        self.send(&GetStatus { version: 1 }, 13);
        loop {
            let arrived = self.next();
            if arrived.header.kind == Kind::StatusText {
                return;
            }
            let page: RoutePage = arrived.decode();
            assert_eq!(page.hash, self.held[&page.module].hash, "the same once more");
        }
    }
}

pub(crate) fn known(cmdid: u32, whole: &Whole) -> KnownModule {
    KnownModule {
        module: module(cmdid),
        instance: whole.instance,
        version: whole.version,
        hash: whole.hash,
    }
}
