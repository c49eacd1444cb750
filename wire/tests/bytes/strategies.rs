//! Random messages within their bounds, and the runner whose seed can be given.

use lars_wire::admin::{LinkState, LinkStatus, Reason, RouteEdit, RouteRow};
use lars_wire::bounds::{NODES_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};
use lars_wire::caller::{Avoid, NodeExplained, NodeView, Outcome, Report, Status};
use lars_wire::directory::{KnownModule, PageNode};
use lars_wire::record::{Tally, Window};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use std::hash::{BuildHasher, RandomState};

/// Runs `test` on random values. Prints its seed; `LARS_SEED=n` replays it.
pub(crate) fn for_all<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: std::fmt::Debug,
{
    let given = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    // The standard library's hasher is the randomness that needs no dependency.
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("LARS_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    // A quarter of proptest's default: each case tries every cut of its message.
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(strategy, test) {
        panic!("{failure}");
    }
}

pub(crate) fn one_of<T: Copy + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(|place| all[place])
}

pub(crate) fn status() -> impl Strategy<Value = Status> {
    one_of(Status::ALL)
}

pub(crate) fn reason() -> impl Strategy<Value = Reason> {
    one_of(Reason::ALL)
}

pub(crate) fn text(bytes_max: usize) -> impl Strategy<Value = String> {
    // Up to four bytes a character.
    vec(any::<char>(), 0..=bytes_max / 4).prop_map(|chars| chars.into_iter().collect())
}

pub(crate) fn module() -> impl Strategy<Value = ModuleId> {
    (any::<u32>(), any::<u32>()).prop_map(|(modid, cmdid)| ModuleId::new(modid, cmdid))
}

/// Any address that can be called, of both families.
pub(crate) fn node() -> impl Strategy<Value = NodeAddr> {
    let v4 = (1..=u32::MAX, 1..=u16::MAX).prop_map(|(ip, port)| NodeAddr::from_ipv4_number(ip, port));
    let v6 = (any::<[u8; 16]>(), 1..=u16::MAX).prop_map(|(ip, port)| NodeAddr::from_octets(ip, port));
    prop_oneof![v4, v6].prop_filter("callable", NodeAddr::is_callable)
}

pub(crate) fn avoid() -> impl Strategy<Value = Avoid> {
    vec(node(), 0..=8).prop_map(|nodes| {
        let mut avoid = Avoid::NONE;
        assert!(nodes.into_iter().all(|node| avoid.push(node)));
        avoid
    })
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    (
        module(),
        node(),
        any::<u64>(),
        one_of(Outcome::ALL),
        any::<i32>(),
        any::<u32>(),
    )
        .prop_map(|(module, node, token, outcome, retcode, latency_us)| Report {
            module,
            node,
            token,
            outcome,
            retcode,
            latency_us,
        })
}

pub(crate) fn explained() -> impl Strategy<Value = NodeExplained> {
    let numbers = (any::<u32>(), any::<u32>(), any::<Option<u64>>());
    (node(), one_of(NodeView::ALL), any::<u64>(), text(200), numbers).prop_map(
        |(node, view, since_ms, reason, (cost_us, in_flight, next_probe_ms))| NodeExplained {
            node,
            view,
            since_ms,
            reason,
            cost_us,
            in_flight,
            next_probe_ms,
        },
    )
}

pub(crate) fn known() -> impl Strategy<Value = KnownModule> {
    (module(), any::<[u64; 3]>()).prop_map(|(module, [instance, version, hash])| KnownModule {
        module,
        instance,
        version,
        hash,
    })
}

/// Zones, and nodes that stand in them or in none.
pub(crate) fn zoned_nodes() -> impl Strategy<Value = (Vec<String>, Vec<PageNode>)> {
    vec(text(ZONE_BYTES_MAX), 0..6).prop_flat_map(|zones| {
        let places = 0..=zones.len() as u16;
        let node = (node(), 1..=WEIGHT_MAX, one_of(NodeState::ALL), places).prop_map(
            |(addr, weight, state, zone)| PageNode {
                addr,
                weight,
                state,
                zone,
            },
        );
        (Just(zones), vec(node, 0..40))
    })
}

/// Where a page of `nodes` may stand: the route's total and the page's first.
pub(crate) fn page_place(nodes: usize) -> impl Strategy<Value = (u32, u32)> {
    let (nodes, nodes_max) = (nodes as u32, NODES_MAX as u32);
    let total_max = if nodes == 0 { 0 } else { nodes_max };
    (nodes..=total_max.max(nodes)).prop_flat_map(move |total| (Just(total), 0..=total - nodes))
}

pub(crate) fn tally() -> impl Strategy<Value = Tally> {
    (
        module(),
        node(),
        any::<[u32; 6]>(),
        any::<u64>(),
        any::<[u32; 2]>(),
        any::<bool>(),
    )
        .prop_map(
            |(module, node, counts, latency_sum_us, [succ, err], overloaded)| {
                let [age_ms, ok, failed, timed_out, cancelled, latency_max_us] = counts;
                Tally {
                    module,
                    node,
                    age_ms,
                    ok,
                    failed,
                    timed_out,
                    cancelled,
                    latency_sum_us,
                    latency_max_us,
                    window: Window {
                        succ,
                        err,
                        overloaded,
                    },
                }
            },
        )
}

pub(crate) fn row() -> impl Strategy<Value = RouteRow> {
    (
        module(),
        node(),
        1..=WEIGHT_MAX,
        one_of(NodeState::ALL),
        text(ZONE_BYTES_MAX),
    )
        .prop_map(|(module, node, weight, state, zone)| RouteRow {
            module,
            node,
            weight,
            state,
            zone,
        })
}

pub(crate) fn edit() -> impl Strategy<Value = RouteEdit> {
    let remove = (module(), node()).prop_map(|(module, node)| RouteEdit::Remove { module, node });
    prop_oneof![row().prop_map(RouteEdit::Put), remove]
}

pub(crate) fn link() -> impl Strategy<Value = LinkStatus> {
    (text(20), text(60), one_of(LinkState::ALL), text(200)).prop_map(|(to, addr, state, error)| LinkStatus {
        to,
        addr,
        state,
        error,
    })
}
