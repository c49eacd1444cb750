//! Cores that look for more before they sleep, and what each way to move bytes costs in system calls.

use crate::caller::Caller;
use crate::service::{Mail, Wanted, eventually, frame, verb};
use bytes::Bytes;
use lars_pool::IoChoice;
use std::time::Duration;

/// Far longer than a caller takes from an answer to its next question, also on a loaded machine.
const BUSY: Duration = Duration::from_millis(300);
const ECHOES: u64 = 300;

fn sleeps_while_it_echoes(io: IoChoice, busy_poll: Duration) -> u64 {
    let service = Wanted {
        cores: 1,
        busy_poll,
        ..Wanted::over(io)
    }
    .start();
    let mut caller = Caller::unix(&service);
    caller.echoes(b"open");
    let before = service.sum("lars_pool_sleeps_total");
    (0..ECHOES).for_each(|_| caller.echoes(b"again"));
    let sleeps = service.sum("lars_pool_sleeps_total") - before;
    // It does not look for ever: the next sleep comes by itself.
    let turns = service.sum("lars_pool_turns_total");
    eventually("it sleeps in the end", || {
        busy_poll.is_zero() || service.sum("lars_pool_sleeps_total") > before + sleeps
    });
    assert!(
        service.sum("lars_pool_turns_total") - turns < 50,
        "turns without work"
    );
    caller.echoes(b"and wakes up");
    sleeps
}

pub(crate) fn core_that_looks_busily_sleeps_only_when_nothing_comes(io: IoChoice) {
    let (busy, calm) = (
        sleeps_while_it_echoes(io, BUSY),
        sleeps_while_it_echoes(io, Duration::ZERO),
    );
    assert!(busy < ECHOES / 10, "it slept {busy} times");
    assert!(
        calm > ECHOES / 3,
        "it slept {calm} times only: nothing is compared"
    );
}

pub(crate) fn mail_reaches_a_core_that_looks_busily(io: IoChoice) {
    let mut service = Wanted {
        busy_poll: BUSY,
        ..Wanted::over(io)
    }
    .start();
    let mut callers = [Caller::unix(&service), Caller::unix(&service)];
    for caller in &mut callers {
        caller.echoes(b"open");
    }
    let before = service.sum("lars_pool_sleeps_total");
    for round in 0..50_u32 {
        let bytes = Bytes::from(frame(verb::ECHO, &round.to_le_bytes()));
        for mailer in &mut service.mailers {
            assert!(
                mailer.send(Mail::Share(bytes.clone())).is_ok(),
                "the queue has room"
            );
        }
        for caller in &mut callers {
            assert_eq!(caller.answer(), round.to_le_bytes());
        }
    }
    let sleeps = service.sum("lars_pool_sleeps_total") - before;
    assert!(sleeps < 20, "it slept {sleeps} times");
}

pub(crate) fn system_calls_are_counted(io: IoChoice) {
    const CALLERS: usize = 64;
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut callers: Vec<_> = (0..CALLERS).map(|_| Caller::unix(&service)).collect();
    let mut round = || {
        for caller in &mut callers {
            caller.send(verb::ECHO, b"x");
        }
        for caller in &mut callers {
            caller.answer();
        }
    };
    round();
    let before = service.sum("lars_pool_system_calls_total");
    (0..50).for_each(|_| round());
    // The count is told at the end of a turn, and a turn may still be under way.
    let echoes = 49 * CALLERS as u64;
    let calls = || service.sum("lars_pool_system_calls_total") - before;
    match io {
        // One to receive and one to send, and one to wait for many.
        IoChoice::Epoll => eventually("two calls for each echo", || calls() >= 2 * echoes),
        // Even where each is alone: one to send, and one to wait.
        _ => assert!(
            calls() > 0 && calls() <= 3 * echoes,
            "{} calls for {echoes} echoes",
            calls()
        ),
    }
}

pub(crate) fn many_echoes_of_a_turn_share_its_system_calls(io: IoChoice) {
    const CALLERS: usize = 64;
    const OUTSTANDING: usize = 32;
    const ROUNDS: usize = 20;
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut holder = Caller::unix(&service);
    let mut callers: Vec<_> = (0..CALLERS).map(|_| Caller::unix(&service)).collect();
    for caller in &mut callers {
        caller.echoes(b"open");
    }
    let calls = || service.sum("lars_pool_system_calls_total");
    let questions = frame(verb::ECHO, b"x").repeat(OUTSTANDING);
    let before = calls();
    for _ in 0..ROUNDS {
        // Under load a core finds many questions when it looks; here that is no matter of luck.
        let held = service.seen.lock().expect("no handler panics with it");
        holder.send(verb::HOLD, b"on");
        for caller in &mut callers {
            caller.send_bytes(&questions).expect("the service reads");
        }
        drop(held);
        for caller in &mut callers {
            (0..OUTSTANDING).for_each(|_| assert_eq!(caller.answer(), b"x"));
        }
        assert_eq!(holder.answer(), b"on");
    }
    let (calls, echoes) = (calls() - before, (ROUNDS * CALLERS * OUTSTANDING) as u64);
    match io {
        // One to receive from each caller and two to send to it, since 16 of its questions are one turn's.
        IoChoice::Epoll => assert!(
            calls >= (2 * ROUNDS * CALLERS) as u64,
            "{calls} calls only: nothing is shared here"
        ),
        // Some seven a round.
        _ => assert!(
            calls > 0 && calls * 100 <= echoes,
            "{calls} calls for {echoes} echoes"
        ),
    }
}
