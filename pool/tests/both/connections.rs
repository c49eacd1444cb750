//! Connections: accepted, handed out, served byte by byte, ended by either side.

use crate::caller::{Caller, Chance, seed};
use crate::service::{FRAME_BYTES_MAX, HEADER_BYTES, Wanted, eventually, frame, verb};
use lars_pool::{CloseReason, IoChoice};

pub(crate) fn echo_comes_back_over_unix_and_tcp(io: IoChoice) {
    let service = Wanted::over(io).start();
    let (mut unix, mut tcp) = (Caller::unix(&service), Caller::tcp(&service));
    for round in 0..100_u32 {
        unix.echoes(&round.to_le_bytes());
        tcp.echoes(&round.to_le_bytes());
    }
    unix.echoes(b"");
    // 200 echoes of 4 bytes and an empty one, each with 5 bytes in front.
    eventually("all is counted", || {
        service.sum("lars_pool_bytes_sent_total") == 201 * 5 + 200 * 4
    });
    assert_eq!(service.sum("lars_pool_bytes_received_total"), 201 * 5 + 200 * 4);
}

pub(crate) fn frames_cut_anywhere_come_back_whole_and_in_order(io: IoChoice) {
    let service = Wanted::over(io).start();
    let mut chance = Chance(seed());
    for mut caller in [Caller::unix(&service), Caller::tcp(&service)] {
        let payloads: Vec<Vec<u8>> = (0..400_u32)
            .map(|number| vec![number as u8; [3, 100, 5000, 20_000][chance.below(4)]])
            .collect();
        let bytes: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| frame(verb::ECHO, payload))
            .collect();
        let mut writer = caller.again();
        let mut cuts = Chance(chance.below(usize::MAX) as u64);
        let sender = std::thread::spawn(move || {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let most = [2, 10, 4096, 100_000][cuts.below(4)];
                let (piece, behind) = rest.split_at(rest.len().min(1 + cuts.below(most)));
                writer.send_bytes(piece).expect("the service reads");
                rest = behind;
            }
        });
        for payload in &payloads {
            assert!(caller.answer() == *payload, "an answer differs");
        }
        sender.join().expect("all was sent");
    }
}

pub(crate) fn frames_of_the_largest_size_come_back(io: IoChoice) {
    let service = Wanted::over(io).start();
    let mut caller = Caller::unix(&service);
    let payload = vec![42; FRAME_BYTES_MAX - HEADER_BYTES];
    for _ in 0..20 {
        caller.echoes(&payload);
    }
    assert_eq!(service.closed(CloseReason::Handler), 0);
    // What was put together is given back: only the receive slots stay lent.
    eventually("buffers are back", || {
        service.sum("lars_pool_buffers_large") + service.sum("lars_pool_buffers_heap") == 0
    });
    // A frame that can never be whole is the peer's fault.
    let _ = caller.send_bytes(&u32::MAX.to_le_bytes());
    let _ = caller.send_bytes(&vec![0; 2 * FRAME_BYTES_MAX]);
    assert!(caller.is_closed());
}

pub(crate) fn thousand_connections_are_spread_evenly_over_the_cores(io: IoChoice) {
    const CONNECTIONS: usize = 1000;
    let service = Wanted::over(io).start();
    let mut callers: Vec<Caller> = (0..CONNECTIONS)
        .map(|number| {
            if number % 2 == 0 {
                Caller::unix(&service)
            } else {
                Caller::tcp(&service)
            }
        })
        .collect();
    for caller in &mut callers {
        caller.send(verb::WHERE, b"");
    }
    let mut cores = [0_usize; 2];
    for caller in &mut callers {
        cores[usize::from(caller.answer()[0])] += 1;
    }
    let share = CONNECTIONS / 2;
    assert!(
        cores.iter().all(|count| count.abs_diff(share) <= share / 5),
        "{cores:?}"
    );
    assert_eq!(service.sum("lars_pool_connections"), CONNECTIONS as u64);
    drop(callers);
    eventually("all are released", || service.sum("lars_pool_connections") == 0);
    assert_eq!(service.closed(CloseReason::Peer), CONNECTIONS);
    // Hand-out goes by those that are open now, not by those that ever were.
    let mut kept: Vec<Caller> = (0..20).map(|_| Caller::unix(&service)).collect();
    let on_first = kept
        .iter_mut()
        .map(Caller::core)
        .filter(|core| *core == 0)
        .count();
    assert_eq!(on_first, 10);
}

