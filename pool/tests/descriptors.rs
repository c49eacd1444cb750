//! What happens when no descriptor is left. Alone in its process, because it lowers the limit of the whole of it.

#[path = "support/echo.rs"]
mod echo;

use echo::Echo;
use lars_pool::{Bind, CoresConfig, IoChoice, Plan};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn limit_descriptors(most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: 4096,
    };
    // SAFETY: the structure is only read and lives as long as the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
}

fn echoes(stream: &mut UnixStream) -> bool {
    let mut byte = [0];
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out");
    stream.write_all(b"x").is_ok() && stream.read(&mut byte).is_ok_and(|bytes| bytes == 1)
}

/// One body over both backends, one after the other.
fn peers_are_turned_away_without_a_hot_loop(io: IoChoice) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let mut plan = Plan::new(CoresConfig {
        name: "few",
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
    let value = |name| stats[0].value(name).expect("a figure of this name");

    let mut served = UnixStream::connect(&path).expect("it listens");
    assert!(echoes(&mut served));
    // The caller's ends exist before the limit falls to what is open now, so that only the service lacks descriptors.
    let mut callers: Vec<UnixStream> = Vec::new();
    let open_now = std::fs::read_dir("/proc/self/fd").expect("proc").count() as u64;
    let waiting = || {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "a socket");
        // SAFETY: the descriptor was just made and nobody else has it.
        unsafe { <UnixStream as std::os::fd::FromRawFd>::from_raw_fd(fd) }
    };
    for _ in 0..3 {
        callers.push(waiting());
    }
    limit_descriptors(open_now + 3);
    for caller in &callers {
        connect(caller, &path);
    }
    let start = Instant::now();
    while value("lars_pool_connections_refused_total") == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "nobody is turned away");
        assert!(echoes(&mut served), "who is served stays so");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (failed, since) = (value("lars_pool_accepts_failed_total"), Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        assert!(echoes(&mut served), "who is served stays so");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        value("lars_pool_accepts_failed_total") - failed <= 10,
        "it tries again and again"
    );

    limit_descriptors(4096);
    drop(callers);
    let mut again = UnixStream::connect(&path).expect("it listens");
    assert!(echoes(&mut again), "with descriptors there is service again");
    cores.stop();
}

fn connect(caller: &UnixStream, path: &std::path::Path) {
    // SAFETY: all zeroes are a valid sockaddr_un.
    let mut addr: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    for (to, from) in addr.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    let fd = std::os::fd::AsRawFd::as_raw_fd(caller);
    // SAFETY: `addr` is a whole sockaddr_un of `length` bytes, only read, and lives as long as the call.
    let result = unsafe { libc::connect(fd, (&raw const addr).cast(), length) };
    assert_eq!(result, 0);
}

#[test]
fn without_descriptors_peers_are_turned_away_and_the_others_served() {
    for io in [IoChoice::Uring, IoChoice::Epoll] {
        peers_are_turned_away_without_a_hot_loop(io);
    }
}
