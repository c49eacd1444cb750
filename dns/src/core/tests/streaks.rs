//! Many questions in one write: kept answers and others stand in the order in which they were asked for.

use super::*;
use crate::diff::judge;
use lars_store::routes::RouteRecord;
use lars_wire::caller::{GetRoute, Ping, Pong};
use lars_wire::directory::RoutePage;
use lars_wire::{NodeAddr, NodeState};

/// Nodes of the modules that are asked about: kept, too long to be kept, absent, kept.
const NODES: [u32; 4] = [10, 100, 0, 1];
/// More than are answered in one turn.
const QUESTIONS: u32 = 1_000;

fn module(place: usize) -> ModuleId {
    ModuleId::new(5, place as u32)
}

fn publish(publisher: &mut Publisher, place: usize, weight: u16) {
    let row = |number: u32| RouteRecord {
        id: place as u64 * 1_000 + u64::from(number) + 1,
        module: module(place),
        node: NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80),
        weight,
        state: NodeState::Serving,
        zone: Arc::from(""),
    };
    publisher.replace(vec![judge(module(place), (0..NODES[place]).map(row).collect())]);
}

/// Asks about each module in turn, with a ping among them, and takes all answers.
fn ask_all(peer: &mut UnixStream, weight: u16) {
    let mut questions = Vec::new();
    for sequence in 0..QUESTIONS {
        let place = sequence as usize % (NODES.len() + 1);
        let written = if place == NODES.len() {
            let echo = u64::from(sequence);
            codec::append(&Ping { echo }, sequence, &mut questions)
        } else {
            let question = GetRoute {
                module: module(place),
                deadline_ms: 0,
            };
            codec::append(&question, sequence, &mut questions)
        };
        written.expect("it fits");
    }
    let mut writer = peer.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || writer.write_all(&questions).expect("it reads"));
    for sequence in 0..QUESTIONS {
        let place = sequence as usize % (NODES.len() + 1);
        let (header, body) = receive_any(peer);
        assert_eq!(header.sequence, sequence, "answers stand in order");
        if place == NODES.len() {
            let pong: Pong = codec::decode(&body).expect("a pong");
            assert_eq!(pong.echo, u64::from(sequence));
            continue;
        }
        let page: RoutePage = codec::decode(&body).expect("a page");
        assert_eq!(
            (page.module, page.nodes.len()),
            (module(place), NODES[place] as usize)
        );
        assert!(page.nodes.iter().all(|node| node.weight == weight));
    }
    writing.join().expect("all was written");
}

fn streaks(io: IoChoice) {
    let mut publisher = Publisher::new(Arc::new(Catalog::new(7)));
    (0..NODES.len()).for_each(|place| publish(&mut publisher, place, 1));
    let Some(running) = start(io, &publisher, |core| core) else {
        return;
    };
    let mut peer = running.connect();
    ask_all(&mut peer, 1);
    // Nothing is mailed: questions are answered from the catalog alone.
    (0..NODES.len()).for_each(|place| publish(&mut publisher, place, 2));
    ask_all(&mut peer, 2);
}

#[test]
fn many_questions_are_answered_in_order_and_anew_once_the_catalog_moved_over_the_ring() {
    streaks(IoChoice::Uring);
}

#[test]
fn many_questions_are_answered_in_order_and_anew_once_the_catalog_moved_over_epoll() {
    streaks(IoChoice::Epoll);
}
