//! Whatever bytes arrive: no panic, no frame longer than its bytes, and no memory beyond what the body can be worth.

use crate::golden::lines;
use lars_compat::message::{GetHost, GetRoute, HostAnswer, Report, Route, Status};
use lars_compat::{BODY_BYTES_MAX, Frame, MessageId, datagram, decode, encode, split};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use prost::Message;
use std::hash::{BuildHasher, RandomState};

/// Runs `test` on random values. Prints its seed; `LARS_SEED=n` replays it.
fn for_all<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: std::fmt::Debug,
{
    let given = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    // The standard library's hasher is the randomness that needs no dependency.
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("LARS_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 2_000,
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let done = TestRunner::new_with_rng(config, random).run(strategy, test);
    done.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Decodes a frame as what it says it is; whether it was that.
fn read(frame: Frame<'_>) -> bool {
    let Some(id) = frame.id() else { return false };
    match id {
        MessageId::GetRoute | MessageId::CallerGetRoute => decode::<GetRoute>(id, frame.body).is_ok(),
        MessageId::Route | MessageId::CallerRoute => decode::<Route>(id, frame.body).is_ok(),
        MessageId::Status => decode::<Status>(id, frame.body).is_ok(),
        MessageId::GetHost => decode::<GetHost>(id, frame.body).is_ok(),
        MessageId::HostAnswer => decode::<HostAnswer>(id, frame.body).is_ok(),
        MessageId::Report => decode::<Report>(id, frame.body).is_ok(),
    }
}

#[test]
fn random_bytes_behind_any_header_are_read_or_refused() {
    let frames = (-2..12_i32, vec(any::<u8>(), 0..200), -3..4_i32);
    for_all(&frames, |(number, body, wrong)| {
        let length = body.len() as i32 + wrong;
        let bytes = [&number.to_le_bytes()[..], &length.to_le_bytes(), &body].concat();
        match split(&bytes) {
            Ok(Some(frame)) => {
                prop_assert!(wrong <= 0 && frame.bytes() <= bytes.len());
                read(frame);
            }
            Ok(None) => prop_assert!(wrong > 0),
            Err(_) => prop_assert!(length < 0),
        }
        prop_assert_eq!(datagram(&bytes).is_ok(), wrong == 0);
        Ok(())
    });
}

#[test]
fn good_frames_with_flipped_bytes_are_read_or_refused() {
    let good: Vec<Vec<u8>> = lines().into_values().collect();
    let flips = (0..good.len(), vec((any::<usize>(), any::<u8>()), 1..4));
    for_all(&flips, |(which, flips)| {
        let mut bytes = good[which].clone();
        for (place, byte) in flips {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        if let Ok(Some(frame)) = split(&bytes) {
            read(frame);
        }
        Ok(())
    });
}

#[test]
fn any_question_and_answer_come_back_as_they_were() {
    let values = (
        any::<u32>(),
        any::<(i32, i32)>(),
        any::<(i32, i32)>(),
        any::<i32>(),
    );
    for_all(&values, |(seq, (modid, cmdid), (ip, port), retcode)| {
        let host = Some(lars_compat::message::Host { ip, port });
        let answer = HostAnswer {
            seq,
            modid,
            cmdid,
            retcode,
            host,
        };
        let mut out = [0; 100];
        let bytes = encode(MessageId::HostAnswer, &answer, &mut out).expect("it fits");
        let frame = datagram(&out[..bytes]).expect("one frame");
        prop_assert_eq!(
            decode::<HostAnswer>(MessageId::HostAnswer, frame.body),
            Ok(answer)
        );
        let ask = GetHost { seq, modid, cmdid };
        let bytes = encode(MessageId::GetHost, &ask, &mut out).expect("it fits");
        let frame = datagram(&out[..bytes]).expect("one frame");
        prop_assert_eq!(decode::<GetHost>(MessageId::GetHost, frame.body), Ok(ask));
        Ok(())
    });
}

#[test]
fn fields_that_nobody_knows_are_skipped_and_cut_ones_refused() {
    // Field 9, a varint; field 15, three bytes.
    let known = [0x08, 7, 0x48, 1, 0x10, 1, 0x7a, 3, 1, 2, 3, 0x18, 2];
    let ask = GetHost {
        seq: 7,
        modid: 1,
        cmdid: 2,
    };
    assert_eq!(decode(MessageId::GetHost, &known), Ok(ask));
    for cut in [1, 3, 7, 8, 9, 10, 12] {
        assert!(
            decode::<GetHost>(MessageId::GetHost, &known[..cut]).is_err(),
            "{cut}"
        );
    }
}

#[test]
fn longest_body_of_empty_elements_is_worth_a_bounded_memory() {
    // Two bytes on the wire for each empty result: nothing is shorter.
    let body: Vec<u8> = [0x22, 0].repeat(BODY_BYTES_MAX / 2);
    let status: Status = decode(MessageId::Status, &body).expect("a status");
    let memory = status.results.capacity() * size_of_val(&status.results[0]);
    assert_eq!(status.results.len(), BODY_BYTES_MAX / 2);
    assert!(memory <= 2 << 20, "{memory} bytes");
    assert_eq!(status.encoded_len(), body.len());
}
