//! The board: a pick by a reader, a module's entry by its writer.

use super::{Case, Operation};
use crate::services::node;
use lars_board::{Board, BoardConfig, BoardWriter, Entry, EntryNode, Rule};
use lars_wire::ModuleId;
use lars_wire::caller::NodeView;
use std::hint::black_box;
use std::time::Instant;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "board.pick",
        make: || pick(1, 0),
    },
    Case {
        name: "board.pick.1000modules",
        make: || pick(1_000, 0),
    },
    Case {
        name: "board.pick.avoid3",
        make: || pick(1, 3),
    },
    Case {
        name: "board.publish",
        make: publish,
    },
];

const RULE: Rule = Rule::Classic {
    probe_num: 10,
    forget_probe_count: false,
};

fn board() -> (Board, BoardWriter) {
    let config = BoardConfig {
        modules_max: 4_096,
        shards: 1,
    };
    let (board, mut writers) = Board::create(config).expect("a small board is mapped");
    (board, writers.pop().expect("one shard has one writer"))
}

fn entry(module: ModuleId, nodes: &[EntryNode]) -> Entry<'_> {
    Entry {
        module,
        version: 1,
        rule: RULE,
        nodes,
    }
}

fn nodes() -> Vec<EntryNode> {
    let idle = |number| EntryNode::new(node(number), 100, NodeView::Idle);
    (0..10).map(idle).collect()
}

fn pick(modules: u32, avoided: u32) -> Operation {
    let (board, mut writer) = board();
    let modules: Vec<_> = (0..modules).map(|cmdid| ModuleId::new(1, cmdid)).collect();
    for &module in &modules {
        writer
            .publish(Instant::now(), &entry(module, &nodes()))
            .expect("there is room");
    }
    let avoid: Vec<_> = (0..avoided).map(node).collect();
    let (mut reader, mut turn) = (board.reader(1), 0);
    Box::new(move || {
        turn = if turn + 1 == modules.len() { 0 } else { turn + 1 };
        let picked = reader.pick(black_box(modules[turn]), black_box(&avoid));
        black_box(&picked);
    })
}

fn publish() -> Operation {
    let (board, mut writer) = board();
    let (nodes, now) = (nodes(), Instant::now());
    Box::new(move || {
        black_box(&board);
        // Space of an older list is used again after a second; the board has room for as long as this takes.
        let published = writer.publish(now, &entry(ModuleId::new(1, 1), &nodes));
        black_box(&published);
    })
}
