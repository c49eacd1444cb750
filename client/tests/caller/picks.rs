//! Questions and their answers: each status, every option, routes in pages.

use crate::fake_agent::{FakeAgent, Got, MODULE, PATIENCE, Peer, addr, folder, node_of, one_node, patient};
use lars_client::{Client, ClientError, ModuleId, NodeAddr, PickError, PickOptions, Reason, StatusText};
use lars_wire::admin::Refusal;
use lars_wire::caller::{Explain, Explanation, GetRoute, Hello, Node, Pick, Register, Registered, Status};
use lars_wire::directory::{RouteHead, pages};
use lars_wire::{Kind, Route, RouteNode};
use std::time::{Duration, Instant};

fn status_answer(status: Status) -> Node {
    Node {
        status,
        node: NodeAddr::NONE,
        token: 0,
        version: 0,
    }
}

#[test]
fn pick_answers_the_node_and_the_route_version() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, one_node);
    let call = patient(&path).pick(MODULE).expect("there is a node");
    assert_eq!(
        (call.node(), call.version(), call.module()),
        (addr("10.0.0.1:7777"), 5, MODULE)
    );
}

#[test]
fn ipv6_node_is_picked_and_reported_as_it_is() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, |got, peer| {
        if got.kind == Kind::Pick {
            peer.answer(got.sequence, &node_of(MODULE, "[2001:db8::7]:443"));
        }
    });
    let call = patient(&path).pick(MODULE).expect("there is a node");
    assert_eq!(call.node().to_string(), "[2001:db8::7]:443");
    call.ok().expect("the agent takes it");
    assert_eq!(agent.wait_for_report().node, addr("[2001:db8::7]:443"));
}

#[test]
fn every_other_status_is_an_error_of_its_own() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, |got, peer| {
        let pick: Pick = got.decode();
        let status = Status::try_from(pick.module.cmdid as u8).expect("the test asks for a status");
        peer.answer(got.sequence, &status_answer(status));
    });
    let client = patient(&path);
    let of = |status: Status| {
        let module = ModuleId::new(1, u32::from(u8::from(status)));
        (module, client.pick(module).expect_err("there is no node"))
    };
    let (module, error) = of(Status::Overloaded);
    assert_eq!(error, PickError::Overloaded { module });
    let (module, error) = of(Status::NotFound);
    assert_eq!(error, PickError::NotFound { module });
    assert!(
        error.to_string().contains("lars route add 1 2 IP:PORT"),
        "{error}"
    );
    let (module, error) = of(Status::Pending);
    assert_eq!(error, PickError::Pending { module });
    let (module, error) = of(Status::Failed);
    assert_eq!(error, PickError::Failed { module });
}

#[test]
fn options_travel_with_the_pick() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let avoid: Vec<NodeAddr> = (1..=9).map(|last| addr(&format!("10.0.0.{last}:80"))).collect();
    let options = PickOptions {
        key: Some(u64::MAX),
        avoid: &avoid,
        wait: Duration::from_micros(1_500),
    };
    drop(
        patient(&path)
            .pick_with(MODULE, options)
            .expect("there is a node"),
    );
    let pick: Pick = agent.wait_for(Kind::Pick, 1)[0].decode();
    assert_eq!(
        (pick.key, pick.deadline_ms),
        (Some(u64::MAX), 2),
        "a wait is rounded up"
    );
    assert_eq!(pick.avoid.as_slice(), &avoid[..8]);
}

#[test]
fn hello_carries_the_name_cut_at_a_characters_border() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    Client::builder()
        .path(&path)
        .name(format!("x{}", "é".repeat(40)))
        .connect()
        .expect("the agent listens");
    let hello: Hello = agent.wait_for(Kind::Hello, 1)[0].decode();
    assert_eq!(
        hello.name,
        format!("x{}", "é".repeat(31)),
        "63 bytes: the 64th is half a letter"
    );
}

#[test]
fn register_returns_the_version_and_waits_beyond_the_timeout() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, |got, peer| {
        let register: Register = got.decode();
        // Later than the client's own timeout: it allows the wait on top.
        let answer_at = Instant::now() + Duration::from_millis(u64::from(register.deadline_ms) / 2);
        while let Some(left) = answer_at.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        let status = if register.module == MODULE {
            Status::Ok
        } else {
            Status::Pending
        };
        peer.answer(got.sequence, &Registered { status, version: 9 });
    });
    let client = Client::builder()
        .path(&path)
        .timeout(Duration::from_millis(100))
        .connect()
        .expect("it listens");
    let wait = Duration::from_millis(400);
    assert_eq!(client.register(MODULE, wait), Ok(9));
    let module = ModuleId::new(2, 2);
    assert_eq!(
        client.register(module, Duration::ZERO),
        Err(PickError::Pending { module })
    );
    assert_eq!(
        agent.wait_for(Kind::Register, 2)[0]
            .decode::<Register>()
            .deadline_ms,
        400
    );
}

fn route_of(nodes: u32) -> Route {
    let node = |n: u32| RouteNode::new(NodeAddr::from_ipv4_number(0x0a00_0000 + n, 80));
    Route::new((1..=nodes).map(node).collect())
}

