//! A caller that breaks the rules loses its connection, is told why, and nobody else feels it.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, over_both};
use lars_pool::IoChoice;
use lars_wire::admin::{ListRoutes, Reason, Refusal};
use lars_wire::bounds::BODY_BYTES_MAX;
use lars_wire::caller::{Hello, Pick, Ping, Welcome};
use lars_wire::frame::Header;
use lars_wire::{Kind, Message, PREFACE, codec};

over_both!(
    each_kind_of_bad_bytes_is_refused_and_counted,
    half_a_frame_waits_and_is_no_offence,
    hello_comes_first_and_once,
    offered_version_that_is_too_old_is_refused,
    admin_messages_of_dns_are_not_taken,
    caller_that_does_not_read_loses_its_connection_alone,
    random_bytes_hurt_nobody,
    caller_for_whom_no_connection_is_left_is_told_so,
);

/// Reads to the end; the refusal that came before it.
fn refusal(caller: &mut Caller) -> Refusal {
    let mut last = None;
    while let Some(received) = caller.receive() {
        last = Some(received);
    }
    last.expect("a refusal").decode()
}

fn frame<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).expect("it fits");
    bytes
}

fn changed(mut bytes: Vec<u8>, place: usize, byte: u8) -> Vec<u8> {
    bytes[place] = byte;
    bytes
}

fn each_kind_of_bad_bytes_is_refused_and_counted(io: IoChoice) {
    let house = House::ready(io);
    let mut good = house.caller();
    let pick = || frame(&Pick::new(module_of(0, 0)));
    let oversized = {
        let mut bytes = pick();
        bytes[0..4].copy_from_slice(&(BODY_BYTES_MAX as u32 + 1).to_le_bytes());
        bytes
    };
    let trailing = {
        let mut bytes = pick();
        bytes.push(0);
        let body = bytes.len() as u32 - 12;
        bytes[0..4].copy_from_slice(&body.to_le_bytes());
        bytes
    };
    let cases = [
        ("a body above the bound", oversized, Reason::Malformed),
        ("a header of all ones", vec![0xff; 12], Reason::Version),
        ("another version", changed(pick(), 4, 9), Reason::Version),
        ("a kind that is none", changed(pick(), 5, 200), Reason::Malformed),
        ("reserved bytes", changed(pick(), 6, 1), Reason::Malformed),
        ("bytes behind the message", trailing, Reason::Malformed),
        ("an empty body", frame_header(Kind::Pick), Reason::Malformed),
        ("a boolean of 7", changed(pick(), 12 + 8, 7), Reason::Malformed),
    ];
    for (number, (what, bytes, reason)) in (1..).zip(cases) {
        let mut caller = house.caller();
        caller.write(&bytes);
        let refusal = refusal(&mut caller);
        assert_eq!(refusal.reason, reason, "{what}: {}", refusal.text);
        assert!(!refusal.text.is_empty());
        assert_eq!(house.agent().stats().bad_frames(), number, "{what}");
        good.ping();
    }
    let mut stranger = Caller::silent(&house.config.socket);
    stranger.write(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(refusal(&mut stranger).reason, Reason::Malformed);
    good.ping();
}

fn frame_header(kind: Kind) -> Vec<u8> {
    let mut bytes = [0; 12];
    Header {
        body_bytes: 0,
        kind,
        sequence: 1,
    }
    .put(&mut bytes);
    bytes.to_vec()
}

fn half_a_frame_waits_and_is_no_offence(io: IoChoice) {
    let house = House::ready(io);
    let mut caller = Caller::silent(&house.config.socket);
    let hello = Hello {
        version: 1,
        name: "slow".to_owned(),
    };
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(&hello));
    bytes.extend(frame(&Ping { echo: 5 }));
    let mut other = house.caller();
    for byte in bytes {
        caller.write(&[byte]);
        other.ping();
    }
    assert_eq!(
        caller.receive().expect("a welcome").decode::<Welcome>().version,
        1
    );
    assert_eq!(caller.receive().expect("a pong").kind, Kind::Pong);
    // One that ends in the middle of a frame leaves nothing behind.
    caller.write(&frame(&Ping { echo: 6 })[..7]);
    drop(caller);
    eventually("one connection", || house.agent().stats().connections() == 1);
    assert_eq!(house.agent().stats().bad_frames(), 0);
}

