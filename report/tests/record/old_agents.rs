//! Agents of the C++ Lars on report's usual port: their windows are stored with their caller, and whatever they send
//! harms nobody.

use crate::peer::{Peer, batch, node, tally};
use crate::place::{DEADLINE, Place, count, until};
use lars_compat::message::{HostCallResult, Status};
use lars_compat::{MessageId, encode};
use lars_report::Report;
use lars_store::CallStatus;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Long ago, so that no clock is behind it.
const TS: u32 = 1_700_000_000;

struct OldAgent(TcpStream);

impl OldAgent {
    fn connect(report: &Report) -> Self {
        let stream = TcpStream::connect(report.addr()).expect("report listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("report reads");
    }

    fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0; 16]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn result(last: i32, succ: u32, err: u32) -> HostCallResult {
    HostCallResult {
        // From 128.0.0.0 on: negative on the wire.
        ip: 0xc0a8_0000_u32 as i32 + last,
        port: 80,
        succ,
        err,
        overload: err > succ,
    }
}

fn status(caller: u32, ts: u32, results: &[HostCallResult]) -> Vec<u8> {
    let status = Status {
        modid: 1,
        cmdid: 2,
        caller: caller as i32,
        results: results.to_vec(),
        ts,
    };
    let mut bytes = vec![0; 70_000];
    let written = encode(MessageId::Status, &status, &mut bytes);
    bytes.truncate(written.expect("it fits"));
    bytes
}

fn frame(number: i32, length: i32, body: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes()[..], &length.to_le_bytes(), body].concat()
}

fn seen(place: &Place) -> Vec<(u32, String, u64, u64, u64, bool)> {
    let told = |row: CallStatus| {
        (
            row.caller,
            row.node.to_string(),
            row.succ,
            row.err,
            row.ts,
            row.overloaded,
        )
    };
    place.call_status().into_iter().map(told).collect()
}

fn row(
    caller: u32,
    last: u32,
    succ: u64,
    err: u64,
    ts: u32,
    overloaded: bool,
) -> (u32, String, u64, u64, u64, bool) {
    (
        caller,
        format!("192.168.0.{last}:80"),
        succ,
        err,
        u64::from(ts),
        overloaded,
    )
}

#[test]
fn windows_of_old_agents_are_stored_whole_with_their_caller_and_never_go_back() {
    let place = Place::new();
    let report = place.start();
    let (mut first, mut second) = (OldAgent::connect(&report), OldAgent::connect(&report));
    first.send(&status(0xc0a8_0101, TS, &[result(1, 5, 1), result(2, 0, 3)]));
    second.send(&status(7, TS, &[result(1, 9, 0)]));
    let both = [
        row(7, 1, 9, 0, TS, false),
        row(0xc0a8_0101, 1, 5, 1, TS, false),
        row(0xc0a8_0101, 2, 0, 3, TS, true),
    ];
    until("both agents' windows are stored", || seen(&place) == both);
    // A window without calls is a window; an older one is nothing.
    first.send(&status(0xc0a8_0101, TS + 1, &[result(1, 0, 0)]));
    first.send(&status(0xc0a8_0101, TS - 1, &[result(2, 99, 99)]));
    second.send(&status(7, TS, &[result(1, 10, 0)]));
    let newer = [
        row(7, 1, 10, 0, TS, false),
        row(0xc0a8_0101, 1, 0, 0, TS + 1, false),
        row(0xc0a8_0101, 2, 0, 3, TS, true),
    ];
    until("newer windows replace older ones", || seen(&place) == newer);
    assert_eq!(
        place.history(),
        [],
        "what was counted since is not known: history stays exact"
    );
    assert_eq!(
        (count(&report, "old_agents"), count(&report, "old_statuses")),
        (2, 5)
    );
    drop((first, second));
    until("it is known that they left", || count(&report, "old_agents") == 0);
    report.stop();
}

#[test]
fn newest_windows_are_stored_when_the_store_is_back() {
    let place = Place::new();
    let report = place.start();
    let mut old = OldAgent::connect(&report);
    until("the store is there", || report.ready());
    let held = place.hold();
    for succ in 1..=300 {
        old.send(&status(
            7,
            TS + succ,
            &[result(1, succ, 0), result(2, 2 * succ, 0)],
        ));
    }
    until("all have arrived", || count(&report, "old_statuses") == 300);
    // They are counted as they arrive, and put together a little later.
    until("older windows make way for newer ones", || {
        count(&report, "tallies_waiting") <= 4
    });
    drop(held);
    let newest = [
        row(7, 1, 300, 0, TS + 300, false),
        row(7, 2, 600, 0, TS + 300, false),
    ];
    until("the newest are stored", || seen(&place) == newest);
    report.stop();
}

#[test]
fn nothing_that_an_old_agent_sends_harms_another() {
    let place = Place::new();
    let report = place.start();
    let mut ours = Peer::welcomed(&report);
    let (mut good, mut odd) = (OldAgent::connect(&report), OldAgent::connect(&report));
    odd.send(&frame(3, 0, &[]));
    for number in [0, 1, 2, 8, 9, 99, -1, i32::MIN] {
        odd.send(&frame(3, 0, &[]));
        odd.send(&frame(number, 3, b"abc"));
    }
    let nobody = HostCallResult {
        ip: 0,
        ..result(1, 1, 1)
    };
    odd.send(&status(7, TS, &[nobody, result(1, 1, 1)]));
    for broken in [
        frame(3, -1, &[]),
        frame(3, 65_528, &[]),
        frame(3, 2, &[0x22, 9]),
        frame(3, i32::MAX, &[0; 99]),
    ] {
        let mut bad = OldAgent::connect(&report);
        bad.send(&frame(3, 0, &[]));
        bad.send(&broken);
        assert!(bad.is_closed(), "{broken:?}");
    }
    for byte in status(8, TS, &[result(2, 2, 2)]) {
        good.send(&[byte]);
    }
    let rows = [row(7, 1, 1, 1, TS, false), row(8, 2, 2, 2, TS, false)];
    until("good windows are stored", || seen(&place) == rows);
    assert_eq!(ours.deliver(&batch(1, 1, vec![tally(node(1))])), 1);
    let counts = ["old_skipped", "old_windows_dropped", "bad_frames"].map(|name| count(&report, name));
    assert_eq!(counts, [8, 1, 4]);
    report.stop();
}

#[test]
fn more_than_a_thousand_old_agents_are_heard_together() {
    let place = Place::new();
    let report = place.start();
    let mut old: Vec<_> = (0..1_100).map(|_| OldAgent::connect(&report)).collect();
    for (caller, agent) in old.iter_mut().enumerate() {
        agent.send(&status(caller as u32, TS, &[result(1, 1, 0)]));
    }
    until("every agent's window is stored", || {
        place.call_status().len() == 1_100
    });
    assert_eq!(count(&report, "old_agents"), 1_100);
    report.stop();
}
