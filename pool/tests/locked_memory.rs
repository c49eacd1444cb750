//! Memory that may not be locked, told with its cure: buffers stay unregistered, or there is no ring. Alone in its
//! process, since the limit is the whole process's.

#[path = "support/callers.rs"]
mod callers;
#[path = "support/echo.rs"]
mod echo;

use callers::echoes;
use echo::Echo;
use lars_pool::{Bind, Cores, CoresConfig, IoChoice, IoInUse, IoKind, Plan};
use std::io;
use std::path::Path;

/// Of the kernel's `linux/capability.h`: the version with two words a set, and who is above the limit.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
const CAP_IPC_LOCK: u32 = 14;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Set {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The limit counts for this thread and those that it starts, whoever runs the test.
fn give_up_locking_beyond_the_limit() -> io::Result<()> {
    let mut header = Header {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let mut sets = [Set::default(); 2];
    // SAFETY: header and sets are as the kernel has them, and live as long as the calls.
    let result = unsafe {
        match libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) {
            0 => {
                sets[0].effective &= !(1 << CAP_IPC_LOCK);
                libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr())
            }
            failed => failed,
        }
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn limit_locked_memory(bytes: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit lives as long as the calls.
    let result = unsafe {
        match libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) {
            0 => {
                limit.rlim_cur = bytes.min(limit.rlim_max);
                libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit)
            }
            failed => failed,
        }
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn start(io: IoChoice, path: &Path) -> io::Result<Cores> {
    let mut plan = Plan::new(CoresConfig {
        name: "locked",
        io,
        cores: 1,
        pin: false,
        connections_max: 64,
        unsent_bytes_max: 64 * 1024 * 1024,
    })?;
    plan.listen(&Bind::Unix(path.to_owned()), 0)?;
    plan.start(vec![Echo])
}

/// Starts a service that echoes to several callers at a time; how it moved their bytes.
fn way_of_a_service(io: IoChoice) -> io::Result<IoInUse> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let cores = start(io, &path)?;
    echoes::<1000>(&path);
    let io = cores.io().clone();
    cores.stop();
    Ok(io)
}

#[test]
fn bytes_are_moved_whatever_may_be_locked_and_the_limit_is_named() {
    give_up_locking_beyond_the_limit().expect("less is always allowed");
    // Enough for a ring, where the kernel counts rings at all, and not for a core's buffers, which are 1 MiB.
    limit_locked_memory(512 * 1024).expect("less is always allowed");
    let io = way_of_a_service(IoChoice::Uring).expect("the ring works without");
    assert_eq!(io.kind, IoKind::Uring);
    for words in ["buffers are not registered", "(os error 12)", "RLIMIT_MEMLOCK"] {
        assert!(io.reason.contains(words), "'{words}' is not in: {}", io.reason);
    }
    limit_locked_memory(0).expect("less is always allowed");
    let io = way_of_a_service(IoChoice::Auto).expect("epoll works without");
    assert!(io.reason.contains("RLIMIT_MEMLOCK"), "{}", io.reason);
    // A kernel that counts rings gives none; one that does not leaves buffers unregistered as before.
    match way_of_a_service(IoChoice::Uring) {
        Ok(strict) => assert_eq!((io.kind, strict.kind), (IoKind::Uring, IoKind::Uring)),
        Err(error) => {
            assert_eq!(io.kind, IoKind::Epoll);
            assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
        }
    }
}
