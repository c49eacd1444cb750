//! A dns that is a map in memory: it speaks lars-wire over blocking TCP and remembers what it was told.

use crate::caller::PATIENCE;
use lars_wire::caller::{Status, Welcome};
use lars_wire::directory::{
    Digest, DigestDone, KnownModule, PushAck, RouteHead, StoreVersion, Subscribe, Unsubscribe, delta, pages,
};
use lars_wire::{Kind, Message, ModuleId, NodeAddr, PREFACE, Route, RouteNode, codec, frame};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    subscribed: BTreeSet<ModuleId>,
}

#[derive(Default)]
pub(crate) struct State {
    routes: BTreeMap<ModuleId, (u64, Route)>,
    version: u64,
    connections: BTreeMap<u64, Connection>,
    accepted: u64,
    pub(crate) acks: Vec<PushAck>,
    pub(crate) subscribes: usize,
    pub(crate) digests: usize,
    /// How far its store is, said before every answer and push; none is never said.
    pub(crate) store_version: Option<u64>,
    /// Takes pushes of the routes out of the way: they are lost, as on a bad day.
    pub(crate) mute: bool,
    /// Routes are said without a reason for what they lost.
    pub(crate) unexplained: bool,
    /// Pushes send what changed instead of the whole, where that is shorter.
    pub(crate) deltas: bool,
    closed: bool,
}

/// A running dns. Dropping it ends its connections and its port.
pub(crate) struct FakeDns {
    pub(crate) addr: String,
    instance: u64,
    shared: Arc<(Mutex<State>, Condvar)>,
    accepts: Option<JoinHandle<()>>,
}

fn encode<M: Message>(message: &M, bytes: &mut Vec<u8>) {
    codec::append(message, 0, bytes).expect("it fits");
}

static STARTED: AtomicU32 = AtomicU32::new(0);

impl FakeDns {
    pub(crate) fn start() -> Self {
        // A loopback address of its own, so that nobody takes the port when it is given up and wanted again.
        let number = STARTED.fetch_add(1, Ordering::Relaxed) % 250 + 1;
        let process = std::process::id() % 60_000;
        Self::start_at(
            &format!("127.{}.{}.{number}:0", process / 250 + 1, process % 250),
            7,
        )
    }

    pub(crate) fn start_at(addr: &str, instance: u64) -> Self {
        let listener = TcpListener::bind(addr).expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let mut dns = Self {
            addr,
            instance,
            shared: Arc::clone(&shared),
            accepts: None,
        };
        dns.accepts = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let mut state = shared.0.lock().expect("no panic");
                if state.closed {
                    return;
                }
                state.accepted += 1;
                let number = state.accepted;
                let connection = Connection {
                    stream: Some(stream.try_clone().expect("a descriptor")),
                    ..Connection::default()
                };
                state.connections.insert(number, connection);
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    serve(stream, number, instance, &shared);
                    shared.0.lock().expect("no panic").connections.remove(&number);
                    shared.1.notify_all();
                });
            }
        }));
        dns
    }

    /// The state, to look at or to set.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().expect("no panic")
    }

    /// Waits until the state is as wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        while !wanted(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "in vain waited for: {what}");
            state = self.shared.1.wait_timeout(state, left).expect("no panic").0;
        }
    }

    /// Sets a module's nodes (none: it is no more) and pushes; returns the version.
    pub(crate) fn put(&self, module: ModuleId, nodes: &[&str]) -> u64 {
        self.put_route(
            module,
            nodes.iter().map(|node| node.parse().expect("a node")).collect(),
        )
    }

    pub(crate) fn put_route(&self, module: ModuleId, nodes: Vec<NodeAddr>) -> u64 {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let route = Route::new(nodes.into_iter().map(RouteNode::new).collect());
        let older = state.routes.insert(module, (version, route.clone()));
        let mut bytes = Vec::new();
        state.tell_version(self.instance, &mut bytes);
        let change = older.filter(|_| state.deltas).and_then(|(base, older)| {
            let head = head(module, self.instance, version, !state.unexplained, &route);
            delta(head, base, &older, &route)
        });
        match change {
            Some(change) => encode(&change, &mut bytes),
            None => append_route(
                &mut bytes,
                module,
                self.instance,
                !state.unexplained,
                Some(&(version, route)),
            ),
        }
        if !state.mute {
            for connection in state.connections.values_mut() {
                if connection.subscribed.contains(&module) {
                    let _ = connection.stream.as_mut().expect("open").write_all(&bytes);
                }
            }
        }
        version
    }

    /// Waits until the agent has said that it applied the version.
    pub(crate) fn wait_ack(&self, module: ModuleId, version: u64) {
        let ack = PushAck { module, version };
        self.wait("an acknowledged push", |state| state.acks.contains(&ack));
    }

    /// Ends all connections; the port goes on.
    pub(crate) fn cut(&self) {
        self.state().cut();
    }

    pub(crate) fn subscribed(&self, module: ModuleId) -> bool {
        self.state().is_subscribed(module)
    }
}

