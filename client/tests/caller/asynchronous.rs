//! The forms for async callers give what the blocking ones give.

use crate::fake_agent::{FakeAgent, Got, MODULE, PATIENCE, addr, folder, one_node, patient};
use crate::fake_board::{FakeBoard, eventually};
use lars_client::{Call, Client, ClientError, ModuleId, Outcome, PickError};
use lars_wire::Kind;
use lars_wire::caller::{NodeView, Registered, Report, ReportBatch, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// More small frames than a Unix socket holds whose peer reads nothing (278 by the kernel's usual bounds).
const MORE_THAN_A_SOCKET_HOLDS: i32 = 2_000;

/// One thread for all tasks: whoever waits on it stops them all.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

/// The reports in a frame.
fn reports_of(got: &Got) -> Vec<Report> {
    match got.kind {
        Kind::Report => vec![got.decode()],
        Kind::ReportBatch => got.decode::<ReportBatch>().reports,
        _ => Vec::new(),
    }
}

/// An agent that stops reading a connection when a report comes by it, as long as it is told to hang; and what it was told.
fn hanging_agent(path: &std::path::Path) -> (FakeAgent, Arc<AtomicBool>, Arc<Mutex<Vec<Report>>>) {
    let hangs = Arc::new(AtomicBool::new(true));
    let told: Arc<Mutex<Vec<Report>>> = Arc::default();
    // Of a test that fails, it lets go.
    let end = Instant::now() + PATIENCE;
    let agent = FakeAgent::new(path, {
        let (hangs, told) = (Arc::clone(&hangs), Arc::clone(&told));
        move |got, peer| {
            let reports = reports_of(got);
            while !reports.is_empty() && hangs.load(Ordering::SeqCst) && Instant::now() < end {
                std::thread::yield_now();
            }
            told.lock().expect("no panic").extend(reports);
            one_node(got, peer);
        }
    });
    (agent, hangs, told)
}

#[test]
fn tasks_pick_from_the_board_and_ask_where_it_cannot_tell() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, |got, peer| match got.kind {
        Kind::Register => {
            let (status, version) = (Status::NotFound, 0);
            peer.answer(got.sequence, &Registered { status, version });
        }
        _ => one_node(got, peer),
    });
    let board = FakeBoard::start(&path);
    board.put(MODULE, &[addr("10.0.1.1:80")], NodeView::Idle);
    runtime().block_on(async {
        let builder = Client::builder().path(&path).timeout(PATIENCE);
        let client = builder.connect_async().await.expect("the agent listens");
        let call = client.pick_async(MODULE).await.expect("on the board");
        assert_eq!((call.node(), agent.count(Kind::Pick)), (addr("10.0.1.1:80"), 0));
        call.ok().expect("reported");
        let asked = client
            .pick_async(ModuleId::new(9, 9))
            .await
            .expect("the agent answers");
        assert_eq!(
            (asked.node(), agent.count(Kind::Pick)),
            (addr("10.0.0.1:7777"), 1)
        );
        drop(asked);
        let refused = client
            .register_async(ModuleId::new(8, 8), Duration::from_millis(5))
            .await;
        assert!(matches!(refused, Err(PickError::NotFound { .. })), "{refused:?}");
        client.flush_async().await.expect("confirmed");
    });
    assert_eq!((board.calls(), agent.reports()), (1, 1));
}

#[test]
fn verdicts_over_the_socket_of_an_agent_that_hangs_stop_no_task() {
    let (_folder, path) = folder();
    let (_agent, hangs, told) = hanging_agent(&path);
    let builder = Client::builder().path(&path).timeout(PATIENCE / 4);
    let client = builder.connect().expect("the agent listens");
    runtime().block_on(async {
        let (mut calls, mut picker) = (Vec::new(), client.picker());
        for number in 0..MORE_THAN_A_SOCKET_HOLDS {
            let picked = if number % 2 == 0 {
                client.pick_async(MODULE).await
            } else {
                picker.pick_async(MODULE).await
            };
            calls.push(picked.expect("the agent answers"));
        }
        let cancelled: Vec<Call> = calls.split_off(calls.len() - 10);
        let mut calls = calls.into_iter();
        let refused = calls
            .by_ref()
            .zip(1..)
            .find_map(|(call, retcode)| call.failed(retcode).err());
        // Were they to wait, each of those that are left would do so once more.
        let left: Vec<_> = calls.map(Call::into_node).collect();
        assert_eq!((refused, left), (None, Vec::new()));
        drop(cancelled);
        assert_eq!(told.lock().expect("no panic").len(), 0, "it hangs still");
        let flush = tokio::spawn({
            let client = client.clone();
            async move { client.flush_async().await }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!flush.is_finished());
        hangs.store(false, Ordering::SeqCst);
        flush.await.expect("no panic").expect("confirmed");
    });
    let told = told.lock().expect("no panic");
    let order: Vec<i32> = told.iter().map(|report| report.retcode).collect();
    let expected: Vec<i32> = (1..=MORE_THAN_A_SOCKET_HOLDS - 10).chain([0; 10]).collect();
    assert!(order == expected, "each once, and in their order: {order:?}");
    let cancelled = told.iter().filter(|report| report.outcome == Outcome::Cancelled);
    assert_eq!(cancelled.count(), 10);
    assert!(told.iter().all(|report| report.token == u64::from(MODULE.cmdid)));
}

#[test]
fn verdict_behind_the_end_of_its_runtime_and_client_is_told() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    let runtime = runtime();
    let call = runtime
        .block_on(client.pick_async(MODULE))
        .expect("the agent answers");
    drop((runtime, client));
    call.ok().expect("handed over");
    eventually("it is told", || agent.reports() == 1);
}

#[test]
fn reports_that_could_not_be_sent_are_told_by_the_next_flush_once() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    runtime().block_on(async {
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(client.pick_async(MODULE).await.expect("the agent answers"));
        }
        drop(agent);
        for call in calls {
            call.ok().expect("handed over");
        }
        let unsure = client.flush_async().await.expect_err("nobody took them");
        assert!(
            matches!(unsure, ClientError::Unsure { reports: 3, .. }),
            "{unsure}"
        );
        client.flush_async().await.expect("nothing is left");
        let gone = Client::connect_async(&path).await.expect_err("nobody listens");
        assert!(matches!(gone, ClientError::NotRunning { .. }), "{gone}");
    });
}

#[test]
fn pickers_and_attempts_have_async_forms_by_every_way() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, one_node);
    let board = FakeBoard::start(&path);
    let nodes = ["10.0.1.1:80", "10.0.1.2:80"].map(addr);
    board.put(MODULE, &nodes, NodeView::Idle);
    let client = patient(&path);
    let mut picker = client.picker();
    runtime().block_on(async {
        let call = picker.pick_async(MODULE).await.expect("on the board");
        call.ok().expect("reported");
        let mut attempts = client.attempts(MODULE);
        let first = attempts.pick_async().await.expect("on the board");
        let second = attempts.pick_async().await.expect("on the board");
        assert_ne!(first.node(), second.node());
        drop((first, second));
        let call = picker
            .pick_async(ModuleId::new(9, 9))
            .await
            .expect("the agent answers");
        call.ok().expect("handed over");
        let mut attempts = picker.attempts(ModuleId::new(9, 9));
        let call = attempts.pick_async().await.expect("the agent answers");
        call.ok().expect("handed over");
        client.flush_async().await.expect("confirmed");
    });
    assert_eq!(
        (board.calls(), agent.reports(), agent.count(Kind::Pick)),
        (3, 2, 2)
    );
}
