//! The short cut of the hottest messages against bincode: what it reads and writes is the same, byte by byte and
//! field by field, on good messages and on spoilt ones.

use crate::strategies::{avoid, for_all, module, node, report, status, zoned_nodes};
use lars_wire::bounds::{AVOID_MAX, BODY_BYTES_MAX, HEADER_BYTES, REPORTS_MAX};
use lars_wire::caller::{Avoid, BarePick, GetRoute, Node, Pick, ReportBatch};
use lars_wire::directory::{PushAck, RoutePage};
use lars_wire::{Message, NodeAddr, codec};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::fmt::Debug;

/// What is done to a good body: bytes replaced, the length changed.
type Spoiling = (
    Vec<(prop::sample::Index, u8)>,
    Option<prop::sample::Index>,
    Vec<u8>,
);

fn spoiling() -> impl Strategy<Value = Spoiling> {
    let byte = prop_oneof![Just(0), Just(1), Just(2), Just(255), any::<u8>()];
    (
        vec((any::<prop::sample::Index>(), byte), 0..4),
        option::weighted(0.3, any::<prop::sample::Index>()),
        vec(any::<u8>(), 0..3),
    )
}

fn spoil(body: &[u8], (changes, cut, more): Spoiling) -> Vec<u8> {
    let mut spoilt = body.to_vec();
    for (place, byte) in changes {
        let place = place.index(spoilt.len());
        spoilt[place] = byte;
    }
    if let Some(cut) = cut {
        spoilt.truncate(cut.index(spoilt.len()));
    }
    spoilt.extend(more);
    spoilt
}

/// Holds what is written by the short cut against bincode's bytes, in as much space as it takes and in less.
fn writes_alike<M: Message>(message: &M, body: &[u8]) -> TestCaseResult {
    let mut space = vec![7; body.len() + 1];
    prop_assert_eq!(message.write_plain(&mut space), Some(body.len()));
    prop_assert_eq!((&space[..body.len()], space[body.len()]), (body, 7));
    prop_assert_eq!(message.write_plain(&mut space[..body.len() - 1]), None);
    Ok(())
}

/// Holds both ways against each other; `writes` says whether the message has a short cut for writing too.
fn agrees<M: Message + PartialEq + Debug>(messages: impl Strategy<Value = M>, writes: bool) {
    for_all(&(messages, vec(spoiling(), 20)), |(message, spoilings)| {
        let mut frame = Vec::new();
        codec::append(&message, 0, &mut frame).expect("it fits");
        let body = &frame[HEADER_BYTES..];
        let read = M::read_plain(body);
        prop_assert_eq!(read.as_ref(), Some(&message));
        if writes {
            writes_alike(&message, body)?;
        }
        for spoiling in spoilings {
            let spoilt = spoil(body, spoiling);
            prop_assert_eq!(
                codec::decode::<M>(&spoilt),
                codec::decode_by_bincode::<M>(&spoilt)
            );
            if let Some(read) = M::read_plain(&spoilt) {
                let mut again = Vec::new();
                codec::append(&read, 0, &mut again).expect("it fits");
                prop_assert_eq!(&again[HEADER_BYTES..], &spoilt[..]);
            }
        }
        Ok(())
    });
}

#[test]
fn pick_is_read_as_bincode_reads_it() {
    agrees(
        (module(), option::of(any::<u64>()), any::<u32>(), avoid()).prop_map(
            |(module, key, deadline_ms, avoid)| Pick {
                module,
                key,
                deadline_ms,
                avoid,
            },
        ),
        false,
    );
}

