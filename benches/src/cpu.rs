//! How much processor time a process has used, to the nanosecond: the scheduler's own account of its threads.

use crate::error::{BenchError, Doing};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// "No such process", which the standard library has no name for.
const ESRCH: i32 = 3;

/// Nanoseconds that the threads of a process, those that still run, have spent on a processor. What an interrupt or
/// the kernel's ring does in their name is in it.
///
/// # Errors
/// The process is gone, or the kernel keeps no such account (`CONFIG_SCHED_INFO`).
pub fn used_ns(process: u32) -> Result<u64, BenchError> {
    let folder = format!("/proc/{process}/task");
    let mut sum = 0;
    for task in fs::read_dir(&folder).doing(&folder)? {
        let path = task.doing(&folder)?.path().join("schedstat");
        sum += thread_ns(&path)?;
    }
    Ok(sum)
}

fn thread_ns(path: &Path) -> Result<u64, BenchError> {
    let text = match fs::read_to_string(path) {
        // A thread may end between the listing and the look, and even between the look and the answer (ESRCH).
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => {
            return Ok(0);
        }
        text => text.doing(&path.display().to_string())?,
    };
    let first = text
        .split_whitespace()
        .next()
        .and_then(|field| field.parse().ok());
    first.ok_or_else(|| BenchError::Answer(format!("{}: '{text}'", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn work_is_accounted_for() {
        // This thread alone: others of this process, the other tests, come and go.
        let own = || thread_ns(Path::new("/proc/thread-self/schedstat")).expect("our own account");
        let (before, started) = (own(), Instant::now());
        while own() < before + 10_000_000 {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "10 ms of work are never accounted for"
            );
        }
        let whole = used_ns(std::process::id()).expect("our own account");
        assert!(
            whole >= before + 10_000_000,
            "the process has used what its thread has: {whole}"
        );
    }

    #[test]
    fn process_that_is_gone_has_no_account() {
        assert!(used_ns(u32::MAX).is_err());
    }
}
