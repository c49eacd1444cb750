//! Callers of a peer: each asks over a UDP socket of its own, one question outstanding, and what is lost is asked again.
//!
//! The C++ Lars is asked as its callers do ("get host"), a server of the DNS for the SRV records of
//! `_MODID-CMDID._tcp.lars.test`. Asked about are those of [`super::module`]'s modules that belong to the first of the
//! three ports of a C++ agent.

use super::latency::{Latencies, Times};
use crate::cpu;
use crate::error::{BenchError, Doing};
use crate::peer::Speaks;
use lars_compat::message::{GetHost, HostAnswer, Retcode};
use lars_compat::{MessageId, datagram, decode, encode};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Ports of a C++ agent: a module belongs to the one with the number (modid + cmdid) mod 3.
const PORTS: u32 = 3;
/// How long an answer is waited for before the question is asked again, and how often.
const TRY: Duration = Duration::from_millis(500);
const TRIES_MAX: u32 = 10;
/// Room for a question and for an answer, as EDNS resolvers offer it.
const QUESTION_BYTES_MAX: usize = 128;
const ANSWER_BYTES_MAX: usize = 1_232;
/// The DNS's numbers for SRV and for the pseudo record that tells how long an answer may be.
const SRV: u16 = 33;
const OPT: u16 = 41;

/// Whom to ask, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatagramTask {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it speaks.
    pub speaks: Speaks,
    /// Its process, where that is known.
    pub process: Option<u32>,
    /// Callers.
    pub callers: u32,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
}

/// What was answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// From question to answer; the callers are asked in turn, so it means something for a single one alone.
    pub times: Latencies,
    /// How long it took.
    pub seconds: f64,
    /// Processor time that the peer used meanwhile.
    pub server_seconds: Option<f64>,
}

/// One caller.
struct Caller {
    socket: UdpSocket,
    speaks: Speaks,
    cmdid: u32,
    sequence: u16,
    asked: Instant,
}

/// Asks and times.
///
/// # Errors
/// The peer does not answer as it should.
pub fn run(task: &DatagramTask) -> Result<Answered, BenchError> {
    let mut callers = Vec::new();
    for number in 0..task.callers {
        let mut caller = Caller::new(task, number)?;
        caller.ask()?;
        callers.push(caller);
    }
    let used = || task.process.map(cpu::used_ns).transpose();
    let mut turn_for = |time: Duration, times: &mut Times| {
        let started = Instant::now();
        while started.elapsed() < time {
            for caller in &mut callers {
                times.add(caller.answered()?);
                caller.ask()?;
            }
        }
        Ok::<_, BenchError>(started.elapsed())
    };
    let time = Duration::from_secs_f64(task.seconds);
    turn_for(time / 10, &mut Times::new()?)?;
    let (mut times, before) = (Times::new()?, used()?);
    let took = turn_for(time, &mut times)?;
    let used = used()?
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    Ok(Answered {
        times: times.latencies(),
        seconds: took.as_secs_f64(),
        server_seconds: used.map(|ns| ns as f64 / 1e9),
    })
}

impl Answered {
    /// Answers in a second.
    pub fn per_s(&self) -> f64 {
        self.times.count as f64 / self.seconds
    }

    /// Answers in a second of the peer's processor time, where that is known.
    pub fn per_core_s(&self) -> Option<f64> {
        let seconds = self.server_seconds.filter(|seconds| *seconds > 0.0)?;
        Some(self.times.count as f64 / seconds)
    }
}

impl Caller {
    fn new(task: &DatagramTask, number: u32) -> Result<Self, BenchError> {
        let any = if task.addr.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).doing("make a socket")?;
        socket.connect(task.addr).doing("connect a socket")?;
        socket.set_read_timeout(Some(TRY)).doing("set a time-out")?;
        let own: Vec<u32> = (0..super::MODULES)
            .map(super::module)
            .filter(|module| (module.modid + module.cmdid).is_multiple_of(PORTS))
            .map(|module| module.cmdid)
            .collect();
        Ok(Self {
            socket,
            speaks: task.speaks,
            cmdid: own[number as usize % own.len()],
            sequence: 0,
            asked: Instant::now(),
        })
    }

    fn ask(&mut self) -> Result<(), BenchError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.asked = Instant::now();
        self.send()
    }

    fn send(&self) -> Result<(), BenchError> {
        let mut out = [0; QUESTION_BYTES_MAX];
        let modid = super::module(0).modid;
        let bytes = match self.speaks {
            Speaks::Lars => {
                let question = GetHost {
                    seq: u32::from(self.sequence),
                    modid: modid as i32,
                    cmdid: self.cmdid as i32,
                };
                encode(MessageId::GetHost, &question, &mut out)
            }
            Speaks::Srv => {
                let question = srv_question(self.sequence, modid, self.cmdid);
                let place = out.get_mut(..question.len());
                place.map(|place| {
                    place.copy_from_slice(&question);
                    question.len()
                })
            }
        };
        let bytes = bytes.ok_or_else(|| BenchError::Answer("a question is too long".to_owned()))?;
        self.socket.send(&out[..bytes]).doing("ask a peer").map(drop)
    }

    /// Waits for the answer to the last question; how long it took, in nanoseconds.
    fn answered(&mut self) -> Result<u64, BenchError> {
        let (mut answer, mut tries) = ([0; ANSWER_BYTES_MAX], 1);
        loop {
            match self.socket.recv(&mut answer) {
                Ok(bytes) => {
                    let is_ours = match self.speaks {
                        Speaks::Lars => is_node(&answer[..bytes], self.sequence)?,
                        Speaks::Srv => are_records(&answer[..bytes], self.sequence)?,
                    };
                    if is_ours {
                        return Ok(self.asked.elapsed().as_nanos() as u64);
                    }
                }
                Err(error) if is_late(error.kind()) && tries < TRIES_MAX => {
                    tries += 1;
                    self.send()?;
                }
                Err(error) => return Err(error).doing("take a peer's answer"),
            }
        }
    }
}

