//! What happens when the board grows, churns, is full, and reuses its memory.
#![cfg(not(loom))]

use lars_board::{Board, BoardConfig, BoardError, BoardReader, BoardWriter, Entry, EntryNode, Picked, Rule};
use lars_wire::bounds::NODES_MAX;
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

const RULE: Rule = Rule::Classic {
    probe_num: 10,
    forget_probe_count: false,
};
const SECOND: Duration = Duration::from_secs(1);

fn create(modules_max: u32) -> (BoardWriter, BoardReader) {
    let (board, mut writers) = Board::create(BoardConfig {
        modules_max,
        shards: 1,
    })
    .expect("a board");
    (writers.remove(0), board.reader(1))
}

fn module(number: u32) -> ModuleId {
    ModuleId::new(3, number)
}

/// One node whose address is the module's number.
fn publish(writer: &mut BoardWriter, now: Instant, number: u32) -> Result<u32, BoardError> {
    let addr = NodeAddr::from_ipv4_number(number + 1, 80);
    let nodes = [EntryNode::new(addr, 100, NodeView::Idle)];
    writer.publish(
        now,
        &Entry {
            module: module(number),
            version: 1,
            rule: RULE,
            nodes: &nodes,
        },
    )
}

/// As large as the board takes them.
fn publish_wide(
    writer: &mut BoardWriter,
    now: Instant,
    number: u32,
    count: usize,
) -> Result<u32, BoardError> {
    let node = |place| {
        EntryNode::new(
            NodeAddr::new(IpAddr::V6(Ipv6Addr::from_bits(1 << 100 | place as u128)), 80),
            10_000,
            NodeView::Draining,
        )
    };
    let nodes: Vec<EntryNode> = (0..count).map(node).collect();
    writer.publish(
        now,
        &Entry {
            module: module(number),
            version: 1,
            rule: RULE,
            nodes: &nodes,
        },
    )
}

fn picked(reader: &mut BoardReader, number: u32) -> Option<u32> {
    match reader.pick(module(number), &[]) {
        Picked::Node(choice) => choice.addr.ipv4_number().map(|ip| ip - 1),
        Picked::Absent => None,
        other @ Picked::Overloaded { .. } => panic!("{other:?}"),
    }
}

#[test]
fn index_grows_while_every_module_stays_in_reach() {
    let (mut writer, mut reader) = create(20_000);
    let now = Instant::now();
    for number in 0..20_000 {
        publish(&mut writer, now, number).expect("room");
        // All of them again after each doubling, and some that were there long before.
        if number.is_power_of_two() {
            assert!(
                (0..=number).all(|number| picked(&mut reader, number) == Some(number)),
                "at {number}"
            );
        }
        for back in [0, 1, 100, number / 2] {
            let there = number - back.min(number);
            assert_eq!(picked(&mut reader, there), Some(there), "at {number}");
        }
        assert_eq!(picked(&mut reader, number + 1), None);
    }
    assert_eq!(writer.modules(), 20_000);
}

#[test]
fn churn_of_many_modules_is_swept_and_the_ones_that_stay_keep_their_turn() {
    let (mut writer, mut reader) = create(64);
    let start = Instant::now();
    for number in 0..32 {
        publish(&mut writer, start, number).expect("room");
    }
    for number in 32..20_000u32 {
        // Enough time that the space of 64 small lists never runs out, whatever comes and goes.
        let now = start + Duration::from_millis(u64::from(number));
        publish(&mut writer, now, number).expect("room");
        assert_eq!(picked(&mut reader, number), Some(number));
        let gone = number - 16;
        if gone >= 32 {
            writer.withdraw(now, module(gone));
            assert_eq!(picked(&mut reader, gone), None);
        }
        let stays = number % 32;
        assert_eq!(picked(&mut reader, stays), Some(stays), "at {number}");
    }
    assert_eq!(writer.modules(), 32 + 16);
    // About 3,000 blocks of 64 bytes are in use or rest at any moment, not 20,000.
    assert!(writer.list_bytes() < 200_000, "{} bytes", writer.list_bytes());
}