fn hello_comes_first_and_once(io: IoChoice) {
    let house = House::ready(io);
    let mut caller = Caller::silent(&house.config.socket);
    caller.write(&PREFACE);
    caller.send(&Ping { echo: 1 });
    assert_eq!(refusal(&mut caller).reason, Reason::Unexpected);
    let mut caller = house.caller();
    caller.send(&Hello {
        version: 1,
        name: "again".to_owned(),
    });
    assert_eq!(refusal(&mut caller).reason, Reason::Unexpected);
}

fn offered_version_that_is_too_old_is_refused(io: IoChoice) {
    let house = House::ready(io);
    for (version, welcome) in [(0, false), (1, true), (7, true)] {
        let mut caller = Caller::silent(&house.config.socket);
        caller.write(&PREFACE);
        caller.send(&Hello {
            version,
            name: String::new(),
        });
        let answer = caller.receive().expect("an answer");
        if welcome {
            assert_eq!(answer.decode::<Welcome>().version, 1);
        } else {
            assert_eq!(answer.decode::<Refusal>().reason, Reason::Version);
        }
    }
}

fn admin_messages_of_dns_are_not_taken(io: IoChoice) {
    let house = House::ready(io);
    let mut caller = house.caller();
    caller.send(&ListRoutes {
        module: None,
        after: None,
    });
    assert_eq!(refusal(&mut caller).reason, Reason::Unexpected);
}

fn caller_that_does_not_read_loses_its_connection_alone(io: IoChoice) {
    let house = House::ready(io);
    let (mut deaf, mut good) = (house.caller_of(0), house.caller_of(0));
    let pings = frame(&Ping { echo: 1 }).repeat(10_000);
    // The agent stops reading from it; the socket fills up, and a write that would wait for ever fails.
    deaf.give_up_after(std::time::Duration::from_millis(200));
    for _ in 0..200 {
        if deaf.try_write(&pings).is_err() {
            break;
        }
        good.ping();
    }
    for _ in 0..100 {
        good.ping();
    }
    drop(deaf);
    eventually("the other is gone", || house.agent().stats().connections() == 1);
    good.ping();
}

fn caller_for_whom_no_connection_is_left_is_told_so(io: IoChoice) {
    let mut house = House::new(io);
    house.config.connections_max = 2;
    house.start();
    let mut served = [house.caller(), house.caller()];
    let refused = refusal(&mut Caller::silent(&house.config.socket));
    assert_eq!(refused.reason, Reason::Full);
    assert!(refused.text.contains("connections_max"), "{}", refused.text);
    for caller in &mut served {
        caller.ping();
    }
}

fn random_bytes_hurt_nobody(io: IoChoice) {
    let seed = std::env::var("LARS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            std::time::UNIX_EPOCH
                .elapsed()
                .map_or(0, |now| now.as_nanos() as u64)
        });
    println!("LARS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let house = House::ready(io);
    let mut good = house.caller();
    for _ in 0..300 {
        let mut caller = house.caller();
        let mut bytes = frame(&Pick::new(module_of(0, 0))).repeat(3);
        match rng.u32(..3) {
            // Some bits of good frames are turned.
            0 => {
                for _ in 0..rng.usize(1..4) {
                    let place = rng.usize(..bytes.len());
                    bytes[place] ^= 1 << rng.u32(..8);
                }
            }
            // A good header before a body of noise.
            1 => {
                let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
                let mut header = [0; 12];
                Header {
                    body_bytes: rng.u32(..200),
                    kind,
                    sequence: rng.u32(..),
                }
                .put(&mut header);
                bytes = header.to_vec();
                bytes.extend((0..200).map(|_| rng.u8(..)));
            }
            _ => bytes = (0..rng.usize(..2_000)).map(|_| rng.u8(..)).collect(),
        }
        let _ = caller.try_write(&bytes);
        drop(caller);
        good.ping();
    }
    eventually("all are gone", || house.agent().stats().connections() == 1);
}
