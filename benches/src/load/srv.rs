//! Callers of a server of the DNS: each asks for the SRV records of `_MODID-CMDID._tcp.lars.test` over a UDP socket of its
//! own, as resolvers do where no cache of theirs helps.

use super::datagram::{Answers, DatagramCaller, ask_in_turn};
use super::module;
use crate::error::{BenchError, Doing};
use crate::greeting::ANSWER_WITHIN;
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// Room for an answer, as EDNS resolvers offer it.
const ANSWER_BYTES_MAX: usize = 1_232;
/// The DNS's numbers for SRV and for the pseudo record that tells how long an answer may be.
const SRV: u16 = 33;
const OPT: u16 = 41;

/// Whom to ask, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SrvTask {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its process, where that is known.
    pub process: Option<u32>,
    /// Callers.
    pub callers: u32,
    /// How long, after a tenth of that to warm up.
    pub seconds: f64,
}

/// One caller.
struct Caller {
    socket: UdpSocket,
    question: Vec<u8>,
    id: u16,
    asked: Instant,
}

/// Asks, times and counts.
///
/// # Errors
/// The server does not answer as it should.
pub fn run(task: &SrvTask) -> Result<Answers, BenchError> {
    let callers = (0..task.callers).map(|number| Caller::new(task.addr, number));
    let mut callers = callers.collect::<Result<Vec<_>, _>>()?;
    ask_in_turn(&mut callers, task.seconds, task.process)
}

impl Caller {
    fn new(addr: SocketAddr, number: u32) -> Result<Self, BenchError> {
        let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).doing("make a socket")?;
        socket.connect(addr).doing("connect a socket")?;
        socket
            .set_read_timeout(Some(ANSWER_WITHIN))
            .doing("set a time-out")?;
        let module = module(number);
        Ok(Self {
            socket,
            question: question(module.modid, module.cmdid),
            id: 0,
            asked: Instant::now(),
        })
    }
}

impl DatagramCaller for Caller {
    fn send_question(&mut self) -> Result<(), BenchError> {
        self.id = self.id.wrapping_add(1);
        self.question[..2].copy_from_slice(&self.id.to_be_bytes());
        self.asked = Instant::now();
        self.socket.send(&self.question).doing("ask").map(drop)
    }

    fn round(&mut self) -> Result<u64, BenchError> {
        let mut answer = [0; ANSWER_BYTES_MAX];
        loop {
            let bytes = self.socket.recv(&mut answer).doing("take an answer")?;
            if are_records(&answer[..bytes], self.id)? {
                break;
            }
        }
        let took = self.asked.elapsed();
        self.send_question()?;
        Ok(took.as_nanos() as u64)
    }
}

/// A question for the SRV records of a module, without its number.
fn question(modid: u32, cmdid: u32) -> Vec<u8> {
    // Recursion desired, one question, one additional record.
    let head: [u16; 6] = [0, 0x0100, 1, 0, 0, 1];
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

    #[test]
    fn question_for_records_is_as_the_dns_wants_it() {
        let bytes = question(100, 2);
        assert_eq!(&bytes[..12], [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(
            &bytes[12..39],
            b"\x06_100-2\x04_tcp\x04lars\x04test\0\0\x21\0\x01"
        );
        assert_eq!(&bytes[39..], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn answer_without_a_record_is_an_error_and_a_late_one_is_skipped() {
        let records = |flags: u8, answers: u8| [0, 7, 0x81, flags, 0, 1, 0, answers, 0, 0, 0, 0];
        assert_eq!(are_records(&records(0x80, 10), 7).ok(), Some(true));
        assert_eq!(are_records(&records(0x80, 10), 8).ok(), Some(false));
        assert!(are_records(&records(0x83, 0), 7).is_err(), "no such name");
    }
}
