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
    /// Whom: each is asked in each round, in the one order and then in the other, and so on. What disturbs the machine
    /// lasts longer than a round, and so disturbs all of them.
    pub targets: Vec<Target>,
    /// How often.
    pub rounds: usize,
    /// How long each is asked in a round, after a tenth of that to warm up.
    pub seconds: f64,
    /// How long the caller is busy with something else between an answer and its next question.
    pub pause_us: u32,
}

/// What one of them answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// The median of each round, in nanoseconds.
    pub p50s: Vec<f64>,
    /// All rounds together.
    pub all: Latencies,
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

    /// Those of another.
    ///
    /// # Errors
    /// Never: both have the same bounds.
    pub fn add_all(&mut self, other: &Self) -> Result<(), BenchError> {
        self.0
            .add(&other.0)
            .map_err(|error| BenchError::Answer(error.to_string()))
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

/// One of those that are asked.
struct Asked {
    stream: Stream,
    exchange: Exchange,
    out: Vec<u8>,
    p50s: Vec<f64>,
    all: Times,
}

/// Asks and times.
///
/// # Errors
/// A server does not answer as it should.
pub fn run(task: &LatencyTask) -> Result<Vec<Answered>, BenchError> {
    let asked = task.targets.iter().map(Asked::connect);
    let mut asked = asked.collect::<Result<Vec<_>, _>>()?;
    for round in 0..task.rounds {
        let count = asked.len();
        for place in 0..count {
            let place = if round % 2 == 0 { place } else { count - 1 - place };
            asked[place].round(task)?;
        }
    }
    let answered = asked.into_iter().map(|asked| Answered {
        all: asked.all.latencies(),
        p50s: asked.p50s,
    });
    Ok(answered.collect())
}

impl Asked {
    fn connect(target: &Target) -> Result<Self, BenchError> {
        let exchange = Exchange::new(target.ask, module(0))?;
        let mut out = Vec::new();
        exchange.begin(&mut out);
        Ok(Self {
            stream: target.connect(0)?,
            exchange,
            out,
            p50s: Vec::new(),
            all: Times::new()?,
        })
    }

    fn round(&mut self, task: &LatencyTask) -> Result<(), BenchError> {
        let time = Duration::from_secs_f64(task.seconds);
        let pause = Duration::from_micros(task.pause_us.into());
        self.ask_for(time / 10, pause, |_| {})?;
        let mut times = Times::new()?;
        self.ask_for(time, pause, |ns| times.add(ns))?;
        self.p50s.push(times.latencies().p50);
        self.all.add_all(&times)
    }

    fn ask_for(
        &mut self,
        time: Duration,
        pause: Duration,
        mut each: impl FnMut(u64),
    ) -> Result<(), BenchError> {
        let mut answer = [0; NODE_BYTES];
        let started = Instant::now();
        loop {
            let asked = Instant::now();
            self.stream.write_all(&self.out).doing("ask")?;
            self.stream.read_exact(&mut answer).doing("take an answer")?;
            let answered = Instant::now();
            each((answered - asked).as_nanos() as u64);
            self.out.clear();
            self.exchange.follow(&answer, &mut self.out)?;
            // Busy, not asleep: a program that works on an answer keeps its processor awake.
            while answered.elapsed() < pause {
                std::hint::spin_loop();
            }
            if answered - started >= time {
                return Ok(());
            }
        }
    }
}
