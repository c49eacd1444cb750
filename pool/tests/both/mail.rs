//! Mail: between cores, from outside, and what a handler does when its time has come.

use crate::caller::Caller;
use crate::service::{Mail, Wanted, eventually, frame, verb};
use bytes::Bytes;
use lars_pool::IoChoice;
use std::time::{Duration, Instant};

/// Asks the other core `count` times in one frame, and expects as many answers in order.
fn ask_the_other_core(io: IoChoice, count: u32) {
    let service = Wanted::over(io).start();
    let mut caller = Caller::unix(&service);
    let other = 1 - caller.core();
    for to in [other, 1 - other] {
        caller.send(verb::ASK, &[&to.to_le_bytes()[..], &count.to_le_bytes()].concat());
        for number in 0..count {
            assert_eq!(caller.answer(), number.to_le_bytes());
        }
    }
    assert_eq!(service.sum("lars_pool_posts_held_back"), 0);
}

pub(crate) fn mail_between_cores_keeps_its_order(io: IoChoice) {
    ask_the_other_core(io, 1000);
}

pub(crate) fn more_mail_than_a_queue_holds_arrives_whole(io: IoChoice) {
    ask_the_other_core(io, 30_000);
}

pub(crate) fn outside_mail_wakes_a_sleeping_core(io: IoChoice) {
    let mut service = Wanted::over(io).start();
    let mut callers = [Caller::unix(&service), Caller::unix(&service)];
    for caller in &mut callers {
        caller.echoes(b"open");
    }
    for round in 0..50_u32 {
        let bytes = Bytes::from(frame(verb::ECHO, &round.to_le_bytes()));
        for mailer in &mut service.mailers {
            assert!(
                mailer.send(Mail::Share(bytes.clone())).is_ok(),
                "the queue has room"
            );
        }
        let start = Instant::now();
        for caller in &mut callers {
            assert_eq!(caller.answer(), round.to_le_bytes());
        }
        assert!(start.elapsed() < Duration::from_secs(1), "nobody woke the core");
    }
}

pub(crate) fn handler_is_called_when_it_asked_to_be(io: IoChoice) {
    let service = Wanted::over(io).start();
    let mut caller = Caller::unix(&service);
    for milliseconds in [0, 1, 30, 100_u32] {
        let start = Instant::now();
        assert_eq!(caller.ask(verb::LATER, &milliseconds.to_le_bytes()), b"now");
        let took = start.elapsed();
        let asked = Duration::from_millis(milliseconds.into());
        assert!(
            took >= asked && took < asked + Duration::from_millis(500),
            "{took:?} instead of {asked:?}"
        );
    }
    // Between its times a core sleeps.
    let turns = service.sum("lars_pool_turns_total");
    caller.ask(verb::LATER, &300_u32.to_le_bytes());
    assert!(service.sum("lars_pool_turns_total") - turns < 50, "it spins");
}

pub(crate) fn shared_bytes_reach_every_connection(io: IoChoice) {
    let service = Wanted::over(io).start();
    let mut callers: Vec<Caller> = (0..200).map(|_| Caller::unix(&service)).collect();
    eventually("all are open", || service.sum("lars_pool_connections") == 200);
    for (payload, times) in [(vec![1; 100], 20), (vec![2; 3000], 20), (vec![3; 60_000], 3)] {
        for _ in 0..times {
            callers[0].send(verb::SHARE, &payload);
        }
        for caller in &mut callers {
            for _ in 0..times {
                assert!(caller.answer() == payload, "an answer differs");
            }
        }
    }
    assert_eq!(service.sum("lars_pool_connections_closed_slow_total"), 0);
}
