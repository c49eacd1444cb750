//! One fixed message of every kind, and of every form where a kind has several.

use lars_wire::admin::{
    EditRoutes, Edited, GetStatus, LinkState, LinkStatus, ListRoutes, Reason, Refusal, RouteEdit, RouteRow,
    RouteRows, StatusText,
};
use lars_wire::caller::{
    Avoid, Explain, Explanation, GetRoute, Hello, Node, NodeExplained, NodeView, Outcome, Pick, Ping, Pong,
    Register, Registered, Report, ReportBatch, Status, Welcome,
};
use lars_wire::directory::{
    Digest, DigestDone, KnownModule, PageNode, PushAck, RouteDelta, RoutePage, StoreVersion, Subscribe,
    Unsubscribe, route_nodes,
};
use lars_wire::event::{ChangeAck, ChangeBatch, ChangeRows, ListChanges, StateChange};
use lars_wire::held::{AcceptHeld, HeldAccepted, HeldRow, HeldRows, ListHeld};
use lars_wire::names::{ListNames, NameOf, NameRow, NameRows, NameSet, SetName};
use lars_wire::record::{Tally, TallyAck, TallyBatch, Window};
use lars_wire::recording::{Record, Seen, SeenCall};
use lars_wire::ring::{RingHalfFull, RingOffer, RingTaken};
use lars_wire::{Message, ModuleId, NodeAddr, NodeState, Route};
use std::fmt::Debug;

/// What is done with each sample.
pub(crate) trait Visit {
    fn visit<M: Message + PartialEq + Debug>(&mut self, name: &str, sequence: u32, message: &M);
}

const MODULE: ModuleId = ModuleId::new(1, 2);
const INCARNATION: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn v4() -> NodeAddr {
    "10.0.0.1:7777".parse().expect("a node")
}

fn v6() -> NodeAddr {
    "[2001:db8::7]:443".parse().expect("a node")
}

pub(crate) fn each(to: &mut impl Visit) {
    greetings(to);
    picks(to);
    reports(to);
    questions(to);
    each_of_the_directory(to);
    each_of_the_record(to);
    each_of_operators(to);
    each_of_names(to);
    each_of_held(to);
    each_of_the_rings(to);
    each_of_changes(to);
    each_of_recordings(to);
}

fn greetings(to: &mut impl Visit) {
    to.visit(
        "hello",
        1,
        &Hello {
            version: 1,
            name: "shop".to_owned(),
        },
    );
    let welcome = Welcome {
        version: 1,
        incarnation: INCARNATION,
        sockets: 2,
        board: false,
    };
    to.visit("welcome", 1, &welcome);
}

fn picks(to: &mut impl Visit) {
    to.visit("pick", 2, &Pick::new(MODULE));
    let mut avoid = Avoid::NONE;
    assert!(avoid.push(v4()) && avoid.push(v6()));
    let full = Pick {
        module: MODULE,
        key: Some(0x0123_4567_89ab_cdef),
        deadline_ms: 1_000,
        avoid,
    };
    to.visit("pick_with_key_and_avoid", 3, &full);
    let node = Node {
        status: Status::Ok,
        node: v4(),
        token: 0x1122_3344_5566_7788,
        version: 5,
    };
    to.visit("node", 2, &node);
    to.visit("node_ipv6", 3, &Node { node: v6(), ..node });
    let none = Node {
        status: Status::NotFound,
        node: NodeAddr::NONE,
        token: 0,
        version: 0,
    };
    to.visit("node_not_found", 4, &none);
}

fn reports(to: &mut impl Visit) {
    let report = Report {
        module: MODULE,
        node: v4(),
        token: 0x1122_3344_5566_7788,
        outcome: Outcome::Ok,
        retcode: 0,
        latency_us: 1_500,
    };
    to.visit("report", 5, &report);
    let failed = Report {
        node: v6(),
        token: 0,
        outcome: Outcome::Failed,
        retcode: -7,
        ..report
    };
    to.visit(
        "report_batch",
        6,
        &ReportBatch {
            reports: vec![report, failed],
        },
    );
}

