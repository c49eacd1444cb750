//! What one peer may cost the others: nothing.

use crate::caller::Caller;
use crate::service::{Service, Wanted, eventually, frame, verb};
use lars_pool::{BufferPoolConfig, CloseReason, IoChoice, UNSENT_BYTES_MIN};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Sends the same bytes again and again, reading nothing, until told to stop or the connection is closed.
fn flood(mut caller: Caller, bytes: Vec<u8>, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let stop = Arc::clone(stop);
    let deadline = Instant::now() + Duration::from_secs(30);
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) && Instant::now() < deadline && caller.send_bytes(&bytes).is_ok()
        {
        }
    })
}

fn is_served(service: &Service, rounds: usize) {
    let mut caller = Caller::unix(service);
    for _ in 0..rounds {
        caller.echoes(b"me too");
    }
}

pub(crate) fn reader_with_a_full_out_queue_is_closed_and_others_are_served(io: IoChoice) {
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let start = Instant::now();
    let mut idle = Caller::unix(&service);
    let mut pusher = Caller::unix(&service);
    idle.echoes(b"open");
    // Pushes that nobody asked for are no reason to wait for the reader: the bound of its out-queue ends it.
    for _ in 0..100 {
        pusher.send(verb::SHARE, &vec![1; 50_000]);
        assert_eq!(pusher.answer().len(), 50_000);
    }
    eventually("the reader is closed", || service.closed(CloseReason::Slow) == 1);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "not its queue but its stall ended it"
    );
    assert!(idle.is_closed());
    is_served(&service, 10);
    drop((pusher, idle));
    eventually("memory is given back", || {
        service.sum("lars_pool_connections") == 0 && service.sum("lars_pool_buffers_heap") == 0
    });
}

pub(crate) fn peers_that_read_nothing_hold_no_more_than_their_core_allows(io: IoChoice) {
    const DEAF: usize = 40;
    let service = Wanted {
        cores: 1,
        unsent_bytes_max: UNSENT_BYTES_MIN,
        ..Wanted::over(io)
    }
    .start();
    let mut good = Caller::unix(&service);
    let mut deaf = Vec::new();
    let mut most = 0;
    for _ in 0..DEAF {
        // Sixty megabytes in all; each alone stays below its own bound.
        let mut caller = Caller::unix(&service);
        caller.send(verb::PAGES, &1_500_000_u32.to_le_bytes());
        deaf.push(caller);
        good.echoes(b"me too");
        most = most.max(service.sum("lars_pool_unsent_bytes"));
    }
    eventually("those that hold most are closed", || {
        most = most.max(service.sum("lars_pool_unsent_bytes"));
        service.closed(CloseReason::Slow) >= DEAF - 3
    });
    assert!(most <= UNSENT_BYTES_MIN as u64, "{most} bytes waited");
    assert_eq!(
        service.sum("lars_pool_connections_closed_crowding_total"),
        service.closed(CloseReason::Slow) as u64
    );
    is_served(&service, 10);
    good.echoes(b"still here");
    drop((deaf, good));
    eventually("nothing is left on the account", || {
        service.sum("lars_pool_unsent_bytes") == 0 && service.sum("lars_pool_connections") == 0
    });
}

pub(crate) fn push_to_many_that_read_nothing_is_held_once(io: IoChoice) {
    const PUSHES: usize = 20;
    let service = Wanted {
        cores: 1,
        unsent_bytes_max: UNSENT_BYTES_MIN,
        ..Wanted::over(io)
    }
    .start();
    let mut idle: Vec<_> = (0..100).map(|_| Caller::unix(&service)).collect();
    for caller in &mut idle {
        caller.echoes(b"open");
    }
    // A hundred megabytes if each had its own.
    let mut pusher = Caller::unix(&service);
    for _ in 0..PUSHES {
        pusher.send(verb::SHARE, &vec![1; 50_000]);
        assert_eq!(pusher.answer().len(), 50_000);
    }
    let unsent = service.sum("lars_pool_unsent_bytes");
    assert!(unsent > 0 && unsent <= 50_005 * PUSHES as u64, "{unsent}");
    for caller in &mut idle {
        for _ in 0..PUSHES {
            assert_eq!(caller.answer().len(), 50_000);
        }
    }
    assert_eq!(service.closed(CloseReason::Slow), 0);
    eventually("all is sent", || service.sum("lars_pool_unsent_bytes") == 0);
}

