//! Picks from a board in this process: the same results as over the socket.

use crate::fake_agent::{FakeAgent, MODULE, addr, folder, one_node, patient};
use crate::fake_board::{FakeBoard, eventually};
use lars_client::{Call, Client, ClientError, ModuleId, NodeAddr, Outcome, PickError, Transport};
use lars_wire::Kind;
use lars_wire::caller::NodeView;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An agent with MODULE on its board, and a client of it.
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) board: FakeBoard,
    pub(crate) agent: FakeAgent,
    pub(crate) path: PathBuf,
    pub(crate) _folder: TempDir,
}

pub(crate) fn nodes() -> [NodeAddr; 2] {
    ["10.0.1.1:80", "10.0.1.2:80"].map(addr)
}

pub(crate) fn board_of(path: &std::path::Path) -> FakeBoard {
    let board = FakeBoard::start(path);
    board.put(MODULE, &nodes(), NodeView::Idle);
    board
}

pub(crate) fn scene() -> Scene {
    let (folder, path) = folder();
    let agent = FakeAgent::lending(&path, one_node);
    let board = board_of(&path);
    let client = patient(&path);
    assert_eq!(client.transport(), Transport::Board);
    Scene {
        client,
        board,
        agent,
        path,
        _folder: folder,
    }
}

#[test]
fn picks_and_reports_need_no_frame() {
    let scene = scene();
    let mut picker = scene.client.picker();
    for _ in 0..100 {
        let call = picker.pick(MODULE).expect("on the board");
        assert!(nodes().contains(&call.node()));
        assert_eq!((call.module(), call.version()), (MODULE, 5));
        call.ok().expect("reported");
        scene
            .client
            .pick(MODULE)
            .expect("on the board")
            .failed(-1)
            .expect("reported");
        drop(picker.pick(MODULE).expect("on the board"));
        let chosen = picker.choose(MODULE).expect("on the board");
        picker
            .report(&chosen, Outcome::TimedOut, Duration::from_millis(7))
            .expect("reported");
        let _unreported = picker.choose(MODULE).expect("on the board");
    }
    scene.client.flush().expect("drained");
    scene.board.wait_for(400);
    for (outcome, latency) in [
        (Outcome::Ok, None),
        (Outcome::Failed, None),
        (Outcome::Cancelled, None),
        (Outcome::TimedOut, Some(7_000)),
    ] {
        let records = scene.board.records();
        let of: Vec<_> = records
            .iter()
            .filter(|record| record.outcome == outcome)
            .collect();
        assert_eq!(of.len(), 100, "{outcome:?}");
        for record in of {
            assert!(nodes().contains(&record.node) && record.module == MODULE);
            assert!(latency.is_none_or(|latency| record.latency_us == latency));
            assert!(record.latency_us < 1_000_000, "{record:?}");
        }
    }
    assert_eq!((scene.agent.count(Kind::Pick), scene.agent.reports()), (0, 0));
}

#[test]
fn latency_runs_from_the_pick_to_the_verdict() {
    let scene = scene();
    let call = scene.client.pick(MODULE).expect("on the board");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(30) {
        std::thread::yield_now();
    }
    call.ok().expect("reported");
    let most = start.elapsed() + Duration::from_millis(20);
    scene.client.flush().expect("drained");
    let latency = Duration::from_micros(u64::from(scene.board.records()[0].latency_us));
    assert!(
        latency >= Duration::from_millis(29) && latency < most,
        "{latency:?}"
    );
}

#[test]
fn module_that_is_not_on_the_board_is_asked_for_over_the_socket() {
    let scene = scene();
    let elsewhere = ModuleId::new(9, 9);
    let mut picker = scene.client.picker();
    for round in 1..=3 {
        let call = picker.pick(elsewhere).expect("the agent answers");
        assert!(call.node() == addr("10.0.0.1:7777") && !call.is_stale());
        call.ok().expect("reported");
        drop(scene.client.pick(elsewhere).expect("the agent answers"));
        let chosen = picker.choose(elsewhere).expect("the agent answers");
        picker
            .report(&chosen, Outcome::Ok, Duration::ZERO)
            .expect("reported");
        scene.client.flush().expect("confirmed");
        assert_eq!(
            (scene.agent.count(Kind::Pick), scene.agent.reports()),
            (3 * round, 3 * round)
        );
    }
    assert_eq!(scene.board.calls(), 0);
}

#[test]
fn node_to_avoid_and_overload_are_the_same_as_over_the_socket() {
    let scene = scene();
    let [first, second] = nodes();
    let avoid = [first];
    let options = lars_client::PickOptions {
        avoid: &avoid,
        ..Default::default()
    };
    for _ in 0..20 {
        let call = scene.client.pick_with(MODULE, options).expect("the other one");
        assert_eq!(call.into_node(), second);
    }
    scene.board.put(MODULE, &nodes(), NodeView::Overloaded);
    let refused = (0..20).filter(|_| matches!(scene.client.pick(MODULE), Err(PickError::Overloaded { .. })));
    assert!(refused.count() >= 17, "all but the probes");
}

#[test]
fn client_does_without_the_board_where_none_is_lent_or_wanted() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    assert_eq!(client.transport(), Transport::Socket);
    client
        .picker()
        .pick(MODULE)
        .expect("asked")
        .ok()
        .expect("reported");
    drop(agent);
    let _agent = FakeAgent::lending(&path, one_node);
    let _board = board_of(&path);
    let client = Client::builder().path(&path).board(false).connect();
    assert_eq!(client.expect("connected").transport(), Transport::Socket);
}