fn questions(to: &mut impl Visit) {
    to.visit(
        "get_route",
        7,
        &GetRoute {
            module: MODULE,
            deadline_ms: 0,
        },
    );
    to.visit(
        "register",
        8,
        &Register {
            module: MODULE,
            deadline_ms: 1_000,
        },
    );
    to.visit(
        "registered",
        8,
        &Registered {
            status: Status::Ok,
            version: 5,
        },
    );
    to.visit("explain", 9, &Explain { module: MODULE });
    let explained = NodeExplained {
        node: v4(),
        view: NodeView::Overloaded,
        since_ms: 2_500,
        reason: "15 failures in a row".to_owned(),
        cost_us: 12_000,
        in_flight: 3,
        next_probe_ms: Some(4_000),
    };
    let explanation = Explanation {
        status: Status::Ok,
        version: 5,
        policy: "classic".to_owned(),
        total: 1,
        nodes: vec![explained],
    };
    to.visit("explanation", 9, &explanation);
    to.visit("ping", 10, &Ping { echo: 42 });
    to.visit("pong", 10, &Pong { echo: 42 });
    let refusal = Refusal {
        reason: Reason::Full,
        text: "too many callers".to_owned(),
    };
    to.visit("refusal", 0, &refusal);
}

/// The content hash of a route of these nodes, which stand in no zone or in `az1`.
fn hash_of(nodes: &[PageNode]) -> u64 {
    Route::new(route_nodes(&["az1".to_owned()], nodes)).content_hash()
}

fn each_of_the_directory(to: &mut impl Visit) {
    let known = KnownModule {
        module: MODULE,
        instance: 3,
        version: 4,
        hash: 0xfeed,
    };
    to.visit("subscribe", 11, &Subscribe { modules: vec![known] });
    to.visit(
        "unsubscribe",
        12,
        &Unsubscribe {
            modules: vec![MODULE, ModuleId::new(3, 4)],
        },
    );
    let plain = PageNode {
        addr: v4(),
        weight: 100,
        state: NodeState::Serving,
        zone: 0,
    };
    let zoned = PageNode {
        addr: v6(),
        weight: 50,
        state: NodeState::Draining,
        zone: 1,
    };
    let page = RoutePage {
        module: MODULE,
        status: Status::Ok,
        instance: 3,
        version: 5,
        hash: hash_of(&[plain, zoned]),
        explained: true,
        total: 2,
        first: 0,
        zones: vec!["az1".to_owned()],
        nodes: vec![plain, zoned],
    };
    to.visit("route_page", 11, &page);
    let absent = RoutePage {
        status: Status::NotFound,
        hash: hash_of(&[]),
        total: 0,
        zones: Vec::new(),
        nodes: Vec::new(),
        ..page
    };
    to.visit("route_page_not_found", 0, &absent);
    changes(to, known, zoned);
}

fn changes(to: &mut impl Visit, known: KnownModule, zoned: PageNode) {
    let delta = RouteDelta {
        module: MODULE,
        instance: 3,
        base: 5,
        version: 6,
        hash: hash_of(&[zoned]),
        explained: true,
        zones: vec!["az1".to_owned()],
        put: vec![zoned],
        removed: vec![v4()],
    };
    to.visit("route_delta", 0, &delta);
    to.visit(
        "push_ack",
        0,
        &PushAck {
            module: MODULE,
            version: 6,
        },
    );
    to.visit("digest", 13, &Digest { modules: vec![known] });
    to.visit("digest_done", 13, &DigestDone { differing: 1 });
    let version = StoreVersion {
        instance: 3,
        version: 1_700_000_000,
    };
    to.visit("store_version", 0, &version);
}

fn each_of_the_record(to: &mut impl Visit) {
    let tally = Tally {
        module: MODULE,
        node: v4(),
        age_ms: 900,
        ok: 10,
        failed: 2,
        timed_out: 1,
        cancelled: 3,
        latency_sum_us: 15_000,
        latency_max_us: 4_000,
        window: Window {
            succ: 100,
            err: 3,
            overloaded: true,
        },
    };
    let batch = TallyBatch {
        incarnation: INCARNATION,
        sequence: 1,
        caller: 0x7f00_0001,
        age_ms: 250,
        tallies: vec![tally],
    };
    to.visit("tally_batch", 14, &batch);
    let ack = TallyAck {
        incarnation: INCARNATION,
        sequence: 1,
    };
    to.visit("tally_ack", 14, &ack);
}

