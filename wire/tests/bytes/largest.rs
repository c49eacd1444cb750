//! The largest message of each kind, encoded: the sums of bounds.rs are what encoding gives, and all fit a frame.

use lars_wire::admin::{EditRoutes, RouteEdit, RouteRow, RouteRows};
use lars_wire::bounds::{
    self, EDITS_MAX, EXPLAINED_MAX, FRAME_BYTES_MAX, HEADER_BYTES, HELD_MAX, MODULES_MAX, NAME_BYTES_MAX,
    NAMES_MAX, NODES_MAX, PAGE_NODES_MAX, PAGE_ZONES_MAX, REPORTS_MAX, TALLIES_MAX, TEXT_BYTES_MAX,
    WEIGHT_MAX, ZONE_BYTES_MAX,
};
use lars_wire::caller::{Explanation, NodeExplained, NodeView, Outcome, Report, ReportBatch, Status};
use lars_wire::directory::{
    self, Digest, KnownModule, PageNode, RouteDelta, RouteHead, RoutePage, Subscribe, Unsubscribe,
    route_nodes,
};
use lars_wire::event::{ChangeBatch, ChangeRows, StateChange};
use lars_wire::held::{HeldRow, HeldRows};
use lars_wire::names::{NameRow, NameRows};
use lars_wire::record::{Tally, TallyBatch};
use lars_wire::recording::{Seen, SeenCall};
use lars_wire::{CodecError, Message, ModuleId, NodeAddr, NodeState, Route, RouteNode, codec};
use std::fmt::Debug;
use std::sync::Arc;

const MODULE: ModuleId = ModuleId::new(u32::MAX, u32::MAX);

/// Bytes of the body; the message must survive.
fn body_bytes<M: Message + PartialEq + Debug>(message: &M) -> usize {
    message.check().expect("the largest is within its bounds");
    let mut frame = vec![0; FRAME_BYTES_MAX];
    let bytes = codec::encode(message, u32::MAX, &mut frame).expect("the largest fits a frame");
    assert_eq!(
        codec::decode::<M>(&frame[HEADER_BYTES..bytes]).as_ref(),
        Ok(message)
    );
    bytes - HEADER_BYTES
}

fn node(n: usize) -> NodeAddr {
    NodeAddr::from_ipv4_number(n as u32 + 1, u16::MAX)
}

fn zone(n: usize) -> String {
    format!("{n:0ZONE_BYTES_MAX$}")
}

fn page_node(n: usize) -> PageNode {
    PageNode {
        addr: node(n),
        weight: WEIGHT_MAX,
        state: NodeState::Draining,
        zone: (n % PAGE_ZONES_MAX) as u16 + 1,
    }
}

fn zones() -> Vec<String> {
    (0..PAGE_ZONES_MAX).map(zone).collect()
}

#[test]
fn report_batch() {
    let report = Report {
        module: MODULE,
        node: node(0),
        token: u64::MAX,
        outcome: Outcome::Cancelled,
        retcode: i32::MIN,
        latency_us: u32::MAX,
    };
    let batch = ReportBatch {
        reports: vec![report; REPORTS_MAX],
    };
    assert_eq!(body_bytes(&batch), bounds::REPORT_BATCH_BYTES_MAX);
}

#[test]
fn subscribe_unsubscribe_and_digest() {
    let known = KnownModule {
        module: MODULE,
        instance: u64::MAX,
        version: u64::MAX,
        hash: u64::MAX,
    };
    let modules = vec![known; MODULES_MAX];
    assert_eq!(
        body_bytes(&Subscribe {
            modules: modules.clone()
        }),
        bounds::SUBSCRIBE_BYTES_MAX
    );
    assert_eq!(body_bytes(&Digest { modules }), bounds::SUBSCRIBE_BYTES_MAX);
    let modules = vec![MODULE; MODULES_MAX];
    assert!(body_bytes(&Unsubscribe { modules }) < bounds::SUBSCRIBE_BYTES_MAX);
}

#[test]
fn route_page() {
    let page = RoutePage {
        module: MODULE,
        status: Status::Ok,
        instance: u64::MAX,
        version: u64::MAX,
        hash: u64::MAX,
        explained: true,
        total: NODES_MAX as u32,
        first: (NODES_MAX - PAGE_NODES_MAX) as u32,
        zones: zones(),
        nodes: (0..PAGE_NODES_MAX).map(page_node).collect(),
    };
    assert_eq!(body_bytes(&page), bounds::ROUTE_PAGE_BYTES_MAX);
}

#[test]
fn route_delta() {
    let delta = RouteDelta {
        module: MODULE,
        instance: u64::MAX,
        base: u64::MAX,
        version: u64::MAX,
        hash: u64::MAX,
        explained: true,
        zones: zones(),
        put: (0..PAGE_NODES_MAX).map(page_node).collect(),
        removed: (0..PAGE_NODES_MAX).map(node).collect(),
    };
    assert_eq!(body_bytes(&delta), bounds::ROUTE_DELTA_BYTES_MAX);
}

#[test]
fn tally_batch() {
    let tally = Tally {
        module: MODULE,
        node: node(0),
        ..Tally::default()
    };
    let batch = TallyBatch {
        incarnation: [255; 16],
        sequence: u64::MAX,
        caller: u32::MAX,
        age_ms: u64::MAX,
        tallies: vec![tally; TALLIES_MAX],
    };
    assert_eq!(body_bytes(&batch), bounds::TALLY_BATCH_BYTES_MAX);
}

