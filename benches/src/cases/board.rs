//! The board: a pick by a reader, a module's entry by its writer.

use super::{Case, Operation};
use crate::services::node;
use lars_board::{Board, BoardConfig, BoardWriter, Entry, EntryNode, Hot, NodeSlot, Picked, Retries, Rule};
use lars_wire::ModuleId;
use lars_wire::caller::NodeView;
use std::hint::black_box;
use std::time::Instant;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "board.pick",
        make: || pick(CLASSIC, 1, 0),
    },
    Case {
        name: "board.pick.1000modules",
        make: || pick(CLASSIC, 1_000, 0),
    },
    Case {
        name: "board.pick.avoid3",
        make: || pick(CLASSIC, 1, 3),
    },
    Case {
        name: "board.pick.adaptive",
        make: || pick(ADAPTIVE, 1, 0),
    },
    Case {
        name: "board.pick.adaptive.1000modules",
        make: || pick(ADAPTIVE, 1_000, 0),
    },
    Case {
        name: "board.pick.round_robin",
        make: || pick(Rule::WeightedRoundRobin(RETRIES), 1, 0),
    },
    Case {
        name: "board.pick.hash",
        make: || pick(HASH, 1, 0),
    },
    Case {
        name: "board.publish",
        make: publish,
    },
];

const CLASSIC: Rule = Rule::Classic {
    probe_num: 10,
    forget_probe_count: false,
};
const RETRIES: Retries = Retries {
    percent: 20,
    floor: 10,
};
const ADAPTIVE: Rule = Rule::Adaptive(RETRIES);
const HASH: Rule = Rule::ConsistentHash {
    retries: RETRIES,
    load_max_percent: 125,
};

fn board() -> (Board, BoardWriter) {
    let config = BoardConfig {
        modules_max: 4_096,
        shards: 1,
    };
    let (board, mut writers) = Board::create(config).expect("a small board is mapped");
    (board, writers.pop().expect("one shard has one writer"))
}

fn entry(rule: Rule, module: ModuleId, nodes: &[EntryNode]) -> Entry<'_> {
    Entry {
        module,
        version: 1,
        rule,
        nodes,
    }
}

/// Ten nodes, whose calls are counted and whose costs differ.
fn nodes() -> Vec<EntryNode> {
    let idle = |number| EntryNode {
        slot: NodeSlot::new(number),
        hot: Hot {
            cost_us: 1_000.0 + 10.0 * number as f32,
            warmth: Hot::WARM,
        },
        ..EntryNode::new(node(number), 100, NodeView::Idle)
    };
    (0..10).map(idle).collect()
}

/// A pick, and what ends its call where it counts as in flight.
fn pick(rule: Rule, modules: u32, avoided: u32) -> Operation {
    let (board, mut writer) = board();
    let modules: Vec<_> = (0..modules).map(|cmdid| ModuleId::new(1, cmdid)).collect();
    for &module in &modules {
        writer
            .publish(Instant::now(), &entry(rule, module, &nodes()))
            .expect("there is room");
    }
    let avoid: Vec<_> = (0..avoided).map(node).collect();
    let (mut reader, mut turn) = (board.reader(1), 0);
    Box::new(move || {
        turn = if turn + 1 == modules.len() { 0 } else { turn + 1 };
        let module = black_box(modules[turn]);
        let picked = reader.pick_keyed(module, black_box(Some(turn as u64)), black_box(&avoid));
        if let Picked::Node(choice) = *black_box(&picked) {
            reader.finish(choice.token);
        }
    })
}

fn publish() -> Operation {
    let (board, mut writer) = board();
    let (nodes, now) = (nodes(), Instant::now());
    Box::new(move || {
        black_box(&board);
        // Space of an older list is used again after a second; the board has room for as long as this takes.
        let published = writer.publish(now, &entry(CLASSIC, ModuleId::new(1, 1), &nodes));
        black_box(&published);
    })
}
