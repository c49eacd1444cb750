//! Callers with the board in their own process: what they report in rings is stored to the call, whoever drains it, and
//! whatever else is written there.

use crate::caller::PATIENCE;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_agent::board_socket;
use lars_board::{Board, BoardReader, CallRecord, NodeSlot, Packets, Picked, RingWriter, wait};
use lars_pool::IoChoice;
use lars_wire::caller::{Hello, NodeView, Outcome, Ping, Pong, Welcome};
use lars_wire::ring::{RingHalfFull, RingOffer, RingTaken};
use lars_wire::{Kind, Message, ModuleId, NodeAddr, codec, frame};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::Instant;

over_both!(
    calls_picked_from_the_board_and_reported_in_rings_are_stored_to_the_call,
    next_agent_takes_the_ring_over_and_counts_what_lies_in_it,
    stop_flushes_what_was_drained,
);

/// A caller with the board.
pub(crate) struct Neighbour {
    pub(crate) packets: Packets,
    board: Board,
    welcome: Welcome,
}

fn send<M: Message>(packets: &Packets, message: &M, file: Option<BorrowedFd<'_>>) {
    let mut bytes = Vec::new();
    codec::append(message, 9, &mut bytes).expect("it fits");
    packets.send(&bytes, file).expect("the agent takes it");
}

/// The next packet: kind and body; none when the agent has closed.
fn receive(packets: &Packets) -> (Option<(Kind, Vec<u8>)>, Option<std::os::fd::OwnedFd>) {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = [0; 2_048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the agent says nothing");
        wait(&[packets.as_fd()], Some(left)).expect("it can be waited for");
        match packets.receive(&mut bytes) {
            Ok(None) => {}
            Ok(Some(packet)) if packet.bytes > 0 => {
                let frame = frame::split(&bytes[..packet.bytes])
                    .expect("good")
                    .expect("whole");
                assert_eq!(
                    frame.header.sequence,
                    if frame.header.kind == Kind::Refusal { 0 } else { 9 }
                );
                return (Some((frame.header.kind, frame.body.to_vec())), packet.file);
            }
            Ok(Some(_)) | Err(_) => return (None, None),
        }
    }
}

fn answer<M: Message>(packets: &Packets) -> M {
    let (frame, _) = receive(packets);
    let (kind, body) = frame.expect("the agent answers");
    assert_eq!(kind, M::KIND);
    codec::decode(&body).expect("good bytes")
}

impl Neighbour {
    pub(crate) fn of(house: &House) -> Self {
        let packets = Packets::connect(&board_socket(&house.config.socket)).expect("the agent listens");
        let (version, name) = (1, "neighbour".to_owned());
        send(&packets, &Hello { version, name }, None);
        let (frame, file) = receive(&packets);
        let (kind, body) = frame.expect("welcomed");
        assert_eq!(kind, Kind::Welcome);
        Self {
            packets,
            board: Board::open(file.expect("the board")).expect("a board"),
            welcome: codec::decode(&body).expect("good bytes"),
        }
    }

    /// Whether the agent takes the ring.
    pub(crate) fn offer(&self, ring: &RingWriter) -> bool {
        send(&self.packets, &RingOffer { ring: 7 }, Some(ring.file()));
        let RingTaken { ring, taken } = answer(&self.packets);
        assert_eq!(ring, 7);
        taken
    }

    pub(crate) fn flush(&self) {
        send(&self.packets, &Ping { echo: 5 }, None);
        assert_eq!(answer::<Pong>(&self.packets).echo, 5);
    }
}

pub(crate) fn report(ring: &mut RingWriter, module: ModuleId, node: NodeAddr, outcome: Outcome) {
    ring.report(&CallRecord {
        module,
        node,
        slot: NodeSlot::NONE,
        outcome,
        probe: false,
        calls: 1,
        latency_us: 100,
    });
}

fn pick(reader: &mut BoardReader, module: ModuleId) -> NodeAddr {
    match reader.pick(module, &[]) {
        Picked::Node(choice) => choice.addr,
        other => panic!("{other:?}"),
    }
}

/// A house with one module for each core, of two nodes each.
pub(crate) fn furnished(io: IoChoice) -> (House, [ModuleId; 2]) {
    let house = House::ready(io);
    let modules = [module_of(0, 0), module_of(1, 0)];
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80", "10.0.0.2:80"]);
        house.caller().register(module, 10_000);
    }
    (house, modules)
}