fn each_of_operators(to: &mut impl Visit) {
    to.visit(
        "list_routes",
        15,
        &ListRoutes {
            module: None,
            after: None,
        },
    );
    let behind = ListRoutes {
        module: Some(MODULE),
        after: Some((MODULE, v4())),
    };
    to.visit("list_routes_behind", 16, &behind);
    let row = RouteRow {
        module: MODULE,
        node: v4(),
        weight: 100,
        state: NodeState::Serving,
        zone: "az1".to_owned(),
    };
    to.visit(
        "route_rows",
        15,
        &RouteRows {
            rows: vec![row.clone()],
            more: true,
        },
    );
    let remove = RouteEdit::Remove {
        module: MODULE,
        node: v6(),
    };
    to.visit(
        "edit_routes",
        17,
        &EditRoutes {
            edits: vec![RouteEdit::Put(row), remove],
        },
    );
    let edited = Edited {
        put: 1,
        removed: 1,
        version: 1_700_000_000,
        unconfirmed: 0,
    };
    to.visit("edited", 17, &edited);
    to.visit("get_status", 18, &GetStatus { version: 1 });
    let link = LinkStatus {
        to: "dns".to_owned(),
        addr: "127.0.0.1:7778".to_owned(),
        state: LinkState::Up,
        error: String::new(),
    };
    let status = StatusText {
        service: "agent".to_owned(),
        version: "0.1.0".to_owned(),
        io: "uring".to_owned(),
        io_reason: String::new(),
        counts: vec![("modules".to_owned(), 3)],
        notes: vec![("store".to_owned(), "sqlite".to_owned())],
        links: vec![link],
    };
    to.visit("status_text", 18, &status);
}

fn each_of_names(to: &mut impl Visit) {
    let list = ListNames {
        of: NameOf::Modid,
        number: None,
        after: Some(7),
    };
    to.visit("list_names", 19, &list);
    let row = NameRow {
        number: 8,
        name: "größe".to_owned(),
    };
    let rows = NameRows {
        rows: vec![row],
        more: true,
    };
    to.visit("name_rows", 19, &rows);
    let set = SetName {
        of: NameOf::Cmdid,
        number: 8,
        name: Some("orders".to_owned()),
    };
    to.visit("set_name", 20, &set);
    to.visit("set_name_none", 21, &SetName { name: None, ..set });
    let before = Some("order".to_owned());
    to.visit("name_set", 20, &NameSet { before });
}

fn each_of_held(to: &mut impl Visit) {
    let list = ListHeld { after: Some(MODULE) };
    to.visit("list_held", 22, &list);
    let row = HeldRow {
        module: MODULE,
        nodes: 3,
        vanished: true,
    };
    let rows = HeldRows {
        waits: true,
        rows: vec![row],
        more: false,
    };
    to.visit("held_rows", 22, &rows);
    to.visit("accept_held", 23, &AcceptHeld { version: 1 });
    let accepted = HeldAccepted {
        released: 11,
        changed: 10,
    };
    to.visit("held_accepted", 23, &accepted);
}

fn each_of_the_rings(to: &mut impl Visit) {
    to.visit("ring_offer", 19, &RingOffer { ring: 3 });
    let taken = RingTaken { ring: 3, taken: true };
    to.visit("ring_taken", 19, &taken);
    to.visit("ring_half_full", 20, &RingHalfFull { ring: 3 });
}

fn each_of_changes(to: &mut impl Visit) {
    let change = StateChange {
        number: 9,
        module: MODULE,
        node: v4(),
        age_ms: 20,
        from: NodeView::Idle,
        to: NodeView::Overloaded,
        reason: "5 failures in a row".to_owned(),
    };
    let batch = ChangeBatch {
        incarnation: INCARNATION,
        caller: 0x0a00_0009,
        changes: vec![change.clone()],
    };
    to.visit("change_batch", 3, &batch);
    let ack = ChangeAck {
        incarnation: INCARNATION,
        number: 9,
    };
    to.visit("change_ack", 3, &ack);
    to.visit("list_changes", 24, &ListChanges { module: None });
    let of_one = ListChanges { module: Some(MODULE) };
    to.visit("list_changes_of_one", 25, &of_one);
    let rows = ChangeRows {
        total: 9,
        lost: 1,
        changes: vec![change],
    };
    to.visit("change_rows", 24, &rows);
}

fn each_of_recordings(to: &mut impl Visit) {
    let record = Record {
        module: Some(MODULE),
        duration_ms: 10_000,
    };
    to.visit("record", 26, &record);
    let call = SeenCall {
        t_us: 1_500,
        module: MODULE,
        node: v6(),
        outcome: Outcome::TimedOut,
        latency_us: 1_000_000,
        calls: 1,
    };
    let seen = Seen {
        lost: 2,
        done: true,
        calls: vec![call],
    };
    to.visit("seen", 26, &seen);
}
