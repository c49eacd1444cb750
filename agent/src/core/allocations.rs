//! What the agent's mind allocates for picks and reports on real cores over real sockets, and for the questions and
//! reports of callers of the C++ Lars: nothing, whichever core owns the module. What the pool around it allocates is
//! held by a test of its own in pool/.

use super::*;
use crate::callers::tray;
use crate::links::Links;
use crate::spool_state::SpoolState;
use crate::stats::AgentStats;
use crate::status::KeptChanges;
use allocation_counter::measure;
use arc_swap::ArcSwap;
use lars_board::{Board, BoardConfig};
use lars_compat::message::{GetHost, HostAnswer, Report as OldReport};
use lars_compat::{MessageId, datagram, decode, encode};
use lars_pool::{Bind, CoresConfig, IoChoice, Plan, UNSENT_BYTES_MIN};
use lars_shard::{PolicyConfig, RouteNews, Shard, ShardConfig};
use lars_wire::caller::{Hello, Node, Outcome, Pick, Report, Status, Welcome};
use lars_wire::{Message, ModuleId, NodeAddr, PREFACE, Route, RouteNode, codec};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cores, each of which owns a module that is asked about.
const CORES: u16 = 2;

/// A core whose calls are watched.
struct Watched {
    core: Core,
    allocations: Arc<AtomicU64>,
}

impl Watched {
    fn watch<T>(&mut self, call: impl FnOnce(&mut Core) -> T) -> T {
        let mut result = None;
        let core = &mut self.core;
        let counted = measure(|| result = Some(call(core)));
        self.allocations.fetch_add(counted.count_total, Ordering::Relaxed);
        result.expect("it was called")
    }
}

impl Handler for Watched {
    type Mail = Mail;

    fn opened(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, peer: Peer, listener: u16) {
        self.watch(|core| core.opened(turn, connection, peer, listener));
    }

    fn received(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, bytes: &[u8]) -> Received {
        self.watch(|core| core.received(turn, connection, bytes))
    }

    fn datagram(&mut self, turn: &mut Turn<'_, Mail>, socket: u16, bytes: &[u8], answer: &mut [u8]) -> usize {
        self.watch(|core| core.datagram(turn, socket, bytes, answer))
    }

    fn mail(&mut self, turn: &mut Turn<'_, Mail>, mail: Mail) {
        self.watch(|core| core.mail(turn, mail));
    }

    fn closed(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, reason: CloseReason) {
        self.watch(|core| core.closed(turn, connection, reason));
    }

    fn settle(&mut self, turn: &mut Turn<'_, Mail>) -> Option<Instant> {
        self.watch(|core| core.settle(turn))
    }
}

/// The first module that a core owns.
fn module_of(core: u16) -> ModuleId {
    let mut modules = (0..).map(|cmdid| ModuleId::new(1, cmdid));
    modules
        .find(|module| module.shard(CORES) == core)
        .expect("every core owns some")
}

fn watched(plan: &Plan<Mail>, allocations: &Arc<AtomicU64>) -> Vec<Watched> {
    let now = Instant::now();
    let links = Arc::new(Links::new(&[], &[]));
    let spool = Arc::<SpoolState>::default();
    let status = StatusSource {
        stats: AgentStats::new(plan.stats(), Arc::clone(&links), Arc::clone(&spool)),
        links,
        io: Arc::new(ArcSwap::from_pointee(plan.io().clone())),
        spool,
        changes: KeptChanges::new(lars_shard::ChangeLog::new([0; 16], 0)),
        notes: Arc::default(),
    };
    let config = BoardConfig {
        modules_max: 64,
        shards: CORES,
    };
    let (board, writers) = Board::create(config).expect("a small board is mapped");
    // Nobody reads the memos: what does not fit stays where it is.
    let (memos, _) = mpsc::channel(1);
    let watched = |(me, writer)| {
        let config = ShardConfig {
            policy: PolicyConfig::default(),
            module_policies: HashMap::new(),
            modules_max: 64,
            module_idle: Duration::from_mins(10),
            not_found_memory: Duration::from_secs(1),
        };
        let (tray, _) = tray(status.stats.callers());
        let mut owner = Owner::new(Shard::new(config, 1), writer, tray, status.stats.core(me));
        let nodes = (1..=10).map(|last| RouteNode::new(NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80)));
        let news = RouteNews {
            module: module_of(me),
            status: Status::Ok,
            version: 1,
            explained: true,
            route: Arc::new(Route::new(nodes.collect())),
        };
        owner.learn(now, &news, None);
        let core = Core::new(CoreParts {
            me: CoreIndex(me),
            cores: CORES,
            reader: board.reader(u64::from(me)),
            owner,
            memos: memos.clone(),
            counts: status.stats.core(me),
            status: status.clone(),
            incarnation: [0; 16],
            // Counts are given out far less often than calls are reported; that does allocate.
            flush_interval: Duration::from_hours(1),
            board: false,
            tap: Tap::default(),
        });
        Watched {
            core,
            allocations: Arc::clone(allocations),
        }
    };
    (0..).zip(writers).map(watched).collect()
}