fn calls_picked_from_the_board_and_reported_in_rings_are_stored_to_the_call(io: IoChoice) {
    let (house, modules) = furnished(io);
    let neighbour = Neighbour::of(&house);
    let over_the_socket = house.caller().welcome.expect("welcomed");
    assert_eq!(neighbour.welcome, over_the_socket);
    assert!(neighbour.welcome.board);
    let mut ring = RingWriter::create(64).expect("memory");
    assert!(neighbour.offer(&ring));
    let mut reader = neighbour.board.reader(1);
    let nodes = [node("10.0.0.1:80"), node("10.0.0.2:80")];
    let mut sums = [[0_u64; 2]; 2];
    for number in 0..2_000 {
        let module = modules[number % 2];
        let picked = pick(&mut reader, module);
        let place = usize::from(picked == nodes[1]);
        sums[number % 2][place] += 1;
        report(&mut ring, module, picked, Outcome::Ok);
        if number % 100 == 50 {
            send(&neighbour.packets, &RingHalfFull { ring: 7 }, None);
        }
    }
    eventually("everything is in the ring", || ring.unload());
    neighbour.flush();
    assert!(ring.is_drained());
    house.report.wait_total(2_000);
    for (module, sums) in modules.into_iter().zip(sums) {
        for (node, sum) in nodes.into_iter().zip(sums) {
            assert!(sum > 0);
            assert_eq!(house.report.sum(module, node), [sum, 0, 0, 0]);
        }
    }
    let stats = house.agent().stats();
    assert_eq!((stats.rings(), stats.rings_broken()), (1, 0));
    assert_eq!(stats.reports(Outcome::Ok), 2_000);
    assert!(neighbour.board.silence(Instant::now()) < PATIENCE);
    drop(neighbour);
    eventually("the ring is let go", || house.agent().stats().rings() == 0);
}

fn next_agent_takes_the_ring_over_and_counts_what_lies_in_it(io: IoChoice) {
    let (mut house, modules) = furnished(io);
    let first = Neighbour::of(&house);
    let mut ring = RingWriter::create(1_024).expect("memory");
    assert!(first.offer(&ring));
    let (module, node) = (modules[0], node("10.0.0.1:80"));
    for _ in 0..300 {
        report(&mut ring, module, node, Outcome::Ok);
    }
    first.flush();
    house.stop();
    assert_eq!(house.report.sum(module, node), [300, 0, 0, 0]);
    for _ in 0..200 {
        report(&mut ring, module, node, Outcome::Failed);
    }
    assert!(receive(&first.packets).0.is_none(), "the agent's end is told");
    house.start();
    let second = Neighbour::of(&house);
    assert_ne!(first.welcome.incarnation, second.welcome.incarnation);
    assert!(second.offer(&ring));
    house.report.wait_sum(module, node, [300, 200, 0, 0]);
    assert_eq!((ring.drained(), ring.is_drained()), (500, true));
}

fn stop_flushes_what_was_drained(io: IoChoice) {
    let (mut house, modules) = furnished(io);
    let neighbour = Neighbour::of(&house);
    let mut rings: Vec<RingWriter> = (0..4)
        .map(|_| RingWriter::create(1_024).expect("memory"))
        .collect();
    for ring in &mut rings {
        assert!(neighbour.offer(ring));
        for number in 0..1_000 {
            report(ring, modules[number % 2], node("10.0.0.2:80"), Outcome::Ok);
        }
    }
    house.stop();
    assert!(rings.iter().all(RingWriter::is_drained));
    for module in modules {
        assert_eq!(house.report.sum(module, node("10.0.0.2:80")), [2_000, 0, 0, 0]);
    }
}

#[test]
fn what_a_caller_left_behind_is_counted_when_it_dies() {
    let (house, modules) = furnished(IoChoice::Auto);
    let neighbour = Neighbour::of(&house);
    let mut ring = RingWriter::create(64).expect("memory");
    assert!(neighbour.offer(&ring));
    for _ in 0..50 {
        report(&mut ring, modules[1], node("10.0.0.1:80"), Outcome::TimedOut);
    }
    drop((ring, neighbour));
    house
        .report
        .wait_sum(modules[1], node("10.0.0.1:80"), [0, 0, 50, 0]);
}

