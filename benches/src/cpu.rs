//! How much processor time a process has used, to the nanosecond: the scheduler's own account of its threads.

use crate::error::{BenchError, Doing};
use std::fs;
use std::path::Path;

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
        // A thread may end between the listing and the look.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
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
    fn work_is_accounted_for_and_rest_is_not() {
        let process = std::process::id();
        let before = used_ns(process).expect("our own account");
        let started = Instant::now();
        while used_ns(process).expect("our own account") < before + 10_000_000 {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "10 ms of work are never accounted for"
            );
        }
    }
}
