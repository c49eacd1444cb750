//! Retry elsewhere: which nodes the tries of one call meet, and where they end.

use crate::fake_agent::{FakeAgent, Got, MODULE, Peer, addr, folder, node_of, one_node, patient};
use crate::fake_board::FakeBoard;
use lars_board::{Retries, Rule};
use lars_client::{AttemptError, Attempts, Client, ModuleId, NodeAddr, Outcome, PickError, Transport};
use lars_wire::Kind;
use lars_wire::caller::{Node, Pick, Status};
use std::time::Duration;

fn nodes() -> Vec<NodeAddr> {
    (1..=4).map(|last| addr(&format!("10.0.0.{last}:80"))).collect()
}

/// Gives the first node that is not to be avoided; the first where there is none. Modules 9.N are overloaded after N
/// tries.
fn first_untried(got: &Got, peer: &mut Peer<'_>) {
    if got.kind != Kind::Pick {
        return one_node(got, peer);
    }
    let pick: Pick = got.decode();
    let tried = pick.avoid.as_slice();
    if pick.module.modid == 9 && tried.len() as u32 >= pick.module.cmdid {
        let node = Node {
            status: Status::Overloaded,
            node: NodeAddr::NONE,
            token: 0,
            version: 5,
        };
        return peer.answer(got.sequence, &node);
    }
    let node = nodes().into_iter().find(|node| !tried.contains(node));
    let node = node.unwrap_or(nodes()[0]);
    peer.answer(got.sequence, &node_of(pick.module, &node.to_string()));
}

/// Fails every try until there is no other; the nodes that were tried, and why there are no more.
fn fail_all(mut attempts: Attempts<'_>) -> (Vec<NodeAddr>, AttemptError) {
    let mut tried = Vec::new();
    loop {
        match attempts.pick() {
            Ok(call) => {
                tried.push(call.node());
                call.failed(-1).expect("the agent takes it");
                assert_eq!(attempts.tries(), tried.len());
            }
            Err(error) => return (tried, error),
        }
        assert!(tried.len() < 20, "it never ends");
    }
}

#[test]
fn each_try_goes_to_another_node_until_they_are_used_up() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, first_untried);
    let client = patient(&path);
    let (tried, error) = fail_all(client.attempts(MODULE));
    assert_eq!(tried, nodes()[..3]);
    assert_eq!(
        error,
        AttemptError::TriesUsed {
            module: MODULE,
            tries: 3
        }
    );
    let mut picker = client.picker();
    let (tried, _) = fail_all(picker.attempts(MODULE).tries_max(2));
    assert_eq!(tried, nodes()[..2]);
}

#[test]
fn node_that_was_tried_is_not_tried_again_where_there_is_no_other() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, first_untried);
    let client = patient(&path);
    let (tried, error) = fail_all(client.attempts(MODULE).tries_max(9));
    assert_eq!(tried, nodes());
    assert_eq!(
        error,
        AttemptError::NoOtherNode {
            module: MODULE,
            tries: 4
        }
    );
    client.flush().expect("the agent answers");
    assert_eq!(
        agent.reports(),
        5,
        "four failures, and the pick that was given up"
    );
}

#[test]
fn spent_budget_ends_the_retries_and_an_overloaded_module_is_told_as_ever() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, first_untried);
    let client = patient(&path);
    for tries in [1, 2] {
        let module = ModuleId::new(9, tries);
        let (tried, error) = fail_all(client.attempts(module));
        let tries = tries as usize;
        assert_eq!(tried, nodes()[..tries]);
        assert_eq!(error, AttemptError::BudgetSpent { module, tries });
    }
    let module = ModuleId::new(9, 0);
    let (_, error) = fail_all(client.attempts(module));
    assert_eq!(error, AttemptError::Pick(PickError::Overloaded { module }));
}

#[test]
fn key_and_wait_go_with_the_tries_and_only_the_first_waits() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, first_untried);
    let client = patient(&path);
    fail_all(client.attempts(MODULE).key(7).wait(Duration::from_millis(50)));
    let picks: Vec<Pick> = agent.wait_for(Kind::Pick, 3).iter().map(Got::decode).collect();
    let seen: Vec<_> = picks.iter().map(|pick| (pick.key, pick.deadline_ms)).collect();
    assert_eq!(seen, [(Some(7), 50), (Some(7), 0), (Some(7), 0)]);
}

/// A board whose module may have `floor` retries whatever its picks were.
fn board(path: &std::path::Path, floor: u8) -> FakeBoard {
    let board = FakeBoard::start(path);
    let retries = Retries { percent: 0, floor };
    board.put_by(
        Rule::Adaptive(retries),
        MODULE,
        &nodes(),
        lars_wire::caller::NodeView::Idle,
    );
    board
}

#[test]
fn board_gives_other_nodes_and_as_many_retries_as_the_module_may_have() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::lending(&path, |_, _| {});
    let board = board(&path, 5);
    let client: Client = patient(&path);
    assert_eq!(client.transport(), Transport::Board);
    let mut picker = client.picker();
    let mut retries = 0;
    for _ in 0..3 {
        let (tried, error) = fail_all(picker.attempts(MODULE));
        let mut apart = tried.clone();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(apart.len(), tried.len(), "{tried:?}");
        retries += tried.len() - 1;
        let spent = matches!(error, AttemptError::BudgetSpent { .. });
        assert_eq!(spent, retries == 5, "{error} after {retries} retries");
    }
    assert_eq!(retries, 5);
    client.flush().expect("drained");
    let records = board.records();
    assert_eq!(records.len(), 8);
    assert!(records.iter().all(|record| record.outcome == Outcome::Failed));
}