#[test]
fn node_that_fails_in_rings_is_seen_to_be_overloaded_on_the_board() {
    let (house, modules) = furnished(IoChoice::Auto);
    let neighbour = Neighbour::of(&house);
    let mut ring = RingWriter::create(1_024).expect("memory");
    assert!(neighbour.offer(&ring));
    let mut reader = neighbour.board.reader(1);
    let (module, bad) = (modules[0], node("10.0.0.1:80"));
    let mut nodes = Vec::new();
    eventually("the failing node is overloaded", || {
        if pick(&mut reader, module) == bad {
            report(&mut ring, module, bad, Outcome::Failed);
        }
        reader.entry(module, &mut nodes).expect("on the board");
        nodes
            .iter()
            .any(|node| node.addr == bad && node.view != NodeView::Idle)
    });
}

#[test]
fn caller_that_scribbles_loses_its_ring_and_nobody_else_theirs() {
    let (house, modules) = furnished(IoChoice::Auto);
    let (bad, good) = (Neighbour::of(&house), Neighbour::of(&house));
    let scribbled = RingWriter::create(64).expect("memory");
    let mut ring = RingWriter::create(64).expect("memory");
    assert!(bad.offer(&scribbled) && good.offer(&ring));
    let file = File::from(scribbled.file().try_clone_to_owned().expect("another descriptor"));
    file.write_all_at(&u64::MAX.to_ne_bytes(), 16 * 8)
        .expect("written");
    eventually("the ring is given up", || {
        house.agent().stats().rings_broken() == 1
    });
    report(&mut ring, modules[0], node("10.0.0.1:80"), Outcome::Ok);
    house
        .report
        .wait_sum(modules[0], node("10.0.0.1:80"), [1, 0, 0, 0]);
    // Its connection stays, and a new ring may be taken.
    assert!(bad.offer(&RingWriter::create(64).expect("memory")));
}

#[test]
fn what_is_no_ring_is_not_taken_and_one_too_many_neither() {
    let mut house = House::new(IoChoice::Auto);
    house.config.rings_max = 2;
    house.start();
    let neighbour = Neighbour::of(&house);
    let file = tempfile::tempfile().expect("a file");
    file.set_len(1 << 20).expect("sized");
    send(&neighbour.packets, &RingOffer { ring: 1 }, Some(file.as_fd()));
    assert!(!answer::<RingTaken>(&neighbour.packets).taken);
    send(&neighbour.packets, &RingOffer { ring: 2 }, None);
    assert!(!answer::<RingTaken>(&neighbour.packets).taken);
    let rings: Vec<RingWriter> = (0..3).map(|_| RingWriter::create(64).expect("memory")).collect();
    let taken: Vec<bool> = rings.iter().map(|ring| neighbour.offer(ring)).collect();
    assert_eq!(taken, [true, true, false]);
    let other = Neighbour::of(&house);
    assert!(!other.offer(&rings[2]));
    drop(neighbour);
    eventually("the rings are let go", || house.agent().stats().rings() == 0);
    assert!(other.offer(&rings[2]));
}

#[test]
fn packets_that_do_not_belong_end_the_connection_alone() {
    let house = House::ready(IoChoice::Auto);
    let refused = |bytes: &[u8], hello: bool| {
        let packets = if hello {
            Neighbour::of(&house).packets
        } else {
            Packets::connect(&board_socket(&house.config.socket)).expect("the agent listens")
        };
        packets.send(bytes, None).expect("sent");
        while receive(&packets).0.is_some() {}
    };
    let frame = |message: &Ping| {
        let mut bytes = Vec::new();
        codec::append(message, 9, &mut bytes).expect("it fits");
        bytes
    };
    let ping = frame(&Ping { echo: 1 });
    refused(&ping, false);
    refused(b"GET / HTTP/1.1\r\n", true);
    refused(&ping[..ping.len() - 1], true);
    refused(&[&ping[..], &ping[..]].concat(), true);
    refused(&[0; 500], true);
    Neighbour::of(&house).flush();
}

#[test]
fn board_is_not_handed_out_where_no_ring_may_be_taken() {
    let mut house = House::new(IoChoice::Auto);
    house.config.rings_max = 0;
    house.start();
    assert!(!house.caller().welcome.expect("welcomed").board);
    assert!(Packets::connect(&board_socket(&house.config.socket)).is_err());
    house.stop();
}
