//! Whether io_uring works here, found out by trying: a ring, smaller where memory is scarce, the operations that are
//! used, and one that goes through. Where it does not work, why, and what would help.

use crate::cores::{IoChoice, IoInUse, IoKind};
use io_uring::{IoUring, Probe, opcode};
use std::io;
use std::time::Duration;

/// Entries of the submission queue: as many connections as are answered in one turn without flushing in between.
const ENTRIES: u32 = 256;
/// Below this a ring is not worth having.
const ENTRIES_MIN: u32 = 64;
/// Completions for each submission: a multishot receive brings many.
const COMPLETIONS_FACTOR: u32 = 4;
/// The kernel gives a dead process's locked memory back late; a service that was just restarted waits for it.
const TRIES_MAX: u32 = 5;
/// See [`TRIES_MAX`].
const TRY_INTERVAL: Duration = Duration::from_millis(200);

/// What helps where locked memory is the limit.
pub(crate) const MEMLOCK_CURE: &str = "raise RLIMIT_MEMLOCK, which counts for the whole user: ulimit -l, or LimitMEMLOCK= of the service's unit";

/// Why there is no ring.
#[derive(Debug)]
pub(crate) struct NoRing {
    step: &'static str,
    error: io::Error,
}

impl NoRing {
    pub(crate) fn at(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { step, error }
    }

    /// The errno, its likely cause and its cure.
    pub(crate) fn reason(&self) -> String {
        let advice = match self.error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "a container's seccomp profile or kernel.io_uring_disabled forbids it: allow io_uring_setup, \
                 io_uring_enter and io_uring_register in the profile, or set the sysctl to 0"
            }
            Some(libc::ENOSYS) => {
                "the kernel was built without it or a sandbox hides it: use Linux 6.1 or newer"
            }
            Some(libc::EOPNOTSUPP | libc::EINVAL) => {
                "the kernel or the sandbox lacks a part that is used: use Linux 6.1 or newer"
            }
            Some(libc::ENOMEM) => MEMLOCK_CURE,
            Some(libc::EMFILE | libc::ENFILE) => "no descriptor is left: raise RLIMIT_NOFILE (ulimit -n)",
            _ => "the cause is unknown",
        };
        format!("{} failed: {}; {advice}", self.step, self.error)
    }
}

impl From<NoRing> for io::Error {
    fn from(no_ring: NoRing) -> Self {
        Self::new(no_ring.error.kind(), no_ring.reason())
    }
}

/// Decides how bytes will be moved.
pub(crate) fn choose(choice: IoChoice) -> io::Result<IoInUse> {
    let tried = if choice == IoChoice::Epoll {
        None
    } else {
        Some(open().map(drop))
    };
    decide(choice, tried)
}

/// The decision, apart from the trial: `tried` is its result, if there was one.
fn decide(choice: IoChoice, tried: Option<Result<(), NoRing>>) -> io::Result<IoInUse> {
    match tried {
        None => Ok(IoInUse {
            kind: IoKind::Epoll,
            reason: "asked for".to_owned(),
        }),
        Some(Ok(())) => {
            let reason = if choice == IoChoice::Uring {
                "asked for"
            } else {
                "io_uring works here"
            };
            Ok(IoInUse {
                kind: IoKind::Uring,
                reason: reason.to_owned(),
            })
        }
        Some(Err(no_ring)) if choice == IoChoice::Uring => Err(no_ring.into()),
        Some(Err(no_ring)) => {
            let reason = no_ring.reason();
            tracing::warn!(%reason, "io_uring cannot be used, epoll moves the bytes");
            Ok(IoInUse {
                kind: IoKind::Epoll,
                reason,
            })
        }
    }
}

