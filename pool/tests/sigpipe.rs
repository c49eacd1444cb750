//! Writes to peers that are gone, in a program in which SIGPIPE kills. Alone in its process, because it changes that for
//! the whole of it. Several are written to in one turn: a lone write goes by a call that never raises the signal.

use lars_pool::{
    Bind, CloseReason, ConnectionId, CoresConfig, Handler, IoChoice, Peer, Plan, Received, Turn,
};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 10;
const DEAF: usize = 4;

/// Sends what one peer says to all of them, from the pool's own memory.
#[derive(Default)]
struct Crier {
    connections: BTreeSet<ConnectionId>,
}

impl Handler for Crier {
    type Mail = ();

    fn opened(&mut self, _: &mut Turn<'_, ()>, connection: ConnectionId, _: Peer, _: u16) {
        self.connections.insert(connection);
    }

    fn received(&mut self, turn: &mut Turn<'_, ()>, _: ConnectionId, bytes: &[u8]) -> Received {
        for connection in &self.connections {
            turn.reply(*connection, bytes.len(), |out| {
                out[..bytes.len()].copy_from_slice(bytes);
                bytes.len()
            });
        }
        Received::Consumed(bytes.len())
    }

    fn mail(&mut self, _: &mut Turn<'_, ()>, (): ()) {}

    fn closed(&mut self, _: &mut Turn<'_, ()>, connection: ConnectionId, _: CloseReason) {
        self.connections.remove(&connection);
    }

    fn settle(&mut self, _: &mut Turn<'_, ()>) -> Option<Instant> {
        None
    }
}

/// A plan of one core that listens at the path.
fn plan(io: IoChoice, path: &Path) -> Plan<()> {
    let mut plan = Plan::new(CoresConfig {
        name: "gone",
        io,
        cores: 1,
        pin: false,
        connections_max: 4096,
        unsent_bytes_max: 64 * 1024 * 1024,
    })
    .expect("a plan");
    plan.listen(&Bind::Unix(path.to_owned()), 0)
        .expect("the path is free");
    plan
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn peers_that_are_gone_harm_nobody(io: IoChoice) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let cores = plan(io, &path)
        .start(vec![Crier::default()])
        .expect("the core starts");
    let told = &cores.io().reason;
    // The one write that raises the signal is the one from registered memory.
    assert!(
        io == IoChoice::Epoll || told.contains("buffers are registered"),
        "{told}"
    );
    let stats = cores.stats();
    let figure = |name| stats[0].value(name).expect("a figure of this name");
    let failed = || figure("lars_pool_connections_closed_error_total") as usize;
    let mut hearing = UnixStream::connect(&path).expect("it listens");
    hearing
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out");
    for round in 1..=ROUNDS {
        let deaf = [(); DEAF].map(|()| UnixStream::connect(&path).expect("it listens"));
        for peer in &deaf {
            peer.shutdown(Shutdown::Read).expect("it is connected");
        }
        wait_until("all are connected", || {
            figure("lars_pool_connections") == DEAF as u64 + 1
        });
        hearing.write_all(b"x").expect("it reads");
        let mut answer = [0];
        hearing.read_exact(&mut answer).expect("who reads is answered");
        assert_eq!(&answer, b"x");
        wait_until("a write to each of the deaf failed", || failed() == DEAF * round);
        wait_until("the deaf are gone", || figure("lars_pool_connections") == 1);
    }
    cores.stop();
}

#[test]
fn write_to_a_peer_that_is_gone_ends_its_connection_and_not_the_program() {
    // SAFETY: the default action is no function of ours, and no other thread of this program has set one.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    for io in [IoChoice::Uring, IoChoice::Epoll] {
        peers_that_are_gone_harm_nobody(io);
    }
}
