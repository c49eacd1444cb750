//! The agent goes away and comes back: nothing hangs, nothing is silently lost, the next question finds it.

use crate::fake_agent::{FakeAgent, MODULE, PATIENCE, folder, one_node, patient};
use lars_client::{Client, ClientError, PickError, Reason};
use lars_wire::Kind;
use lars_wire::admin::Refusal;
use std::time::{Duration, Instant};

#[test]
fn pick_after_a_restart_reconnects_by_itself() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    drop(client.pick(MODULE).expect("there is a node"));
    drop(agent);
    let agent = FakeAgent::new(&path, one_node);
    drop(
        client
            .pick(MODULE)
            .expect("the second try is on a new connection"),
    );
    assert_eq!(agent.connections(), 1);
}

#[test]
fn report_after_a_restart_reaches_the_new_agent_once() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    let call = client.pick(MODULE).expect("there is a node");
    drop(agent);
    let agent = FakeAgent::new(&path, one_node);
    call.ok().expect("the second try is on a new connection");
    client.flush().expect("nothing was in doubt");
    assert_eq!(agent.reports(), 1);
}

#[test]
fn agent_that_is_gone_is_an_error_at_once_and_found_again_when_it_is_back() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    drop(agent);
    let start = Instant::now();
    for _ in 0..1_000 {
        let error = client.pick(MODULE).expect_err("nobody listens");
        assert!(
            matches!(error, PickError::Client(ClientError::NotRunning { .. })),
            "{error}"
        );
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let _agent = FakeAgent::new(&path, one_node);
    let back = Instant::now();
    while client.pick(MODULE).is_err() {
        assert!(back.elapsed() < PATIENCE, "it is back and not found");
        std::thread::yield_now();
    }
    let found = back.elapsed();
    assert!(
        found < Duration::from_secs(2),
        "the longest pause is 100 ms, it took {found:?}"
    );
}

#[test]
fn reports_that_no_flush_confirmed_are_told_as_unsure_once() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    for _ in 0..3 {
        client
            .pick(MODULE)
            .expect("there is a node")
            .ok()
            .expect("the agent takes it");
    }
    agent.wait_for(Kind::Report, 3);
    drop(agent);
    let _agent = FakeAgent::new(&path, one_node);
    let error = client.flush().expect_err("the connection is broken");
    assert!(matches!(error, ClientError::Unsure { reports: 3, .. }), "{error}");
    assert_eq!(client.flush(), Ok(()));
}

#[test]
fn socket_of_the_own_core_is_preferred_and_a_dead_one_does_no_harm() {
    let (folder, path) = folder();
    let near: Vec<FakeAgent> = (0..256)
        .map(|core| FakeAgent::new(&folder.path().join(format!("agent.sock.{core}")), one_node))
        .collect();
    let agent = FakeAgent::new(&path, one_node);
    drop(patient(&path).pick(MODULE).expect("there is a node"));
    assert_eq!(agent.connections(), 0);
    assert_eq!(near.iter().map(FakeAgent::connections).sum::<usize>(), 1);
    drop(near);
    for core in 0..256 {
        drop(std::os::unix::net::UnixListener::bind(
            folder.path().join(format!("agent.sock.{core}")),
        ));
    }
    drop(patient(&path).pick(MODULE).expect("there is a node"));
    assert_eq!(agent.connections(), 1, "nobody listens on the near socket");
}

#[test]
fn near_socket_that_hangs_is_named_with_what_it_did_not_answer() {
    let (folder, path) = folder();
    let _near: Vec<FakeAgent> = (0..256)
        .map(|core| FakeAgent::raw(&folder.path().join(format!("agent.sock.{core}")), |_, _| {}))
        .collect();
    let _agent = FakeAgent::raw(&path, |_, _| {});
    let builder = Client::builder().path(&path).timeout(Duration::from_millis(100));
    let error = builder.connect().expect_err("nobody says welcome");
    assert!(
        matches!(error, ClientError::Timeout { asked: "hello", .. }),
        "{error}"
    );
    assert!(error.to_string().contains("agent.sock."), "{error}");
}

#[test]
fn reason_that_the_agent_gave_before_it_closed_is_told() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, |got, peer| {
        one_node(got, peer);
        let refusal = Refusal {
            reason: Reason::Full,
            text: "too many callers".to_owned(),
        };
        peer.answer(0, &refusal);
        peer.close();
    });
    let client = patient(&path);
    let call = client.pick(MODULE).expect("there is a node");
    agent.wait_for_close();
    let error = call.ok().expect_err("the connection is closed");
    assert!(error.to_string().contains("too many callers"), "{error}");
}
