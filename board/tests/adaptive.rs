//! The rules that look at costs, weights, keys and calls in flight, as readers follow them: shares over many picks with a
//! fixed seed, and what must hold for every single one.
#![cfg(not(loom))]

use lars_board::{
    Board, BoardConfig, BoardReader, BoardWriter, Choice, Entry, EntryNode, Hot, NodeSlot, Picked, Retries,
    Rule, Token,
};
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const MODULE: ModuleId = ModuleId::new(1, 1);
const RETRIES: Retries = Retries {
    percent: 20,
    floor: 10,
};
const ADAPTIVE: Rule = Rule::Adaptive(RETRIES);
const ROUND_ROBIN: Rule = Rule::WeightedRoundRobin(RETRIES);
const HASH: Rule = Rule::ConsistentHash {
    retries: RETRIES,
    load_max_percent: 125,
};
const PICKS: u32 = 20_000;

fn addr(number: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + number, 80)
}

fn node(number: u32, weight: u16, view: NodeView) -> EntryNode {
    EntryNode {
        slot: NodeSlot::new(number),
        ..EntryNode::new(addr(number), weight, view)
    }
}

/// Idle nodes of these weights, numbered from 0.
fn idle(weights: &[u16]) -> Vec<EntryNode> {
    let node = |(number, &weight)| node(number, weight, NodeView::Idle);
    (0..).zip(weights).map(node).collect()
}

struct Bench {
    board: Board,
    writer: BoardWriter,
    reader: BoardReader,
    start: Instant,
}

impl Bench {
    fn new(rule: Rule, nodes: &[EntryNode]) -> Self {
        let (board, mut writers) = Board::create(BoardConfig {
            modules_max: 16,
            shards: 1,
        })
        .expect("a board");
        let (writer, reader) = (writers.remove(0), board.reader(1));
        let start = Instant::now();
        let mut bench = Self {
            board,
            writer,
            reader,
            start,
        };
        bench.publish(rule, nodes);
        bench
    }

    fn publish(&mut self, rule: Rule, nodes: &[EntryNode]) {
        let entry = Entry {
            module: MODULE,
            version: 1,
            rule,
            nodes,
        };
        self.writer.publish(self.start, &entry).expect("room");
    }

    fn pick(&mut self, key: Option<u64>, avoid: &[NodeAddr]) -> Option<Choice> {
        match self.reader.pick_keyed(MODULE, key, avoid) {
            Picked::Node(choice) => Some(choice),
            Picked::Overloaded { .. } => None,
            Picked::Absent => panic!("it is on the board"),
        }
    }

    /// The shares of so many calls, each ended before the next begins.
    fn shares(&mut self) -> Vec<f64> {
        let mut counts = [0; 64];
        for _ in 0..PICKS {
            let choice = self.pick(None, &[]).expect("a node");
            counts[number_of(choice.addr) as usize] += 1;
            self.reader.finish(choice.token);
        }
        counts.map(|count| f64::from(count) / f64::from(PICKS)).to_vec()
    }
}

fn number_of(node: NodeAddr) -> u32 {
    node.ipv4_number().expect("IPv4") - 0x0a00_0000
}

fn cost(cost_us: f32) -> Hot {
    Hot {
        cost_us,
        warmth: Hot::WARM,
    }
}

#[track_caller]
fn assert_near(share: f64, wanted: f64) {
    assert!((share - wanted).abs() < 0.015, "{share} is not about {wanted}");
}

#[test]
fn shares_are_those_of_the_weights_while_nodes_cost_the_same() {
    for rule in [ADAPTIVE, ROUND_ROBIN, HASH] {
        let shares = Bench::new(rule, &idle(&[100; 5])).shares();
        shares[..5].iter().for_each(|&share| assert_near(share, 0.2));
    }
    for rule in [ADAPTIVE, ROUND_ROBIN] {
        let shares = Bench::new(rule, &idle(&[10, 30, 60])).shares();
        for (share, wanted) in shares.iter().zip([0.1, 0.3, 0.6]) {
            assert_near(*share, wanted);
        }
        let shares = Bench::new(rule, &idle(&[9_000, 1_000])).shares();
        assert_near(shares[0], 0.9);
    }
}

