//! Real threads: writers that publish as fast as they can into memory that they reuse at once (their clock runs
//! ahead), readers that check that whatever they see was published whole.
#![cfg(not(loom))]

use lars_board::{
    Board, BoardConfig, BoardReader, BoardWriter, Entry, EntryNode, NodeSlot, Picked, Rule, Token,
};
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SHARDS: u16 = 2;
const EDITIONS: u64 = if cfg!(debug_assertions) { 30_000 } else { 300_000 };
/// Picks and entries that every reader makes at least, so that a slow start of its thread proves nothing less.
const READS_MIN: u64 = 20_000;

/// How many nodes an edition has: so that blocks of several classes change hands.
fn count(edition: u64) -> usize {
    1 + (edition * 7 % 23) as usize
}

/// A node that says whose it is, of which edition, and where it stands; odd editions are IPv6.
fn node(module: ModuleId, edition: u64, place: usize) -> EntryNode {
    let bits = u128::from(edition) << 40 | u128::from(module.cmdid) << 16 | place as u128;
    let ip = if edition % 2 == 1 {
        IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | bits))
    } else {
        IpAddr::V4((module.cmdid << 8 | place as u32).into())
    };
    let view = if place == 0 {
        NodeView::Idle
    } else {
        NodeView::Overloaded
    };
    let addr = NodeAddr::new(ip, (edition % 60_000) as u16 + 1);
    EntryNode {
        slot: NodeSlot::new(place as u32),
        ..EntryNode::new(addr, (edition % 10_000) as u16, view)
    }
}

fn modules(shard: u16) -> Vec<ModuleId> {
    let all = (1..).map(|cmdid| ModuleId::new(9, cmdid));
    all.filter(|module| module.shard(SHARDS) == shard)
        .take(4)
        .collect()
}

/// Publishes and withdraws its modules in turn; modules that come and go drive the index through sweeps.
fn write(mut writer: BoardWriter, shard: u16) {
    let start = Instant::now();
    let modules = modules(shard);
    let mut nodes = Vec::new();
    for edition in 1..=EDITIONS {
        // A step of the clock that lets every block rest enough.
        let now = start + Duration::from_secs(edition);
        let module = modules[(edition % 4) as usize];
        if edition % 37 == 0 {
            writer.withdraw(now, module);
        }
        nodes.clear();
        nodes.extend((0..count(edition)).map(|place| node(module, edition, place)));
        let rule = Rule::Classic {
            probe_num: 3,
            forget_probe_count: false,
        };
        writer
            .publish(
                now,
                &Entry {
                    module,
                    version: edition,
                    rule,
                    nodes: &nodes,
                },
            )
            .expect("room");
        let passing = ModuleId::new(10, edition as u32);
        if passing.shard(SHARDS) == shard {
            let entry = Entry {
                module: passing,
                version: edition,
                rule,
                nodes: &nodes[..1],
            };
            writer.publish(now, &entry).expect("room");
            writer.withdraw(now, passing);
        }
    }
}

/// Reads until the writers are done; returns how often the module was there, and how often not.
fn read(mut reader: BoardReader, done: &AtomicBool) -> (u64, u64) {
    let modules: Vec<ModuleId> = (0..SHARDS).flat_map(modules).collect();
    let mut nodes = Vec::new();
    let mut newest = vec![0; modules.len()];
    let (mut seen, mut absent, mut round) = (0, 0, 0);
    while !done.load(Ordering::Relaxed) || round < READS_MIN {
        let number = round as usize % modules.len();
        let module = modules[number];
        round += 1;
        let version = match reader.pick(module, &[]) {
            Picked::Node(choice) => {
                let place = Token(choice.token).slot().number().expect("a slot") as usize;
                assert_eq!(choice.addr, node(module, choice.version, place).addr);
                choice.version
            }
            Picked::Overloaded { .. } => panic!("one node is idle in every edition"),
            Picked::Absent => {
                absent += 1;
                continue;
            }
        };
        assert!(
            version >= newest[number],
            "{module} went back from {} to {version}",
            newest[number]
        );
        newest[number] = version;
        if let Some(version) = reader.entry(module, &mut nodes) {
            assert!(version >= newest[number]);
            newest[number] = version;
            let whole: Vec<EntryNode> = (0..count(version))
                .map(|place| node(module, version, place))
                .collect();
            assert_eq!(nodes, whole, "{module} in edition {version}");
        }
        seen += 1;
    }
    println!(
        "{seen} times there, {absent} not there, {} given up",
        reader.gave_up()
    );
    (seen, reader.gave_up())
}

#[test]
fn whatever_is_read_was_published_whole_and_never_goes_back() {
    let config = BoardConfig {
        modules_max: 64,
        shards: SHARDS,
    };
    let (board, writers) = Board::create(config).expect("a board");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|seed| {
                let (reader, done) = (board.reader(seed), &done);
                scope.spawn(move || read(reader, done))
            })
            .collect();
        let writing: Vec<_> = (0..)
            .zip(writers)
            .map(|(shard, writer)| scope.spawn(move || write(writer, shard)))
            .collect();
        let written: Vec<_> = writing
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Relaxed);
        for reading in readers {
            let (seen, gave_up) = reading.join().expect("a reader saw nothing torn");
            assert!(seen > READS_MIN / 2, "{seen} reads");
            assert!(gave_up * 100 <= seen, "{gave_up} of {seen} reads were given up");
        }
        assert!(written.iter().all(Result::is_ok), "a writer ended early");
    });
}
