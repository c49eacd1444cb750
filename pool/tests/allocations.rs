//! A core that serves requests allocates nothing for them: not for what it receives, not for what it sends, not for
//! mail to another core and its answer, not for datagrams. Its own test program, since the counting allocator is the whole program's.

use lars_pool::{
    Bind, CloseReason, ConnectionId, CoreIndex, CoresConfig, Handler, IoChoice, Peer, Plan, Received, Turn,
    UNSENT_BYTES_MIN,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Allocations of all threads so far.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator; counting touches no memory but an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps this function's contract, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(start, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers each byte with itself: an `m` by way of the other core, any other at once.
struct Parrot;

enum Note {
    Question(CoreIndex, ConnectionId),
    Answer(ConnectionId),
}

fn say(turn: &mut Turn<'_, Note>, to: ConnectionId, byte: u8) {
    turn.reply(to, 1, |out| {
        out[0] = byte;
        1
    });
}

impl Handler for Parrot {
    type Mail = Note;

    fn opened(&mut self, _: &mut Turn<'_, Note>, _: ConnectionId, _: Peer, _: u16) {}

    fn received(&mut self, turn: &mut Turn<'_, Note>, connection: ConnectionId, bytes: &[u8]) -> Received {
        for &byte in bytes {
            if byte == b'm' {
                let (me, other) = (turn.core(), CoreIndex(1 - turn.core().0));
                turn.post(other, Note::Question(me, connection));
            } else {
                say(turn, connection, byte);
            }
        }
        Received::Consumed(bytes.len())
    }

    fn datagram(&mut self, _: &mut Turn<'_, Note>, _: u16, bytes: &[u8], answer: &mut [u8]) -> usize {
        answer[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    fn mail(&mut self, turn: &mut Turn<'_, Note>, mail: Note) {
        match mail {
            Note::Question(core, connection) => turn.post(core, Note::Answer(connection)),
            Note::Answer(connection) => say(turn, connection, b'm'),
        }
    }

    fn closed(&mut self, _: &mut Turn<'_, Note>, _: ConnectionId, _: CloseReason) {}

    fn settle(&mut self, _: &mut Turn<'_, Note>) -> Option<Instant> {
        None
    }
}

/// So many rounds, in each of which every caller asks `bytes` and reads as many.
fn rounds(callers: &mut [UnixStream], bytes: &[u8], count: usize) {
    let mut answer = [0; 64];
    for _ in 0..count {
        for caller in callers.iter_mut() {
            caller.write_all(bytes).expect("the core reads");
        }
        for caller in callers.iter_mut() {
            caller
                .read_exact(&mut answer[..bytes.len()])
                .expect("the core answers");
        }
    }
}

/// The same with datagrams, many from each caller at once.
fn datagram_rounds(callers: &[UdpSocket], count: usize) {
    for _ in 0..count {
        for caller in callers {
            for _ in 0..16 {
                caller.send(b"datagram").expect("the kernel takes it");
            }
        }
        for caller in callers {
            for _ in 0..16 {
                // A ring that this process closed meanwhile may interrupt the wait.
                while caller.recv(&mut [0; 64]).is_err_and(|error| {
                    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "the core answers");
                    true
                }) {}
            }
        }
    }
}

fn datagram_caller(to: SocketAddr) -> UdpSocket {
    let caller = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
    caller.connect(to).expect("an address");
    let deadline = std::time::Duration::from_secs(10);
    caller.set_read_timeout(Some(deadline)).expect("a socket option");
    caller
}

fn requests_are_served_without_allocating(io: IoChoice) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let mut plan = Plan::new(CoresConfig {
        name: "parrot",
        io,
        cores: 2,
        pin: false,
        connections_max: 100,
        unsent_bytes_max: UNSENT_BYTES_MIN,
    })
    .expect("a plan");
    plan.listen(&Bind::Unix(path.clone()), 0)
        .expect("the path is free");
    let addr = plan
        .take_datagrams(CoreIndex(1), ([127, 0, 0, 1], 0).into(), 0)
        .expect("a port is free");
    let cores = plan.start(vec![Parrot, Parrot]).expect("the cores start");
    let mut callers: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(&path).expect("it listens"))
        .collect();
    // Once around, so that every table has the size that it will keep.
    for bytes in [b"aaaaaaaaaaaaaaaa", b"mmmmmmmmmmmmmmmm"] {
        rounds(&mut callers, bytes, 200);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        rounds(&mut callers, bytes, 1_000);
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        let text = String::from_utf8_lossy(&bytes[..1]).into_owned();
        println!("{io:?}, {text}: {allocations} allocations for 128,000 requests");
        // A table may still grow, once, where more came at the same time than ever before.
        assert!(
            allocations <= 8,
            "{allocations} allocations over {io:?} for '{text}'"
        );
    }
    let callers: Vec<_> = (0..8).map(|_| datagram_caller(addr)).collect();
    datagram_rounds(&callers, 50);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    datagram_rounds(&callers, 500);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!("{io:?}: {allocations} allocations for 64,000 datagrams");
    assert!(
        allocations <= 8,
        "{allocations} allocations over {io:?} for datagrams"
    );
    cores.stop();
}

/// One test, since the count is the program's.
#[test]
fn requests_are_served_without_allocating_over_both() {
    requests_are_served_without_allocating(IoChoice::Uring);
    requests_are_served_without_allocating(IoChoice::Epoll);
}