#[test]
fn costly_node_gets_little_as_soon_as_it_is_refreshed() {
    let mut bench = Bench::new(ADAPTIVE, &idle(&[100; 4]));
    bench.writer.refresh(
        bench.start,
        MODULE,
        &[cost(10.0), cost(10.0), cost(10.0), cost(11.0)],
    );
    let shares = bench.shares();
    // First drawn with a quarter, and kept with the eighth power of what the squares are to each other.
    assert_near(shares[3], 0.25 * (100.0_f64 / 121.0).powi(8));
    bench.writer.refresh(
        bench.start,
        MODULE,
        &[cost(10.0), cost(10.0), cost(10.0), cost(300.0)],
    );
    assert!(bench.shares()[3] < 0.001);
}

#[test]
fn node_with_calls_in_flight_stands_back_whichever_reader_began_them() {
    let mut bench = Bench::new(ADAPTIVE, &idle(&[100, 100]));
    let mut others: Vec<BoardReader> = (0..20).map(|seed| bench.board.reader(seed)).collect();
    let mut begun = [0, 0];
    for round in 0..1_000 {
        let Picked::Node(choice) = others[round % 20].pick(MODULE, &[]) else {
            panic!("it is on the board");
        };
        begun[number_of(choice.addr) as usize] += 1;
    }
    // Drawn blindly they would differ by 32 or so; and the counts are those of the picks.
    assert!((i32::abs(begun[0] - begun[1])) <= 40, "{begun:?}");
    let counted = [0, 1].map(|slot| bench.writer.in_flight(NodeSlot::new(slot)));
    assert_eq!(counted, begun);
    for _ in 0..100 {
        let choice = bench.pick(None, &[]).expect("a node");
        bench.reader.finish(choice.token);
        bench.reader.finish(u64::MAX);
    }
    assert_eq!(
        [0, 1].map(|slot| bench.writer.in_flight(NodeSlot::new(slot))),
        counted
    );
}

#[test]
fn node_that_starts_slowly_gets_its_part_of_a_share() {
    for rule in [ADAPTIVE, ROUND_ROBIN] {
        let mut nodes = idle(&[100; 4]);
        nodes[2].hot.warmth = 63;
        let shares = Bench::new(rule, &nodes).shares();
        assert!((0.04..0.13).contains(&shares[2]), "{shares:?}");
    }
}

#[test]
fn call_that_is_never_reported_is_forgotten_after_its_bound() {
    let mut bench = Bench::new(ADAPTIVE, &idle(&[100]));
    bench.board.bound_calls(Duration::from_secs(2));
    bench.writer.beat(bench.start);
    bench.pick(None, &[]);
    let in_flight = |bench: &Bench| bench.writer.in_flight(NodeSlot::new(0));
    for (after_ms, expected) in [(0, 1), (1_900, 1), (3_100, 0)] {
        bench.writer.beat(bench.start + Duration::from_millis(after_ms));
        assert_eq!(in_flight(&bench), expected, "after {after_ms} ms");
    }
}

#[test]
fn retry_goes_elsewhere_and_too_many_are_refused() {
    for rule in [ADAPTIVE, ROUND_ROBIN, HASH] {
        let mut nodes = idle(&[100, 90, 80]);
        nodes.push(node(3, 100, NodeView::Overloaded));
        nodes.push(node(4, 100, NodeView::Idle));
        nodes.push(node(5, 100, NodeView::Draining));
        let mut bench = Bench::new(rule, &nodes);
        for _ in 0..1_000 {
            bench.pick(Some(7), &[]).expect("a node");
        }
        for _ in 0..100 {
            let other = bench.pick(Some(7), &[addr(0), addr(2)]).expect("a node");
            assert_eq!(other.addr, addr(1));
            let spare = bench.pick(None, &[addr(0), addr(1), addr(2)]);
            assert_eq!(
                spare.expect("a node").addr,
                addr(4),
                "the reserve, before a node twice"
            );
        }
        let more = (0..1_000).filter(|_| bench.pick(None, &[addr(0)]).is_some());
        // 1,000 picks earn 200 retries, of which 200 are gone; the floor is left.
        assert_eq!(more.count(), 10);
    }
}

