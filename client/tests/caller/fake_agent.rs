//! A service on a real socket that answers as a test tells it, and remembers every frame that came.

use lars_client::{Client, ModuleId, NodeAddr};
use lars_wire::caller::{Node, Pick, Ping, Pong, Report, ReportBatch, Status, Welcome};
use lars_wire::{Kind, Message, PREFACE, VERSION, codec, frame};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough that only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const MODULE: ModuleId = ModuleId::new(1, 1);

/// A frame as the agent got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) kind: Kind,
    pub(crate) sequence: u32,
    pub(crate) body: Vec<u8>,
    /// Counts connections from 0.
    pub(crate) connection: usize,
}

impl Got {
    pub(crate) fn decode<M: Message>(&self) -> M {
        codec::decode(&self.body).expect("the client sends good bodies")
    }
}

/// What an answerer does on a connection.
pub(crate) struct Peer<'a> {
    out: &'a mut dyn Write,
    pub(crate) open: bool,
}

impl Peer<'_> {
    pub(crate) fn answer<M: Message>(&mut self, sequence: u32, message: &M) {
        let bytes = frame_of(sequence, message);
        self.raw(&bytes);
    }

    /// Writes bytes as they are; a client that is gone is no failure of the agent.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if self.out.write_all(bytes).is_err() {
            self.open = false;
        }
    }

    pub(crate) fn close(&mut self) {
        self.open = false;
    }
}

pub(crate) fn frame_of<M: Message>(sequence: u32, message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, sequence, &mut bytes).expect("it fits");
    bytes
}

