//! One caller with one question outstanding: how long an answer takes.

use super::place::Stream;
use super::{Target, module};
use crate::error::{BenchError, Doing};
use crate::exchange::{Exchange, NODE_BYTES};
use crate::greeting::ANSWER_WITHIN;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Whom to ask, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencyTask {
    /// Whom.
    pub target: Target,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
}

/// Times of answers, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latencies {
    /// The median.
    pub p50: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1,000 are faster.
    pub p999: f64,
    /// How many there were.
    pub count: u64,
}

/// The longest time that is told apart: a connection is given up after it.
const LONGEST_NS: u64 = ANSWER_WITHIN.as_nanos() as u64;

/// Times as they are measured.
#[derive(Debug)]
pub struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    ///
    /// # Errors
    /// Never: the bounds are good.
    pub fn new() -> Result<Self, BenchError> {
        Histogram::new_with_max(LONGEST_NS, 3)
            .map(Self)
            .map_err(|error| BenchError::Answer(error.to_string()))
    }

    /// One more, in nanoseconds.
    pub fn add(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// What they come to.
    pub fn latencies(&self) -> Latencies {
        Latencies {
            p50: self.0.value_at_quantile(0.5) as f64,
            p99: self.0.value_at_quantile(0.99) as f64,
            p999: self.0.value_at_quantile(0.999) as f64,
            count: self.0.len(),
        }
    }
}

/// Asks and times.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(task: &LatencyTask) -> Result<Latencies, BenchError> {
    let mut stream = task.target.connect(0)?;
    let exchange = Exchange::new(task.target.ask, module(0))?;
    let mut out = Vec::new();
    exchange.begin(&mut out);
    let time = Duration::from_secs_f64(task.seconds);
    ask_for(&mut stream, &exchange, &mut out, time / 10, |_| {})?;
    let mut times = Times::new()?;
    ask_for(&mut stream, &exchange, &mut out, time, |ns| times.add(ns))?;
    Ok(times.latencies())
}

fn ask_for(
    stream: &mut Stream,
    exchange: &Exchange,
    out: &mut Vec<u8>,
    time: Duration,
    mut each: impl FnMut(u64),
) -> Result<(), BenchError> {
    let mut answer = [0; NODE_BYTES];
    let started = Instant::now();
    loop {
        let asked = Instant::now();
        stream.write_all(out).doing("ask")?;
        stream.read_exact(&mut answer).doing("take an answer")?;
        let answered = Instant::now();
        each((answered - asked).as_nanos() as u64);
        out.clear();
        exchange.follow(&answer, out)?;
        if answered - started >= time {
            return Ok(());
        }
    }
}
