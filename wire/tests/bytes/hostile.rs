//! What a stranger may send: the committed corpus, each line with what must be made of it, and random bytes beside.

use crate::golden::GOLDEN;
use crate::strategies::for_all;
use crate::table::rows;
use lars_wire::bounds::{FRAME_BYTES_MAX, HEADER_BYTES};
use lars_wire::session::Session;
use lars_wire::{CodecError, FrameError, Kind, Message, PREFACE, codec, frame};
use lars_wire::{admin, caller, directory, event, held, names, record, recording, ring};
use proptest::collection::vec;
use proptest::prelude::*;

const HOSTILE: &str = include_str!("../golden/hostile.hex");

/// Decodes a body as what its header says; what was decoded must encode to the same bytes.
pub(crate) fn decode(kind: Kind, body: &[u8]) -> Result<(), CodecError> {
    fn of<M: Message>(body: &[u8]) -> Result<(), CodecError> {
        let message = codec::decode::<M>(body)?;
        let mut bytes = Vec::new();
        codec::append(&message, 0, &mut bytes)?;
        assert_eq!(
            &bytes[HEADER_BYTES..],
            body,
            "two bodies stand for one {:?}",
            M::KIND
        );
        Ok(())
    }
    match kind {
        Kind::Hello => of::<caller::Hello>(body),
        Kind::Welcome => of::<caller::Welcome>(body),
        Kind::Pick => of::<caller::Pick>(body),
        Kind::Node => of::<caller::Node>(body),
        Kind::Report => of::<caller::Report>(body),
        Kind::ReportBatch => of::<caller::ReportBatch>(body),
        Kind::GetRoute => of::<caller::GetRoute>(body),
        Kind::RoutePage => of::<directory::RoutePage>(body),
        Kind::Register => of::<caller::Register>(body),
        Kind::Registered => of::<caller::Registered>(body),
        Kind::Explain => of::<caller::Explain>(body),
        Kind::Explanation => of::<caller::Explanation>(body),
        Kind::Ping => of::<caller::Ping>(body),
        Kind::Pong => of::<caller::Pong>(body),
        Kind::Refusal => of::<admin::Refusal>(body),
        Kind::ListChanges => of::<event::ListChanges>(body),
        Kind::ChangeRows => of::<event::ChangeRows>(body),
        Kind::Record => of::<recording::Record>(body),
        Kind::Seen => of::<recording::Seen>(body),
        Kind::Subscribe => of::<directory::Subscribe>(body),
        Kind::Unsubscribe => of::<directory::Unsubscribe>(body),
        Kind::RouteDelta => of::<directory::RouteDelta>(body),
        Kind::PushAck => of::<directory::PushAck>(body),
        Kind::Digest => of::<directory::Digest>(body),
        Kind::DigestDone => of::<directory::DigestDone>(body),
        Kind::StoreVersion => of::<directory::StoreVersion>(body),
        Kind::TallyBatch => of::<record::TallyBatch>(body),
        Kind::TallyAck => of::<record::TallyAck>(body),
        Kind::ChangeBatch => of::<event::ChangeBatch>(body),
        Kind::ChangeAck => of::<event::ChangeAck>(body),
        Kind::ListRoutes => of::<admin::ListRoutes>(body),
        Kind::RouteRows => of::<admin::RouteRows>(body),
        Kind::EditRoutes => of::<admin::EditRoutes>(body),
        Kind::Edited => of::<admin::Edited>(body),
        Kind::GetStatus => of::<admin::GetStatus>(body),
        Kind::StatusText => of::<admin::StatusText>(body),
        Kind::ListNames => of::<names::ListNames>(body),
        Kind::NameRows => of::<names::NameRows>(body),
        Kind::SetName => of::<names::SetName>(body),
        Kind::NameSet => of::<names::NameSet>(body),
        Kind::ListHeld => of::<held::ListHeld>(body),
        Kind::HeldRows => of::<held::HeldRows>(body),
        Kind::AcceptHeld => of::<held::AcceptHeld>(body),
        Kind::HeldAccepted => of::<held::HeldAccepted>(body),
        Kind::RingOffer => of::<ring::RingOffer>(body),
        Kind::RingTaken => of::<ring::RingTaken>(body),
        Kind::RingHalfFull => of::<ring::RingHalfFull>(body),
    }
}

fn frame_outcome(error: FrameError) -> &'static str {
    match error {
        FrameError::NoPreface => "no_preface",
        FrameError::TooLong { .. } => "too_long",
        FrameError::Version { .. } => "version",
        FrameError::UnknownKind { .. } => "unknown_kind",
        FrameError::Reserved => "reserved",
    }
}