#[test]
fn granted_probe_is_taken_by_one_pick_and_survives_a_new_list() {
    let mut nodes = idle(&[100, 100]);
    nodes.push(node(2, 100, NodeView::Overloaded));
    let mut bench = Bench::new(ADAPTIVE, &nodes);
    let probes = |bench: &mut Bench| {
        let picked: Vec<Choice> = (0..100).filter_map(|_| bench.pick(None, &[])).collect();
        let probes = picked.iter().filter(|choice| Token(choice.token).is_probe());
        let to: Vec<u32> = probes.map(|choice| number_of(choice.addr)).collect();
        assert_eq!(
            picked.iter().filter(|choice| choice.addr == addr(2)).count(),
            to.len()
        );
        to
    };
    assert_eq!(probes(&mut bench), []);
    bench.writer.grant(MODULE, NodeSlot::new(2));
    assert_eq!(probes(&mut bench), [2]);
    bench.writer.grant(MODULE, NodeSlot::new(2));
    bench.pick(None, &[addr(0)]).expect("a retry, which is no probe");
    nodes.remove(0);
    bench.publish(ADAPTIVE, &nodes);
    assert_eq!(probes(&mut bench), [2]);
    bench.writer.grant(MODULE, NodeSlot::new(2));
    nodes.pop();
    bench.publish(ADAPTIVE, &nodes);
    nodes.push(node(2, 100, NodeView::Overloaded));
    bench.publish(ADAPTIVE, &nodes);
    assert_eq!(probes(&mut bench), [], "the node was gone, and its grant with it");
    bench.writer.grant(MODULE, NodeSlot::new(9));
    assert_eq!(probes(&mut bench), []);
}

#[test]
fn equal_keys_go_to_equal_nodes_until_one_is_full() {
    let nodes = idle(&[100; 10]);
    let mut bench = Bench::new(HASH, &nodes);
    let mut other = Bench::new(HASH, &nodes);
    let mut owners = HashMap::new();
    for key in 0..2_000 {
        let picked = [&mut bench, &mut other].map(|bench| {
            let choice = bench.pick(Some(key), &[]).expect("a node");
            bench.reader.finish(choice.token);
            choice.addr
        });
        assert_eq!(picked[0], picked[1]);
        *owners.entry(picked[0]).or_insert(0) += 1;
    }
    assert!(
        owners.len() == 10 && owners.values().all(|&keys| (100..320).contains(&keys)),
        "{owners:?}"
    );
    // One hot key, never finished: it spills over, and no node has more than a quarter above the mean.
    for _ in 0..1_000 {
        bench.pick(Some(1), &[]).expect("a node");
    }
    let most = (0..10)
        .map(|slot| bench.writer.in_flight(NodeSlot::new(slot)))
        .max();
    assert!(most <= Some(126), "{most:?}");
}

#[test]
fn no_idle_node_is_no_node_but_for_a_probe() {
    for rule in [ADAPTIVE, ROUND_ROBIN, HASH] {
        let nodes = [node(0, 1, NodeView::Overloaded), node(1, 1, NodeView::Draining)];
        let mut bench = Bench::new(rule, &nodes);
        assert!((0..50).all(|key| bench.pick(Some(key), &[]).is_none()));
        bench.writer.grant(MODULE, NodeSlot::new(1));
        assert!(bench.pick(None, &[]).is_none(), "nobody probes a draining node");
        bench.writer.grant(MODULE, NodeSlot::new(0));
        assert!(bench.pick(None, &[]).is_some());
    }
}
