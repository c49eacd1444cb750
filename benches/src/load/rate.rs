//! Many callers, each with a number of questions outstanding: what an answer costs the server.
//!
//! A carousel: take the answers of one connection, ask on it again, go on to the next. Every connection but the one at
//! hand has its questions outstanding, and the load makes two system calls for each round of a connection.

use super::place::Stream;
use super::{Target, module};
use crate::cpu;
use crate::error::{BenchError, Doing};
use crate::exchange::{Ask, Exchange};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Whom to ask, how, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateTask {
    /// Whom.
    pub target: Target,
    /// Callers.
    pub connections: u32,
    /// Questions outstanding on each.
    pub outstanding: u32,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
}

/// What was answered, and what it cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// Answers.
    pub answers: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time that the server used meanwhile.
    pub server_seconds: f64,
}

/// One caller.
struct Caller {
    stream: Stream,
    exchange: Exchange,
}

/// Callers that are served in turn, by one thread.
pub struct Carousel {
    callers: Vec<Caller>,
    ask: Ask,
    answers: Vec<u8>,
    out: Vec<u8>,
}

impl Rate {
    /// Answers in a second of the server's processor time.
    pub fn per_core_s(&self) -> f64 {
        self.answers as f64 / self.server_seconds
    }

    /// The server's processor time for an answer, in nanoseconds.
    pub fn ns_each(&self) -> f64 {
        self.server_seconds * 1e9 / self.answers as f64
    }
}

/// Asks and counts.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(task: &RateTask) -> Result<Rate, BenchError> {
    let mut carousel = Carousel::start(&task.target, task.connections, task.outstanding)?;
    let mut turn_for = |time: Duration| -> Result<(u64, Duration), BenchError> {
        let (started, mut rounds) = (Instant::now(), 0);
        while started.elapsed() < time {
            carousel.round()?;
            rounds += 1;
        }
        Ok((rounds, started.elapsed()))
    };
    let time = Duration::from_secs_f64(task.seconds);
    turn_for(time / 10)?;
    let used = cpu::used_ns(task.target.process)?;
    let (rounds, took) = turn_for(time)?;
    let used = cpu::used_ns(task.target.process)?
        .checked_sub(used)
        .ok_or_else(|| BenchError::Answer("a thread of the server ended meanwhile".to_owned()))?;
    Ok(Rate {
        answers: rounds * u64::from(task.connections) * u64::from(task.outstanding),
        seconds: took.as_secs_f64(),
        server_seconds: used as f64 / 1e9,
    })
}

impl Carousel {
    /// Connects so many callers and asks as many questions on each.
    ///
    /// # Errors
    /// The server does not answer as it should.
    pub fn start(target: &Target, connections: u32, outstanding: u32) -> Result<Self, BenchError> {
        let (mut callers, mut out) = (Vec::new(), Vec::new());
        for number in 0..connections {
            let mut stream = target.connect(number)?;
            let exchange = Exchange::new(target.ask, module(number))?;
            out.clear();
            for _ in 0..outstanding {
                exchange.begin(&mut out);
            }
            stream.write_all(&out).doing("ask")?;
            callers.push(Caller { stream, exchange });
        }
        Ok(Self {
            callers,
            ask: target.ask,
            answers: vec![0; outstanding as usize * target.ask.answer_bytes()],
            out,
        })
    }

    /// Takes every caller's answers and asks as many questions again.
    ///
    /// # Errors
    /// The server does not answer as it should.
    pub fn round(&mut self) -> Result<(), BenchError> {
        for caller in &mut self.callers {
            caller.round(self.ask, &mut self.answers, &mut self.out)?;
        }
        Ok(())
    }
}

impl Caller {
    /// Takes the answers that are outstanding and asks as many questions again.
    fn round(&mut self, ask: Ask, answers: &mut [u8], out: &mut Vec<u8>) -> Result<(), BenchError> {
        self.stream.read_exact(answers).doing("take answers")?;
        out.clear();
        for answer in answers.chunks_exact(ask.answer_bytes()) {
            self.exchange.follow(answer, out)?;
        }
        self.stream.write_all(out).doing("ask")
    }
}
