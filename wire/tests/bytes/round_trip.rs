//! Every message survives a round trip, every cut of it asks for more, and no other bytes stand for it.

use crate::strategies::{
    avoid, edit, explained, for_all, known, link, module, node, one_of, page_place, reason, report, row,
    status, tally, text, zoned_nodes,
};
use lars_wire::admin::{EditRoutes, Edited, GetStatus, ListRoutes, Refusal, RouteRows, StatusText};
use lars_wire::bounds::{
    CALLER_NAME_BYTES_MAX, CHANGE_REASON_BYTES_MAX, FRAME_BYTES_MAX, HEADER_BYTES, NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use lars_wire::caller::{
    Explain, Explanation, GetRoute, Hello, Node, NodeView, Outcome, Pick, Ping, Pong, Register, Registered,
    ReportBatch, Status, Welcome,
};
use lars_wire::directory::{
    Digest, DigestDone, PushAck, RouteDelta, RoutePage, StoreVersion, Subscribe, Unsubscribe,
};
use lars_wire::event::{ChangeAck, ChangeBatch, ChangeRows, ListChanges, StateChange};
use lars_wire::held::{AcceptHeld, HeldAccepted, HeldRow, HeldRows, ListHeld};
use lars_wire::names::{ListNames, NameOf, NameRow, NameRows, NameSet, SetName};
use lars_wire::record::{TallyAck, TallyBatch};
use lars_wire::recording::{Record, Seen, SeenCall};
use lars_wire::ring::{RingHalfFull, RingOffer, RingTaken};
use lars_wire::{CodecError, Message, NodeAddr, codec, frame};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::fmt::Debug;

fn survives<M: Message + PartialEq + Debug>(strategy: impl Strategy<Value = M>) {
    for_all(&(strategy, any::<u32>()), |(message, sequence)| {
        prop_assert_eq!(message.check(), Ok(()));
        let mut bytes = vec![7];
        codec::append(&message, sequence, &mut bytes).expect("it fits");
        prop_assert_eq!(bytes.remove(0), 7, "what stood before is left alone");
        let mut slice = vec![0; FRAME_BYTES_MAX];
        let length = codec::encode(&message, sequence, &mut slice).expect("it fits");
        prop_assert_eq!(
            &slice[..length],
            &bytes[..],
            "both ways of encoding give the same"
        );
        prop_assert!(
            codec::encode(&message, sequence, &mut slice[..length - 1]).is_err(),
            "one byte short"
        );
        bytes.extend_from_slice(b"next");
        let frame = frame::split(&bytes).expect("good bytes").expect("a whole frame");
        prop_assert_eq!(
            (frame.header.kind, frame.header.sequence, frame.bytes()),
            (M::KIND, sequence, length)
        );
        prop_assert_eq!(
            &codec::decode::<M>(frame.body).expect("it is what was encoded"),
            &message
        );
        for cut in 0..length {
            prop_assert_eq!(frame::split(&bytes[..cut]), Ok(None), "cut at {}", cut);
        }
        // Every cut of a short body, some 64 of a long one: each is decoded up to its cut.
        for cut in (0..frame.body.len()).step_by(frame.body.len() / 64 + 1) {
            let decoded = codec::decode::<M>(&frame.body[..cut]);
            prop_assert!(decoded.is_err(), "a body of {cut} bytes");
        }
        let longer = codec::decode::<M>(&bytes[HEADER_BYTES..=length]);
        prop_assert_eq!(
            longer,
            Err(CodecError::Trailing {
                kind: M::KIND,
                left: 1
            })
        );
        Ok(())
    });
}

#[test]
fn rings() {
    survives(any::<u32>().prop_map(|ring| RingOffer { ring }));
    survives((any::<u32>(), any::<bool>()).prop_map(|(ring, taken)| RingTaken { ring, taken }));
    survives(any::<u32>().prop_map(|ring| RingHalfFull { ring }));
}

#[test]
fn hello_and_welcome() {
    survives((any::<u16>(), text(CALLER_NAME_BYTES_MAX)).prop_map(|(version, name)| Hello { version, name }));
    survives(
        (any::<u16>(), any::<[u8; 16]>(), any::<u16>(), any::<bool>()).prop_map(
            |(version, incarnation, sockets, board)| Welcome {
                version,
                incarnation,
                sockets,
                board,
            },
        ),
    );
}

#[test]
fn pick_and_node() {
    survives(
        (module(), option::of(any::<u64>()), any::<u32>(), avoid()).prop_map(
            |(module, key, deadline_ms, avoid)| Pick {
                module,
                key,
                deadline_ms,
                avoid,
            },
        ),
    );
    survives(
        (status(), node(), any::<u64>(), any::<u64>()).prop_map(|(status, node, token, version)| Node {
            status,
            node: if status == Status::Ok {
                node
            } else {
                NodeAddr::NONE
            },
            token,
            version,
        }),
    );
}

#[test]
fn report_and_report_batch() {
    survives(report());
    survives(vec(report(), 0..40).prop_map(|reports| ReportBatch { reports }));
}

#[test]
fn questions_about_a_module_and_short_answers() {
    survives((module(), any::<u32>()).prop_map(|(module, deadline_ms)| GetRoute { module, deadline_ms }));
    survives((module(), any::<u32>()).prop_map(|(module, deadline_ms)| Register { module, deadline_ms }));
    survives((status(), any::<u64>()).prop_map(|(status, version)| Registered { status, version }));
    survives(module().prop_map(|module| Explain { module }));
    survives(any::<u64>().prop_map(|echo| Ping { echo }));
    survives(any::<u64>().prop_map(|echo| Pong { echo }));
    survives((module(), any::<u64>()).prop_map(|(module, version)| PushAck { module, version }));
    survives(any::<u32>().prop_map(|differing| DigestDone { differing }));
    survives(any::<[u64; 2]>().prop_map(|[instance, version]| StoreVersion { instance, version }));
    survives(any::<u16>().prop_map(|version| GetStatus { version }));
}

#[test]
fn explanation() {
    survives(
        (
            status(),
            any::<u64>(),
            text(40),
            any::<u32>(),
            vec(explained(), 0..20),
        )
            .prop_map(|(status, version, policy, total, nodes)| Explanation {
                status,
                version,
                policy,
                total,
                nodes,
            }),
    );
}

#[test]
fn refusal() {
    survives((reason(), text(TEXT_BYTES_MAX)).prop_map(|(reason, text)| Refusal { reason, text }));
}

#[test]
fn subscribe_unsubscribe_and_digest() {
    survives(vec(known(), 0..40).prop_map(|modules| Subscribe { modules }));
    survives(vec(module(), 0..40).prop_map(|modules| Unsubscribe { modules }));
    survives(vec(known(), 0..40).prop_map(|modules| Digest { modules }));
}

#[test]
fn route_page() {
    let head = (module(), status(), any::<[u64; 3]>(), any::<bool>());
    let nodes = zoned_nodes().prop_flat_map(|(zones, nodes)| {
        let place = page_place(nodes.len());
        (Just(zones), Just(nodes), place)
    });
    survives((head, nodes).prop_map(
        |((module, status, [instance, version, hash], explained), (zones, nodes, (total, first)))| {
            RoutePage {
                module,
                status,
                instance,
                version,
                hash,
                explained,
                total,
                first,
                zones,
                nodes,
            }
        },
    ));
}

#[test]
fn route_delta() {
    survives(
        (
            module(),
            any::<[u64; 4]>(),
            any::<bool>(),
            zoned_nodes(),
            vec(node(), 0..20),
        )
            .prop_map(
                |(module, [instance, base, version, hash], explained, (zones, put), removed)| RouteDelta {
                    module,
                    instance,
                    base,
                    version,
                    hash,
                    explained,
                    zones,
                    put,
                    removed,
                },
            ),
    );
}

#[test]
fn tally_batch_and_ack() {
    survives(
        (
            any::<[u8; 16]>(),
            1..=u64::MAX,
            any::<u32>(),
            any::<u64>(),
            vec(tally(), 0..20),
        )
            .prop_map(|(incarnation, sequence, caller, age_ms, tallies)| TallyBatch {
                incarnation,
                sequence,
                caller,
                age_ms,
                tallies,
            }),
    );
    survives(
        (any::<[u8; 16]>(), any::<u64>()).prop_map(|(incarnation, sequence)| TallyAck {
            incarnation,
            sequence,
        }),
    );
}

#[test]
fn listing_and_editing() {
    survives(
        (option::of(module()), option::of((module(), node())))
            .prop_map(|(module, after)| ListRoutes { module, after }),
    );
    survives((vec(row(), 0..20), any::<bool>()).prop_map(|(rows, more)| RouteRows { rows, more }));
    survives(vec(edit(), 1..20).prop_map(|edits| EditRoutes { edits }));
    survives(
        (any::<[u32; 3]>(), any::<u64>()).prop_map(|([put, removed, unconfirmed], version)| Edited {
            put,
            removed,
            version,
            unconfirmed,
        }),
    );
}

#[test]
fn status_text() {
    let named = (
        vec((text(20), any::<u64>()), 0..6),
        vec((text(20), text(100)), 0..6),
        vec(link(), 0..4),
    );
    survives((text(20), text(20), text(20), text(200), named).prop_map(
        |(service, version, io, io_reason, (counts, notes, links))| StatusText {
            service,
            version,
            io,
            io_reason,
            counts,
            notes,
            links,
        },
    ));
}

#[test]
fn names() {
    let of = || one_of(NameOf::ALL);
    let name = || text(NAME_BYTES_MAX).prop_filter("a name has characters", |name| !name.is_empty());
    survives(
        (of(), option::of(any::<u32>()), option::of(any::<u32>()))
            .prop_map(|(of, number, after)| ListNames { of, number, after }),
    );
    let row = (any::<u32>(), name()).prop_map(|(number, name)| NameRow { number, name });
    survives((vec(row, 0..30), any::<bool>()).prop_map(|(rows, more)| NameRows { rows, more }));
    survives(
        (of(), any::<u32>(), option::of(name())).prop_map(|(of, number, name)| SetName { of, number, name }),
    );
    survives(option::of(name()).prop_map(|before| NameSet { before }));
}

#[test]
fn what_is_held() {
    survives(option::of(module()).prop_map(|after| ListHeld { after }));
    let row = (module(), any::<u32>(), any::<bool>()).prop_map(|(module, nodes, vanished)| HeldRow {
        module,
        nodes,
        vanished,
    });
    survives(
        (any::<bool>(), vec(row, 0..100), any::<bool>()).prop_map(|(waits, rows, more)| HeldRows {
            waits,
            rows,
            more,
        }),
    );
    survives(any::<u16>().prop_map(|version| AcceptHeld { version }));
    survives(any::<[u64; 2]>().prop_map(|[released, changed]| HeldAccepted { released, changed }));
}

#[test]
fn changes_and_their_listing() {
    let change = || {
        let numbers = (any::<u64>(), any::<u64>());
        let views = (one_of(NodeView::ALL), one_of(NodeView::ALL));
        (numbers, module(), node(), views, text(CHANGE_REASON_BYTES_MAX)).prop_map(
            |((number, age_ms), module, node, (from, to), reason)| StateChange {
                number,
                module,
                node,
                age_ms,
                from,
                to,
                reason,
            },
        )
    };
    survives((any::<[u8; 16]>(), any::<u32>(), vec(change(), 0..20)).prop_map(
        |(incarnation, caller, changes)| ChangeBatch {
            incarnation,
            caller,
            changes,
        },
    ));
    survives(
        (any::<[u8; 16]>(), any::<u64>()).prop_map(|(incarnation, number)| ChangeAck { incarnation, number }),
    );
    survives(option::of(module()).prop_map(|module| ListChanges { module }));
    survives(
        (any::<u64>(), any::<u64>(), vec(change(), 0..20)).prop_map(|(total, lost, changes)| ChangeRows {
            total,
            lost,
            changes,
        }),
    );
}

#[test]
fn recordings() {
    survives(
        (option::of(module()), any::<u32>()).prop_map(|(module, duration_ms)| Record { module, duration_ms }),
    );
    let call = (
        any::<u64>(),
        module(),
        node(),
        one_of(Outcome::ALL),
        any::<[u32; 2]>(),
    )
        .prop_map(|(t_us, module, node, outcome, [latency_us, calls])| SeenCall {
            t_us,
            module,
            node,
            outcome,
            latency_us,
            calls,
        });
    survives(
        (any::<u64>(), any::<bool>(), vec(call, 0..100)).prop_map(|(lost, done, calls)| Seen {
            lost,
            done,
            calls,
        }),
    );
}
