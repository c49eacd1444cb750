//! What a load and a server say to each other: the bytes of a pick, of its answer, and of the report behind it; of the
//! question for a route, and of that.
//!
//! The bare echoes exchange exactly these bytes, so that what a service takes beyond them is its own work.

use crate::error::BenchError;
use crate::services::{NODES, node};
use lars_wire::bounds::HEADER_BYTES;
use lars_wire::caller::{GetRoute, Node, Outcome, Pick, Report, Status};
use lars_wire::directory::{RouteHead, RoutePage, pages};
use lars_wire::{Kind, ModuleId, NodeAddr, Route, RouteNode, codec};
use serde::{Deserialize, Serialize};

/// Bytes of a pick's frame.
pub const PICK_BYTES: usize = HEADER_BYTES + 21;
/// Bytes of its answer's frame.
pub const NODE_BYTES: usize = HEADER_BYTES + 35;
/// Bytes of a report's frame.
pub const REPORT_BYTES: usize = HEADER_BYTES + 43;

/// Bytes of the frame that asks for a route.
pub const GET_ROUTE_BYTES: usize = HEADER_BYTES + 12;
/// Bytes of the frame of a route of [`NODES`] nodes in no zone.
pub const ROUTE_BYTES: usize = HEADER_BYTES + 58 + 23 * NODES as usize;

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
    /// The route of a module.
    Route,
}

impl Ask {
    /// Bytes of the question alone.
    pub const fn question_bytes(self) -> usize {
        match self {
            Self::Pick | Self::Pair => PICK_BYTES,
            Self::Route => GET_ROUTE_BYTES,
        }
    }

    /// Bytes of its answer.
    pub const fn answer_bytes(self) -> usize {
        match self {
            Self::Pick | Self::Pair => NODE_BYTES,
            Self::Route => ROUTE_BYTES,
        }
    }

    /// The kind of its answer, and where its status stands.
    const fn answered(self) -> (Kind, usize) {
        match self {
            Self::Pick | Self::Pair => (Kind::Node, HEADER_BYTES),
            Self::Route => (Kind::RoutePage, HEADER_BYTES + 8),
        }
    }
}

/// One connection's questions, encoded once.
#[derive(Clone, Debug)]
pub struct Exchange {
    ask: Ask,
    question: Vec<u8>,
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
        let question = match ask {
            Ask::Pick | Ask::Pair => encoded(&Pick::new(module), PICK_BYTES)?,
            Ask::Route => {
                let deadline_ms = 0;
                encoded(&GetRoute { module, deadline_ms }, GET_ROUTE_BYTES)?
            }
        };
        Ok(Self {
            ask,
            question,
            report: encoded(&report, REPORT_BYTES)?,
        })
    }

    /// Appends the first question.
    pub fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.question);
    }

    /// Appends what follows an answer.
    ///
    /// # Errors
    /// It is not the answer that was expected.
    pub fn follow(&self, answer: &[u8], out: &mut Vec<u8>) -> Result<(), BenchError> {
        let (expected, place) = self.ask.answered();
        let (kind, status) = (answer[5], answer[place]);
        if kind != u8::from(expected) || status != u8::from(Status::Ok) {
            return Err(BenchError::Answer(format!(
                "kind {kind}, status {status} instead of a good {expected:?}"
            )));
        }
        if self.ask == Ask::Pair {
            let start = out.len();
            out.extend_from_slice(&self.report);
            out[start..][REPORTED].copy_from_slice(&answer[ANSWERED]);
        }
        out.extend_from_slice(&self.question);
        Ok(())
    }
}

/// The page of a route of [`NODES`] nodes in no zone.
pub fn route_page() -> RoutePage {
    let nodes = (0..NODES).map(|number| RouteNode::new(node(number))).collect();
    let head = RouteHead {
        module: ModuleId::new(1, 1),
        status: Status::Ok,
        instance: 1,
        version: 1,
        explained: true,
    };
    // A route has one page at least.
    pages(head, &Route::new(nodes)).swap_remove(0)
}

/// An answer as a service would give it: what the echoes send back.
///
/// # Errors
/// The message does not have the size that is written down above.
pub fn answer(ask: Ask) -> Result<Vec<u8>, BenchError> {
    if ask == Ask::Route {
        return encoded(&route_page(), ROUTE_BYTES);
    }
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
        let (answer, mut out) = (answer(Ask::Pick).expect("sizes are right"), Vec::new());
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
        let mut answer = answer(Ask::Pick).expect("sizes are right");
        answer[HEADER_BYTES] = Status::Pending.into();
        assert!(exchange.follow(&answer, &mut Vec::new()).is_err());
    }

    #[test]
    fn route_is_asked_for_and_answered_in_the_bytes_that_are_written_down() {
        let exchange = Exchange::new(Ask::Route, ModuleId::new(1, 2)).expect("sizes are right");
        let (answer, mut out) = (answer(Ask::Route).expect("sizes are right"), Vec::new());
        exchange.follow(&answer, &mut out).expect("it is a route");
        assert_eq!((out.len(), answer.len()), (GET_ROUTE_BYTES, ROUTE_BYTES));
    }
}