#[test]
fn board_that_comes_late_is_used_from_then_on() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, one_node);
    let client = patient(&path);
    assert_eq!(client.transport(), Transport::Socket);
    let mut picker = client.picker();
    drop(picker.pick(MODULE).expect("asked"));
    assert_eq!(agent.count(Kind::Pick), 1);
    let board = board_of(&path);
    eventually("the board is found", || client.transport() == Transport::Board);
    picker.pick(MODULE).expect("on the board").ok().expect("reported");
    board.wait_for(1);
}

#[test]
fn ring_that_is_full_loses_no_call() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::lending(&path, one_node);
    let board = board_of(&path);
    board.wishes.drains_nothing.store(true, Ordering::SeqCst);
    let client = Client::builder()
        .path(&path)
        .ring_records(64)
        .timeout(Duration::from_millis(50))
        .connect()
        .expect("the agent listens");
    let mut picker = client.picker();
    for _ in 0..10_000 {
        let chosen = picker.choose(MODULE).expect("on the board");
        picker
            .report(&chosen, Outcome::Ok, Duration::from_micros(3))
            .expect("kept");
    }
    let refused = client.flush().expect_err("nothing is drained");
    assert!(matches!(refused, ClientError::Timeout { .. }), "{refused}");
    board.wishes.drains_nothing.store(false, Ordering::SeqCst);
    board.wait_for(10_000);
    assert!(board.records().iter().all(|record| record.latency_us == 3));
}

#[test]
fn ring_that_is_half_full_is_told_to_the_agent_once() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::lending(&path, one_node);
    let board = board_of(&path);
    board.wishes.drains_nothing.store(true, Ordering::SeqCst);
    let client = Client::builder().path(&path).ring_records(64).connect();
    let client = client.expect("the agent listens");
    let mut picker = client.picker();
    let mut call = |times: u32| {
        for _ in 0..times {
            picker.pick(MODULE).expect("on the board").ok().expect("reported");
        }
    };
    call(31);
    assert_eq!(board.half_full(), 0);
    call(9);
    eventually("it is told", || board.half_full() == 1);
    call(100);
    board.wishes.drains_nothing.store(false, Ordering::SeqCst);
    client.flush().expect("drained");
    assert_eq!((board.half_full(), board.calls()), (1, 140));
}

#[test]
fn agent_that_takes_no_ring_gets_reports_over_the_socket() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, one_node);
    let board = board_of(&path);
    board.wishes.takes_no_rings.store(true, Ordering::SeqCst);
    let client = patient(&path);
    let mut picker = client.picker();
    eventually("the refusal is known", || {
        picker.pick(MODULE).expect("on the board").ok().expect("reported");
        agent.reports() > 0
    });
    assert_eq!((board.calls(), agent.count(Kind::Pick)), (0, 0));
}

#[test]
fn many_threads_share_a_client_and_calls_change_threads() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 500;
    let scene = scene();
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let client = scene.client.clone();
            scope.spawn(move || {
                let mut picker = client.picker();
                for count in 0..CALLS {
                    let call = if number % 2 == 0 {
                        picker.pick(MODULE)
                    } else {
                        client.pick(MODULE)
                    };
                    let call = call.expect("on the board");
                    if count % 50 == 0 {
                        std::thread::scope(|scope| {
                            scope.spawn(move || call.ok().expect("reported"));
                        });
                    } else {
                        call.ok().expect("reported");
                    }
                }
            });
        }
    });
    scene.client.flush().expect("drained");
    scene.board.wait_for(THREADS * CALLS);
}

#[test]
fn call_that_outlives_its_client_is_reported() {
    let Scene {
        _folder,
        client,
        board,
        agent,
        path: _,
    } = scene();
    let call = client.pick(MODULE).expect("on the board");
    drop((client, agent));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(600) {
        std::thread::yield_now();
    }
    call.ok().expect("reported");
    board.wait_for(1);
}

#[test]
fn ring_of_a_dropped_picker_goes_to_the_next_one() {
    let scene = scene();
    for _ in 0..200 {
        let mut picker = scene.client.picker();
        picker.pick(MODULE).expect("on the board").ok().expect("reported");
    }
    scene.client.flush().expect("drained");
    scene.board.wait_for(200);
    assert_eq!(scene.board.offers(), 1);
}

/// An address that takes more than one word is told on a way of its own, and each call keeps its own.
#[test]
fn nodes_of_both_families_come_by_every_way_and_calls_end_in_any_thread() {
    let scene = scene();
    let mixed = ModuleId::new(9, 9);
    let nodes = ["[2001:db8::1]:81", "[2001:db8::2]:82", "10.0.2.1:83"].map(addr);
    scene.board.put(mixed, &nodes, NodeView::Idle);
    let mut picker = scene.client.picker();
    let mut calls = Vec::new();
    for _ in 0..60 {
        calls.push(picker.pick(mixed).expect("on the board"));
        calls.push(scene.client.pick(mixed).expect("on the board"));
        let chosen = picker.choose(mixed).expect("on the board");
        assert!(nodes.contains(&chosen.node), "{}", chosen.node);
        picker
            .report(&chosen, Outcome::Ok, Duration::from_millis(1))
            .expect("reported");
    }
    let mut picked: Vec<NodeAddr> = calls.iter().map(Call::node).collect();
    std::thread::spawn(move || calls.into_iter().try_for_each(|call| call.failed(1)))
        .join()
        .expect("no panic")
        .expect("reported");
    scene.client.flush().expect("drained");
    scene.board.wait_for(180);
    let mut reported: Vec<NodeAddr> = scene
        .board
        .records()
        .iter()
        .filter(|record| record.outcome == Outcome::Failed)
        .flat_map(|record| vec![record.node; record.calls as usize])
        .collect();
    picked.sort_unstable();
    reported.sort_unstable();
    assert_eq!(picked, reported);
    picked.dedup();
    assert_eq!(picked.len(), 3, "each of the nodes was picked");
}