#[test]
fn withdrawn_module_may_come_back_and_a_stranger_may_be_withdrawn() {
    let (mut writer, mut reader) = create(4);
    let now = Instant::now();
    writer.withdraw(now, module(1));
    let first = publish(&mut writer, now, 1).expect("room");
    writer.withdraw(now, module(1));
    writer.withdraw(now, module(1));
    assert_eq!((picked(&mut reader, 1), writer.modules()), (None, 0));
    let second = publish(&mut writer, now, 1).expect("room");
    assert!(second > first);
    assert_eq!((picked(&mut reader, 1), writer.modules()), (Some(1), 1));
    // The module that both numbers are zero of is a module as any other.
    let nodes = [EntryNode::new(
        NodeAddr::from_ipv4_number(1, 1),
        1,
        NodeView::Idle,
    )];
    assert_eq!(reader.pick(ModuleId::new(0, 0), &[]), Picked::Absent);
    let zero = Entry {
        module: ModuleId::new(0, 0),
        version: 1,
        rule: RULE,
        nodes: &nodes,
    };
    writer.publish(now, &zero).expect("room");
    assert!(matches!(reader.pick(ModuleId::new(0, 0), &[]), Picked::Node(_)));
}

#[test]
fn board_that_has_no_module_left_says_full_and_keeps_what_it_has() {
    let (mut writer, mut reader) = create(4);
    let now = Instant::now();
    for number in 0..4 {
        publish(&mut writer, now, number).expect("room");
    }
    assert!(matches!(publish(&mut writer, now, 4), Err(BoardError::Full)));
    assert_eq!(picked(&mut reader, 4), None);
    publish(&mut writer, now, 2).expect("what is on the board may change");
    assert!((0..4).all(|number| picked(&mut reader, number) == Some(number)));
    writer.withdraw(now, module(0));
    publish(&mut writer, now, 4).expect("there is room again");
    assert_eq!(picked(&mut reader, 4), Some(4));
}

#[test]
fn space_that_is_used_up_is_full_until_blocks_have_rested() {
    let (mut writer, mut reader) = create(4);
    let start = Instant::now();
    publish_wide(&mut writer, start, 1, 10).expect("room");
    let large = (0..1_000)
        .take_while(|_| publish_wide(&mut writer, start, 1, NODES_MAX).is_ok())
        .count();
    assert!((90..130).contains(&large), "{large} large lists fit");
    let mut nodes = Vec::new();
    assert_eq!(reader.entry(module(1), &mut nodes), Some(1));
    assert_eq!(nodes.len(), NODES_MAX, "the last that fitted still stands");
    let early = start + SECOND.mul_f32(0.9);
    assert!(matches!(
        publish_wide(&mut writer, early, 1, NODES_MAX),
        Err(BoardError::Full)
    ));
    let before = writer.list_bytes();
    let generation = publish_wide(&mut writer, start + SECOND, 1, NODES_MAX).expect("blocks have rested");
    assert_eq!(generation as usize, large + 2, "what failed took no generation");
    assert_eq!(writer.list_bytes(), before, "no new memory");
}

#[test]
fn memory_does_not_grow_with_the_number_of_changes() {
    let (mut writer, _reader) = create(4);
    let start = Instant::now();
    let mut generations = Vec::new();
    for change in 0..5_000 {
        let now = start + Duration::from_millis(100) * change;
        generations.push(publish(&mut writer, now, 1).expect("room"));
    }
    assert!(generations.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(
        writer.list_bytes() <= 12 * 64,
        "{} bytes for one small list",
        writer.list_bytes()
    );
}

#[test]
fn list_of_the_largest_size_reads_back_and_a_larger_one_is_refused() {
    let (mut writer, mut reader) = create(1);
    let now = Instant::now();
    publish_wide(&mut writer, now, 1, NODES_MAX).expect("room");
    let mut nodes = Vec::new();
    assert_eq!(reader.entry(module(1), &mut nodes), Some(1));
    assert_eq!((nodes.len(), nodes[NODES_MAX - 1].weight), (NODES_MAX, 10_000));
    let refused = publish_wide(&mut writer, now, 1, NODES_MAX + 1);
    assert!(matches!(refused, Err(BoardError::Nodes(count)) if count == NODES_MAX + 1));
}
