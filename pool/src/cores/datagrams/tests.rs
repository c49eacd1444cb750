//! What becomes of answers that the kernel does not take, and of those for peers that are gone.

use super::*;
use crate::cores::{Cores, CoresConfig, IoChoice, Plan, UNSENT_BYTES_MIN};
use crate::handler::{CloseReason, ConnectionId, CoreIndex, Peer, Received};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// No wait of these tests is longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A Unix datagram socket says when its peer has no room, which UDP on loopback never does; here it takes the place of
/// a UDP socket.
fn datagrams_at(path: &Path) -> BoundDatagrams {
    let socket = UnixDatagram::bind(path).expect("a free path");
    socket.set_nonblocking(true).expect("a socket option");
    BoundDatagrams {
        socket: OwnedFd::from(socket).into(),
        tag: 1,
    }
}

fn peer_at(path: &Path) -> UnixDatagram {
    let peer = UnixDatagram::bind(path).expect("a free path");
    peer.set_nonblocking(true).expect("a socket option");
    peer
}

/// Answers each datagram with itself.
struct Echo;

impl Handler for Echo {
    type Mail = ();

    fn opened(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: Peer, _: u16) {}

    fn received(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: &[u8]) -> Received {
        Received::Close
    }

    fn datagram(&mut self, _: &mut Turn<'_, ()>, _: u16, bytes: &[u8], out: &mut [u8]) -> usize {
        out[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    fn mail(&mut self, _: &mut Turn<'_, ()>, (): ()) {}

    fn closed(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: CloseReason) {}

    fn settle(&mut self, _: &mut Turn<'_, ()>) -> Option<Instant> {
        None
    }
}

/// A service of one core with two sockets, one of which has a peer that does not read.
struct House {
    cores: Option<Cores>,
    stats: Arc<[CoreStats]>,
    deaf: UnixDatagram,
    to: PathBuf,
    /// What was asked so far, and what was answered.
    asked: u32,
    read: u32,
    other: UdpSocket,
    _folder: TempDir,
}

impl House {
    /// None where this machine forbids the ring.
    fn start(io: IoChoice) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let planned = Plan::new(CoresConfig {
            name: "echo",
            io,
            cores: 1,
            pin: false,
            connections_max: 10,
            unsent_bytes_max: UNSENT_BYTES_MIN,
        });
        let mut plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                eprintln!("not tested over {io:?}: {error}");
                return None;
            }
        };
        let to = folder.path().join("ours");
        plan.datagrams[0].push(datagrams_at(&to));
        let addr = plan
            .take_datagrams(CoreIndex(0), ([127, 0, 0, 1], 0).into(), 2)
            .expect("a port is free");
        let other = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
        other.connect(addr).expect("an address");
        other.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        let stats = plan.stats();
        Some(Self {
            cores: Some(plan.start(vec![Echo]).expect("the core starts")),
            stats,
            deaf: peer_at(&folder.path().join("theirs")),
            to,
            asked: 0,
            read: 0,
            other,
            _folder: folder,
        })
    }

    /// Asks as long as the service takes questions: it goes on for as long as the kernel takes its answers.
    fn ask_until_it_is_full(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let mut refused_since = None;
        while Instant::now() < deadline {
            if self.deaf.send_to(&self.asked.to_le_bytes(), &self.to).is_ok() {
                (self.asked, refused_since) = (self.asked + 1, None);
            } else if *refused_since.get_or_insert_with(Instant::now) + Duration::from_millis(50)
                < Instant::now()
            {
                return;
            }
        }
        panic!("the service takes questions without end");
    }

    /// Reads answers until all that was asked is answered, each once and in order.
    fn read_all(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let mut answer = [0; 64];
        while self.read < self.asked {
            match self.deaf.recv(&mut answer) {
                Ok(bytes) => {
                    assert_eq!(answer[..bytes], self.read.to_le_bytes());
                    self.read += 1;
                }
                Err(_) => assert!(Instant::now() < deadline, "{} of {}", self.read, self.asked),
            }
        }
        assert!(self.deaf.recv(&mut answer).is_err(), "nothing is answered twice");
    }
}

