//! The board's file: sparse, as large as it says, and what its first words say. (That it is sealed: `memfd.rs`.)
#![cfg(not(loom))]

use lars_board::{
    BOARD_MODULES_MAX, Board, BoardConfig, BoardError, Entry, EntryNode, NodeSlot, Picked, Retries, Rule,
};
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Instant;

fn create(modules_max: u32, shards: u16) -> (Board, Vec<lars_board::BoardWriter>) {
    Board::create(BoardConfig { modules_max, shards }).expect("a board")
}

#[test]
fn file_starts_with_what_another_process_needs_to_find_its_way() {
    let (board, _writers) = create(1_000, 3);
    let file = File::from(board.file().try_clone_to_owned().expect("another descriptor"));
    let mut bytes = [0; 40];
    file.read_exact_at(&mut bytes, 0).expect("the first line");
    assert_eq!(&bytes[..8], b"LarsBord");
    let word = |number: usize| u64::from_le_bytes(bytes[number * 8..][..8].try_into().expect("8 bytes"));
    assert_eq!((word(1), word(2), word(3)), (3, 1_000, 3));
    assert_eq!(word(4) * 8, file.metadata().expect("metadata").len());
}

#[test]
fn board_for_a_million_modules_takes_no_memory_until_it_is_used() {
    let (board, mut writers) = create(BOARD_MODULES_MAX, 2);
    let file = File::from(board.file().try_clone_to_owned().expect("another descriptor"));
    let metadata = file.metadata().expect("metadata");
    assert!(
        metadata.len() >= u64::from(BOARD_MODULES_MAX) * 1_024,
        "{} bytes reserved",
        metadata.len()
    );
    assert!(
        metadata.blocks() * 512 <= 64 * 1_024,
        "{} bytes taken",
        metadata.blocks() * 512
    );
    let node = |number: u32| EntryNode::new(NodeAddr::from_ipv4_number(number + 1, 80), 100, NodeView::Idle);
    let nodes: Vec<EntryNode> = (0..10).map(node).collect();
    let modules = 100_000;
    let now = Instant::now();
    let rule = Rule::Classic {
        probe_num: 10,
        forget_probe_count: false,
    };
    for cmdid in 0..modules {
        let module = ModuleId::new(1, cmdid);
        let entry = Entry {
            module,
            version: 1,
            rule,
            nodes: &nodes,
        };
        writers[usize::from(module.shard(2))]
            .publish(now, &entry)
            .expect("room");
    }
    let taken = file.metadata().expect("metadata").blocks() * 512;
    println!("{} bytes a module of 10 IPv4 nodes", taken / u64::from(modules));
    assert!(
        taken / u64::from(modules) < 320,
        "{taken} bytes for {modules} modules"
    );
    let mut reader = board.reader(1);
    for cmdid in 0..modules {
        assert!(
            matches!(reader.pick(ModuleId::new(1, cmdid), &[]), Picked::Node(_)),
            "{cmdid}"
        );
    }
}

#[test]
fn impossible_sizes_are_refused() {
    for (modules_max, shards) in [(0, 1), (BOARD_MODULES_MAX + 1, 1), (1, 0), (1, 1_025)] {
        let refused = Board::create(BoardConfig { modules_max, shards });
        assert!(
            matches!(refused, Err(BoardError::Size { .. })),
            "{modules_max} {shards}"
        );
    }
}

#[test]
fn beat_is_a_time_of_the_hosts_monotonic_clock() {
    let (board, mut writers) = create(16, 2);
    let reader = board.reader(1);
    assert_eq!((reader.beat_ns(1), reader.beat_ns(2)), (Some(0), None));
    let now = Instant::now();
    writers[1].beat(now);
    let first = reader.beat_ns(1).expect("a shard");
    assert!(first > 0);
    writers[1].beat(now + std::time::Duration::from_millis(5));
    assert_eq!(reader.beat_ns(1), Some(first + 5_000_000));
    assert_eq!(reader.beat_ns(0), Some(0), "each shard has its own");
    let up_time = std::fs::read_to_string("/proc/uptime").expect("Linux");
    let up_ms: f64 = up_time
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a number");
    // The up time counts what the machine slept, the monotonic clock does not.
    assert!(first as f64 / 1e9 <= up_ms + 1.0, "{first} against {up_ms}");
}

#[test]
fn calls_in_flight_in_another_process_are_not_the_agent_s_and_end_with_it() {
    let (board, mut writers) = create(16, 1);
    let slot = NodeSlot::new(3);
    let node = EntryNode {
        slot,
        ..EntryNode::new(NodeAddr::from_ipv4_number(0x0a00_0001, 80), 100, NodeView::Idle)
    };
    let retries = Retries {
        percent: 20,
        floor: 3,
    };
    let module = ModuleId::new(1, 1);
    let entry = Entry {
        module,
        version: 1,
        rule: Rule::Adaptive(retries),
        nodes: &[node],
    };
    writers[0].publish(Instant::now(), &entry).expect("room");
    let passed = board.file().try_clone_to_owned().expect("another descriptor");
    let theirs = Board::open(passed).expect("the board");
    let (mut reader, mut other) = (theirs.reader(1), theirs.reader(2));
    for _ in 0..100 {
        assert!(matches!(reader.pick(module, &[]), Picked::Node(_)));
        assert!(matches!(other.pick(module, &[]), Picked::Node(_)));
    }
    assert_eq!(writers[0].in_flight(slot), 0);
    assert!(matches!(board.reader(3).pick(module, &[]), Picked::Node(_)));
    assert_eq!(writers[0].in_flight(slot), 1);
    drop((reader, other, theirs));
    assert_eq!(writers[0].in_flight(slot), 1);
}
