//! How much memory a process holds, as the kernel counts it: now, and at most since it was asked to forget.

use crate::error::{BenchError, Doing};
use std::fs;

/// The memory of a process that is in place.
///
/// # Errors
/// The process is gone.
pub fn resident_bytes(process: u32) -> Result<f64, BenchError> {
    told(process, "VmRSS:")
}

/// The most that it was since the process started, or since [`forget_peak`].
///
/// # Errors
/// The process is gone.
pub fn peak_bytes(process: u32) -> Result<f64, BenchError> {
    told(process, "VmHWM:")
}

/// Lets the peak begin anew at what is in place now.
///
/// # Errors
/// The process is gone, or another user's.
pub fn forget_peak(process: u32) -> Result<(), BenchError> {
    let path = format!("/proc/{process}/clear_refs");
    fs::write(&path, "5").doing(&path)
}

fn told(process: u32, name: &str) -> Result<f64, BenchError> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).doing(&path)?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0)
        .ok_or_else(|| BenchError::Answer(format!("{path} tells no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_outlives_what_was_given_back_until_it_is_forgotten() {
        let own = std::process::id();
        // Other tests of this process come and go meanwhile: what is told is told of all of them.
        let block = std::hint::black_box(vec![1_u8; 256 << 20]);
        drop(block);
        let peak = peak_bytes(own).expect("our own");
        assert!(peak >= f64::from(256 << 20), "{peak}");
        forget_peak(own).expect("our own");
        for now in [peak_bytes(own), resident_bytes(own)] {
            assert!(now.expect("our own") < peak - f64::from(128 << 20));
        }
    }
}
