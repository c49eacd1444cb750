//! What an operator asks: listings in pages, edits in transactions, errors, over TCP of both families.

use crate::fake_agent::{FakeAgent, MODULE, folder};
use lars_client::admin::{Admin, RouteEdit, RouteRow};
use lars_client::{ClientError, Endpoint, ModuleId, NodeAddr, NodeState, Reason};
use lars_wire::Kind;
use lars_wire::admin::{EditRoutes, Edited, ListRoutes, Refusal, RouteRows};
use std::time::Duration;

fn row(n: u32) -> RouteRow {
    RouteRow {
        module: MODULE,
        node: NodeAddr::from_ipv4_number(n + 1, 80),
        weight: 100,
        state: NodeState::Serving,
        zone: "a".to_owned(),
    }
}

#[test]
fn listing_follows_its_pages_over_both_families() {
    let rows: Vec<RouteRow> = (0..1_200).map(row).collect();
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let all = rows.clone();
        let (agent, addr) = FakeAgent::tcp(listen, move |got, peer| {
            let ask: ListRoutes = got.decode();
            assert_eq!(ask.module, Some(MODULE));
            let behind = |row: &RouteRow| ask.after.is_none_or(|after| (row.module, row.node) > after);
            let mut rest = all.iter().filter(|row| behind(row)).cloned();
            let rows: Vec<RouteRow> = rest.by_ref().take(500).collect();
            let more = rest.next().is_some();
            peer.answer(got.sequence, &RouteRows { rows, more });
        });
        let mut admin = Admin::connect(&Endpoint::Tcp(addr)).expect("it listens");
        assert_eq!(admin.list_routes(Some(MODULE)).as_deref(), Ok(rows.as_slice()));
        assert_eq!(agent.wait_for(Kind::ListRoutes, 3).len(), 3);
    }
}

#[test]
fn listing_that_does_not_advance_is_a_protocol_error() {
    for rows in [Vec::new(), vec![row(0)], vec![row(2), row(1)]] {
        let (_folder, path) = folder();
        let _agent = FakeAgent::new(&path, move |got, peer| {
            let rows = rows.clone();
            peer.answer(got.sequence, &RouteRows { rows, more: true });
        });
        let mut admin = Admin::connect(&Endpoint::Unix(path)).expect("it listens");
        let error = admin.list_routes(None).expect_err("it would never end");
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    }
}

#[test]
fn edits_are_sent_512_at_a_time_and_summed() {
    let (agent, addr) = FakeAgent::tcp("127.0.0.1:0", |got, peer| {
        let edits = got.decode::<EditRoutes>().edits.len() as u32;
        let edited = Edited {
            put: edits - 1,
            removed: 1,
            version: u64::from(got.sequence),
            unconfirmed: 0,
        };
        peer.answer(got.sequence, &edited);
    });
    let mut admin = Admin::connect(&Endpoint::Tcp(addr)).expect("it listens");
    let edited = admin
        .edit_routes((0..1_100).map(|n| RouteEdit::Put(row(n))).collect())
        .expect("all are taken");
    assert_eq!((edited.put, edited.removed, edited.version), (1_097, 3, 4));
    let sizes: Vec<usize> = agent
        .wait_for(Kind::EditRoutes, 3)
        .iter()
        .map(|got| got.decode::<EditRoutes>().edits.len())
        .collect();
    assert_eq!(sizes, [512, 512, 76]);
    assert_eq!(
        admin.edit_routes(Vec::new()).map(|edited| edited.put),
        Ok(0),
        "nothing is asked"
    );
    assert_eq!(agent.wait_for(Kind::EditRoutes, 3).len(), 3);
}

#[test]
fn edit_out_of_bounds_is_not_sent() {
    let (agent, addr) = FakeAgent::tcp("127.0.0.1:0", |_, _| {});
    let mut admin = Admin::connect(&Endpoint::Tcp(addr)).expect("it listens");
    let heavy = RouteRow {
        weight: 10_001,
        ..row(1)
    };
    let error = admin
        .edit_routes(vec![RouteEdit::Put(heavy)])
        .expect_err("too heavy");
    assert!(error.to_string().contains("weight is out of bounds"), "{error}");
    assert_eq!(agent.wait_for(Kind::Hello, 1).len(), 1);
}

#[test]
fn refused_edit_is_told_and_the_next_question_connects_anew() {
    let (agent, addr) = FakeAgent::tcp("127.0.0.1:0", |got, peer| match got.kind {
        Kind::EditRoutes => {
            let refusal = Refusal {
                reason: Reason::Forbidden,
                text: "routes are edited from loopback only".to_owned(),
            };
            peer.answer(got.sequence, &refusal);
            peer.close();
        }
        _ => peer.answer(
            got.sequence,
            &RouteRows {
                rows: vec![row(1)],
                more: false,
            },
        ),
    });
    let mut admin = Admin::connect(&Endpoint::Tcp(addr)).expect("it listens");
    let remove = RouteEdit::Remove {
        module: ModuleId::new(1, 1),
        node: row(1).node,
    };
    let error = admin.edit_routes(vec![remove]).expect_err("it is refused");
    assert!(
        matches!(
            error,
            ClientError::Refused {
                reason: Reason::Forbidden,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(admin.list_routes(None), Ok(vec![row(1)]));
    assert_eq!(agent.connections(), 2);
}

#[test]
fn silent_service_and_missing_service_are_told_apart() {
    let (agent, addr) = FakeAgent::tcp("127.0.0.1:0", |_, _| {});
    let endpoint = Endpoint::Tcp(addr);
    let mut admin = Admin::connect_with(&endpoint, Duration::from_millis(100)).expect("it listens");
    let error = admin.status().expect_err("nobody answers");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    drop(agent);
    let error = Admin::connect(&endpoint).expect_err("nobody listens");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
    assert!(error.to_string().contains("`lars dns`"), "{error}");
}
