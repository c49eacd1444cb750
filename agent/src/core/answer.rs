//! How an owner's answer becomes frames: the pages of a route, an explanation, and what stands in where there is none.

use crate::mail::{Ask, Question};
use bytes::Bytes;
use lars_wire::caller::{Explanation, Node, Status};
use lars_wire::directory::{RouteHead, pages};
use lars_wire::{Message, NodeAddr, Route, codec};
use std::sync::Arc;

/// A node that is none.
pub(crate) const fn no_node(status: Status, version: u64) -> Node {
    Node {
        status,
        node: NodeAddr::NONE,
        token: 0,
        version,
    }
}

/// The pages of a route, or the one page that says why there is none.
pub(crate) fn route_frames(ask: &Ask, status: Status, route: Option<(u64, &Arc<Route>)>) -> Bytes {
    let none = Route::default();
    // An overloaded module has a route like any other; what counts here is whether the route is known.
    let (status, version, route) = match route {
        Some((version, route)) if !route.is_empty() => (Status::Ok, version, route.as_ref()),
        _ if status == Status::Ok => (Status::Pending, 0, &none),
        _ => (status, 0, &none),
    };
    let head = RouteHead {
        module: ask.module,
        status,
        instance: 0,
        version,
        explained: true,
    };
    let mut frames = Vec::new();
    for page in pages(head, route) {
        put(&mut frames, &page, ask.asker.sequence);
    }
    frames.into()
}

/// The explanation, with as many nodes as fit a frame.
pub(crate) fn explanation_frame(ask: &Ask, mut explanation: Explanation) -> Bytes {
    let mut frame = Vec::new();
    // Each round drops the last eighth of the nodes, so that at most some 80 rounds reach none at all.
    while codec::append(&explanation, ask.asker.sequence, &mut frame).is_err()
        && !explanation.nodes.is_empty()
    {
        let kept = explanation.nodes.len() * 7 / 8;
        explanation.nodes.truncate(kept);
    }
    frame.into()
}

/// What answers a question for whose nodes there is no room; empty where the owner makes no frames.
pub(crate) fn frames_without_nodes(ask: &Ask, status: Status) -> Bytes {
    match ask.question {
        Question::Pick(..) | Question::Register => Bytes::new(),
        Question::Route => route_frames(ask, status, None),
        Question::Explain => explanation_frame(ask, unexplained(status)),
    }
}

/// The explanation of a module of which nothing is known.
fn unexplained(status: Status) -> Explanation {
    Explanation {
        status,
        version: 0,
        policy: String::new(),
        total: 0,
        nodes: Vec::new(),
    }
}

/// Encodes a message that is known to fit.
pub(crate) fn put<M: Message>(frames: &mut Vec<u8>, message: &M, sequence: u32) {
    if let Err(error) = codec::append(message, sequence, frames) {
        debug_assert!(false, "{error}");
        tracing::error!(%error, "an answer is left out: a bound of ours was not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Asker;
    use lars_pool::{ConnectionId, CoreIndex};
    use lars_wire::caller::{NodeExplained, NodeView};
    use lars_wire::directory::RoutePage;
    use lars_wire::{ModuleId, RouteNode, frame};

    fn ask(question: Question) -> Ask {
        Ask {
            asker: Asker {
                core: CoreIndex(0),
                connection: ConnectionId {
                    slot: 0,
                    generation: 0,
                },
                sequence: 9,
            },
            module: ModuleId::new(1, 1),
            question,
            deadline_ms: 0,
        }
    }

    fn node(number: u32) -> NodeAddr {
        NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80)
    }

    #[test]
    fn long_route_is_cut_into_pages_that_carry_the_question_s_sequence() {
        let route = Arc::new(Route::new(
            (0..3_000).map(|number| RouteNode::new(node(number))).collect(),
        ));
        let frames = route_frames(&ask(Question::Route), Status::Ok, Some((4, &route)));
        let (mut rest, mut nodes) = (&frames[..], 0);
        while let Some(frame) = frame::split(rest).expect("good bytes") {
            assert_eq!(frame.header.sequence, 9);
            let page: RoutePage = codec::decode(frame.body).expect("a page");
            assert_eq!((page.total, page.first, page.version), (3_000, nodes, 4));
            nodes += page.nodes.len() as u32;
            rest = &rest[frame.bytes()..];
        }
        assert_eq!((nodes, rest.len()), (3_000, 0));
    }

    #[test]
    fn explanation_drops_nodes_until_it_fits() {
        let explained = |number| NodeExplained {
            node: node(number),
            view: NodeView::Idle,
            since_ms: 0,
            reason: "x".repeat(1_000),
            cost_us: 1,
            in_flight: 0,
            next_probe_ms: None,
        };
        let explanation = Explanation {
            total: 1_000,
            nodes: (0..1_000).map(explained).collect(),
            ..unexplained(Status::Ok)
        };
        let bytes = explanation_frame(&ask(Question::Explain), explanation);
        let frame = frame::split(&bytes).expect("good bytes").expect("a whole frame");
        let fitted: Explanation = codec::decode(frame.body).expect("an explanation");
        assert_eq!(fitted.total, 1_000);
        assert!(fitted.nodes.len() > 50, "{}", fitted.nodes.len());
    }
}