fn answer_route(got: &Got, peer: &mut Peer<'_>) {
    let get: GetRoute = got.decode();
    let status = if get.module.cmdid == 0 {
        Status::NotFound
    } else {
        Status::Ok
    };
    let head = RouteHead {
        module: get.module,
        status,
        instance: 3,
        version: 4,
        explained: true,
    };
    for page in pages(head, &route_of(get.module.cmdid)) {
        peer.answer(got.sequence, &page);
    }
}

#[test]
fn route_of_many_pages_is_put_together() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, answer_route);
    let client = patient(&path);
    for nodes in [1, 1_024, 1_025, 16_384] {
        let view = client.route(ModuleId::new(1, nodes)).expect("there is a route");
        assert_eq!(
            (view.version, view.nodes.as_slice()),
            (4, route_of(nodes).nodes())
        );
    }
    let module = ModuleId::new(1, 0);
    assert_eq!(client.route(module), Err(PickError::NotFound { module }));
}

#[test]
fn page_that_does_not_follow_is_a_protocol_error() {
    let (_folder, path) = folder();
    let _agent = FakeAgent::new(&path, |got, peer| {
        let get: GetRoute = got.decode();
        let head = |version| RouteHead {
            module: get.module,
            status: Status::Ok,
            instance: 3,
            version,
            explained: true,
        };
        let (one, other) = (pages(head(1), &route_of(2_000)), pages(head(2), &route_of(2_000)));
        let mut wrong_hash = one[1].clone();
        wrong_hash.nodes[0].weight = 1;
        match get.module.cmdid {
            1 => peer.answer(got.sequence, &one[1]),
            2 => {
                peer.answer(got.sequence, &one[0]);
                peer.answer(got.sequence, &other[1]);
            }
            _ => {
                peer.answer(got.sequence, &one[0]);
                peer.answer(got.sequence, &wrong_hash);
            }
        }
    });
    let client = patient(&path);
    for (cmdid, what) in [(1, "starts at node 1024"), (2, "two routes"), (3, "hash")] {
        let error = client
            .route(ModuleId::new(1, cmdid))
            .expect_err("the pages are wrong");
        assert!(
            matches!(error, PickError::Client(ClientError::Protocol { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn explain_and_status_come_back_as_they_are() {
    let (_folder, path) = folder();
    let explanation = |module: ModuleId| Explanation {
        status: if module == MODULE {
            Status::Ok
        } else {
            Status::NotFound
        },
        version: 2,
        policy: "classic".to_owned(),
        total: 0,
        nodes: Vec::new(),
    };
    let status = StatusText {
        service: "agent".to_owned(),
        version: "0.1.0".to_owned(),
        io: "uring".to_owned(),
        io_reason: String::new(),
        counts: vec![("modules".to_owned(), 3)],
        notes: Vec::new(),
        links: Vec::new(),
    };
    let sent = status.clone();
    let _agent = FakeAgent::new(&path, move |got, peer| match got.kind {
        Kind::Explain => peer.answer(got.sequence, &explanation(got.decode::<Explain>().module)),
        _ => peer.answer(got.sequence, &sent),
    });
    let client = patient(&path);
    assert_eq!(client.explain(MODULE), Ok(explanation(MODULE)));
    let module = ModuleId::new(2, 2);
    assert_eq!(client.explain(module), Err(PickError::NotFound { module }));
    assert_eq!(client.status(), Ok(status));
}

#[test]
fn refusal_names_its_reason_and_text_and_unavailable_keeps_the_connection() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, |got, peer| {
        let refuse = |reason: Reason| Refusal {
            reason,
            text: format!("{reason:?} for good cause"),
        };
        match got.decode::<Pick>().module.cmdid {
            1 => peer.answer(got.sequence, &refuse(Reason::Unavailable)),
            _ => {
                peer.answer(0, &refuse(Reason::Full));
                peer.close();
            }
        }
    });
    let client = patient(&path);
    for (cmdid, connections) in [(1, 1), (1, 1), (2, 1), (1, 2)] {
        let error = client.pick(ModuleId::new(1, cmdid)).expect_err("it is refused");
        assert!(error.to_string().contains("for good cause"), "{error}");
        assert_eq!(agent.connections(), connections);
    }
}

#[test]
fn threads_share_a_client_and_each_gets_its_own_answers() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, |got, peer| {
        if got.kind == Kind::Pick {
            let module = got.decode::<Pick>().module;
            let node = NodeAddr::from_ipv4_number(0x0a00_0000 + module.cmdid, 80).to_string();
            peer.answer(got.sequence, &node_of(module, &node));
        } else {
            one_node(got, peer);
        }
    });
    let client = Client::builder()
        .path(&path)
        .timeout(PATIENCE)
        .connections_max(3)
        .connect()
        .expect("it listens");
    std::thread::scope(|scope| {
        for thread in 1..=8u32 {
            let client = client.clone();
            scope.spawn(move || {
                for _ in 0..200 {
                    let call = client.pick(ModuleId::new(1, thread)).expect("there is a node");
                    assert_eq!(call.node().ipv4_number(), Some(0x0a00_0000 + thread));
                    call.ok().expect("the agent takes it");
                }
            });
        }
    });
    client.flush().expect("the agent answers");
    assert_eq!(agent.reports(), 1_600);
    assert!(agent.connections() <= 3, "{} connections", agent.connections());
}