impl State {
    pub(crate) fn is_subscribed(&self, module: ModuleId) -> bool {
        self.connections
            .values()
            .any(|connection| connection.subscribed.contains(&module))
    }

    fn tell_version(&self, instance: u64, bytes: &mut Vec<u8>) {
        if let Some(version) = self.store_version {
            encode(&StoreVersion { instance, version }, bytes);
        }
    }

    fn cut(&self) {
        for connection in self.connections.values() {
            let stream = connection.stream.as_ref();
            let _ = stream.map(|stream| stream.shutdown(Shutdown::Both));
        }
    }

    pub(crate) fn connected(&self) -> bool {
        !self.connections.is_empty()
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.cut();
        drop(state);
        let _ = TcpStream::connect(&self.addr);
        // Behind this the port is free.
        let _ = self.accepts.take().map(JoinHandle::join);
    }
}

fn head(module: ModuleId, instance: u64, version: u64, explained: bool, route: &Route) -> RouteHead {
    RouteHead {
        module,
        status: if route.is_empty() {
            Status::NotFound
        } else {
            Status::Ok
        },
        instance,
        version,
        explained,
    }
}

fn append_route(
    bytes: &mut Vec<u8>,
    module: ModuleId,
    instance: u64,
    explained: bool,
    route: Option<&(u64, Route)>,
) {
    let none = (0, Route::default());
    let (version, route) = route.unwrap_or(&none);
    for page in pages(head(module, instance, *version, explained, route), route) {
        encode(&page, bytes);
    }
}

/// Pages for those that differ from what is known; how many.
fn differing(state: &State, instance: u64, known: &[KnownModule], bytes: &mut Vec<u8>) -> u32 {
    let mut count = 0;
    for known in known {
        let held = state.routes.get(&known.module);
        let same = held.is_some_and(|(version, route)| {
            known.hash == route.content_hash() && (known.instance != instance || known.version == *version)
        });
        if !same {
            count += 1;
            append_route(bytes, known.module, instance, !state.unexplained, held);
        }
    }
    count
}

fn serve(mut stream: TcpStream, number: u64, instance: u64, shared: &(Mutex<State>, Condvar)) {
    let mut preface = [0; PREFACE.len()];
    if stream.read_exact(&mut preface).is_err() {
        return;
    }
    assert_eq!(preface, PREFACE);
    let (mut buffer, mut chunk) = (Vec::new(), [0; 16_384]);
    while let Ok(bytes) = stream.read(&mut chunk) {
        if bytes == 0 {
            return;
        }
        buffer.extend_from_slice(&chunk[..bytes]);
        while let Some(whole) = frame::split(&buffer).expect("the agent sends good frames") {
            let mut answer = Vec::new();
            let mut state = shared.0.lock().expect("no panic");
            take(
                &mut state,
                number,
                instance,
                whole.header.kind,
                whole.body,
                &mut answer,
            );
            if stream.write_all(&answer).is_err() {
                return;
            }
            drop(state);
            shared.1.notify_all();
            let used = whole.bytes();
            buffer.drain(..used);
        }
    }
}

fn take(state: &mut State, number: u64, instance: u64, kind: Kind, body: &[u8], answer: &mut Vec<u8>) {
    match kind {
        Kind::Hello => encode(
            &Welcome {
                version: 1,
                incarnation: [7; 16],
                sockets: 0,
                board: false,
            },
            answer,
        ),
        Kind::Subscribe => {
            let subscribe: Subscribe = codec::decode(body).expect("a subscribe");
            state.subscribes += 1;
            state.tell_version(instance, answer);
            differing(state, instance, &subscribe.modules, answer);
            let connection = state.connections.entry(number).or_default();
            connection
                .subscribed
                .extend(subscribe.modules.iter().map(|known| known.module));
        }
        Kind::Unsubscribe => {
            let unsubscribe: Unsubscribe = codec::decode(body).expect("an unsubscribe");
            let connection = state.connections.entry(number).or_default();
            for module in unsubscribe.modules {
                connection.subscribed.remove(&module);
            }
        }
        Kind::PushAck => state.acks.push(codec::decode(body).expect("an acknowledgement")),
        Kind::Digest => {
            let digest: Digest = codec::decode(body).expect("a digest");
            state.digests += 1;
            let count = differing(state, instance, &digest.modules, answer);
            encode(&DigestDone { differing: count }, answer);
        }
        other => panic!("an agent does not send {other:?}"),
    }
}
