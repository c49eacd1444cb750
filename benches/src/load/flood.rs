//! One caller with one question outstanding, and others on the same thread that flood the server meanwhile: while the
//! one waits for its answer, the others' sockets are kept full. So what is timed is the server's time and not that of
//! two loads which share a processor.

use super::latency::{Latencies, Times};
use super::place::Stream;
use super::{Target, module};
use crate::error::{BenchError, Doing};
use crate::exchange::{Exchange, NODE_BYTES};
use crate::greeting::ANSWER_WITHIN;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Questions that a flooding caller sends at once.
const QUESTIONS: usize = 200;
/// Bytes of answers that it takes at once.
const READ_BYTES: usize = 16 * 1024;

/// How a socket says that it takes nothing, now or any more.
const IS_HELD_BACK: [ErrorKind; 3] = [
    ErrorKind::WouldBlock,
    ErrorKind::BrokenPipe,
    ErrorKind::ConnectionReset,
];

/// Whom to ask, beside whom, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FloodTask {
    /// Whom.
    pub target: Target,
    /// Callers that flood.
    pub flooders: u32,
    /// Whether they read their answers.
    pub read: bool,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
}

/// A caller that asks as fast as it is let.
struct Flooder {
    stream: Stream,
    questions: Vec<u8>,
    /// How much of the questions the socket took: the rest goes first.
    sent: usize,
    read: bool,
}

/// What the one caller met.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Flooded {
    /// Times of its answers, once the flood stands: those who never read have sent all that is taken of them.
    pub times: Latencies,
    /// The longest of all, in nanoseconds, those included that were asked as the flood began.
    pub longest_ns: f64,
}

/// Asks and times.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(task: &FloodTask) -> Result<Flooded, BenchError> {
    let mut flooders = (1..=task.flooders)
        .map(|number| Flooder::new(task, number))
        .collect::<Result<Vec<_>, _>>()?;
    let mut stream = task.target.connect(0)?;
    stream.set_nonblocking().doing("let a socket not wait")?;
    let exchange = Exchange::new(task.target.ask, module(0))?;
    let (mut out, mut answer, mut times) = (Vec::new(), [0; NODE_BYTES], Times::new()?);
    exchange.begin(&mut out);
    let time = Duration::from_secs_f64(task.seconds);
    let mut measured = Instant::now() + time / 10;
    let (mut turn, mut longest) = (0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        stream.write_all(&out).doing("ask")?;
        let mut taken = 0;
        while taken < NODE_BYTES {
            match stream.read(&mut answer[taken..]) {
                Ok(0) => return Err(BenchError::Answer("the server closed the connection".to_owned())),
                Ok(bytes) => taken += bytes,
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Err(error).doing("take an answer");
                }
                Err(_) if asked.elapsed() > ANSWER_WITHIN => {
                    return Err(BenchError::Answer(format!("no answer within {ANSWER_WITHIN:?}")));
                }
                Err(_) if flooders.is_empty() => {}
                Err(_) => {
                    turn = (turn + 1) % flooders.len();
                    let pushed = flooders[turn].push()?;
                    if pushed && !task.read {
                        measured = measured.max(Instant::now());
                    }
                }
            }
        }
        let answered = Instant::now();
        longest = longest.max(answered - asked);
        if asked >= measured {
            times.add((answered - asked).as_nanos() as u64);
        }
        out.clear();
        exchange.follow(&answer, &mut out)?;
        if asked >= measured && answered >= measured + time {
            return Ok(Flooded {
                times: times.latencies(),
                longest_ns: longest.as_nanos() as f64,
            });
        }
    }
}

impl Flooder {
    fn new(task: &FloodTask, number: u32) -> Result<Self, BenchError> {
        let stream = task.target.connect(number)?;
        stream.set_nonblocking().doing("let a socket not wait")?;
        let (exchange, mut questions) = (Exchange::new(task.target.ask, module(number))?, Vec::new());
        (0..QUESTIONS).for_each(|_| exchange.begin(&mut questions));
        Ok(Self {
            stream,
            questions,
            sent: 0,
            read: task.read,
        })
    }

    /// Sends what the socket takes, and takes answers where this one reads. Returns whether it took any.
    fn push(&mut self) -> Result<bool, BenchError> {
        // Who never reads may be closed for it: then it pushes no more.
        let or_nothing = |result: std::io::Result<usize>| match result {
            Err(error) if IS_HELD_BACK.contains(&error.kind()) => Ok(0),
            result => result,
        };
        let taken = or_nothing(self.stream.write(&self.questions[self.sent..])).doing("flood")?;
        self.sent = (self.sent + taken) % self.questions.len();
        if self.read {
            let mut answers = [0; READ_BYTES];
            or_nothing(self.stream.read(&mut answers)).doing("take a flood's answers")?;
        }
        Ok(taken > 0)
    }
}
