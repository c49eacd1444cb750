//! Starting and stopping: nothing queued is lost, nobody is waited for, and nothing is left behind.

use crate::caller::Caller;
use crate::service::{Wanted, echoes, eventually, verb};
use lars_pool::{Bind, CloseReason, CoreIndex, IoChoice, IoKind};
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) fn stop_sends_what_is_queued_within_a_second(io: IoChoice) {
    const PAGES: usize = 1_500_000;
    let mut service = Wanted {
        cores: 1,
        ..Wanted::over(io)
    }
    .start();
    let mut caller = Caller::unix(&service);
    caller.send(verb::PAGES, &(PAGES as u32).to_le_bytes());
    eventually("the socket is full", || {
        service.sum("lars_pool_sends_blocked_total") > 0
    });
    let reader = std::thread::spawn(move || {
        let mut bytes = 0;
        while let Ok(page) = caller.try_answer() {
            bytes += page.len();
        }
        bytes
    });
    let start = Instant::now();
    service.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(reader.join().expect("it read to the end"), PAGES);
    assert_eq!(service.closed(CloseReason::Stop), 1);
}

pub(crate) fn stop_does_not_wait_for_a_peer_that_reads_nothing(io: IoChoice) {
    let mut service = Wanted::over(io).start();
    let mut callers: Vec<Caller> = (0..20).map(|_| Caller::tcp(&service)).collect();
    for caller in &mut callers {
        for _ in 0..4 {
            caller.send(verb::PAGES, &1_500_000_u32.to_le_bytes());
        }
    }
    let idle = Caller::unix(&service);
    eventually("sockets are full", || {
        service.sum("lars_pool_sends_blocked_total") >= 20
    });
    let start = Instant::now();
    service.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(service.sum("lars_pool_connections"), 0);
    assert!(!service.path.exists());
    drop(idle);
}

pub(crate) fn stale_path_is_replaced_and_a_living_one_is_refused(io: IoChoice) {
    let mut service = Wanted::over(io).start();
    let mut other = Wanted::over(io).plan();
    let refused = other
        .listen(&Bind::Unix(service.path.clone()), 0)
        .expect_err("it is taken");
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    assert!(refused.to_string().contains("socket"), "{refused}");
    let refused = other.listen_on(CoreIndex(9), &Bind::Unix(service.path.clone()), 0);
    assert_eq!(
        refused.expect_err("there is no core 9").kind(),
        ErrorKind::InvalidInput
    );
    Caller::unix(&service).echoes(b"unharmed");

    let file = service.folder.path().join("file");
    std::fs::write(&file, "precious").expect("a file");
    let refused = other
        .listen(&Bind::Unix(file.clone()), 0)
        .expect_err("it is no socket");
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");

    service.stop();
    assert!(!service.path.exists());
    // A listener that is dropped leaves its path behind, as a killed program does.
    drop(UnixListener::bind(&service.path).expect("the path is free"));
    assert!(service.path.exists());
    other
        .listen(&Bind::Unix(service.path.clone()), 0)
        .expect("nobody answers there");
    let cores = other.start(echoes(2, &Arc::default())).expect("the cores start");
    Caller::at(&service.path).echoes(b"replaced");
    // What somebody else put there meanwhile is not ours to remove.
    std::fs::remove_file(&service.path).expect("a path");
    std::fs::write(&service.path, "another's").expect("a file");
    cores.stop();
    assert!(service.path.exists());
}

pub(crate) fn port_is_free_again_when_the_service_has_stopped(io: IoChoice) {
    let mut service = Wanted::over(io).start();
    let mut caller = Caller::tcp(&service);
    caller.echoes(b"first");
    service.stop();
    assert!(caller.is_closed());
    let mut plan = Wanted::over(io).plan();
    let addr = plan
        .listen(&Bind::Tcp(service.addr), 0)
        .expect("the port is free");
    assert_eq!(addr, Some(service.addr));
    let seen = Arc::<Mutex<_>>::default();
    let _cores = plan.start(echoes(2, &seen)).expect("the cores start");
    Caller::tcp(&service).echoes(b"second");
}

pub(crate) fn way_to_move_bytes_is_told(io: IoChoice) {
    let service = Wanted::over(io).start();
    let told = service.cores.as_ref().expect("it runs").io();
    for stats in service.stats.iter() {
        assert_eq!(stats.io(), Some(told), "no core goes a way of its own");
    }
    match io {
        IoChoice::Epoll => assert_eq!((told.kind, told.reason.as_str()), (IoKind::Epoll, "asked for")),
        _ => {
            assert_eq!(told.kind, IoKind::Uring);
            assert!(
                told.reason.starts_with("asked for; buffers are"),
                "{}",
                told.reason
            );
        }
    }
    let plan = Wanted {
        io: IoChoice::Auto,
        ..Wanted::over(io)
    }
    .plan();
    assert!(!plan.io().reason.is_empty());
    let wrong = plan
        .start(echoes(1, &Arc::default()))
        .expect_err("one handler for two cores");
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
}
