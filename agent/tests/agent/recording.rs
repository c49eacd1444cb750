//! A recording: what callers report while it goes on, one by one, and how it ends.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::ModuleId;
use lars_wire::admin::{Reason, Refusal};
use lars_wire::caller::Outcome;
use lars_wire::recording::{Record, Seen, SeenCall};

over_both!(
    calls_of_both_cores_are_told_one_by_one_and_the_last_frame_says_so,
    recording_is_the_only_one_and_ends_with_its_connection,
);

fn registered(house: &House, core: u16) -> ModuleId {
    let module = module_of(core, 0);
    house.dns().put(module, &["10.0.0.1:80"]);
    house.caller_of(0).register(module, 10_000);
    module
}

/// A caller whose recording has begun, and the sequence of its frames.
fn recorder(house: &House, module: Option<ModuleId>, duration_ms: u32) -> (Caller, u32) {
    let mut caller = house.caller_of(0);
    let sequence = caller.send(&Record { module, duration_ms });
    // What stands behind it on the connection is answered when it has begun.
    caller.ping();
    (caller, sequence)
}

fn next(recorder: &mut Caller, sequence: u32) -> Seen {
    let frame = recorder.receive().expect("a frame");
    assert_eq!(frame.sequence, sequence);
    frame.decode()
}

fn calls_of_both_cores_are_told_one_by_one_and_the_last_frame_says_so(io: IoChoice) {
    let house = House::ready(io);
    let modules = [registered(&house, 0), registered(&house, 1)];
    let addr = node("10.0.0.1:80");
    let (mut recorder, sequence) = recorder(&house, None, 1_000);
    for (core, module) in (0..).zip(modules) {
        let mut caller = house.caller_of(core);
        caller.report(module, addr, Outcome::Failed, 3);
        caller.report(modules[0], addr, Outcome::Ok, 2);
    }
    let (mut calls, mut frames): (Vec<SeenCall>, u32) = (Vec::new(), 0);
    loop {
        let seen = next(&mut recorder, sequence);
        calls.extend(&seen.calls);
        frames += 1;
        assert_eq!(seen.lost, 0);
        if seen.done {
            break;
        }
    }
    assert!(frames > 1);
    let count = |module, outcome| {
        let calls = calls.iter();
        calls
            .filter(|call| call.module == module && call.outcome == outcome)
            .map(|call| call.calls)
            .sum::<u32>()
    };
    assert_eq!(
        [
            count(modules[0], Outcome::Failed),
            count(modules[1], Outcome::Failed),
            count(modules[0], Outcome::Ok),
        ],
        [3, 3, 4]
    );
    let as_reported =
        |call: &SeenCall| call.node == addr && call.latency_us == 1_000 && call.t_us < 1_100_000;
    assert!(calls.iter().all(as_reported), "{calls:?}");
}

fn recording_is_the_only_one_and_ends_with_its_connection(io: IoChoice) {
    let house = House::ready(io);
    let [module, other] = [registered(&house, 0), registered(&house, 1)];
    let addr = node("10.0.0.1:80");
    let (mut first, sequence) = recorder(&house, Some(module), 3_600_000);
    let mut second = house.caller_of(1);
    second.send(&Record {
        module: None,
        duration_ms: 1_000,
    });
    let refusal: Refusal = second.receive().expect("a refusal").decode();
    assert_eq!(refusal.reason, Reason::Full);
    let mut caller = house.caller_of(1);
    caller.report(other, addr, Outcome::Ok, 1);
    caller.report(module, addr, Outcome::Ok, 1);
    let seen = next(&mut first, sequence);
    assert_eq!(
        (seen.calls.len(), seen.calls[0].module),
        (1, module),
        "of one module alone"
    );
    drop(first);
    eventually("another may record", || {
        let mut caller = house.caller_of(1);
        caller.send(&Record {
            module: None,
            duration_ms: 1,
        });
        caller
            .receive()
            .is_some_and(|frame| frame.kind == lars_wire::Kind::Seen)
    });
}
