//! Callers over UDP, each with one question outstanding, served in turn by one thread: the carousel of [`super::rate`] for
//! datagrams, whatever they say.

use super::latency::{Latencies, Times};
use super::rate::Rate;
use crate::cpu;
use crate::error::BenchError;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What was answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Answers {
    /// From question to answer; where there are several callers, their wait for their turn is in it.
    pub times: Latencies,
    /// How many, and what they cost; no processor time where the server's process is not known.
    pub rate: Rate,
}

/// One caller.
pub trait DatagramCaller {
    /// Asks.
    ///
    /// # Errors
    /// The system refuses.
    fn send_question(&mut self) -> Result<(), BenchError>;

    /// Takes the answer and asks again; how long the answer took, in nanoseconds.
    ///
    /// # Errors
    /// The server does not answer as it should.
    fn round(&mut self) -> Result<u64, BenchError>;
}

/// Lets callers ask for so long, after a tenth of that to warm up.
///
/// # Errors
/// The server does not answer as it should.
pub fn ask_in_turn(
    callers: &mut [impl DatagramCaller],
    seconds: f64,
    process: Option<u32>,
) -> Result<Answers, BenchError> {
    for caller in callers.iter_mut() {
        caller.send_question()?;
    }
    let time = Duration::from_secs_f64(seconds);
    turn_for(callers, time / 10, &mut Times::new()?)?;
    let used = || process.map_or(Ok(0), cpu::used_ns);
    let (mut times, before) = (Times::new()?, used()?);
    let took = turn_for(callers, time, &mut times)?;
    let used = used()?
        .checked_sub(before)
        .ok_or_else(|| BenchError::Answer("a thread of the server ended meanwhile".to_owned()))?;
    let times = times.latencies();
    Ok(Answers {
        times,
        rate: Rate {
            answers: times.count,
            seconds: took.as_secs_f64(),
            server_seconds: used as f64 / 1e9,
        },
    })
}

fn turn_for(
    callers: &mut [impl DatagramCaller],
    time: Duration,
    times: &mut Times,
) -> Result<Duration, BenchError> {
    let started = Instant::now();
    while started.elapsed() < time {
        for caller in callers.iter_mut() {
            times.add(caller.round()?);
        }
    }
    Ok(started.elapsed())
}
