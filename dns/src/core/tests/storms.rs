//! More changes than subscribers can read: who reads hears the newest soon, and who does not costs no more for it.

use super::*;
use crate::core::pushes::PUSH_UNSENT_MAX;
use crate::diff::judge;
use crate::publication::Publication;
use lars_store::routes::RouteRecord;
use lars_wire::directory::{KnownModule, PushAck, RoutePage, Subscribe};
use lars_wire::{NodeAddr, NodeState};
use std::time::Instant;

/// Nodes of the module that changes: 47 KB, since all of them change each time.
const NODES: u32 = 2_000;
const CHANGES: u16 = 60;
/// What nothing in these tests takes longer than, even on a machine with much else to do.
const DEADLINE: Duration = Duration::from_secs(30);

/// Gives every node of the module another weight.
fn change(publisher: &mut Publisher, weight: u16) -> Mail {
    let row = |number| RouteRecord {
        id: u64::from(number) + 1,
        module: MODULE,
        node: NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80),
        weight,
        state: NodeState::Serving,
        zone: Arc::from(""),
    };
    let changes = publisher.replace(vec![judge(MODULE, (0..NODES).map(row).collect())]);
    Mail::Published(Arc::new(Publication { changes, edit: None }))
}

fn subscribe(running: &Running) -> UnixStream {
    let mut stream = running.connect();
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    let known = KnownModule {
        module: MODULE,
        instance: 0,
        version: 0,
        hash: 0,
    };
    stream
        .write_all(&frame(&Subscribe { modules: vec![known] }))
        .expect("it reads");
    stream
}

/// Reads pages until the module has that weight, each acknowledged if told so; how many routes came.
fn read_until(stream: &mut UnixStream, weight: u16, acknowledge: bool) -> usize {
    let (mut routes, mut version) = (0, 0);
    loop {
        let (header, body) = receive_any(stream);
        if header.kind == Kind::StoreVersion {
            continue;
        }
        let page: RoutePage = codec::decode(&body).expect("a page");
        assert!(page.version >= version, "versions of a module only grow");
        version = page.version;
        if page.first as usize + page.nodes.len() < page.total as usize {
            continue;
        }
        routes += 1;
        if acknowledge {
            let module = MODULE;
            stream
                .write_all(&frame(&PushAck { module, version }))
                .expect("it reads");
        }
        if page.nodes[0].weight == weight {
            return routes;
        }
    }
}

fn storm(io: IoChoice, readers: usize, deaf: usize) {
    let mut publisher = Publisher::new(Arc::new(Catalog::new(7)));
    change(&mut publisher, 1);
    let Some(mut running) = start(io, &publisher, |core| core) else {
        return;
    };
    let mut deaf: Vec<UnixStream> = (0..deaf).map(|_| subscribe(&running)).collect();
    let readers: Vec<_> = (0..readers)
        .map(|_| {
            let mut stream = subscribe(&running);
            std::thread::spawn(move || read_until(&mut stream, CHANGES, true))
        })
        .collect();
    let subscribed = || running.counts.sum(|core| &core.subscriptions) as usize;
    let started = Instant::now();
    while subscribed() < readers.len() + deaf.len() {
        assert!(started.elapsed() < DEADLINE, "they subscribe");
        std::thread::yield_now();
    }
    let mut unsent_most = 0;
    for weight in 2..=CHANGES {
        running.send(change(&mut publisher, weight));
        let unsent = running.counts.pool[0].value("lars_pool_unsent_bytes");
        unsent_most = unsent_most.max(unsent.expect("there is such a figure"));
    }
    let connections = (readers.len() + deaf.len()) as u64;
    for reader in readers {
        reader.join().expect("it hears the last change");
    }
    // As many pushes as are allowed, the one that went beyond, and one paid when it asked.
    let each = PUSH_UNSENT_MAX as u64 + 2 * u64::from(NODES) * 23 + 4_096;
    assert!(
        unsent_most <= each * connections,
        "{unsent_most} bytes waited at most"
    );
    for stream in &mut deaf {
        let routes = read_until(stream, CHANGES, false);
        assert!(
            routes <= 12,
            "{routes} routes for one that did not read: what the socket and its queue hold, and the last"
        );
    }
    let owed = running.counts.sum(|core| &core.pushes_owed);
    println!("{io:?}: {unsent_most} bytes waited at most, {owed} pushes were left out");
}

#[test]
fn storm_leaves_those_who_do_not_read_with_the_newest_alone_over_the_ring() {
    storm(IoChoice::Uring, 4, 20);
}

#[test]
fn storm_leaves_those_who_do_not_read_with_the_newest_alone_over_epoll() {
    storm(IoChoice::Epoll, 4, 20);
}
