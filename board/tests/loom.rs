//! One writer and one reader in every interleaving of up to two or three forced switches, on a board as small as it can
//! be (two blocks of space, an index of two buckets, all on the heap). A sweep of an index that small is one step; that
//! changes during a longer one are not lost is for `growth.rs` and `race.rs`. This file is empty without the model
//! checker; to run it (a minute or a few, and the build):
//!
//! ```text
//! CARGO_TARGET_DIR=target/loom RUSTFLAGS="--cfg loom" cargo test -p lars-board --test loom --release
//! ```
#![cfg(loom)]

use lars_board::{Board, BoardConfig, BoardReader, BoardWriter, Entry, EntryNode, Picked, Rule};
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use std::time::{Duration, Instant};

const ONE: ModuleId = ModuleId::new(0, 1);
const TWO: ModuleId = ModuleId::new(0, 2);
const THREE: ModuleId = ModuleId::new(0, 3);
/// Longer than a block rests: the next change may use it again.
const REST: Duration = Duration::from_secs(2);

/// Runs `write` beside `read`, in every order in which their memory accesses can fall, with at most this many
/// switches away from a thread that could go on (most bugs of this kind need two).
fn check(
    switches_max: usize,
    modules_max: u32,
    write: fn(&mut BoardWriter, Instant),
    read: fn(&mut BoardReader),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(switches_max);
    model.check(move || {
        let config = BoardConfig {
            modules_max,
            shards: 1,
        };
        let (board, mut writers) = Board::create(config).expect("a small board");
        let mut writer = writers.remove(0);
        let start = Instant::now();
        publish(&mut writer, start, ONE, 1);
        let mut reader = board.reader(1);
        let writing = loom::thread::spawn(move || write(&mut writer, start));
        read(&mut reader);
        writing.join().expect("the writer does not panic");
    });
}

/// An edition whose version, port and weight all say which one it is, and its address whose.
fn publish(writer: &mut BoardWriter, now: Instant, module: ModuleId, edition: u16) {
    let node = |number: u32| {
        EntryNode::new(
            NodeAddr::from_ipv4_number(module.cmdid << 8 | number, edition),
            edition,
            NodeView::Idle,
        )
    };
    let nodes = [node(1), node(2)];
    let rule = Rule::Classic {
        probe_num: 10,
        forget_probe_count: false,
    };
    // Odd editions have one node, even ones two: so a mixture of two shapes would show as well.
    let nodes = &nodes[..2 - usize::from(edition % 2)];
    let entry = Entry {
        module,
        version: u64::from(edition),
        rule,
        nodes,
    };
    writer.publish(now, &entry).expect("room");
}

/// Reads the module; what is there must be one edition, whole.
fn edition(reader: &mut BoardReader, module: ModuleId) -> Option<u64> {
    let mut nodes = Vec::new();
    let version = reader.entry(module, &mut nodes);
    if let Some(version) = version {
        assert_eq!(nodes.len() as u64, 2 - version % 2);
        for (number, node) in (1..).zip(&nodes) {
            assert_eq!(node.addr.ipv4_number(), Some(module.cmdid << 8 | number));
            assert_eq!(
                (u64::from(node.addr.port()), u64::from(node.weight)),
                (version, version)
            );
        }
    }
    version
}

/// Picks from the module; the node must be of the edition that the pick names.
fn pick(reader: &mut BoardReader, module: ModuleId) -> Option<u64> {
    match reader.pick(module, &[]) {
        Picked::Node(choice) => {
            assert_eq!(
                choice.addr.ipv4_number().map(|number| number >> 8),
                Some(module.cmdid)
            );
            assert_eq!(u64::from(choice.addr.port()), choice.version);
            Some(choice.version)
        }
        Picked::Absent => None,
        Picked::Overloaded { .. } => panic!("no node was ever overloaded"),
    }
}

/// Two changes, the second of them into the block that the first edition was read from.
fn replace_twice(writer: &mut BoardWriter, start: Instant) {
    publish(writer, start, ONE, 2);
    publish(writer, start + REST, ONE, 3);
}

#[test]
fn entry_is_never_torn_while_its_block_is_reused() {
    check(3, 1, replace_twice, |reader| {
        let read = edition(reader, ONE);
        assert!(read.is_some() || reader.gave_up() == 1);
    });
}

#[test]
fn pick_is_never_torn_and_never_goes_back() {
    check(2, 1, replace_twice, |reader| {
        let first = pick(reader, ONE);
        let second = pick(reader, ONE);
        assert!(
            first <= second || reader.gave_up() > 0,
            "{first:?} then {second:?}"
        );
    });
}

/// The only slot and, after the rest, the first block go to another module.
fn hand_over(writer: &mut BoardWriter, start: Instant) {
    writer.withdraw(start, ONE);
    publish(writer, start + REST, TWO, 4);
}

#[test]
fn module_that_is_withdrawn_never_shows_the_nodes_of_its_successor() {
    check(3, 1, hand_over, |reader| {
        assert!(matches!(pick(reader, ONE), None | Some(1)));
        assert!(matches!(edition(reader, TWO), None | Some(4)));
    });
}

/// Two buckets fill twice, so that the index is swept into its other half and back into the wiped first one.
fn sweep_there_and_back(writer: &mut BoardWriter, start: Instant) {
    writer.withdraw(start, ONE);
    publish(writer, start + REST, TWO, 2);
    writer.withdraw(start + REST, TWO);
    publish(writer, start + REST * 2, THREE, 3);
}

#[test]
fn sweep_brings_no_module_back_and_shows_no_others_nodes() {
    check(2, 1, sweep_there_and_back, |reader| {
        let second = edition(reader, TWO);
        assert!(matches!(second, None | Some(2)));
        let third = pick(reader, THREE);
        assert!(matches!(third, None | Some(3)));
        let second = pick(reader, TWO);
        assert!(matches!(second, None | Some(2)));
        assert!(
            third.is_none() || second.is_none(),
            "the third came after the second was withdrawn"
        );
    });
}

/// On a board for two: the first stays, others fill the index of two buckets, then that of four, then go back.
fn sweep_around_one_that_stays(writer: &mut BoardWriter, start: Instant) {
    for cmdid in 2..5 {
        let module = ModuleId::new(0, cmdid);
        let now = start + REST * cmdid;
        publish(writer, now, module, 2);
        writer.withdraw(now, module);
    }
}

#[test]
fn sweep_hides_no_module() {
    check(3, 2, sweep_around_one_that_stays, |reader| {
        assert!(pick(reader, ONE) == Some(1) || reader.gave_up() > 0);
    });
}
