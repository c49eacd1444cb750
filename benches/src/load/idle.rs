//! Connections that were opened, greeted the agent, and say nothing more.

use super::Target;
use super::place::Stream;
use crate::error::BenchError;
use crate::greeting::greet;
use crate::role;
use serde::{Deserialize, Serialize};

/// Whom to keep connected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdleTask {
    /// The agent.
    pub target: Target,
    /// How many.
    pub connections: u32,
}

/// Connects, says how many connections there are, and keeps them until the process is ended.
///
/// # Errors
/// A connection is refused.
pub fn run(task: &IdleTask) -> Result<(), BenchError> {
    let connect = |_| -> Result<Stream, BenchError> {
        let mut stream = task.target.place.connect()?;
        greet(&mut stream)?;
        Ok(stream)
    };
    let streams = (0..task.connections)
        .map(connect)
        .collect::<Result<Vec<_>, _>>()?;
    role::say(&streams.len())?;
    // The thread that watches the harness ends the process.
    loop {
        std::thread::park();
        std::hint::black_box(&streams);
    }
}
