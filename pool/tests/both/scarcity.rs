//! What a loaded machine lacks now and then: receive slots, room in a socket, places of the submission queue. Each is
//! provoked, seen in its count, and costs nobody a byte.

use crate::caller::Caller;
use crate::service::{Service, Wanted, eventually, verb};
use lars_pool::{BufferPoolConfig, CloseReason, IoChoice};

pub(crate) fn callers_share_fewer_receive_slots_than_they_are(io: IoChoice) {
    const CALLERS: usize = 64;
    // Two slots.
    let buffers = BufferPoolConfig {
        small: 8,
        ..BufferPoolConfig::DEFAULT
    };
    let service = Wanted {
        cores: 1,
        buffers,
        ..Wanted::over(io)
    }
    .start();
    let mut callers: Vec<_> = (0..CALLERS).map(|_| Caller::unix(&service)).collect();
    let payload: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
    for _ in 0..20 {
        for caller in &mut callers {
            caller.send(verb::ECHO, &payload);
        }
        for caller in &mut callers {
            assert!(caller.answer() == payload, "the bytes come back as they were");
        }
    }
    // epoll reads into one slot after the other and hands each on at once, so that it hardly ever lacks one.
    assert!(
        io == IoChoice::Epoll || service.sum("lars_pool_receives_starved_total") > 0,
        "no receive lacked a slot"
    );
    assert_eq!(service.closed(CloseReason::Slow), 0);
}

/// Callers that do not read are sent to, all in the same turn, until the kernel takes no more for any of them; then they
/// read.
fn sockets_take_answers_in_parts<const CALLERS: usize>(io: IoChoice, connect: fn(&Service) -> Caller) {
    const BYTES: usize = 240 * 1024;
    // Enough registered memory for what waits, so that no other is written from.
    let buffers = BufferPoolConfig {
        small: 64,
        medium: 0,
        large: 24,
        ..BufferPoolConfig::DEFAULT
    };
    let service = Wanted {
        cores: 1,
        buffers,
        ..Wanted::over(io)
    }
    .start();
    let mut callers = [(); CALLERS].map(|()| connect(&service));
    for caller in &mut callers {
        caller.echoes(b"open");
    }
    let blocked = || service.sum("lars_pool_sends_blocked_total");
    let mut floods = 0;
    // A socket of TCP takes some megabytes.
    while blocked() < CALLERS as u64 {
        callers[0].send(verb::FLOOD, &(BYTES as u32).to_le_bytes());
        floods += 1;
        eventually("sockets are full, or have all of it", || {
            let (sent, unsent) = (
                service.sum("lars_pool_bytes_sent_total"),
                service.sum("lars_pool_unsent_bytes"),
            );
            let all_is_queued = sent + unsent > (CALLERS * floods * BYTES) as u64;
            blocked() == CALLERS as u64 || all_is_queued && (blocked() > 0 || unsent == 0)
        });
    }
    assert_eq!(service.sum("lars_pool_buffers_heap"), 0);
    let short = service.sum("lars_pool_sends_short_total");
    assert!(short > 0, "no write was short");
    // Who is alone in a turn is written to by a call of its own, over a ring too.
    let by_ring = io == IoChoice::Uring && CALLERS > 1;
    for name in [
        "lars_pool_completions_short_total",
        "lars_pool_completions_blocked_total",
    ] {
        let told = service.sum(name);
        assert_eq!(told > 0, by_ring, "{name} is {told}");
    }
    for caller in &mut callers {
        let mut bytes = 0;
        while bytes < floods * BYTES {
            let page = caller.answer();
            assert!(page.iter().all(|byte| *byte == 7));
            bytes += page.len();
        }
        assert_eq!(bytes, floods * BYTES);
        caller.echoes(b"and on");
    }
}

pub(crate) fn answer_that_a_socket_takes_in_parts_arrives_whole(io: IoChoice) {
    sockets_take_answers_in_parts::<1>(io, Caller::unix);
    sockets_take_answers_in_parts::<1>(io, Caller::tcp);
}

pub(crate) fn answers_that_two_sockets_take_in_parts_in_one_turn_arrive_whole(io: IoChoice) {
    sockets_take_answers_in_parts::<2>(io, Caller::unix);
    sockets_take_answers_in_parts::<2>(io, Caller::tcp);
}

pub(crate) fn turn_with_more_writes_than_the_submission_queue_holds_sends_them_all(io: IoChoice) {
    const CALLERS: usize = 600;
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut callers: Vec<_> = (0..CALLERS).map(|_| Caller::unix(&service)).collect();
    for caller in &mut callers {
        caller.echoes(b"open");
    }
    for number in 0..5_u8 {
        callers[0].send(verb::SHARE, &[number; 2_000]);
        for caller in &mut callers {
            assert_eq!(caller.answer(), [number; 2_000]);
        }
    }
    let full = service.sum("lars_pool_submission_full_total");
    assert_eq!(full > 0, io == IoChoice::Uring, "the queue was full {full} times");
}