#[test]
fn bare_pick_is_read_where_a_pick_avoids_nothing_and_nowhere_else() {
    let picks = (module(), option::of(any::<u64>()), any::<u32>(), avoid());
    for_all(
        &(picks, vec(spoiling(), 20)),
        |((module, key, deadline_ms, avoid), spoilings)| {
            let pick = Pick {
                module,
                key,
                deadline_ms,
                avoid,
            };
            let mut frame = Vec::new();
            codec::append(&pick, 0, &mut frame).expect("it fits");
            let (mut bare_frame, body) = (Vec::new(), &frame[HEADER_BYTES..]);
            codec::append(
                &Pick {
                    avoid: Avoid::NONE,
                    ..pick
                },
                0,
                &mut bare_frame,
            )
            .expect("it fits");
            let bare_body = &bare_frame[HEADER_BYTES..];
            let mut bodies = vec![body.to_vec(), bare_body.to_vec()];
            for spoiling in spoilings {
                bodies.push(spoil(body, spoiling.clone()));
                bodies.push(spoil(bare_body, spoiling));
            }
            for body in bodies {
                let bare = codec::decode_by_bincode::<Pick>(&body)
                    .ok()
                    .filter(|pick| pick.avoid == Avoid::NONE);
                let bare = bare.as_ref().map(Pick::bare);
                prop_assert_eq!(BarePick::read(&body), bare);
            }
            Ok(())
        },
    );
}

#[test]
fn node_is_read_and_written_as_by_bincode() {
    let any_node = prop_oneof![node(), Just(NodeAddr::NONE)];
    agrees(
        (status(), any_node, any::<u64>(), any::<u64>()).prop_map(|(status, node, token, version)| Node {
            status,
            node,
            token,
            version,
        }),
        true,
    );
}

#[test]
fn questions_for_a_route_and_acknowledgements_are_read_as_bincode_reads_them() {
    agrees(
        (module(), any::<u32>()).prop_map(|(module, deadline_ms)| GetRoute { module, deadline_ms }),
        false,
    );
    agrees(
        (module(), any::<u64>()).prop_map(|(module, version)| PushAck { module, version }),
        false,
    );
}

#[test]
fn page_is_written_as_by_bincode() {
    let words = (module(), status(), any::<[u64; 3]>(), any::<bool>());
    let pages = (words, zoned_nodes(), any::<[u32; 2]>()).prop_map(
        |((module, status, [instance, version, hash], explained), (zones, nodes), [total, first])| {
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
    );
    for_all(&pages, |page| {
        let mut frame = Vec::new();
        codec::append(&page, 0, &mut frame).expect("it fits");
        writes_alike(&page, &frame[HEADER_BYTES..])
    });
}

#[test]
fn reports_are_read_as_bincode_reads_them() {
    agrees(report(), false);
    agrees(
        vec(report(), 0..40).prop_map(|reports| ReportBatch { reports }),
        false,
    );
}

#[test]
fn counts_at_and_above_their_bounds_are_judged_as_by_bincode() {
    let counts = [
        0,
        1,
        AVOID_MAX as u64,
        AVOID_MAX as u64 + 1,
        REPORTS_MAX as u64,
        REPORTS_MAX as u64 + 1,
    ];
    for count in counts
        .into_iter()
        .chain([u64::MAX, 1 << 63, u64::from(u32::MAX) + 1])
    {
        for length in [21, 21 + AVOID_MAX * 18, 21 + (AVOID_MAX + 1) * 18] {
            let mut pick = vec![0; length];
            pick[13..21].copy_from_slice(&count.to_le_bytes());
            assert_eq!(
                codec::decode::<Pick>(&pick),
                codec::decode_by_bincode::<Pick>(&pick),
                "{count} to avoid in {length} bytes"
            );
        }
        for length in [
            8,
            51,
            8 + REPORTS_MAX * 43,
            8 + (REPORTS_MAX + 1) * 43,
            BODY_BYTES_MAX,
        ] {
            let mut batch = vec![0; length];
            batch[..8].copy_from_slice(&count.to_le_bytes());
            assert_eq!(
                codec::decode::<ReportBatch>(&batch),
                codec::decode_by_bincode::<ReportBatch>(&batch),
                "{count} reports in {length} bytes"
            );
        }
    }
}
