//! The classic rule as readers follow it, against the C++ queues written down again in a few lines.
#![cfg(not(loom))]

use lars_board::{
    Board, BoardConfig, BoardReader, BoardWriter, Choice, Entry, EntryNode, NodeSlot, Picked, Rule, Token,
};
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::VecDeque;
use std::time::Instant;

const MODULE: ModuleId = ModuleId::new(1, 1);
const LARS: Rule = Rule::Classic {
    probe_num: 10,
    forget_probe_count: false,
};
const ELB: Rule = Rule::Classic {
    probe_num: 10,
    forget_probe_count: true,
};

fn addr(number: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + number, 80)
}

/// So many nodes of each kind, numbered through.
fn nodes(idle: u32, overloaded: u32, draining: u32) -> Vec<EntryNode> {
    let node = |number| {
        let view = if number < idle {
            NodeView::Idle
        } else if number >= idle + overloaded {
            NodeView::Draining
        } else if number % 2 == 0 {
            NodeView::Overloaded
        } else {
            NodeView::Probing
        };
        EntryNode {
            slot: NodeSlot::new(100 + number),
            ..EntryNode::new(addr(number), 100, view)
        }
    };
    (0..idle + overloaded + draining).map(node).collect()
}

fn board(seed: u64) -> (BoardWriter, BoardReader) {
    let (board, mut writers) = Board::create(BoardConfig {
        modules_max: 16,
        shards: 1,
    })
    .expect("a board");
    (writers.remove(0), board.reader(seed))
}

fn publish(writer: &mut BoardWriter, rule: Rule, nodes: &[EntryNode]) -> u32 {
    let entry = Entry {
        module: MODULE,
        version: 7,
        rule,
        nodes,
    };
    writer.publish(Instant::now(), &entry).expect("room")
}

fn choice(picked: Picked) -> Choice {
    match picked {
        Picked::Node(choice) => choice,
        other => panic!("no node: {other:?}"),
    }
}

/// `LoadBalance::choice_one_host` of the C++ system: two queues and a count.
struct Queues {
    idle: VecDeque<NodeAddr>,
    overloaded: VecDeque<NodeAddr>,
    count: u16,
}

impl Queues {
    /// The queues, begun elsewhere: as a reader that starts at random might find them.
    fn begun(nodes: &[EntryNode], idle: usize, overloaded: usize, count: u16) -> Self {
        let queue = |views: [NodeView; 2], start| {
            let mut queue: VecDeque<_> = nodes
                .iter()
                .filter(|node| views.contains(&node.view))
                .map(|node| node.addr)
                .collect();
            queue.rotate_left(if queue.is_empty() { 0 } else { start });
            queue
        };
        Self {
            idle: queue([NodeView::Idle; 2], idle),
            overloaded: queue([NodeView::Overloaded, NodeView::Probing], overloaded),
            count,
        }
    }

    fn pick(&mut self, rule: Rule) -> Option<NodeAddr> {
        let Rule::Classic {
            probe_num,
            forget_probe_count,
        } = rule
        else {
            panic!("{rule:?} has no queues");
        };
        let queue = if self.overloaded.is_empty() {
            self.count = if forget_probe_count { 0 } else { self.count };
            &mut self.idle
        } else if self.count >= probe_num {
            self.count = 0;
            &mut self.overloaded
        } else {
            self.count += 1;
            &mut self.idle
        };
        let head = queue.pop_front()?;
        queue.push_back(head);
        Some(head)
    }
}