fn frame(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).expect("it fits");
    bytes
}

fn receive<M: Message>(stream: &mut UnixStream) -> M {
    let mut head = [0; lars_wire::bounds::HEADER_BYTES];
    stream.read_exact(&mut head).expect("an answer");
    let header = lars_wire::Header::read(&head).expect("a header");
    let mut body = vec![0; header.body_bytes as usize];
    stream.read_exact(&mut body).expect("its body");
    codec::decode(&body).expect("the answer that is waited for")
}

fn call(stream: &mut UnixStream, module: ModuleId) {
    stream.write_all(&frame(&Pick::new(module))).expect("it reads");
    let picked: Node = receive(stream);
    assert_eq!(picked.status, Status::Ok);
    let report = Report {
        module,
        node: picked.node,
        token: picked.token,
        outcome: Outcome::Ok,
        retcode: 0,
        latency_us: 100,
    };
    stream.write_all(&frame(&report)).expect("it reads");
}

fn connect(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.write_all(&PREFACE).expect("it reads");
    let hello = Hello {
        version: 1,
        name: "test".to_owned(),
    };
    stream.write_all(&frame(&hello)).expect("it reads");
    receive::<Welcome>(&mut stream);
    stream
}

/// A call of a caller of the C++ Lars: get host, then the report.
fn old_call(socket: &UdpSocket, module: ModuleId) {
    let (modid, cmdid) = (module.modid as i32, module.cmdid as i32);
    let mut bytes = [0; 128];
    let ask = GetHost { seq: 7, modid, cmdid };
    let written = encode(MessageId::GetHost, &ask, &mut bytes).expect("it fits");
    socket.send(&bytes[..written]).expect("the kernel takes it");
    let received = loop {
        match socket.recv(&mut bytes) {
            // A ring that this process closed meanwhile may interrupt the wait.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            received => break received.expect("an answer"),
        }
    };
    let frame = datagram(&bytes[..received]).expect("a frame");
    let answer: HostAnswer = decode(MessageId::HostAnswer, frame.body).expect("a host");
    assert_eq!((answer.seq, answer.retcode), (7, 0));
    let report = OldReport {
        modid,
        cmdid,
        host: answer.host,
        retcode: 0,
    };
    let written = encode(MessageId::Report, &report, &mut bytes).expect("it fits");
    socket.send(&bytes[..written]).expect("the kernel takes it");
}

/// The front for callers of the C++ Lars, on the first core.
fn old_front(plan: &mut Plan<Mail>) -> UdpSocket {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let addr = plan
        .take_datagrams(CoreIndex(0), loopback, 0)
        .expect("a port is free");
    let socket = UdpSocket::bind(loopback).expect("a port is free");
    socket.connect(addr).expect("an address");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket option");
    socket
}

/// Calls each module many times, and holds what was allocated meanwhile against next to nothing.
fn hold(io: IoChoice, allocations: &AtomicU64, mut call: impl FnMut(ModuleId)) {
    const CALLS: usize = 5_000;
    for module in [module_of(0), module_of(1)] {
        // Once around, so that every table has the size that it will keep.
        (0..500).for_each(|_| call(module));
        let before = allocations.load(Ordering::Relaxed);
        (0..CALLS).for_each(|_| call(module));
        let more = allocations.load(Ordering::Relaxed) - before;
        println!("{io:?}, {module}: {more} allocations for {CALLS} picks and as many reports");
        // A table may grow once more; every five seconds the modules that were picked from are listed.
        assert!(more <= 16, "{more} allocations over {io:?} for {module}");
    }
}

fn calls_allocate_nothing(io: IoChoice) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let planned = Plan::new(CoresConfig {
        name: "watched",
        io,
        cores: CORES,
        pin: false,
        connections_max: 10,
        unsent_bytes_max: UNSENT_BYTES_MIN,
    });
    let mut plan = match planned {
        Ok(plan) => plan,
        Err(error) => return eprintln!("not tested over {io:?}: {error}"),
    };
    plan.listen_on(CoreIndex(0), &Bind::Unix(path.clone()), 0)
        .expect("the path is free");
    let old_caller = old_front(&mut plan);
    let allocations = Arc::default();
    let handlers = watched(&plan, &allocations);
    let cores = plan.start(handlers).expect("the cores start");
    let mut caller = connect(&path);
    hold(io, &allocations, |module| call(&mut caller, module));
    hold(io, &allocations, |module| old_call(&old_caller, module));
    cores.stop();
}

#[test]
fn picks_and_reports_allocate_nothing_over_the_ring() {
    calls_allocate_nothing(IoChoice::Uring);
}

#[test]
fn picks_and_reports_allocate_nothing_over_epoll() {
    calls_allocate_nothing(IoChoice::Epoll);
}