pub(crate) fn crowded_core_answers_those_again_who_have_read(io: IoChoice) {
    let service = Wanted {
        cores: 1,
        unsent_bytes_max: UNSENT_BYTES_MIN,
        ..Wanted::over(io)
    }
    .start();
    // Between half of the bound and all of it, for as long as it reads nothing.
    let mut deaf: Vec<_> = (0..2).map(|_| Caller::unix(&service)).collect();
    for caller in &mut deaf {
        caller.send(verb::PAGES, &1_500_000_u32.to_le_bytes());
    }
    eventually("the core is crowded", || {
        service.sum("lars_pool_unsent_bytes") > UNSENT_BYTES_MIN as u64 / 2
    });
    // Each of many that ask more than they read gets only what its socket takes, and nobody is closed for it.
    let mut askers: Vec<_> = (0..10).map(|_| Caller::unix(&service)).collect();
    for caller in &mut askers {
        for _ in 0..40 {
            caller.send(verb::PAGES, &50_000_u32.to_le_bytes());
        }
    }
    is_served(&service, 10);
    for caller in &mut askers {
        let mut bytes = 0;
        while bytes < 2_000_000 {
            bytes += caller.answer().len();
        }
    }
    assert_eq!(service.closed(CloseReason::Slow), 0);
}

pub(crate) fn reader_that_stalls_is_closed_after_ten_seconds(io: IoChoice) {
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut stalled = Caller::unix(&service);
    let start = Instant::now();
    stalled.send(verb::PAGES, &1_500_000_u32.to_le_bytes());
    while service.closed(CloseReason::Slow) == 0 {
        is_served(&service, 1);
        assert!(
            start.elapsed() < Duration::from_secs(13),
            "it should be closed by now"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        start.elapsed() > Duration::from_secs(9),
        "it had {:?} only",
        start.elapsed()
    );
    assert!(stalled.is_closed());
}

pub(crate) fn flood_of_frames_leaves_turns_for_others(io: IoChoice) {
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let stop = Arc::new(AtomicBool::new(false));
    // Frames that are not answered, so that nothing but the bound of frames holds the flood back.
    let frames: Vec<u8> = frame(verb::WHO, b"").repeat(2000);
    let floods: Vec<_> = (0..3)
        .map(|_| flood(Caller::tcp(&service), frames.clone(), &stop))
        .collect();
    eventually("there are yields", || {
        service.seen.lock().expect("no handler panics").yields > 100
    });
    is_served(&service, 200);
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().expect("it stops");
    }
    assert_eq!(
        service.seen.lock().expect("no handler panics").shown_after_yield,
        0
    );
    eventually("all are released", || service.sum("lars_pool_connections") == 0);
}

pub(crate) fn peer_that_asks_more_than_it_reads_is_held_back_and_served_in_the_end(io: IoChoice) {
    const ASKED: usize = 20_000;
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut caller = Caller::unix(&service);
    let mut writer = caller.again();
    let sender = std::thread::spawn(move || {
        for _ in 0..ASKED {
            writer.send(verb::ECHO, &[9; 1000]);
        }
    });
    eventually("it is held back", || {
        service.sum("lars_pool_receives_paused_total") > 0 && service.sum("lars_pool_sends_blocked_total") > 0
    });
    is_served(&service, 100);
    for _ in 0..ASKED {
        assert_eq!(caller.answer().len(), 1000);
    }
    sender.join().expect("all was sent");
    assert_eq!(service.sum("lars_pool_connections_closed_slow_total"), 0);
}

