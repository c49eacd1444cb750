//! Callers of the C++ Lars, each on a UDP socket of its own with one question outstanding: get host, and where pairs are
//! asked for, the report of the call behind it. All ask about modules that belong to the first of an agent's three ports,
//! so that one thread of a C++ agent serves them too.
//!
//! A carousel as in [`super::rate`]: take one caller's answer, report and ask again, go on to the next.

use super::latency::{Latencies, Times};
use super::rate::Rate;
use crate::cpu;
use crate::error::{BenchError, Doing};
use crate::greeting::ANSWER_WITHIN;
use lars_compat::message::{GetHost, GetRoute, HostAnswer, Report, Retcode, Route};
use lars_compat::{DATAGRAM_BYTES_MAX, MessageId, datagram, decode, encode};
use lars_wire::ModuleId;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Ports of an agent, one behind the other: a module's questions go to that with the number (modid + cmdid) mod 3.
pub const PORTS: u16 = 3;
/// How long those callers wait before they ask for a route again.
const REGISTER_AGAIN: Duration = Duration::from_millis(50);
/// Room for any message but a route.
const BYTES_MAX: usize = 128;

/// What is asked, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldAsk {
    /// A node.
    Host,
    /// A node, and behind the answer the report of the call, together with the next question.
    Pair,
}

/// Whom to ask, how, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OldCallersTask {
    /// The first port, on 127.0.0.1.
    pub port: u16,
    /// The server's process.
    pub process: u32,
    /// Whether it has routes, which are asked for first.
    pub has_routes: bool,
    /// What is asked.
    pub ask: OldAsk,
    /// Callers.
    pub callers: u32,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
}

/// What was answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OldAnswers {
    /// From question to answer; where there are several callers, their wait for their turn is in it.
    pub times: Latencies,
    /// How many, and what they cost.
    pub rate: Rate,
}

/// One caller.
struct Caller {
    socket: UdpSocket,
    module: ModuleId,
    ask: OldAsk,
    question: Vec<u8>,
    asked: Instant,
}

/// Asks, times and counts.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(task: &OldCallersTask) -> Result<OldAnswers, BenchError> {
    let modules: Vec<ModuleId> = (0..super::MODULES)
        .map(super::module)
        .filter(|module| (module.modid + module.cmdid).is_multiple_of(u32::from(PORTS)))
        .collect();
    let mut callers = Vec::new();
    for module in modules.into_iter().cycle().take(task.callers as usize) {
        let caller = Caller::new(task, module)?;
        if task.has_routes {
            caller.register()?;
        }
        callers.push(caller);
    }
    for caller in &mut callers {
        caller.send_question()?;
    }
    let time = Duration::from_secs_f64(task.seconds);
    turn_for(&mut callers, time / 10, &mut Times::new()?)?;
    let mut times = Times::new()?;
    let used = cpu::used_ns(task.process)?;
    let took = turn_for(&mut callers, time, &mut times)?;
    let used = cpu::used_ns(task.process)?
        .checked_sub(used)
        .ok_or_else(|| BenchError::Answer("a thread of the server ended meanwhile".to_owned()))?;
    let times = times.latencies();
    Ok(OldAnswers {
        times,
        rate: Rate {
            answers: times.count,
            seconds: took.as_secs_f64(),
            server_seconds: used as f64 / 1e9,
        },
    })
}

fn turn_for(callers: &mut [Caller], time: Duration, times: &mut Times) -> Result<Duration, BenchError> {
    let started = Instant::now();
    while started.elapsed() < time {
        for caller in callers.iter_mut() {
            times.add(caller.round()?);
        }
    }
    Ok(started.elapsed())
}

impl Caller {
    fn new(task: &OldCallersTask, module: ModuleId) -> Result<Self, BenchError> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).doing("make a socket")?;
        socket
            .connect((Ipv4Addr::LOCALHOST, task.port))
            .doing("connect a socket")?;
        socket
            .set_read_timeout(Some(ANSWER_WITHIN))
            .doing("set a time-out")?;
        let question = GetHost {
            seq: 1,
            modid: module.modid as i32,
            cmdid: module.cmdid as i32,
        };
        Ok(Self {
            socket,
            module,
            ask: task.ask,
            question: encoded(MessageId::GetHost, &question),
            asked: Instant::now(),
        })
    }

    /// As those callers do, until the route is there.
    fn register(&self) -> Result<(), BenchError> {
        let question = GetRoute {
            modid: self.module.modid as i32,
            cmdid: self.module.cmdid as i32,
        };
        let question = encoded(MessageId::CallerGetRoute, &question);
        let (started, mut answer) = (Instant::now(), vec![0; DATAGRAM_BYTES_MAX]);
        loop {
            self.send(&question)?;
            let bytes = self.socket.recv(&mut answer).doing("take a route")?;
            let route: Route = read(MessageId::CallerRoute, &answer[..bytes])?;
            if !route.hosts.is_empty() {
                return Ok(());
            }
            if started.elapsed() > ANSWER_WITHIN {
                return Err(BenchError::Answer(format!("no route of {} comes", self.module)));
            }
            sleep(REGISTER_AGAIN);
        }
    }

    /// Takes the answer, reports the call, asks again; how long the answer took, in nanoseconds.
    fn round(&mut self) -> Result<u64, BenchError> {
        let mut answer = [0; BYTES_MAX];
        let bytes = self.socket.recv(&mut answer).doing("take an answer")?;
        let took = self.asked.elapsed();
        let answer: HostAnswer = read(MessageId::HostAnswer, &answer[..bytes])?;
        if answer.retcode != Retcode::Ok as i32 {
            return Err(BenchError::Answer(format!(
                "code {} instead of a node of {}",
                answer.retcode, self.module
            )));
        }
        if self.ask == OldAsk::Pair {
            let report = Report {
                modid: self.module.modid as i32,
                cmdid: self.module.cmdid as i32,
                host: answer.host,
                retcode: 0,
            };
            let mut out = [0; BYTES_MAX];
            let bytes = encode(MessageId::Report, &report, &mut out).unwrap_or(0);
            self.send(&out[..bytes])?;
        }
        self.send_question()?;
        Ok(took.as_nanos() as u64)
    }

    fn send_question(&mut self) -> Result<(), BenchError> {
        self.asked = Instant::now();
        self.send(&self.question)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), BenchError> {
        self.socket.send(bytes).doing("send a datagram").map(drop)
    }
}

/// A short message as a datagram.
fn encoded(id: MessageId, message: &impl prost::Message) -> Vec<u8> {
    let mut out = vec![0; BYTES_MAX];
    let bytes = encode(id, message, &mut out).unwrap_or(0);
    out.truncate(bytes);
    out
}

fn read<M: prost::Message + Default>(id: MessageId, bytes: &[u8]) -> Result<M, BenchError> {
    let frame = datagram(bytes).map_err(|error| BenchError::Answer(error.to_string()))?;
    if frame.id() != Some(id) {
        return Err(BenchError::Answer(format!(
            "message {} instead of {id:?}",
            frame.number
        )));
    }
    decode(id, frame.body).map_err(|error| BenchError::Answer(error.to_string()))
}
