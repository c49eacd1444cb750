//! The data path where io_uring is forbidden, as a container's seccomp profile does: bytes are moved all the same, why so
//! is told, and who asked for the ring alone is refused. Each body has a thread of its own, since what is forbidden to
//! one stays forbidden to it and to those that it starts.

#[path = "support/callers.rs"]
mod callers;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/forbid_ring.rs"]
mod forbid_ring;

use callers::echoes;
use echo::Echo;
use lars_pool::{Bind, Cores, CoresConfig, IoChoice, IoKind, Plan};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

const CORES: u16 = 2;
/// The calls that the ring needs, and what is told where each is forbidden.
const CALLS: [(libc::c_long, &str); 3] = [
    (libc::SYS_io_uring_setup, "io_uring_setup failed"),
    (libc::SYS_io_uring_enter, "io_uring_enter failed"),
    (libc::SYS_io_uring_register, "io_uring_register failed"),
];

fn plan(io: IoChoice, path: &Path) -> io::Result<Plan<()>> {
    let mut plan = Plan::new(CoresConfig {
        name: "forbidden",
        io,
        cores: CORES,
        pin: false,
        connections_max: 64,
        unsent_bytes_max: 64 * 1024 * 1024,
    })?;
    plan.listen(&Bind::Unix(path.to_owned()), 0)?;
    Ok(plan)
}

fn start(plan: Plan<()>) -> io::Result<Cores> {
    plan.start((0..CORES).map(|_| Echo).collect())
}

/// Runs `body` on a thread of its own, with the path of a socket that nobody has yet.
fn apart(body: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    thread::scope(|scope| scope.spawn(|| body(&path)).join().expect("the body is well"));
}

#[test]
fn bytes_are_moved_by_epoll_where_a_call_of_the_ring_is_forbidden_and_why_is_told() {
    for (number, told) in CALLS {
        apart(|path| {
            forbid_ring::forbid(number).expect("a filter can be installed");
            let cores = plan(IoChoice::Auto, path)
                .and_then(start)
                .expect("epoll always works");
            let io = cores.io();
            assert_eq!(io.kind, IoKind::Epoll);
            for words in [told, "(os error 1)", "seccomp"] {
                assert!(io.reason.contains(words), "'{words}' is not in: {}", io.reason);
            }
            echoes::<100>(path);
            cores.stop();
        });
    }
}

#[test]
fn who_asks_for_the_ring_alone_is_refused_with_the_reason() {
    for (number, told) in CALLS {
        apart(|path| {
            forbid_ring::forbid(number).expect("a filter can be installed");
            let Err(error) = plan(IoChoice::Uring, path) else {
                panic!("there is no ring");
            };
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let text = error.to_string();
            for words in [told, "(os error 1)", "seccomp"] {
                assert!(text.contains(words), "'{words}' is not in: {text}");
            }
        });
    }
}

#[test]
fn cores_that_get_no_ring_when_they_start_move_bytes_by_epoll_and_each_says_so() {
    apart(|path| {
        let plan = plan(IoChoice::Auto, path).expect("a plan");
        assert_eq!(plan.io().kind, IoKind::Uring, "{}", plan.io().reason);
        forbid_ring::forbid(libc::SYS_io_uring_setup).expect("a filter can be installed");
        let cores = start(plan).expect("epoll always works");
        assert_eq!(cores.io().kind, IoKind::Epoll);
        let stats = cores.stats();
        for (core, stats) in stats.iter().enumerate() {
            let words = format!("core {core} is on epoll: io_uring_setup failed");
            let whole = &cores.io().reason;
            assert!(whole.contains(&words), "'{words}' is not in: {whole}");
            let own = stats.io().expect("it runs");
            assert_eq!(own.kind, IoKind::Epoll);
            assert!(own.reason.contains(&words), "'{words}' is not in: {}", own.reason);
        }
        echoes::<100>(path);
        cores.stop();
    });
}

#[test]
fn core_that_gets_no_ring_fails_the_start_of_who_asks_for_the_ring_alone() {
    apart(|path| {
        let plan = plan(IoChoice::Uring, path).expect("a plan");
        forbid_ring::forbid(libc::SYS_io_uring_setup).expect("a filter can be installed");
        let error = start(plan).expect_err("there is no ring");
        assert!(error.to_string().contains("io_uring_setup failed"), "{error}");
        assert!(
            UnixStream::connect(path).is_err(),
            "those that did start are stopped again"
        );
    });
}