fn peer_without_room_gets_every_answer_later_and_holds_up_nobody_else(io: IoChoice) {
    let Some(mut house) = House::start(io) else { return };
    for round in 0..5 {
        house.ask_until_it_is_full();
        let (sent, others) = (house.stats[0].datagrams_sent.get(), 100 * round);
        assert!(
            sent < u64::from(house.asked) + others,
            "answers wait: {sent} are out"
        );
        for place in 0..100_u8 {
            house.other.send(&[place]).expect("the kernel takes it");
            let mut answer = [0; 8];
            assert_eq!(house.other.recv(&mut answer).expect("an answer"), 1);
            assert_eq!(answer[0], place);
        }
        house.read_all();
    }
}

#[test]
fn peer_without_room_gets_every_answer_later_over_the_ring() {
    peer_without_room_gets_every_answer_later_and_holds_up_nobody_else(IoChoice::Uring);
}

#[test]
fn peer_without_room_gets_every_answer_later_over_epoll() {
    peer_without_room_gets_every_answer_later_and_holds_up_nobody_else(IoChoice::Epoll);
}

fn core_that_stops_answers_what_it_could_not_answer_before(io: IoChoice) {
    let Some(mut house) = House::start(io) else { return };
    house.ask_until_it_is_full();
    let cores = house.cores.take();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(cores));
        house.read_all();
    });
}

#[test]
fn core_that_stops_answers_what_it_could_not_answer_before_over_the_ring() {
    core_that_stops_answers_what_it_could_not_answer_before(IoChoice::Uring);
}

#[test]
fn core_that_stops_answers_what_it_could_not_answer_before_over_epoll() {
    core_that_stops_answers_what_it_could_not_answer_before(IoChoice::Epoll);
}

#[test]
fn answer_for_which_there_is_no_room_is_sent_later_and_nothing_is_taken_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = folder.path().join("ours");
    let mut datagrams = Datagrams::new(datagrams_at(&ours));
    let caller = peer_at(&folder.path().join("theirs"));
    let stats = CoreStats::default();
    let mut answered: u32 = 0;
    let mut serve = |datagrams: &mut Datagrams| {
        datagrams.arrived();
        datagrams.serve(4, &stats, |bytes, out| {
            answered += 1;
            out[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
    };
    // The kernel queues some ten datagrams for each of the two; nobody reads the answers yet.
    let (mut asked, mut read): (u32, u32) = (0, 0);
    while !datagrams.is_blocked() {
        while caller.send_to(&asked.to_le_bytes(), &ours).is_ok() {
            asked += 1;
        }
        serve(&mut datagrams);
    }
    let queued = asked;
    while caller.send_to(&asked.to_le_bytes(), &ours).is_ok() {
        asked += 1;
    }
    serve(&mut datagrams);
    assert!(
        datagrams.is_blocked() && asked > queued,
        "what comes meanwhile waits in the kernel"
    );
    let mut buffer = [0; 64];
    while read < asked {
        while let Ok(4) = caller.recv(&mut buffer) {
            assert_eq!(buffer[..4], read.to_le_bytes());
            read += 1;
        }
        serve(&mut datagrams);
    }
    assert_eq!((answered, read), (asked, asked));
    assert!(!datagrams.is_blocked());
}

#[test]
fn peer_that_is_gone_costs_its_own_answer_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = folder.path().join("ours");
    let bound = datagrams_at(&ours);
    let callers: Vec<_> = (0..3)
        .map(|place| {
            let caller = peer_at(&folder.path().join(place.to_string()));
            caller.send_to(&[place], &ours).expect("there is room");
            caller
        })
        .collect();
    let mut callers = callers.into_iter();
    let (first, gone, last) = (callers.next(), callers.next(), callers.next());
    drop(gone);
    let (mut datagrams, stats) = (Datagrams::new(bound), CoreStats::default());
    datagrams.serve(1, &stats, |bytes, out| {
        out[0] = bytes[0];
        1
    });
    for (caller, expected) in [(first, 0), (last, 2)] {
        let mut byte = [9];
        assert_eq!(caller.expect("made above").recv(&mut byte).ok(), Some(1));
        assert_eq!(byte, [expected]);
    }
    assert_eq!((stats.datagrams_sent.get(), stats.datagrams_unsent.get()), (2, 1));
}