#[test]
fn route_rows_and_edit_routes() {
    let row = |n| RouteRow {
        module: MODULE,
        node: node(n),
        weight: WEIGHT_MAX,
        state: NodeState::Draining,
        zone: zone(n),
    };
    let rows: Vec<RouteRow> = (0..EDITS_MAX).map(row).collect();
    let edits = rows.iter().cloned().map(RouteEdit::Put).collect();
    assert_eq!(
        body_bytes(&RouteRows { rows, more: true }),
        bounds::ROUTE_ROWS_BYTES_MAX
    );
    assert_eq!(body_bytes(&EditRoutes { edits }), bounds::EDIT_ROUTES_BYTES_MAX);
}

#[test]
fn held_rows_and_pages_of_the_longest_names() {
    let row = HeldRow {
        module: MODULE,
        nodes: u32::MAX,
        vanished: true,
    };
    let held = HeldRows {
        waits: true,
        rows: vec![row; HELD_MAX],
        more: true,
    };
    assert_eq!(body_bytes(&held), bounds::HELD_ROWS_BYTES_MAX);
    for bytes in [1, 20, 21, NAME_BYTES_MAX] {
        let row = NameRow {
            number: u32::MAX,
            name: "x".repeat(bytes),
        };
        let page = NameRows::filled(vec![row; NAMES_MAX + 1], false);
        assert!(page.more && body_bytes(&page) <= bounds::BODY_BYTES_MAX);
        assert!(page.rows.len() == NAMES_MAX || body_bytes(&page) + 4 + 8 + bytes > bounds::BODY_BYTES_MAX);
    }
}

#[test]
fn changes_with_the_longest_reasons_and_a_full_frame_of_a_recording() {
    let change = StateChange {
        number: u64::MAX,
        module: MODULE,
        node: NodeAddr::from_octets([0xff; 16], u16::MAX),
        age_ms: u64::MAX,
        from: NodeView::Idle,
        to: NodeView::Overloaded,
        reason: "x".repeat(bounds::CHANGE_REASON_BYTES_MAX),
    };
    let changes = vec![change; bounds::CHANGES_MAX];
    let rows = ChangeRows {
        total: 1,
        lost: 1,
        changes: changes.clone(),
    };
    assert_eq!(body_bytes(&rows), bounds::CHANGE_ROWS_BYTES_MAX);
    let batch = ChangeBatch {
        incarnation: [1; 16],
        caller: 1,
        changes,
    };
    assert_eq!(body_bytes(&batch), bounds::CHANGE_BATCH_BYTES_MAX);
    let call = SeenCall {
        t_us: 1,
        module: MODULE,
        node: NodeAddr::from_octets([0xff; 16], u16::MAX),
        outcome: Outcome::Ok,
        latency_us: 1,
        calls: 1,
    };
    let seen = Seen {
        lost: 1,
        done: true,
        calls: vec![call; bounds::SEEN_MAX],
    };
    assert_eq!(body_bytes(&seen), bounds::SEEN_BYTES_MAX);
}

#[test]
fn explanation_fits_bare_and_one_that_is_too_long_is_an_error_and_leaves_no_bytes() {
    let explained = |n| NodeExplained {
        node: node(n),
        view: NodeView::Idle,
        since_ms: u64::MAX,
        reason: String::new(),
        cost_us: u32::MAX,
        in_flight: u32::MAX,
        next_probe_ms: Some(u64::MAX),
    };
    let mut explanation = Explanation {
        status: Status::Ok,
        version: u64::MAX,
        policy: String::new(),
        total: NODES_MAX as u32,
        nodes: (0..EXPLAINED_MAX).map(explained).collect(),
    };
    assert_eq!(body_bytes(&explanation), bounds::EXPLANATION_BYTES_BARE);
    explanation.nodes[0].reason = "x".repeat(TEXT_BYTES_MAX);
    let mut frames = vec![1, 2, 3];
    let error = codec::append(&explanation, 0, &mut frames).expect_err("too long");
    assert!(matches!(error, CodecError::NoSpace { .. }), "{error}");
    assert_eq!(frames, [1, 2, 3]);
    let mut larger = vec![0; 2 * FRAME_BYTES_MAX];
    assert!(
        codec::encode(&explanation, 0, &mut larger).is_err(),
        "the bound holds in a larger space as well"
    );
}

#[test]
fn largest_route_survives_its_pages_whatever_its_zones() {
    // One zone for all, more zones than a page holds, a zone for each node, and pages that end with both bounds.
    for zones in [1, PAGE_ZONES_MAX, PAGE_ZONES_MAX + 1, NODES_MAX] {
        let node = |n| RouteNode {
            zone: Arc::from(zone(n % zones)),
            ..RouteNode::new(node(n))
        };
        let route = Route::new((0..NODES_MAX).map(node).collect());
        let head = RouteHead {
            module: MODULE,
            status: Status::Ok,
            instance: 1,
            version: 2,
            explained: true,
        };
        let mut nodes = Vec::new();
        for page in directory::pages(head, &route) {
            assert_eq!(
                (page.total as usize, page.first as usize),
                (NODES_MAX, nodes.len())
            );
            assert!(body_bytes(&page) <= bounds::ROUTE_PAGE_BYTES_MAX);
            assert!(!page.nodes.is_empty());
            nodes.extend(route_nodes(&page.zones, &page.nodes));
        }
        assert_eq!(Route::new(nodes), route);
    }
}