pub(crate) fn listener_of_one_core_is_served_by_that_core(io: IoChoice) {
    let service = Wanted::over(io).start();
    for core in [0, 1] {
        let path = service.folder.path().join(format!("socket.{core}"));
        for _ in 0..3 {
            assert_eq!(Caller::at(&path).core(), core);
        }
    }
}

pub(crate) fn connection_beyond_the_maximum_is_closed_at_once(io: IoChoice) {
    let service = Wanted {
        connections_max: 4,
        ..Wanted::over(io)
    }
    .start();
    let mut callers: Vec<Caller> = (0..4).map(|_| Caller::unix(&service)).collect();
    for caller in &mut callers {
        caller.echoes(b"in");
    }
    let mut one_too_many = Caller::unix(&service);
    assert_eq!(one_too_many.answer(), b"full", "it is told why");
    assert!(one_too_many.is_closed());
    assert_eq!(service.sum("lars_pool_connections_refused_total"), 1);
    for caller in &mut callers {
        caller.echoes(b"still in");
    }
    callers.pop();
    eventually("a place is free", || service.sum("lars_pool_connections") == 3);
    Caller::tcp(&service).echoes(b"in again");
}

pub(crate) fn peer_is_known_by_its_process_and_user(io: IoChoice) {
    let service = Wanted::over(io).start();
    let answer = Caller::unix(&service).ask(verb::WHO, b"");
    // SAFETY: no memory is passed.
    let uid = unsafe { libc::getuid() };
    assert_eq!(
        answer,
        [std::process::id().to_le_bytes(), uid.to_le_bytes()].concat()
    );
}

pub(crate) fn last_answer_arrives_before_the_handler_closes(io: IoChoice) {
    let service = Wanted::over(io).start();
    for mut caller in [Caller::unix(&service), Caller::tcp(&service)] {
        // What stands behind it is never handled by the service, and must not reset the connection.
        let bytes = [frame(verb::CLOSE, b"bye"), vec![b'x'; 100_000]].concat();
        let _ = caller.send_bytes(&bytes);
        assert_eq!(caller.answer(), b"bye");
        assert_eq!(caller.read(&mut [0]).expect("an end, not a reset"), 0);
    }
    eventually("both are closed", || service.closed(CloseReason::Handler) == 2);
}

pub(crate) fn peer_that_ends_its_side_gets_all_its_answers(io: IoChoice) {
    let service = Wanted::over(io).start();
    for mut caller in [Caller::unix(&service), Caller::tcp(&service)] {
        let bytes: Vec<u8> = (0..1000_u32)
            .flat_map(|number| frame(verb::ECHO, &number.to_le_bytes()))
            .collect();
        caller.send_bytes(&bytes).expect("the service reads");
        caller.end_sending();
        for number in 0..1000_u32 {
            assert_eq!(caller.answer(), number.to_le_bytes());
        }
        assert!(caller.is_closed());
    }
    eventually("both are closed", || service.closed(CloseReason::Peer) == 2);
}

pub(crate) fn peer_reset_in_the_middle_of_a_write_harms_nobody(io: IoChoice) {
    let service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut other = Caller::unix(&service);
    for round in 0..20 {
        let mut caller = if round % 2 == 0 {
            Caller::unix(&service)
        } else {
            Caller::tcp(&service)
        };
        // More than a socket takes, so that the write is under way when the peer goes with its bytes unread.
        for _ in 0..4 {
            caller.send(verb::PAGES, &1_500_000_u32.to_le_bytes());
        }
        let mut some = [0; 1000];
        assert!(caller.read(&mut some).expect("the first bytes") > 0);
        drop(caller);
        other.echoes(b"alive");
    }
    eventually("all are released", || service.sum("lars_pool_connections") == 1);
    other.echoes(b"alive");
}

pub(crate) fn answers_of_many_pages_arrive_whole(io: IoChoice) {
    let service = Wanted::over(io).start();
    for mut caller in [Caller::unix(&service), Caller::tcp(&service)] {
        for _ in 0..3 {
            caller.send(verb::PAGES, &400_000_u32.to_le_bytes());
        }
        let mut bytes = 0;
        while bytes < 3 * 400_000 {
            let page = caller.answer();
            assert!(page.iter().all(|byte| *byte == 7));
            bytes += page.len();
        }
        assert_eq!(bytes, 3 * 400_000);
        caller.echoes(b"and on");
    }
    assert_eq!(service.sum("lars_pool_connections_closed_slow_total"), 0);
}