/// Opens a ring for this thread and proves that it works.
pub(crate) fn open() -> Result<IoUring, NoRing> {
    let mut ring = climb(build, std::thread::sleep).map_err(NoRing::at("io_uring_setup"))?;
    let parameters = ring.params();
    if !(parameters.is_feature_ext_arg()
        && parameters.is_feature_nodrop()
        && parameters.is_feature_skip_cqe_on_success())
    {
        return Err(NoRing::at("a look at the kernel's features")(
            io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        ));
    }
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(NoRing::at("io_uring_register"))?;
    let used = [
        opcode::RecvMulti::CODE,
        opcode::Send::CODE,
        opcode::WriteFixed::CODE,
        opcode::PollAdd::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Timeout::CODE,
    ];
    if !used.iter().all(|code| probe.is_supported(*code)) {
        return Err(NoRing::at("a look for the operations used")(
            io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        ));
    }
    // Set-up may be allowed where enter is not.
    no_operation(&mut ring).map_err(NoRing::at("io_uring_enter"))?;
    Ok(ring)
}

/// Tries again for a second where locked memory is short.
pub(crate) fn with_patience<R>(mut attempt: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    patiently(&mut attempt, &mut std::thread::sleep)
}

fn patiently<R>(
    attempt: &mut dyn FnMut() -> io::Result<R>,
    pause: &mut dyn FnMut(Duration),
) -> io::Result<R> {
    let mut result = attempt();
    for _ in 1..TRIES_MAX {
        match &result {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                pause(TRY_INTERVAL);
                result = attempt();
            }
            _ => break,
        }
    }
    result
}

/// The largest ring that memory allows.
fn climb<R>(mut build: impl FnMut(u32) -> io::Result<R>, mut pause: impl FnMut(Duration)) -> io::Result<R> {
    let mut entries = ENTRIES;
    loop {
        match build(entries) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && entries > ENTRIES_MIN => entries /= 2,
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                pause(TRY_INTERVAL);
                return patiently(&mut || build(ENTRIES_MIN), &mut pause);
            }
            result => return result,
        }
    }
}

fn build(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(entries * COMPLETIONS_FACTOR)
        .build(entries)
}

fn no_operation(ring: &mut IoUring) -> io::Result<()> {
    // SAFETY: the operation points to no memory.
    let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    pushed.map_err(|_| io::ErrorKind::OutOfMemory)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next().map(|completion| completion.result()) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out_of_memory<R>() -> io::Result<R> {
        Err(io::Error::from_raw_os_error(libc::ENOMEM))
    }

    #[test]
    fn ring_is_halved_until_memory_suffices() {
        let (mut tried, mut pauses) = (Vec::new(), 0);
        let build = |entries| {
            tried.push(entries);
            if entries > 64 {
                out_of_memory()
            } else {
                Ok(entries)
            }
        };
        assert_eq!(climb(build, |_| pauses += 1).expect("64 fit"), 64);
        assert_eq!((tried, pauses), (vec![256, 128, 64], 0));
    }

    #[test]
    fn smallest_ring_is_tried_for_a_second() {
        let (mut tried, mut pauses) = (Vec::new(), 0);
        let result: io::Result<u32> = climb(
            |entries| {
                tried.push(entries);
                out_of_memory()
            },
            |_| pauses += 1,
        );
        assert_eq!(
            result.expect_err("nothing fits").raw_os_error(),
            Some(libc::ENOMEM)
        );
        assert_eq!((tried.len(), pauses), (8, 5));
    }

    #[test]
    fn other_failures_are_not_tried_again() {
        let mut tried = 0;
        let result: io::Result<()> = climb(
            |_| {
                tried += 1;
                Err(io::Error::from_raw_os_error(libc::EPERM))
            },
            |_| panic!("nothing to wait for"),
        );
        assert_eq!((result.is_err(), tried), (true, 1));
    }

    #[test]
    fn choice_of_the_ring_is_strict_and_says_what_helps() {
        let forbidden = || NoRing {
            step: "io_uring_setup",
            error: io::Error::from_raw_os_error(libc::EPERM),
        };
        let error = decide(IoChoice::Uring, Some(Err(forbidden()))).expect_err("it was asked for");
        assert!(error.to_string().contains("seccomp"), "{error}");
        let fallen = decide(IoChoice::Auto, Some(Err(forbidden()))).expect("epoll always works");
        assert_eq!(fallen.kind, IoKind::Epoll);
        assert!(
            fallen.reason.contains("os error 1") && fallen.reason.contains("seccomp"),
            "{}",
            fallen.reason
        );
    }
}
