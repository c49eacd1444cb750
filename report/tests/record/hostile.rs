//! Bad peers: each loses its own connection, and nobody else feels it.

use crate::peer::{Peer, assert_refused, batch, bytes_of, frame, node, tally};
use crate::place::{Place, count, until};
use lars_wire::admin::Reason;
use lars_wire::caller::{Hello, Pick};
use lars_wire::{Kind, ModuleId, PREFACE, VERSION};

#[test]
fn garbage_closes_its_own_connection_alone() {
    let place = Place::new();
    let report = place.start();
    let mut good = Peer::welcomed(&report);
    let hello = bytes_of(
        &Hello {
            version: u16::from(VERSION),
            name: String::new(),
        },
        0,
    );
    let mut wrong_version = hello.clone();
    wrong_version[4] = 9;
    let mut too_long = hello.clone();
    too_long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut unknown_kind = hello.clone();
    unknown_kind[5] = 200;
    let cases: [(&[u8], &[u8], Reason, &str); 6] = [
        (b"GET / HTTP/1.1\r\n", &[], Reason::Malformed, "preface"),
        (&PREFACE, &wrong_version, Reason::Version, "version 9"),
        (&PREFACE, &too_long, Reason::Malformed, "4294967295"),
        (&PREFACE, &unknown_kind, Reason::Malformed, "kind 200"),
        (
            &PREFACE,
            &bytes_of(&batch(1, 1, vec![]), 0),
            Reason::Unexpected,
            "Hello",
        ),
        (
            &PREFACE,
            &bytes_of(
                &Hello {
                    version: 0,
                    name: String::new(),
                },
                0,
            ),
            Reason::Version,
            "version 0",
        ),
    ];
    for (turn, (preface, bytes, reason, part)) in (1..).zip(cases) {
        let mut bad = Peer::silent(&report);
        bad.write(preface);
        bad.write(bytes);
        assert_refused(bad, reason, part);
        assert_eq!(
            good.deliver(&batch(9, turn, vec![tally(node(1))])),
            turn,
            "others are served"
        );
        assert_eq!(count(&report, "bad_frames"), turn);
    }
}

#[test]
fn message_that_report_does_not_take_closes_the_connection() {
    let place = Place::new();
    let report = place.start();
    let mut trailing = bytes_of(&batch(1, 1, vec![]), 0);
    trailing.push(0);
    trailing[0] += 1;
    let hello = Hello {
        version: u16::from(VERSION),
        name: String::new(),
    };
    let cases = [
        (
            bytes_of(&Pick::new(ModuleId::new(1, 1)), 0),
            Reason::Unexpected,
            "Pick",
        ),
        (bytes_of(&hello, 0), Reason::Unexpected, "Hello"),
        (trailing, Reason::Malformed, "left over"),
        (frame(Kind::TallyBatch, &[]), Reason::Malformed, "TallyBatch"),
        (
            frame(Kind::TallyBatch, &[255; 300]),
            Reason::Malformed,
            "TallyBatch",
        ),
        (frame(Kind::GetStatus, &[]), Reason::Malformed, "GetStatus"),
    ];
    for (bytes, reason, part) in cases {
        let mut bad = Peer::welcomed(&report);
        bad.write(&bytes);
        assert_refused(bad, reason, part);
    }
    assert!(place.history().is_empty());
}

#[test]
fn gap_is_refused_and_says_what_is_missing() {
    let place = Place::new();
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    peer.deliver(&batch(1, 1, vec![tally(node(1))]));
    let mut other = Peer::welcomed(&report);
    peer.send(&batch(1, 3, vec![tally(node(1))]), 5);
    assert_refused(peer, Reason::Unexpected, "batch 3 came, but 1 is the newest");
    assert_eq!(other.deliver(&batch(1, 2, vec![tally(node(1))])), 2);
    assert_eq!(place.ok_sum(), 6);
    assert_eq!((count(&report, "gaps"), count(&report, "bad_frames")), (1, 0));
}

#[test]
fn half_a_frame_and_silence_harm_nobody() {
    let place = Place::new();
    let report = place.start();
    let bytes = bytes_of(&batch(1, 1, vec![tally(node(1))]), 0);
    let mut half = Peer::welcomed(&report);
    half.write(&bytes[..bytes.len() - 1]);
    let silent = Peer::silent(&report);
    assert_eq!(
        Peer::welcomed(&report).deliver(&batch(2, 1, vec![tally(node(1))])),
        1
    );
    assert_eq!(place.ok_sum(), 3, "half a batch counts for nothing");
    drop((half, silent));
    until("the connections end", || count(&report, "connections") == 0);
    assert_eq!(count(&report, "bad_frames"), 0);
}
