//! `cargo bench -p lars-benches --bench mesh -- [--quick] [--only PREFIX]` and more, see [`lars_benches::arguments`].

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

/// Counts allocations, so that an agent's can be told: `pick.socket.64.allocations`.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> std::process::ExitCode {
    lars_benches::run(std::env::args().skip(1))
}
