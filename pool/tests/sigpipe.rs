//! Writes to peers that are gone, in a program in which SIGPIPE kills. Alone in its process, because it changes that for
//! the whole of it.

#[path = "support/echo.rs"]
mod echo;

use echo::Echo;
use lars_pool::{Bind, CoresConfig, IoChoice, Plan};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn peers_that_are_gone_harm_nobody(io: IoChoice) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let mut plan = Plan::new(CoresConfig {
        name: "gone",
        io,
        cores: 1,
        pin: false,
        connections_max: 4096,
        unsent_bytes_max: 64 * 1024 * 1024,
    })
    .expect("a plan");
    plan.listen(&Bind::Unix(path.clone()), 0)
        .expect("the path is free");
    let cores = plan.start(vec![Echo]).expect("the core starts");
    let stats = cores.stats();
    let failed = || {
        let name = "lars_pool_connections_closed_error_total";
        stats[0].value(name).expect("a figure of this name")
    };
    for _ in 0..10 {
        let (before, deadline) = (failed(), Instant::now() + Duration::from_secs(10));
        let mut deaf = UnixStream::connect(&path).expect("it listens");
        deaf.shutdown(Shutdown::Read).expect("it is connected");
        deaf.write_all(b"x").expect("it reads");
        while failed() == before {
            assert!(Instant::now() < deadline, "no write failed");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let mut peer = UnixStream::connect(&path).expect("it listens");
    peer.write_all(b"x").expect("it reads");
    let mut answer = [0];
    peer.read_exact(&mut answer).expect("who reads is answered");
    assert_eq!(&answer, b"x");
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