type Answerer = dyn Fn(&Got, &mut Peer<'_>) + Send + Sync;

struct Shared {
    answerer: Box<Answerer>,
    got: Mutex<Vec<Got>>,
    came: Condvar,
    stopping: AtomicBool,
    connections: AtomicUsize,
    closed: AtomicUsize,
    streams: Mutex<Vec<Stream>>,
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

pub(crate) struct FakeAgent {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    wake: Box<dyn Fn() + Send>,
}

impl FakeAgent {
    /// Listens at `path`; `answerer` gets every frame, the hello as well.
    pub(crate) fn raw(path: &Path, answerer: impl Fn(&Got, &mut Peer<'_>) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("the socket is free");
        let wake = path.to_owned();
        Self::start(
            Listener::Unix(listener, path.to_owned()),
            Box::new(answerer),
            Box::new(move || drop(UnixStream::connect(&wake))),
        )
    }

    /// Listens at `path` and welcomes; `answerer` gets every frame behind the hello.
    pub(crate) fn new(path: &Path, answerer: impl Fn(&Got, &mut Peer<'_>) + Send + Sync + 'static) -> Self {
        Self::raw(path, welcoming(answerer))
    }

    /// The same for an agent that lends its board.
    pub(crate) fn lending(
        path: &Path,
        answerer: impl Fn(&Got, &mut Peer<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::raw(path, move |got, peer| {
            if got.kind == Kind::Hello {
                let board = true;
                peer.answer(got.sequence, &Welcome { board, ..welcome() });
            } else {
                answerer(got, peer);
            }
        })
    }

    /// The same over TCP; returns the address as well.
    pub(crate) fn tcp(
        listen: &str,
        answerer: impl Fn(&Got, &mut Peer<'_>) + Send + Sync + 'static,
    ) -> (Self, String) {
        let listener = TcpListener::bind(listen).expect("loopback is there");
        let addr = listener.local_addr().expect("it is bound");
        let agent = Self::start(
            Listener::Tcp(listener),
            Box::new(welcoming(answerer)),
            Box::new(move || drop(TcpStream::connect(addr))),
        );
        (agent, addr.to_string())
    }

    fn start(listener: Listener, answerer: Box<Answerer>, wake: Box<dyn Fn() + Send>) -> Self {
        let shared = Arc::new(Shared {
            answerer,
            got: Mutex::default(),
            came: Condvar::new(),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            streams: Mutex::default(),
        });
        let accepting = shared.clone();
        let thread = std::thread::spawn(move || accept(&accepting, &listener));
        Self {
            shared,
            thread: Some(thread),
            wake,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns when the agent has closed a connection.
    pub(crate) fn wait_for_close(&self) {
        let end = Instant::now() + PATIENCE;
        while self.shared.closed.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < end, "no connection is closed");
            std::thread::yield_now();
        }
    }

    /// All frames of `kind` that came, once there are `count`.
    pub(crate) fn wait_for(&self, kind: Kind, count: usize) -> Vec<Got> {
        let end = Instant::now() + PATIENCE;
        let mut got = self.shared.got.lock().expect("no panic");
        loop {
            let of_kind: Vec<Got> = got.iter().filter(|frame| frame.kind == kind).cloned().collect();
            if of_kind.len() >= count {
                return of_kind;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} {kind:?} came", of_kind.len());
            got = self.shared.came.wait_timeout(got, left).expect("no panic").0;
        }
    }

    /// The first report that came in a frame of its own.
    pub(crate) fn wait_for_report(&self) -> Report {
        self.wait_for(Kind::Report, 1)[0].decode()
    }

    /// Frames of `kind` that came.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        let got = self.shared.got.lock().expect("no panic");
        got.iter().filter(|frame| frame.kind == kind).count()
    }

    /// Reports counted over both kinds of frames.
    pub(crate) fn reports(&self) -> usize {
        let got = self.shared.got.lock().expect("no panic");
        got.iter()
            .map(|frame| match frame.kind {
                Kind::Report => 1,
                Kind::ReportBatch => frame.decode::<ReportBatch>().reports.len(),
                _ => 0,
            })
            .sum()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        (self.wake)();
        for stream in self.shared.streams.lock().expect("no panic").iter() {
            // A connection that its peer closed needs no shutdown.
            let _ = match stream {
                Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
                Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            };
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the agent did not panic");
        }
    }
}

/// Answers hello with welcome before `answerer` sees anything.
fn welcoming(
    answerer: impl Fn(&Got, &mut Peer<'_>) + Send + Sync,
) -> impl Fn(&Got, &mut Peer<'_>) + Send + Sync {
    move |got, peer| {
        if got.kind == Kind::Hello {
            peer.answer(got.sequence, &welcome());
        } else {
            answerer(got, peer);
        }
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        version: u16::from(VERSION),
        incarnation: [7; 16],
        sockets: 0,
        board: false,
    }
}

fn accept(shared: &Arc<Shared>, listener: &Listener) {
    std::thread::scope(|scope| {
        loop {
            let stream = match listener {
                Listener::Unix(listener, _) => Stream::Unix(listener.accept().expect("it listens").0),
                Listener::Tcp(listener) => Stream::Tcp(listener.accept().expect("it listens").0),
            };
            if shared.stopping.load(Ordering::SeqCst) {
                break;
            }
            let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
            let clone = match &stream {
                Stream::Unix(stream) => Stream::Unix(stream.try_clone().expect("descriptors are left")),
                Stream::Tcp(stream) => Stream::Tcp(stream.try_clone().expect("descriptors are left")),
            };
            shared.streams.lock().expect("no panic").push(clone);
            scope.spawn(move || {
                match stream {
                    Stream::Unix(stream) => {
                        serve(shared, &mut &stream, &mut &stream, connection);
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                    Stream::Tcp(stream) => {
                        serve(shared, &mut &stream, &mut &stream, connection);
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                }
                shared.closed.fetch_add(1, Ordering::SeqCst);
            });
        }
        // Those who connect from here on are refused, as by a process that is gone.
        if let Listener::Unix(_, path) = listener {
            std::fs::remove_file(path).expect("the socket is ours");
        }
        for stream in shared.streams.lock().expect("no panic").iter() {
            let _ = match stream {
                Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
                Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            };
        }
    });
}

fn serve(shared: &Shared, input: &mut dyn Read, out: &mut dyn Write, connection: usize) {
    let mut preface = [0; PREFACE.len()];
    if input.read_exact(&mut preface).is_err() {
        return;
    }
    assert_eq!(preface, PREFACE);
    let mut peer = Peer { out, open: true };
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while peer.open {
        while let Some(whole) = frame::split(&bytes).expect("the client sends good frames") {
            let used = whole.bytes();
            let got = Got {
                kind: whole.header.kind,
                sequence: whole.header.sequence,
                body: whole.body.to_vec(),
                connection,
            };
            bytes.drain(..used);
            shared.got.lock().expect("no panic").push(got.clone());
            shared.came.notify_all();
            (shared.answerer)(&got, &mut peer);
            if !peer.open {
                return;
            }
        }
        match input.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// What a good agent with the one node `10.0.0.1:7777` answers.
pub(crate) fn one_node(got: &Got, peer: &mut Peer<'_>) {
    match got.kind {
        Kind::Pick => {
            let pick: Pick = got.decode();
            peer.answer(got.sequence, &node_of(pick.module, "10.0.0.1:7777"));
        }
        Kind::Ping => {
            let ping: Ping = got.decode();
            peer.answer(got.sequence, &Pong { echo: ping.echo });
        }
        _ => {}
    }
}

/// An ok answer; its token is the module's second number.
pub(crate) fn node_of(module: ModuleId, node: &str) -> Node {
    Node {
        status: Status::Ok,
        node: addr(node),
        token: u64::from(module.cmdid),
        version: 5,
    }
}

pub(crate) fn addr(text: &str) -> NodeAddr {
    text.parse().expect("a node")
}

/// A folder with room for a socket in it.
pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sock");
    (folder, path)
}

/// A client with a timeout that only a hang reaches.
pub(crate) fn patient(path: &Path) -> Client {
    Client::builder()
        .path(path)
        .timeout(PATIENCE)
        .connect()
        .expect("the agent listens")
}