pub(crate) fn exhausted_pool_slows_the_flooding_peers_and_nobody_else(io: IoChoice) {
    let buffers = BufferPoolConfig {
        small: 16,
        medium: 0,
        large: 0,
        heap_max: 4,
    };
    let service = Wanted {
        cores: 1,
        buffers,
        ..Wanted::over(io)
    }
    .start();
    let mut greedy: Vec<Caller> = (0..40).map(|_| Caller::unix(&service)).collect();
    for caller in &mut greedy {
        // The beginning of a frame, long enough to need memory, whose end does not come.
        caller
            .send_bytes(&[&60_001_u32.to_le_bytes()[..], b"e", &vec![5; 30_000]].concat())
            .expect("the socket takes it");
    }
    eventually("the pool is exhausted", || {
        service.sum("lars_pool_buffers_exhausted_total") > 0
    });
    is_served(&service, 100);
    // Nobody is closed for it, and everybody is served when memory is back.
    for caller in &mut greedy {
        caller.end_of_frame();
    }
    for caller in &mut greedy {
        assert_eq!(caller.answer().len(), 60_000);
    }
    assert_eq!(service.sum("lars_pool_connections"), 41 - 1);
}

pub(crate) fn those_who_read_nothing_leave_an_exhausted_pool_to_others(io: IoChoice) {
    // More than there are answers in reserve.
    const DEAF: usize = 300;
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let questions = frame(verb::ECHO, &[7; 1000]).repeat(100);
    let mut deaf: Vec<(Caller, usize)> = (0..DEAF).map(|_| (Caller::unix(&service), 0)).collect();
    let mut good = Caller::unix(&service);
    // Until no socket takes more: all that is unread lies with the service, or would.
    let mut pushed = true;
    while std::mem::take(&mut pushed) {
        for (caller, sent) in &mut deaf {
            let taken = caller.push(&questions[*sent..]);
            *sent = (*sent + taken) % questions.len();
            pushed |= taken > 0;
        }
    }
    eventually("the pool is exhausted", || {
        service.sum("lars_pool_buffers_exhausted_total") > 0
    });
    let begun = Instant::now();
    for _ in 0..100 {
        good.echoes(b"me too");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "served after {:?}: once those who read nothing were closed",
        begun.elapsed()
    );
}

impl Caller {
    /// Sends what the socket takes without waiting; how much that is.
    fn push(&mut self, bytes: &[u8]) -> usize {
        let Self::Unix(stream) = self else {
            panic!("only over a Unix socket")
        };
        stream.set_nonblocking(true).expect("a socket option");
        // Who reads nothing may be closed for it.
        stream.write(bytes).unwrap_or(0)
    }

    /// The rest of what [`exhausted_pool_slows_the_flooding_peers_and_nobody_else`] began.
    fn end_of_frame(&mut self) {
        let mut writer = self.again();
        std::thread::spawn(move || writer.send_bytes(&vec![5; 30_000]));
    }
}

pub(crate) fn silent_peer_and_unfinished_frame_are_closed_and_idle_one_stays(io: IoChoice) {
    let service = Wanted::over(io).start();
    let crowded = Wanted {
        connections_max: 4,
        ..Wanted::over(io)
    }
    .start();
    let (mut silent, mut half, mut idle) = (
        Caller::unix(&service),
        Caller::tcp(&service),
        Caller::unix(&service),
    );
    // Allowed to be silent, where half of the places are free.
    let mut patient = Caller::tcp(&service);
    let mut crowd = [(); 3].map(|()| Caller::tcp(&crowded));
    idle.echoes(b"first");
    half.echoes(b"first");
    half.send_bytes(&frame(verb::ECHO, b"never whole")[..7])
        .expect("the service reads");
    let begun = Instant::now();
    assert!(silent.is_closed() && half.is_closed());
    assert!(
        begun.elapsed() > Duration::from_secs(8),
        "a peer has time to finish a frame"
    );
    eventually("both are closed for that", || {
        service.closed(CloseReason::Unfinished) == 2
    });
    assert_eq!(service.sum("lars_pool_connections_closed_unfinished_total"), 2);
    idle.echoes(b"an idle peer owes nothing");
    let (first, rest) = (
        &frame(verb::ECHO, b"at last")[..3],
        &frame(verb::ECHO, b"at last")[3..],
    );
    patient.send_bytes(first).expect("it was not closed");
    idle.echoes(b"in between");
    patient.send_bytes(rest).expect("it was not closed");
    assert_eq!(patient.answer(), b"at last");
    assert!(crowd[0].is_closed(), "places are scarce there");
}
