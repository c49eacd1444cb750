//! One caller who asks when it is time, whether the last answer is there or not: an open loop. Times count from the
//! moment at which the question was due, so that an answer that comes late is seen by everyone who would have asked
//! meanwhile (Tene, "How NOT to Measure Latency": coordinated omission).

use super::latency::{Latencies, Times};
use super::place::Stream;
use super::{Target, module};
use crate::error::{BenchError, Doing};
use crate::exchange::Exchange;
use crate::greeting::ANSWER_WITHIN;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Bytes of answers taken at once.
const READ_BYTES: usize = 16 * 1024;

/// Whom to ask, how often, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenTask {
    /// Whom.
    pub target: Target,
    /// Questions in a second, at random moments (a Poisson process).
    pub per_s: u32,
    /// How long.
    pub seconds: f64,
}

/// A caller between its questions.
struct Caller {
    stream: Stream,
    exchange: Exchange,
    /// When the questions that have no answer yet were due.
    due: VecDeque<Instant>,
    /// What the socket did not take yet.
    out: Vec<u8>,
    /// What arrived and is no whole answer yet.
    arrived: Vec<u8>,
    answer_bytes: usize,
}

/// Asks on time and times.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(task: &OpenTask) -> Result<Latencies, BenchError> {
    let stream = task.target.connect(0)?;
    stream.set_nonblocking().doing("let a socket not wait")?;
    let mut caller = Caller {
        stream,
        exchange: Exchange::new(task.target.ask, module(0))?,
        due: VecDeque::new(),
        out: Vec::new(),
        arrived: Vec::new(),
        answer_bytes: task.target.ask.answer_bytes(),
    };
    let mut chance = fastrand::Rng::with_seed(1);
    let mut gap = || Duration::from_secs_f64(-(1.0 - chance.f64()).ln() / f64::from(task.per_s));
    let mut times = Times::new()?;
    let (started, time) = (Instant::now(), Duration::from_secs_f64(task.seconds));
    let (measured, end) = (started + time / 10, started + time);
    let mut next = started + gap();
    loop {
        let now = Instant::now();
        while next <= now.min(end) {
            caller.exchange.begin(&mut caller.out);
            caller.due.push_back(next);
            next += gap();
        }
        caller.send()?;
        caller.take(|due, answered| {
            if due >= measured {
                times.add((answered - due).as_nanos() as u64);
            }
        })?;
        if next > end && caller.due.is_empty() {
            return Ok(times.latencies());
        }
        if now > end + ANSWER_WITHIN {
            return Err(BenchError::Answer("answers are missing at the end".to_owned()));
        }
    }
}

impl Caller {
    /// Sends what the socket takes.
    fn send(&mut self) -> Result<(), BenchError> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(bytes) => drop(self.out.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).doing("ask"),
            }
        }
        Ok(())
    }

    /// Takes the answers that are there; `each` is told when its question was due and when it came.
    fn take(&mut self, mut each: impl FnMut(Instant, Instant)) -> Result<(), BenchError> {
        let held = self.arrived.len();
        self.arrived.resize(held + READ_BYTES, 0);
        let read = self.stream.read(&mut self.arrived[held..]);
        let bytes = match read {
            Ok(0) => return Err(BenchError::Answer("the server closed the connection".to_owned())),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).doing("take answers"),
        };
        self.arrived.truncate(held + bytes);
        let answered = Instant::now();
        let whole = self.arrived.len() / self.answer_bytes * self.answer_bytes;
        let mut follows = Vec::new();
        for answer in self.arrived[..whole].chunks_exact(self.answer_bytes) {
            self.exchange.follow(answer, &mut follows)?;
            if let Some(due) = self.due.pop_front() {
                each(due, answered);
            }
        }
        self.arrived.drain(..whole);
        Ok(())
    }
}
