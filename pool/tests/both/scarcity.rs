//! What a loaded machine lacks now and then: receive slots, room in a socket, places of the submission queue. Each is
//! provoked, seen in its count, and costs nobody a byte.

use crate::caller::Caller;
use crate::service::{Wanted, eventually, verb};
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

pub(crate) fn answer_that_a_socket_takes_in_parts_arrives_whole(io: IoChoice) {
    const BYTES: usize = 1_500_000;
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    for mut caller in [Caller::unix(&service), Caller::tcp(&service)] {
        caller.send(verb::PAGES, &(BYTES as u32).to_le_bytes());
        // The reader begins only when the kernel has taken a part, and no more.
        eventually("the socket is full", || {
            service.sum("lars_pool_sends_blocked_total") > 0
        });
        let mut bytes = 0;
        while bytes < BYTES {
            let page = caller.answer();
            assert!(page.iter().all(|byte| *byte == 7));
            bytes += page.len();
        }
        assert_eq!(bytes, BYTES);
        caller.echoes(b"and on");
    }
    assert!(
        service.sum("lars_pool_sends_short_total") > 0,
        "no write was short"
    );
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
