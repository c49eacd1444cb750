//! An agent that is silent, slow, late, chatty or no agent at all: a deadline and a clear error, never a panic.

use crate::fake_agent::{
    FakeAgent, Got, MODULE, PATIENCE, Peer, addr, folder, frame_of, node_of, one_node, patient, welcome,
};
use crate::fake_board::{FakeBoard, eventually};
use lars_client::{Client, ClientError, NodeAddr, PickError, PickOptions, Transport};
use lars_wire::Kind;
use lars_wire::caller::{Node, NodeView, Pong, Status};
use socket2::{Domain, SockAddr, Socket, Type};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn hasty(path: &Path) -> Client {
    let client = Client::builder().path(path).timeout(Duration::from_millis(100));
    client.connect().expect("the agent listens")
}

#[test]
fn missing_agent_is_told_with_its_place_and_the_cure() {
    let (_folder, path) = folder();
    let error = Client::connect(&path).expect_err("nobody listens");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("agent.sock") && text.contains("start it with `lars up`"),
        "{text}"
    );
}

#[test]
fn silent_agent_costs_the_timeout_and_no_more() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, |_, _| {});
    let client = hasty(&path);
    let start = Instant::now();
    for _ in 0..3 {
        let error = client.pick(MODULE).expect_err("nobody answers");
        assert!(
            matches!(error, PickError::Client(ClientError::Timeout { .. })),
            "{error}"
        );
        assert!(
            error.to_string().contains("did not answer a pick within 100 ms"),
            "{error}"
        );
    }
    let flush = client.flush();
    assert_eq!(flush, Ok(()), "nothing was reported");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert_eq!(
        agent.connections(),
        1,
        "a late answer can still be skipped on the old connection"
    );
}

#[test]
fn agent_that_accepts_nothing_costs_the_timeout() {
    let (_folder, path) = folder();
    let agent = SockAddr::unix(&path).expect("a path");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    listener.bind(&agent).expect("the socket is free");
    listener.listen(1).expect("it can listen");
    let builder = Client::builder().path(&path).timeout(Duration::from_millis(100));
    let error = builder.connect().expect_err("nobody says welcome");
    assert!(
        matches!(error, ClientError::Timeout { asked: "hello", .. }),
        "{error}"
    );
    // The backlog of a stopped agent is full after a while: then the connect itself must end in time.
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("descriptors are left");
        socket.set_nonblocking(true).expect("it can");
        match socket.connect(&agent) {
            Ok(()) => waiting.push(socket),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{} wait: {error}", waiting.len()),
        }
    }
    let builder = Client::builder().path(&path).timeout(Duration::from_millis(100));
    let error = builder.connect().expect_err("there is no room");
    assert!(
        matches!(
            error,
            ClientError::Timeout {
                asked: "a connect",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn agent_that_accepts_for_its_board_and_never_welcomes_costs_the_timeout_and_no_pick() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, one_node);
    let board = FakeBoard::hanging(&path);
    board.put(MODULE, &[addr("10.0.1.1:80")], NodeView::Idle);
    let (done, connected) = mpsc::channel();
    let connecting = {
        let path = path.clone();
        std::thread::spawn(move || {
            let start = Instant::now();
            let builder = Client::builder().path(&path).timeout(Duration::from_millis(500));
            let client = builder.connect().expect("the agent listens");
            // Nobody waits for it where the test has failed.
            let _ = done.send((client, start.elapsed()));
        })
    };
    let (client, took) = connected.recv_timeout(PATIENCE).expect("it has an end");
    connecting.join().expect("no panic");
    println!("connected after {took:?}");
    assert!(took >= Duration::from_millis(490), "it was waited for: {took:?}");
    // The client's thread goes on trying, and waits for a welcome meanwhile.
    for round in 1..=20 {
        assert_eq!(client.transport(), Transport::Socket);
        let call = client.pick(MODULE).expect("the agent answers");
        assert_eq!(
            (call.node(), agent.count(Kind::Pick)),
            (addr("10.0.0.1:7777"), round)
        );
        call.ok().expect("reported");
    }
    board.wishes.hangs.store(false, Ordering::SeqCst);
    eventually("it welcomes at last", || client.transport() == Transport::Board);
    let call = client.pick(MODULE).expect("on the board");
    assert_eq!(call.node(), addr("10.0.1.1:80"));
}

#[test]
fn answer_that_comes_byte_by_byte_is_put_together() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, |got, peer| {
        for byte in frame_of(got.sequence, &node_of(MODULE, "10.0.0.1:7777")) {
            peer.raw(&[byte]);
            std::thread::yield_now();
        }
    });
    let client = patient(&path);
    for _ in 0..20 {
        assert_eq!(
            client.pick(MODULE).expect("there is a node").node(),
            addr("10.0.0.1:7777")
        );
    }
}

#[test]
fn many_answers_in_one_read_are_told_apart() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, |got, peer| {
        if got.kind != Kind::Pick {
            return;
        }
        // What nobody asked for, an old answer, the answer, and the first half of a stray one; the next pick gets
        // the other half first.
        static STRAY: AtomicU32 = AtomicU32::new(0);
        let stray = frame_of(0, &Pong { echo: 1 });
        let (half, rest) = stray.split_at(7);
        let mut bytes = Vec::new();
        if STRAY.fetch_add(1, Ordering::SeqCst) > 0 {
            bytes.extend_from_slice(rest);
        }
        bytes.extend(frame_of(0, &Pong { echo: 2 }));
        bytes.extend(frame_of(got.sequence - 1, &node_of(MODULE, "10.9.9.9:9")));
        bytes.extend(frame_of(got.sequence, &node_of(MODULE, "10.0.0.1:7777")));
        bytes.extend_from_slice(half);
        peer.raw(&bytes);
    });
    let client = patient(&path);
    for _ in 0..5 {
        assert_eq!(
            client.pick(MODULE).expect("there is a node").node(),
            addr("10.0.0.1:7777")
        );
    }
}

