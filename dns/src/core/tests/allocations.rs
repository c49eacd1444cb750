//! What a core allocates for questions, on a real core over a real socket: nothing, whether the answer was encoded
//! before or is encoded anew. What the pool around it allocates is held by a test of its own in pool/.

use super::*;
use crate::diff::judge;
use allocation_counter::measure;
use lars_store::routes::RouteRecord;
use lars_wire::caller::{GetRoute, Status};
use lars_wire::directory::RoutePage;
use lars_wire::{NodeAddr, NodeState};
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

fn published() -> Publisher {
    let mut publisher = Publisher::new(Arc::new(Catalog::new(7)));
    for (place, (nodes, zones)) in NODES_AND_ZONES.into_iter().enumerate() {
        let row = |number: u32| RouteRecord {
            id: place as u64 * 1_000 + u64::from(number) + 1,
            module: module(place),
            node: NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80),
            weight: 100,
            state: NodeState::Serving,
            zone: Arc::from(match zones {
                0 => String::new(),
                zones => format!("zone-{}", number % zones),
            }),
        };
        publisher.replace(vec![judge(module(place), (0..nodes).map(row).collect())]);
    }
    publisher
}

fn questions_allocate_nothing(io: IoChoice) {
    const QUESTIONS: usize = 2_000;
    let allocations = Arc::<AtomicU64>::default();
    let watch = |core| Watched {
        core,
        allocations: Arc::clone(&allocations),
    };
    let Some(running) = start(io, &published(), watch) else {
        return;
    };
    let mut peer = running.connect();
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
}

#[test]
fn questions_for_routes_allocate_nothing_over_the_ring() {
    questions_allocate_nothing(IoChoice::Uring);
}

#[test]
fn questions_for_routes_allocate_nothing_over_epoll() {
    questions_allocate_nothing(IoChoice::Epoll);
}
