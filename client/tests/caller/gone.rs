//! Callers with the board whose agent is gone or hangs: picks go on, and what was reported is counted once.

use crate::board::{Scene, board_of, nodes, scene};
use crate::fake_agent::{FakeAgent, MODULE, one_node};
use crate::fake_board::{FakeBoard, eventually};
use lars_client::{Client, ModuleId, NodeAddr, Outcome, PickError, Transport};
use lars_wire::Kind;
use lars_wire::caller::Status;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[test]
fn dead_agent_stops_no_pick_and_the_next_one_gets_every_report_once() {
    let Scene {
        _folder,
        client,
        board,
        agent,
        path,
    } = scene();
    let mut picker = client.picker();
    for _ in 0..50 {
        let call = picker.pick(MODULE).expect("on the board");
        assert!(!call.is_stale());
        call.ok().expect("reported");
    }
    client.flush().expect("drained");
    let before = board.calls();
    drop((board, agent));
    eventually("the end is noticed", || {
        client.transport() == Transport::StaleBoard
    });
    for _ in 0..500 {
        for picked in [picker.pick(MODULE), client.pick(MODULE)] {
            let call = picked.expect("from the last board");
            assert!(call.is_stale());
            call.ok().expect("kept");
        }
    }
    assert!(picker.choose(MODULE).expect("from the last board").is_stale());
    let _agent = FakeAgent::lending(&path, one_node);
    let board = board_of(&path);
    eventually("the next agent is found", || {
        client.transport() == Transport::Board
    });
    client.flush().expect("drained");
    assert_eq!((before, board.calls()), (50, 1_000));
    for picked in [picker.pick(MODULE), client.pick(MODULE)] {
        let call = picked.expect("on the new board");
        assert!(!call.is_stale());
        call.ok().expect("reported");
    }
    assert!(!picker.choose(MODULE).expect("on the new board").is_stale());
    board.wait_for(1_002);
}

#[test]
fn next_agent_that_does_not_know_a_module_yet_fails_no_pick() {
    let Scene {
        _folder,
        client,
        board,
        agent,
        path,
    } = scene();
    let mut picker = client.picker();
    for call in [picker.pick(MODULE), client.pick(MODULE)] {
        drop(call.expect("on the board"));
    }
    drop((board, agent));
    eventually("the end is noticed", || {
        client.transport() == Transport::StaleBoard
    });
    let _agent = FakeAgent::lending(&path, |got, peer| match got.kind {
        Kind::Pick => peer.answer(
            got.sequence,
            &lars_wire::caller::Node {
                status: Status::Pending,
                node: NodeAddr::NONE,
                token: 0,
                version: 0,
            },
        ),
        _ => one_node(got, peer),
    });
    let board = FakeBoard::start(&path);
    eventually("the next agent is found", || {
        client.transport() == Transport::Board
    });
    for call in [picker.pick(MODULE), client.pick(MODULE)] {
        let call = call.expect("from the board before");
        assert!(call.is_stale() && client.transport() == Transport::Board);
        assert!(nodes().contains(&call.node()));
        call.failed(1).expect("reported");
    }
    assert!(picker.choose(MODULE).expect("from the board before").is_stale());
    let unknown = picker.pick(ModuleId::new(3, 3)).expect_err("nobody knew it ever");
    assert!(matches!(unknown, PickError::Pending { .. }), "{unknown}");
    eventually("the reports arrive", || {
        board
            .records()
            .iter()
            .filter(|record| record.outcome == Outcome::Failed)
            .count()
            == 2
    });
}

#[test]
fn hung_agent_is_noticed_and_its_return_too() {
    let scene = scene();
    scene.board.wishes.hangs.store(true, Ordering::SeqCst);
    let start = Instant::now();
    // That it takes two seconds at most is proved on virtual time, beside the keeper: here a busy machine may be late.
    eventually("the silence is noticed", || {
        scene.client.transport() == Transport::StaleBoard
    });
    println!("noticed after {:?}", start.elapsed());
    assert!(scene.client.pick(MODULE).expect("from the last board").is_stale());
    scene.board.wishes.hangs.store(false, Ordering::SeqCst);
    eventually("the agent is back", || {
        scene.client.transport() == Transport::Board
    });
    scene.board.wait_for(1);
    assert!(!scene.client.pick(MODULE).expect("on the board").is_stale());
}

#[test]
fn node_that_fails_while_the_agent_hangs_is_passed_over_until_it_is_back() {
    let scene = scene();
    let mut picker = scene.client.picker();
    let [bad, good] = nodes();
    let mut call = |client: &Client, by_picker: bool| {
        let call = if by_picker {
            picker.pick(MODULE)
        } else {
            client.pick(MODULE)
        };
        let call = call.expect("on the board");
        let node = call.node();
        let told = if node == bad { call.failed(1) } else { call.ok() };
        told.expect("kept");
        node
    };
    for _ in 0..40 {
        call(&scene.client, true);
    }
    let both: Vec<_> = (0..20).map(|_| call(&scene.client, true)).collect();
    assert!(both.contains(&bad), "its agent judges");
    scene.board.wishes.hangs.store(true, Ordering::SeqCst);
    eventually("the silence is noticed", || {
        scene.client.transport() == Transport::StaleBoard
    });
    let begun = Instant::now();
    let tried = (0..200)
        .filter(|number| call(&scene.client, number % 2 == 0) == bad)
        .count();
    let taken = begun.elapsed();
    // On a machine that is busy for whole seconds the pauses end meanwhile: one try each.
    let pauses = taken.as_secs() as usize;
    assert!(
        (5..=5 + pauses).contains(&tried),
        "{tried} calls within {taken:?}"
    );
    eventually("it is tried again", || call(&scene.client, true) == bad);
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(call(&scene.client, false), good);
    scene.board.wishes.hangs.store(false, Ordering::SeqCst);
    eventually("the agent is back", || {
        scene.client.transport() == Transport::Board
    });
    let both: Vec<_> = (0..20).map(|_| call(&scene.client, true)).collect();
    assert!(both.contains(&bad), "its agent judges again");
}
