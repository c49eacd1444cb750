//! What a core allocates for questions, on a real core over a real socket: nothing, whether the answer was encoded
//! before or is encoded anew. What the pool around it allocates is held by a test of its own in pool/.

use super::*;
use crate::catalog::{BucketBuilder, NewNode, bucket_of};
use allocation_counter::measure;
use lars_pool::{Bind, CoresConfig, IoChoice, Plan, UNSENT_BYTES_MIN};
use lars_wire::caller::{GetRoute, Hello, Status, Welcome};
use lars_wire::directory::RoutePage;
use lars_wire::{ModuleId, NodeAddr, NodeState, PREFACE};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

/// A core whose calls are watched.
struct Watched {
    core: DnsCore,
    allocations: Arc<AtomicU64>,
}

impl Watched {
    fn watch<T>(&mut self, call: impl FnOnce(&mut DnsCore) -> T) -> T {
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

/// Modules by what is asked for: as most are; with zones; too long to be kept; absent.
const NODES_AND_ZONES: [(u32, u32); 4] = [(10, 0), (10, 3), (100, 0), (0, 0)];

fn module(place: usize) -> ModuleId {
    ModuleId::new(1, place as u32)
}

fn loaded_catalog() -> Arc<Catalog> {
    let catalog = Catalog::new(7);
    for (place, (nodes, zones)) in NODES_AND_ZONES.into_iter().enumerate() {
        let node = |number: u32| NewNode {
            row: u64::from(number),
            addr: NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80),
            weight: 100,
            state: NodeState::Serving,
            zone: Arc::from(match zones {
                0 => String::new(),
                zones => format!("zone-{}", number % zones),
            }),
        };
        let mut builder = BucketBuilder::default();
        if nodes > 0 {
            builder.push_module(module(place), 2, 1, (0..nodes).map(node));
        }
        catalog.swap(bucket_of(module(place)), builder.build());
    }
    catalog.moved_to(2);
    catalog.set_loaded();
    Arc::new(catalog)
}

fn frame(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).expect("it fits");
    bytes
}

fn receive<M: Message>(stream: &mut UnixStream) -> M {
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).expect("an answer");
    let header = lars_wire::Header::read(&head).expect("a header");
    let mut body = vec![0; header.body_bytes as usize];
    stream.read_exact(&mut body).expect("its body");
    codec::decode(&body).expect("the answer that is waited for")
}

fn questions_allocate_nothing(io: IoChoice) {
    const QUESTIONS: usize = 2_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let planned = Plan::new(CoresConfig {
        name: "watched",
        io,
        cores: 1,
        pin: false,
        connections_max: 10,
        unsent_bytes_max: UNSENT_BYTES_MIN,
    });
    let mut plan = match planned {
        Ok(plan) => plan,
        Err(error) => return eprintln!("not tested over {io:?}: {error}"),
    };
    plan.listen(&Bind::Unix(path.clone()), 0)
        .expect("the path is free");
    let catalog = loaded_catalog();
    // Nobody reads what is asked of the control thread: nothing is.
    let (requests, _requests) = mpsc::channel(1);
    let (words, _words) = mpsc::unbounded_channel();
    let allocations = Arc::<AtomicU64>::default();
    let core = DnsCore::new(CoreParts {
        core: CoreIndex(0),
        incarnation: [0; 16],
        catalog: Arc::clone(&catalog),
        subscriptions: Subscriptions::new(10, 10),
        counts: Arc::new(Counts::new(plan.stats(), catalog)),
        requests,
        words,
    });
    let watched = Watched {
        core,
        allocations: Arc::clone(&allocations),
    };
    let cores = plan.start(vec![watched]).expect("the core starts");
    let mut peer = UnixStream::connect(&path).expect("it listens");
    let hello = Hello {
        version: 1,
        name: "test".to_owned(),
    };
    peer.write_all(&[PREFACE.as_slice(), &frame(&hello)].concat())
        .expect("it reads");
    receive::<Welcome>(&mut peer);
    for (place, (nodes, zones)) in NODES_AND_ZONES.into_iter().enumerate() {
        let question = frame(&GetRoute {
            module: module(place),
            deadline_ms: 0,
        });
        let mut ask = |times: usize| {
            for _ in 0..times {
                peer.write_all(&question).expect("it reads");
                let page: RoutePage = receive(&mut peer);
                let status = if nodes == 0 { Status::NotFound } else { Status::Ok };
                assert_eq!(
                    (page.status, page.nodes.len(), page.zones.len()),
                    (status, nodes as usize, zones as usize)
                );
            }
        };
        // Once, so that every buffer has the size that it will keep.
        ask(1);
        let before = allocations.load(Ordering::Relaxed);
        ask(QUESTIONS);
        let more = allocations.load(Ordering::Relaxed) - before;
        assert_eq!(more, 0, "{io:?}, a module of {nodes} nodes in {zones} zones");
    }
    cores.stop();
}

#[test]
fn questions_for_routes_allocate_nothing_over_the_ring() {
    questions_allocate_nothing(IoChoice::Uring);
}

#[test]
fn questions_for_routes_allocate_nothing_over_epoll() {
    questions_allocate_nothing(IoChoice::Epoll);
}
