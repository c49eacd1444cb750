//! Callers of the C++ Lars, each on a UDP socket of its own with one question outstanding: get host, and where pairs are
//! asked for, the report of the call behind it. All ask about modules that belong to the first of an agent's three ports,
//! so that one thread of a C++ agent serves them too.

use super::datagram::{Answers, DatagramCaller, ask_in_turn};
use crate::error::{BenchError, Doing};
use crate::greeting::ANSWER_WITHIN;
use lars_compat::message::{GetHost, GetRoute, HostAnswer, Report, Retcode, Route};
use lars_compat::{DATAGRAM_BYTES_MAX, MessageId, datagram, decode, encode};
use lars_wire::ModuleId;
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, UdpSocket};
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
    /// Where it listens, with the first of its ports.
    pub addr: SocketAddr,
    /// The server's process, where that is known.
    pub process: Option<u32>,
    /// Whether it has routes, which are asked for first.
    pub has_routes: bool,
    /// What is asked.
    pub ask: OldAsk,
    /// Callers.
    pub callers: u32,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
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
pub fn run(task: &OldCallersTask) -> Result<Answers, BenchError> {
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
    ask_in_turn(&mut callers, task.seconds, task.process)
}

impl Caller {
    fn new(task: &OldCallersTask, module: ModuleId) -> Result<Self, BenchError> {
        let any = if task.addr.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).doing("make a socket")?;
        socket.connect(task.addr).doing("connect a socket")?;
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

    fn send(&self, bytes: &[u8]) -> Result<(), BenchError> {
        self.socket.send(bytes).doing("send a datagram").map(drop)
    }
}

impl DatagramCaller for Caller {
    fn send_question(&mut self) -> Result<(), BenchError> {
        self.asked = Instant::now();
        self.send(&self.question)
    }

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
