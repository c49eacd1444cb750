//! The machine that a run is made on: what it is, and which processors serve and ask.

use serde_json::{Value, json};
use std::fs;

/// Where the two sides of a measurement run: apart, so that one does not take the other's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// Of what is measured.
    pub serving: usize,
    /// Of what asks.
    pub asking: usize,
}

impl Processors {
    /// The first processor that may be used serves, the last asks; on a machine of one they share it.
    pub fn choose() -> Self {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        Self {
            serving: ids.first().map_or(0, |id| id.id),
            asking: ids.last().map_or(0, |id| id.id),
        }
    }

    /// Whether both sides share one processor.
    pub fn are_shared(&self) -> bool {
        self.serving == self.asking
    }
}

/// The processor of what may run on any: beside a database, which has none of its own either.
pub const ANY: usize = usize::MAX;

/// Keeps this thread, and those that it starts, on one processor; returns whether the system agreed.
pub fn pin(processor: usize) -> bool {
    processor == ANY || core_affinity::set_for_current(core_affinity::CoreId { id: processor })
}

/// How many tasks wanted to run, on average over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .unwrap_or(0.0)
}

/// What the results were measured on.
pub fn describe() -> Value {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find(|line| line.starts_with("model name"));
    let cpu = model
        .and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    json!({ "cores": cores, "kernel": kernel.trim(), "cpu": cpu })
}
