//! Peers that break the rules, or do not read: they lose their own connection, and nobody else feels it.

use crate::peer::{Peer, module, node, put, unknown};
use crate::running::{Store, connect, wait_until};
use lars_wire::admin::{Reason, Refusal};
use lars_wire::bounds::BODY_BYTES_MAX;
use lars_wire::caller::{GetRoute, Hello, Pick};
use lars_wire::directory::{KnownModule, Subscribe};
use lars_wire::{Kind, ModuleId, PREFACE, codec};
use std::time::{Duration, Instant};

fn hello(version: u16) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    codec::append(
        &Hello {
            version,
            name: "bad".to_owned(),
        },
        1,
        &mut bytes,
    )
    .expect("it fits");
    bytes
}

fn refusal(peer: &mut Peer) -> Refusal {
    let refusal = loop {
        let arrived = peer.next();
        if arrived.header.kind == Kind::Refusal {
            break arrived.decode();
        }
    };
    assert!(peer.try_next().is_none(), "the connection is closed behind it");
    refusal
}

#[test]
fn bad_bytes_cost_their_sender_its_connection_and_nothing_else() {
    let store = Store::new();
    let dns = store.dns();
    let mut good = connect(&dns);
    good.edit(&[put(1, 1)]);
    let header = |length: u32, version: u8, kind: u8| {
        let mut bytes = hello(1);
        bytes.extend(length.to_le_bytes());
        bytes.extend([version, kind, 0, 0, 9, 0, 0, 0]);
        bytes.extend([0xff; 16]);
        bytes
    };
    let subscribe = u8::from(Kind::Subscribe);
    let cases = [
        (
            "a stranger",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            Reason::Malformed,
        ),
        (
            "too long",
            header(BODY_BYTES_MAX as u32 + 1, 1, subscribe),
            Reason::Malformed,
        ),
        ("another version", header(4, 9, subscribe), Reason::Version),
        ("an unknown kind", header(4, 1, 200), Reason::Malformed),
        ("a hostile count", header(8, 1, subscribe), Reason::Malformed),
        ("too short", header(1, 1, subscribe), Reason::Malformed),
        ("an old hello", hello(0), Reason::Version),
    ];
    for (name, bytes, reason) in cases {
        let mut bad = Peer::silent(dns.addr());
        bad.try_write(&bytes);
        assert_eq!(refusal(&mut bad).reason, reason, "{name}");
    }
    assert_eq!(good.count("bad_frames"), 7);
    assert_eq!(good.get_route(1).nodes(), [node(1)]);
}

#[test]
fn questions_before_hello_and_of_other_services_are_refused() {
    let store = Store::new();
    let dns = store.dns();
    let mut rude = Peer::silent(dns.addr());
    rude.write(&PREFACE);
    rude.send(
        &GetRoute {
            module: module(1),
            deadline_ms: 0,
        },
        3,
    );
    assert_eq!(refusal(&mut rude).reason, Reason::Unexpected);
    let mut lost = connect(&dns);
    lost.send(&Pick::new(module(1)), 3);
    assert_eq!(refusal(&mut lost).reason, Reason::Unexpected);
}

#[test]
fn frames_in_pieces_are_put_together() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&[put(1, 1)]);
    let mut bytes = hello(1);
    codec::append(
        &Subscribe {
            modules: vec![unknown(1)],
        },
        7,
        &mut bytes,
    )
    .expect("it fits");
    let mut slow = Peer::silent(dns.addr());
    for byte in bytes {
        slow.write(&[byte]);
    }
    assert_eq!(slow.next().header.kind, Kind::Welcome);
    assert_eq!(slow.route().nodes(), [node(1)]);
}

#[test]
fn random_bytes_end_no_core() {
    let seed = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let store = Store::new();
    let dns = store.dns();
    let mut good = connect(&dns);
    good.edit(&[put(1, 1)]);
    for _ in 0..200 {
        let mut bytes = hello(1);
        for _ in 0..random.usize(1..4) {
            let kind = Kind::ALL[random.usize(..Kind::ALL.len())];
            let body: Vec<u8> = (0..random.usize(..64)).map(|_| random.u8(..)).collect();
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend([1, kind.into(), 0, 0, 0, 0, 0, 0]);
            bytes.extend(body);
        }
        Peer::silent(dns.addr()).try_write(&bytes);
    }
    assert_eq!(good.get_route(1).nodes(), [node(1)]);
    wait_until("the others are gone", || good.count("connections") == 1);
}

#[test]
fn subscriptions_are_bounded() {
    let store = Store::new();
    let dns = store.dns_with(|config| config.connection_subscriptions_max = 100);
    let mut greedy = connect(&dns);
    greedy.subscribe(&(0..101).map(unknown).collect::<Vec<_>>());
    assert_eq!(refusal(&mut greedy).reason, Reason::Full);
    let mut admin = connect(&dns);
    wait_until("nothing of it is left", || admin.count("subscriptions") == 0);
}

#[test]
fn one_that_does_not_read_hurts_nobody() {
    let store = Store::new();
    store.fill(1, 4_096);
    let dns = store.dns();
    let mut admin = connect(&dns);
    let mut deaf = connect(&dns);
    // 400 answers of 94 KB each would be 38 MB; more than any socket holds.
    let mut questions = Vec::new();
    for sequence in 0..400 {
        codec::append(
            &GetRoute {
                module: module(1),
                deadline_ms: 0,
            },
            sequence,
            &mut questions,
        )
        .expect("it fits");
    }
    deaf.write(&questions);
    deaf.subscribe(&[unknown(1), unknown(2)]);
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(2)]);
    agent.route();
    for last in 1..=5 {
        let started = Instant::now();
        let asked = std::thread::spawn(move || {
            let pushed = agent.route();
            (agent, pushed)
        });
        let edited = admin.edit(&[put(2, last)]);
        let pushed;
        (agent, pushed) = asked.join().expect("the agent hears");
        assert_eq!(pushed.nodes().len() as u32, last);
        assert!(started.elapsed() < Duration::from_secs(2) && edited.put == 1);
    }
    // It may still read everything, in order, and then hears what it asked for last.
    for sequence in 0..400 {
        let whole = deaf.route_unacknowledged();
        assert_eq!((whole.sequence, whole.nodes().len()), (sequence, 4_096));
    }
    assert_eq!(deaf.route().nodes().len(), 4_096);
    assert_eq!(deaf.route().nodes().len(), 5);
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once() {
    let store = Store::new();
    let dns = store.dns_with(|config| config.connections_max = 3);
    let kept: Vec<Peer> = (0..3).map(|_| connect(&dns)).collect();
    let mut beyond = Peer::silent(dns.addr());
    beyond.try_write(&hello(1));
    assert!(beyond.try_next().is_none());
    drop(kept);
}

#[test]
fn unknown_modules_cost_no_memory_that_lasts() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    for first in (0..20_000).step_by(1_000) {
        let modules: Vec<KnownModule> = (first..first + 1_000)
            .map(|cmdid| KnownModule {
                module: ModuleId::new(9, cmdid),
                ..unknown(0)
            })
            .collect();
        agent.send(
            &Subscribe {
                modules: modules.clone(),
            },
            7,
        );
        for _ in 0..modules.len() {
            assert_eq!(agent.next().header.kind, Kind::RoutePage);
        }
        let modules = modules.iter().map(|known| known.module).collect();
        agent.send(&lars_wire::directory::Unsubscribe { modules }, 0);
    }
    assert_eq!((agent.count("subscriptions"), agent.count("modules")), (0, 0));
}