fn is_late(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Whether these bytes answer the question with this number; an error where they answer it without a node.
fn is_node(bytes: &[u8], sequence: u16) -> Result<bool, BenchError> {
    let wrong = |error: lars_compat::FrameError| BenchError::Answer(error.to_string());
    let frame = datagram(bytes).map_err(wrong)?;
    let answer: HostAnswer = decode(MessageId::HostAnswer, frame.body).map_err(wrong)?;
    if answer.seq != u32::from(sequence) {
        return Ok(false);
    }
    if answer.retcode == Retcode::Ok as i32 && answer.host.is_some() {
        Ok(true)
    } else {
        Err(BenchError::Answer(format!(
            "the peer has no node for module {},{}: code {}",
            answer.modid, answer.cmdid, answer.retcode
        )))
    }
}

/// A question for the SRV records of a module.
fn srv_question(id: u16, modid: u32, cmdid: u32) -> Vec<u8> {
    // Recursion desired, one question, one additional record.
    let head: [u16; 6] = [id, 0x0100, 1, 0, 0, 1];
    let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
    for label in [&format!("_{modid}-{cmdid}"), "_tcp", "lars", "test"] {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend([SRV, 1].iter().flat_map(|word| word.to_be_bytes()));
    // The root's name, OPT, how long an answer may be, and nothing more.
    bytes.push(0);
    bytes.extend(
        [OPT, ANSWER_BYTES_MAX as u16, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_be_bytes()),
    );
    bytes
}

/// Whether these bytes answer the question with this number; an error where they answer it without records.
fn are_records(bytes: &[u8], id: u16) -> Result<bool, BenchError> {
    let word = |place: usize| {
        let pair = bytes.get(2 * place..2 * place + 2);
        pair.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    };
    let (is_answer, code, answers) = (word(1) & 0x8000 != 0, word(1) & 0xf, word(3));
    match (code, answers) {
        _ if word(0) != id || !is_answer => Ok(false),
        (0, 1..) => Ok(true),
        _ => Err(BenchError::Answer(format!(
            "the peer has no SRV record: code {code}, {answers} answers"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_compat::message::Host;

    #[test]
    fn question_for_records_is_as_the_dns_wants_it() {
        let bytes = srv_question(0x1234, 100, 2);
        assert_eq!(&bytes[..12], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(
            &bytes[12..39],
            b"\x06_100-2\x04_tcp\x04lars\x04test\0\0\x21\0\x01"
        );
        assert_eq!(&bytes[39..], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn answer_without_a_node_or_record_is_an_error_and_a_late_one_is_skipped() {
        let mut out = [0; 64];
        let mut answer = HostAnswer {
            seq: 7,
            modid: 100,
            cmdid: 2,
            retcode: 0,
            host: Some(Host { ip: 1, port: 80 }),
        };
        let mut encoded = |answer: &HostAnswer| {
            let bytes = encode(MessageId::HostAnswer, answer, &mut out).expect("it fits");
            out[..bytes].to_vec()
        };
        assert_eq!(is_node(&encoded(&answer), 7).ok(), Some(true));
        assert_eq!(is_node(&encoded(&answer), 8).ok(), Some(false));
        (answer.retcode, answer.host) = (3, None);
        assert!(is_node(&encoded(&answer), 7).is_err());
        let records = |flags: u8, answers: u8| [0, 7, 0x81, flags, 0, 1, 0, answers, 0, 0, 0, 0];
        assert_eq!(are_records(&records(0x80, 10), 7).ok(), Some(true));
        assert_eq!(are_records(&records(0x80, 10), 8).ok(), Some(false));
        assert!(are_records(&records(0x83, 0), 7).is_err(), "no such name");
    }
}
