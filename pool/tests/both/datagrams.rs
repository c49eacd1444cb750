//! Datagrams: each answered once, to who sent it, whatever else the core does.

use crate::caller::Caller;
use crate::service::{Service, Wanted, eventually};
use lars_pool::{CoreIndex, IoChoice};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// No wait of these tests is longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A service with a datagram socket of tag 7 on its last core.
fn service(io: IoChoice) -> (Service, SocketAddr) {
    let mut addr = None;
    let service = Wanted::over(io).start_with(|plan| {
        let core = CoreIndex(plan.cores() - 1);
        let bound = plan.take_datagrams(core, ([127, 0, 0, 1], 0).into(), 7);
        addr = bound.ok();
    });
    (service, addr.expect("a port is free"))
}

fn caller(service: SocketAddr) -> UdpSocket {
    let caller = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
    caller.connect(service).expect("an address");
    caller.set_read_timeout(Some(DEADLINE)).expect("a socket option");
    caller
}

/// Waits for an answer; a wait with a time-out may be interrupted, and is taken again.
fn received(caller: &UdpSocket, answer: &mut [u8]) -> usize {
    loop {
        match caller.recv(answer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            got => return got.expect("an answer"),
        }
    }
}

fn echoes(caller: &UdpSocket, text: &[u8]) {
    caller.send(text).expect("the kernel takes it");
    let mut answer = [0; 100];
    let bytes = received(caller, &mut answer);
    assert_eq!(answer[..bytes], [&[7, 0], text].concat());
}

pub(crate) fn datagrams_are_answered_each_once_to_who_sent_them(io: IoChoice) {
    let (service, addr) = service(io);
    let callers: Vec<UdpSocket> = (0..20).map(|_| caller(addr)).collect();
    // More than a batch, and more than a turn takes.
    for round in 0..30_u16 {
        for (place, caller) in callers.iter().enumerate() {
            let text = format!("{round} of {place}");
            caller.send(text.as_bytes()).expect("the kernel takes it");
        }
        // One without an answer in between.
        callers[0].send(b"").expect("the kernel takes it");
    }
    for (place, caller) in callers.iter().enumerate() {
        for round in 0..30 {
            let mut answer = [0; 100];
            let bytes = received(caller, &mut answer);
            assert_eq!(answer[2..bytes], *format!("{round} of {place}").as_bytes());
        }
        caller.set_nonblocking(true).expect("a socket option");
        assert!(caller.recv(&mut [0; 1]).is_err(), "nothing is answered twice");
    }
    let counted = |name| service.sum(name);
    assert_eq!(counted("lars_pool_datagrams_received_total"), 630);
    eventually("all are counted", || {
        counted("lars_pool_datagrams_sent_total") == 600
    });
    assert_eq!(counted("lars_pool_datagrams_dropped_total"), 0);
}

pub(crate) fn longest_answer_arrives_whole_and_too_long_a_question_is_left_out(io: IoChoice) {
    let (service, addr) = service(io);
    let caller = caller(addr);
    let mut answer = vec![0; 70_000];
    for bytes in [1, 2_048, 65_507, 3] {
        let ask = [&b"?"[..], &u32::to_le_bytes(bytes)].concat();
        caller.send(&ask).expect("the kernel takes it");
        assert_eq!(caller.recv(&mut answer).expect("an answer"), bytes as usize);
        assert!(answer[..bytes as usize].iter().all(|byte| *byte == 7));
    }
    caller.send(&[1; 2_049]).expect("the kernel takes it");
    echoes(&caller, b"the next one");
    assert_eq!(service.sum("lars_pool_datagrams_too_long_total"), 1);
}

pub(crate) fn datagrams_and_connections_leave_each_other_their_turns(io: IoChoice) {
    let (service, addr) = service(io);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let caller = caller(addr);
                for _ in 0..2_000 {
                    echoes(&caller, b"a datagram");
                }
            });
        }
        for _ in 0..4 {
            scope.spawn(|| {
                let mut caller = Caller::unix(&service);
                for _ in 0..2_000 {
                    caller.echoes(b"a frame");
                }
            });
        }
    });
    // An answer may arrive before it is counted.
    eventually("all are counted", || {
        service.sum("lars_pool_datagrams_sent_total") == 8_000
    });
}

pub(crate) fn what_is_queued_at_the_stop_is_answered_first(io: IoChoice) {
    let (mut service, addr) = service(io);
    let caller = caller(addr);
    echoes(&caller, b"it runs");
    for place in 0..200_u8 {
        caller.send(&[b'x', place]).expect("the kernel takes it");
    }
    service.stop();
    for place in 0..200_u8 {
        let mut answer = [0; 10];
        assert_eq!(caller.recv(&mut answer).expect("an answer"), 4);
        assert_eq!(answer[3], place);
    }
    // Nobody is left.
    eventually("the socket is closed", || {
        let _ = caller.send(b"x");
        caller
            .recv(&mut [0; 10])
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

/// Asks until the service refuses; how often it answered.
fn ask_until_refused(addr: SocketAddr) -> u32 {
    let caller = caller(addr);
    let mut answered = 0;
    loop {
        match caller.send(b"x") {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return answered,
            sent => sent.expect("the kernel takes it"),
        };
        let received = loop {
            match caller.recv(&mut [0; 10]) {
                // A ring that this process closed meanwhile may interrupt the wait.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        match received {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return answered,
            received => assert_eq!(received.expect("an answer, or a refusal"), 3),
        }
        answered += 1;
    }
}

/// Nobody waits for an answer that never comes, also not who asks while the socket is being closed.
pub(crate) fn callers_of_a_service_that_stops_are_answered_or_refused(io: IoChoice) {
    for _ in 0..20 {
        let (mut service, addr) = service(io);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| ask_until_refused(addr))).collect();
            eventually("the callers are under way", || {
                service.sum("lars_pool_datagrams_sent_total") > 300
            });
            service.stop();
            for caller in callers {
                caller.join().expect("it was answered or refused");
            }
        });
    }
}