#[test]
fn picks_are_those_of_the_queues_of_the_original_wherever_it_starts() {
    for (idle, overloaded) in [(1, 0), (3, 0), (3, 1), (3, 4), (1, 1), (0, 1), (0, 3)] {
        let nodes = nodes(idle, overloaded, 2);
        let (mut writer, mut reader) = board(u64::from(idle * 8 + overloaded));
        publish(&mut writer, LARS, &nodes);
        let picks: Vec<Option<NodeAddr>> = (0..200)
            .map(|_| match reader.pick(MODULE, &[]) {
                Picked::Node(choice) => Some(choice.addr),
                Picked::Overloaded { version: 7 } => None,
                other => panic!("{other:?}"),
            })
            .collect();
        let starts = (0..idle.max(1)).flat_map(|idle| {
            (0..overloaded.max(1)).flat_map(move |over| (0..=10).map(move |count| (idle, over, count)))
        });
        let fitting = starts.filter(|&(idle, over, count)| {
            let mut queues = Queues::begun(&nodes, idle as usize, over as usize, count);
            picks.iter().all(|&pick| queues.pick(LARS) == pick)
        });
        assert!(
            fitting.count() >= 1,
            "no start explains {idle} idle, {overloaded} overloaded: {picks:?}"
        );
    }
}

#[test]
fn overloaded_node_is_probed_after_every_ten_picks() {
    let (mut writer, mut reader) = board(1);
    publish(&mut writer, LARS, &nodes(3, 1, 0));
    let probed: Vec<usize> = (0..111)
        .filter(|_| {
            let choice = choice(reader.pick(MODULE, &[]));
            assert_eq!(choice.token >> 40 & 1 == 1, choice.addr == addr(3));
            choice.addr == addr(3)
        })
        .collect();
    assert!(
        probed.windows(2).all(|pair| pair[1] - pair[0] == 11),
        "{probed:?}"
    );
    assert!((10..=11).contains(&probed.len()), "{probed:?}");
}

#[test]
fn all_overloaded_refuses_all_but_one_pick_in_eleven() {
    let (mut writer, mut reader) = board(2);
    publish(&mut writer, LARS, &nodes(0, 3, 0));
    let taken: Vec<Option<NodeAddr>> = (0..99)
        .map(|_| match reader.pick(MODULE, &[]) {
            Picked::Node(choice) => Some(choice.addr),
            _ => None,
        })
        .collect();
    assert_eq!(taken.iter().flatten().count(), 9);
    let mut probed: Vec<NodeAddr> = taken.into_iter().flatten().take(3).collect();
    probed.sort();
    assert_eq!(probed, [addr(0), addr(1), addr(2)], "probes go in turn");
}

#[test]
fn draining_nodes_get_nothing_not_even_probes() {
    let (mut writer, mut reader) = board(3);
    publish(&mut writer, LARS, &nodes(0, 0, 2));
    for _ in 0..30 {
        assert_eq!(reader.pick(MODULE, &[]), Picked::Overloaded { version: 7 });
    }
}

#[test]
fn elb_forgets_the_probe_count_when_nothing_is_overloaded_and_lars_does_not() {
    for (rule, picks_until_probe) in [(LARS, 4), (ELB, 11)] {
        let (mut writer, mut reader) = board(4);
        publish(&mut writer, rule, &nodes(2, 1, 0));
        while choice(reader.pick(MODULE, &[])).addr != addr(2) {}
        for _ in 0..7 {
            assert_ne!(choice(reader.pick(MODULE, &[])).addr, addr(2));
        }
        publish(&mut writer, rule, &nodes(3, 0, 0));
        choice(reader.pick(MODULE, &[]));
        publish(&mut writer, rule, &nodes(2, 1, 0));
        let until_probe = (1..100).find(|_| choice(reader.pick(MODULE, &[])).addr == addr(2));
        assert_eq!(until_probe, Some(picks_until_probe), "{rule:?}");
    }
}

#[test]
fn avoided_nodes_are_passed_over_while_another_idle_one_is_left() {
    let (mut writer, mut reader) = board(5);
    publish(&mut writer, LARS, &nodes(3, 0, 1));
    for _ in 0..20 {
        assert_eq!(
            choice(reader.pick(MODULE, &[addr(0), addr(2), addr(9)])).addr,
            addr(1)
        );
    }
    let all = [addr(0), addr(1), addr(2), addr(3)];
    let mut forced: Vec<NodeAddr> = (0..3).map(|_| choice(reader.pick(MODULE, &all)).addr).collect();
    forced.sort();
    assert_eq!(
        forced,
        all[..3],
        "nothing else is left: in turn again, and never the draining one"
    );
}