/// What is made of one frame's bytes.
fn outcome(bytes: &[u8]) -> &'static str {
    let frame = match frame::split(bytes) {
        Ok(Some(frame)) => frame,
        Ok(None) => return "more",
        Err(error) => return frame_outcome(error),
    };
    assert_eq!(frame.bytes(), bytes.len(), "a line is one frame");
    match decode(frame.header.kind, frame.body) {
        Ok(()) => "good",
        Err(CodecError::Malformed { .. }) => "malformed",
        Err(CodecError::Trailing { .. }) => "trailing",
        Err(CodecError::OutOfBounds { .. }) => "out_of_bounds",
        Err(CodecError::NoSpace { .. }) => "no_space",
    }
}

#[test]
fn every_line_of_the_corpus_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    for (words, bytes) in rows(HOSTILE) {
        let [expected, name] = words[..] else {
            panic!("{words:?}: outcome, name, bytes")
        };
        let got = match expected {
            "no_preface" | "wants_preface" => match frame::split_preface(&bytes) {
                Ok(None) => "wants_preface",
                Ok(Some(_)) => "good",
                Err(error) => frame_outcome(error),
            },
            _ => outcome(&bytes),
        };
        if got != expected {
            wrong.push(format!("{name} is {got}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Frames that were good, with up to four bytes changed, some cut short.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<Vec<u8>> = rows(GOLDEN).into_iter().map(|(_, bytes)| bytes).collect();
    let place = any::<prop::sample::Index>();
    let changes = vec(
        (place.clone(), prop_oneof![Just(0), Just(255), any::<u8>()]),
        0..4,
    );
    (0..frames.len(), changes, place).prop_map(move |(which, changes, cut)| {
        let mut bytes = frames[which].clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

#[test]
fn no_frame_however_spoilt_makes_decoding_panic() {
    for_all(&vec(spoilt(), 100), |frames| {
        for bytes in frames {
            if let Ok(Some(frame)) = frame::split(&bytes) {
                // An error is as good as a message: what counts is that it is one of both.
                let _ = decode(frame.header.kind, frame.body);
            }
        }
        Ok(())
    });
}

#[test]
fn random_bodies_of_every_kind_are_decoded_or_refused() {
    for_all(&vec(any::<u8>(), 0..300), |body| {
        for &kind in Kind::ALL {
            let _ = decode(kind, &body);
        }
        Ok(())
    });
}

/// The kinds and sequences that a session hands out when a stream comes in pieces, or its error.
fn drained(stream: &[u8], pieces: &[usize], frames_max: usize) -> (Vec<(Kind, u32)>, Option<FrameError>) {
    let (mut session, mut seen, mut held) = (Session::new(), Vec::new(), Vec::new());
    let mut ends: Vec<usize> = pieces.iter().map(|end| end % (stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        held.extend_from_slice(&stream[start..end]);
        start = end;
        loop {
            let each = |frame: frame::Frame<'_>| {
                seen.push((frame.header.kind, frame.header.sequence));
                Ok::<_, FrameError>(())
            };
            match session.drain(&held, frames_max, each) {
                Ok(drained) => {
                    held.drain(..drained.consumed);
                    if !drained.more {
                        break;
                    }
                }
                Err(stopped) => return (seen, Some(stopped.error)),
            }
        }
    }
    (seen, None)
}

#[test]
fn stream_gives_the_same_frames_however_it_is_cut() {
    let frames: Vec<Vec<u8>> = rows(GOLDEN).into_iter().map(|(_, bytes)| bytes).collect();
    let stream = (vec(0..frames.len(), 0..8), vec(spoilt(), 0..2)).prop_map(move |(good, bad)| {
        let mut stream = PREFACE.to_vec();
        stream.extend(good.iter().flat_map(|which| frames[*which].clone()));
        stream.extend(bad.concat());
        stream
    });
    for_all(
        &(stream, vec(any::<usize>(), 0..12), 1..4usize),
        |(stream, pieces, frames_max)| {
            let whole = drained(&stream, &[], usize::MAX);
            prop_assert_eq!(drained(&stream, &pieces, frames_max), whole);
            Ok(())
        },
    );
}

#[test]
fn frame_of_the_largest_body_is_whole_and_one_byte_more_is_refused() {
    let mut bytes = vec![0; FRAME_BYTES_MAX];
    let header = frame::Header {
        body_bytes: (FRAME_BYTES_MAX - HEADER_BYTES) as u32,
        kind: Kind::ReportBatch,
        sequence: 1,
    };
    header.put(bytes.first_chunk_mut().expect("it has a header"));
    assert_eq!(
        frame::split(&bytes).map(|frame| frame.map(|frame| frame.bytes())),
        Ok(Some(FRAME_BYTES_MAX))
    );
    assert_eq!(frame::split(&bytes[..FRAME_BYTES_MAX - 1]), Ok(None));
    bytes[0] += 1;
    assert_eq!(
        frame::split(&bytes),
        Err(FrameError::TooLong {
            bytes: header.body_bytes + 1
        })
    );
}