#[test]
fn late_answer_is_skipped_by_its_sequence() {
    let (_folder, path) = folder();
    let first = AtomicU32::new(0);
    let agent = FakeAgent::new(&path, move |got, peer| {
        if got.kind != Kind::Pick {
            return;
        }
        // The first pick is answered only when the second is here.
        if first.load(Ordering::SeqCst) == 0 {
            first.store(got.sequence, Ordering::SeqCst);
            return;
        }
        peer.answer(first.load(Ordering::SeqCst), &node_of(MODULE, "10.0.0.1:1"));
        peer.answer(got.sequence, &node_of(MODULE, "10.0.0.2:2"));
    });
    let client = hasty(&path);
    client.pick(MODULE).expect_err("nobody answers the first");
    // The wait makes the second pick patient.
    let options = PickOptions {
        wait: Duration::from_secs(5),
        ..PickOptions::default()
    };
    assert_eq!(
        client.pick_with(MODULE, options).expect("it is answered").node(),
        addr("10.0.0.2:2")
    );
    assert_eq!(agent.connections(), 1);
}

/// A frame that is wrong at the byte layer or above, for the question of `sequence`.
type Wrong = fn(u32) -> Vec<u8>;

fn with_byte(mut bytes: Vec<u8>, place: usize, byte: u8) -> Vec<u8> {
    bytes[place] = byte;
    bytes
}

fn good(sequence: u32) -> Vec<u8> {
    frame_of(sequence, &node_of(MODULE, "10.0.0.1:7777"))
}

#[test]
fn garbage_is_a_protocol_error_and_the_next_pick_gets_a_new_connection() {
    let wrongs: [(&str, Wrong); 9] = [
        ("preface of something else", |_| {
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()
        }),
        ("length beyond the bound", |sequence| {
            with_byte(good(sequence), 3, 1)
        }),
        ("version", |sequence| with_byte(good(sequence), 4, 2)),
        ("unknown kind", |sequence| with_byte(good(sequence), 5, 200)),
        ("reserved", |sequence| with_byte(good(sequence), 6, 1)),
        ("unknown status", |sequence| with_byte(good(sequence), 12, 77)),
        ("another kind", |sequence| frame_of(sequence, &Pong { echo: 0 })),
        ("answer to a question not asked", |sequence| good(sequence + 1)),
        ("too short", |sequence| {
            let mut bytes = with_byte(good(sequence), 0, 34);
            bytes.truncate(12 + 34);
            bytes
        }),
    ];
    for (name, wrong) in wrongs {
        let (_folder, path) = folder();
        let asked = AtomicU32::new(0);
        let agent = FakeAgent::new(&path, move |got, peer| {
            if got.kind == Kind::Pick && asked.fetch_add(1, Ordering::SeqCst) == 0 {
                peer.raw(&wrong(got.sequence));
            } else {
                one_node(got, peer);
            }
        });
        let client = patient(&path);
        let error = client.pick(MODULE).expect_err(name);
        assert!(
            matches!(error, PickError::Client(ClientError::Protocol { .. })),
            "{name}: {error}"
        );
        assert!(
            error.to_string().contains("check the address and both versions"),
            "{error}"
        );
        drop(client.pick(MODULE).expect("the second is answered"));
        assert_eq!(agent.connections(), 2, "{name}");
    }
}

#[test]
fn random_garbage_never_panics() {
    let seed = std::env::var("LARS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, move |got, peer| {
        let mut random = random.lock().expect("no panic");
        let mut bytes = good(got.sequence);
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..bytes.len());
            bytes[place] = random.u8(..);
        }
        bytes.truncate(random.usize(1..=bytes.len()));
        peer.raw(&bytes);
        peer.close();
    });
    let client = hasty(&path);
    for _ in 0..300 {
        match client.pick(MODULE) {
            Ok(call) => drop(call),
            Err(PickError::Client(ClientError::NotRunning { .. })) => panic!("the agent listens"),
            Err(_) => {}
        }
    }
}

fn raw_welcome(answer: impl Fn(&Got, &mut Peer<'_>) + Send + Sync + 'static) -> ClientError {
    let (_folder, path) = folder();
    let _agent = FakeAgent::raw(&path, answer);
    let builder = Client::builder().path(&path).timeout(Duration::from_millis(500));
    builder.connect().expect_err("there is no welcome")
}

#[test]
fn welcome_of_another_version_is_refused_by_the_client() {
    let error = raw_welcome(|got, peer| {
        let mut other = welcome();
        other.version = 2;
        peer.answer(got.sequence, &other);
    });
    assert!(
        error.to_string().contains("it speaks version 2, this program 1"),
        "{error}"
    );
}

#[test]
fn refused_hello_says_why() {
    let error = raw_welcome(|got, peer| {
        let refusal = lars_wire::admin::Refusal {
            reason: lars_client::Reason::Full,
            text: "1,000 connections are open: raise connections_max".to_owned(),
        };
        peer.answer(got.sequence, &refusal);
        peer.close();
    });
    assert!(error.to_string().contains("raise connections_max"), "{error}");
}

#[test]
fn node_that_cannot_be_called_is_a_protocol_error() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, |got, peer| {
        let nowhere = Node {
            status: Status::Ok,
            node: NodeAddr::NONE,
            token: 0,
            version: 1,
        };
        peer.answer(got.sequence, &nowhere);
    });
    let error = hasty(&path).pick(MODULE).expect_err("there is no node");
    assert!(
        matches!(error, PickError::Client(ClientError::Protocol { .. })),
        "{error}"
    );
}