#[test]
fn probe_of_an_avoided_node_waits_for_the_next_pick() {
    let (mut writer, mut reader) = board(6);
    publish(&mut writer, LARS, &nodes(2, 1, 0));
    for _ in 0..40 {
        assert_ne!(choice(reader.pick(MODULE, &[addr(2)])).addr, addr(2));
    }
    assert_eq!(
        choice(reader.pick(MODULE, &[])).addr,
        addr(2),
        "its turn was kept"
    );
    publish(&mut writer, LARS, &nodes(0, 1, 0));
    let answers: Vec<Picked> = (0..11).map(|_| reader.pick(MODULE, &[addr(0)])).collect();
    assert!(
        matches!(answers[10], Picked::Node(choice) if choice.addr == addr(0)),
        "nothing else is left"
    );
}

#[test]
fn rotation_is_even_and_every_reader_starts_elsewhere() {
    let (board, mut writers) = Board::create(BoardConfig {
        modules_max: 16,
        shards: 1,
    })
    .expect("a board");
    publish(&mut writers[0], LARS, &nodes(8, 0, 0));
    let mut firsts = [0u32; 8];
    for seed in 0..400 {
        let mut reader = board.reader(seed);
        let picks: Vec<NodeAddr> = (0..16).map(|_| choice(reader.pick(MODULE, &[])).addr).collect();
        let mut once = picks[..8].to_vec();
        once.sort();
        assert_eq!(once, (0..8).map(addr).collect::<Vec<_>>());
        assert_eq!(picks[..8], picks[8..]);
        firsts[(0..8)
            .position(|number| addr(number) == picks[0])
            .expect("one of them")] += 1;
    }
    assert!(
        firsts.iter().all(|&count| (20..=90).contains(&count)),
        "{firsts:?}"
    );
}

#[test]
fn token_names_slot_and_probe() {
    let (mut writer, mut reader) = board(7);
    publish(&mut writer, LARS, &nodes(1, 1, 0));
    for _ in 0..30 {
        let Choice {
            addr: picked,
            version,
            token,
        } = choice(reader.pick(MODULE, &[]));
        let probe = picked == addr(1);
        let token = Token(token);
        assert_eq!(
            (token.slot().number(), token.is_probe()),
            (Some(100 + u32::from(probe)), probe)
        );
        assert_eq!(version, 7);
    }
    for not_a_token in [0, u64::MAX >> 1] {
        let token = Token(not_a_token);
        assert_eq!((token.slot(), token.is_probe()), (NodeSlot::NONE, false));
    }
}

#[test]
fn picked_modules_are_told_once_each() {
    let (board, mut writers) = Board::create(BoardConfig {
        modules_max: 200,
        shards: 1,
    })
    .expect("a board");
    let (one, other) = (nodes(1, 0, 0), nodes(0, 1, 0));
    for cmdid in 0..200 {
        let nodes = if cmdid % 2 == 0 { &one } else { &other };
        let entry = Entry {
            module: ModuleId::new(0, cmdid),
            version: 1,
            rule: LARS,
            nodes,
        };
        writers[0].publish(Instant::now(), &entry).expect("room");
    }
    let mut reader = board.reader(8);
    for cmdid in [0, 1, 70, 199, 70, 500] {
        reader.pick(ModuleId::new(0, cmdid), &[]);
    }
    let mut used = Vec::new();
    reader.take_used(&mut used);
    used.sort();
    assert_eq!(
        used,
        [0, 1, 70, 199].map(|cmdid| ModuleId::new(0, cmdid)),
        "not the absent one"
    );
    used.clear();
    reader.take_used(&mut used);
    assert_eq!(used, []);
    reader.pick(ModuleId::new(0, 1), &[]);
    reader.take_used(&mut used);
    assert_eq!(used, [ModuleId::new(0, 1)]);
}
