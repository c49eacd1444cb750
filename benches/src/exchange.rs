//! What a load and a server say to each other: the bytes of a pick, of its answer, and of the report behind it.
//!
//! The bare echoes exchange exactly these bytes, so that what a service takes beyond them is its own work.

use crate::error::BenchError;
use lars_wire::bounds::HEADER_BYTES;
use lars_wire::caller::{Node, Outcome, Pick, Report, Status};
use lars_wire::{Kind, ModuleId, NodeAddr, codec};
use serde::{Deserialize, Serialize};

/// Bytes of a pick's frame.
pub const PICK_BYTES: usize = HEADER_BYTES + 21;
/// Bytes of its answer's frame.
pub const NODE_BYTES: usize = HEADER_BYTES + 35;
/// Bytes of a report's frame.
pub const REPORT_BYTES: usize = HEADER_BYTES + 43;

/// Where node and token stand in an answer, one behind the other.
const ANSWERED: std::ops::Range<usize> = HEADER_BYTES + 1..HEADER_BYTES + 27;
/// Where they stand in a report.
const REPORTED: std::ops::Range<usize> = HEADER_BYTES + 8..HEADER_BYTES + 34;

/// What is asked, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A pick.
    Pick,
    /// A pick, and behind its answer the report of the call, together with the next pick.
    Pair,
}

/// One connection's questions, encoded once.
#[derive(Clone, Debug)]
pub struct Exchange {
    ask: Ask,
    pick: Vec<u8>,
    report: Vec<u8>,
}

impl Exchange {
    /// Questions about `module`.
    ///
    /// # Errors
    /// A message does not have the size that is written down above.
    pub fn new(ask: Ask, module: ModuleId) -> Result<Self, BenchError> {
        let report = Report {
            module,
            node: NodeAddr::NONE,
            token: 0,
            outcome: Outcome::Ok,
            retcode: 0,
            latency_us: 1_000,
        };
        Ok(Self {
            ask,
            pick: encoded(&Pick::new(module), PICK_BYTES)?,
            report: encoded(&report, REPORT_BYTES)?,
        })
    }

    /// Appends the first question.
    pub fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pick);
    }

    /// Appends what follows an answer.
    ///
    /// # Errors
    /// It is not the answer that was expected.
    pub fn follow(&self, answer: &[u8], out: &mut Vec<u8>) -> Result<(), BenchError> {
        let (kind, status) = (answer[5], answer[HEADER_BYTES]);
        if kind != u8::from(Kind::Node) || status != u8::from(Status::Ok) {
            return Err(BenchError::Answer(format!(
                "kind {kind}, status {status} to a pick"
            )));
        }
        if self.ask == Ask::Pair {
            let start = out.len();
            out.extend_from_slice(&self.report);
            out[start..][REPORTED].copy_from_slice(&answer[ANSWERED]);
        }
        out.extend_from_slice(&self.pick);
        Ok(())
    }
}

/// An answer as an agent would give it: what the echoes send back.
///
/// # Errors
/// The message does not have the size that is written down above.
pub fn answer() -> Result<Vec<u8>, BenchError> {
    let node = Node {
        status: Status::Ok,
        node: NodeAddr::from_ipv4_number(0x0a00_0001, 7777),
        token: 1,
        version: 1,
    };
    encoded(&node, NODE_BYTES)
}

fn encoded<M: lars_wire::Message>(message: &M, bytes: usize) -> Result<Vec<u8>, BenchError> {
    let mut out = vec![0; 2 * bytes];
    let used = codec::encode(message, 1, &mut out).map_err(|error| BenchError::Answer(error.to_string()))?;
    if used != bytes {
        return Err(BenchError::Answer(format!(
            "a {:?} has {used} bytes, not {bytes}",
            M::KIND
        )));
    }
    out.truncate(bytes);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::frame;

    #[test]
    fn report_names_the_node_and_token_of_the_answer() {
        let exchange = Exchange::new(Ask::Pair, ModuleId::new(1, 2)).expect("sizes are right");
        let (answer, mut out) = (answer().expect("sizes are right"), Vec::new());
        exchange.follow(&answer, &mut out).expect("it is a node");
        let first = frame::split(&out).expect("a frame").expect("a whole one");
        let report: Report = codec::decode(first.body).expect("a report");
        let node: Node = codec::decode(&answer[HEADER_BYTES..]).expect("a node");
        assert_eq!(
            (report.node, report.token, report.module),
            (node.node, node.token, ModuleId::new(1, 2))
        );
        let second = frame::split(&out[first.bytes()..])
            .expect("a frame")
            .expect("a whole one");
        assert_eq!(
            codec::decode::<Pick>(second.body),
            Ok(Pick::new(ModuleId::new(1, 2)))
        );
    }

    #[test]
    fn answer_without_a_node_is_refused() {
        let exchange = Exchange::new(Ask::Pick, ModuleId::new(1, 2)).expect("sizes are right");
        let mut answer = answer().expect("sizes are right");
        answer[HEADER_BYTES] = Status::Pending.into();
        assert!(exchange.follow(&answer, &mut Vec::new()).is_err());
    }
}
