//! The half of an agent that lends its board and drains rings, as tests need it: it keeps what it drained, and can be
//! told to hang, to drain nothing, or to take no rings.

use crate::fake_agent::PATIENCE;
use lars_board::{
    Board, BoardConfig, BoardWriter, CallRecord, Entry, EntryNode, PacketListener, Packets, RingDrain, Rule,
    wait,
};
use lars_client::{ModuleId, NodeAddr};
use lars_wire::caller::{NodeView, Ping, Pong, Welcome};
use lars_wire::ring::{RingOffer, RingTaken};
use lars_wire::{Kind, Message, VERSION, codec, frame};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the tests tell it, and what it tells them.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) hangs: AtomicBool,
    pub(crate) drains_nothing: AtomicBool,
    pub(crate) takes_no_rings: AtomicBool,
    stopping: AtomicBool,
    offers: AtomicUsize,
    half_full: AtomicUsize,
    records: Mutex<Vec<CallRecord>>,
}

pub(crate) struct FakeBoard {
    pub(crate) wishes: Arc<Wishes>,
    writer: Arc<Mutex<BoardWriter>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl FakeBoard {
    /// Lends a board beside the agent's socket.
    pub(crate) fn start(socket: &Path) -> Self {
        Self::start_with(socket, Wishes::default())
    }

    /// The same, but hangs from the beginning.
    pub(crate) fn hanging(socket: &Path) -> Self {
        let hangs = AtomicBool::new(true);
        Self::start_with(
            socket,
            Wishes {
                hangs,
                ..Wishes::default()
            },
        )
    }

    fn start_with(socket: &Path, wishes: Wishes) -> Self {
        let path = PathBuf::from(format!("{}.board", socket.display()));
        let listener = PacketListener::bind(&path).expect("the socket is free");
        let (modules_max, shards) = (64, 1);
        let (board, mut writers) = Board::create(BoardConfig { modules_max, shards }).expect("memory");
        let writer = Arc::new(Mutex::new(writers.remove(0)));
        let wishes = Arc::new(wishes);
        let thread = std::thread::spawn({
            let (writer, wishes) = (Arc::clone(&writer), Arc::clone(&wishes));
            move || serve(&listener, &board, &writer, &wishes)
        });
        Self {
            wishes,
            writer,
            thread: Some(thread),
            path,
        }
    }

    /// Publishes the module with these nodes, all of them as `view` says.
    pub(crate) fn put(&self, module: ModuleId, nodes: &[NodeAddr], view: NodeView) {
        let rule = Rule::Classic {
            probe_num: 10,
            forget_probe_count: false,
        };
        self.put_by(rule, module, nodes, view);
    }

    /// The same under another rule.
    pub(crate) fn put_by(&self, rule: Rule, module: ModuleId, nodes: &[NodeAddr], view: NodeView) {
        let nodes: Vec<EntryNode> = nodes
            .iter()
            .map(|&addr| EntryNode::new(addr, 100, view))
            .collect();
        let entry = Entry {
            module,
            version: 5,
            rule,
            nodes: &nodes,
        };
        let mut writer = self.writer.lock().expect("no panic");
        writer.publish(Instant::now(), &entry).expect("room");
    }

    /// What was drained so far.
    pub(crate) fn records(&self) -> Vec<CallRecord> {
        self.wishes.records.lock().expect("no panic").clone()
    }

    /// Rings offered so far.
    pub(crate) fn offers(&self) -> usize {
        self.wishes.offers.load(Ordering::SeqCst)
    }

    /// How often a ring was said to be half full.
    pub(crate) fn half_full(&self) -> usize {
        self.wishes.half_full.load(Ordering::SeqCst)
    }

    /// Calls that the drained records stand for.
    pub(crate) fn calls(&self) -> u64 {
        self.records().iter().map(|record| u64::from(record.calls)).sum()
    }

    /// Returns when so many calls were drained.
    pub(crate) fn wait_for(&self, calls: u64) {
        eventually(&format!("{calls} calls are drained"), || self.calls() >= calls);
        assert_eq!(self.calls(), calls);
    }
}

impl Drop for FakeBoard {
    fn drop(&mut self) {
        self.wishes.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks until it is as wanted, or fails the test.
pub(crate) fn eventually(what: &str, mut wanted: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn serve(listener: &PacketListener, board: &Board, writer: &Mutex<BoardWriter>, wishes: &Wishes) {
    let mut lines: Vec<(Packets, Vec<RingDrain>)> = Vec::new();
    writer.lock().expect("no panic").beat(Instant::now());
    while !wishes.stopping.load(Ordering::SeqCst) {
        if wishes.hangs.load(Ordering::SeqCst) {
            std::thread::yield_now();
            continue;
        }
        writer.lock().expect("no panic").beat(Instant::now());
        while let Some(packets) = listener.accept().expect("it listens") {
            lines.push((packets, Vec::new()));
        }
        lines.retain_mut(|(packets, rings)| hear(packets, rings, board, wishes));
        if !wishes.drains_nothing.load(Ordering::SeqCst) {
            for (_, rings) in &mut lines {
                drain(rings, wishes);
            }
        }
        wait(&[listener.as_fd()], Some(Duration::from_millis(1))).expect("it can be waited for");
    }
}

fn drain(rings: &mut [RingDrain], wishes: &Wishes) {
    let mut records = wishes.records.lock().expect("no panic");
    for ring in rings {
        ring.drain(|record| records.push(record)).expect("a good ring");
    }
}

/// Answers what came; whether the caller is still there.
fn hear(packets: &Packets, rings: &mut Vec<RingDrain>, board: &Board, wishes: &Wishes) -> bool {
    let mut bytes = [0; 256];
    while let Ok(received) = packets.receive(&mut bytes) {
        let Some(packet) = received else { return true };
        if packet.bytes == 0 {
            break;
        }
        let frame = frame::split(&bytes[..packet.bytes])
            .expect("good")
            .expect("whole");
        match frame.header.kind {
            Kind::Hello => {
                let welcome = Welcome {
                    version: u16::from(VERSION),
                    incarnation: [7; 16],
                    sockets: 0,
                    board: true,
                };
                answer(packets, &welcome, Some(board));
            }
            Kind::RingOffer => {
                let RingOffer { ring } = codec::decode(frame.body).expect("good");
                wishes.offers.fetch_add(1, Ordering::SeqCst);
                let taken = !wishes.takes_no_rings.load(Ordering::SeqCst);
                if taken {
                    rings.push(RingDrain::adopt(packet.file.expect("a ring")).expect("a ring"));
                }
                answer(packets, &RingTaken { ring, taken }, None);
            }
            Kind::Ping => {
                let Ping { echo } = codec::decode(frame.body).expect("good");
                if !wishes.drains_nothing.load(Ordering::SeqCst) {
                    drain(rings, wishes);
                }
                answer(packets, &Pong { echo }, None);
            }
            Kind::RingHalfFull => {
                wishes.half_full.fetch_add(1, Ordering::SeqCst);
            }
            other => panic!("{other:?}"),
        }
    }
    drain(rings, wishes);
    false
}

fn answer<M: Message>(packets: &Packets, message: &M, board: Option<&Board>) {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).expect("it fits");
    // A client that is gone is no failure.
    let _ = packets.send(&bytes, board.map(Board::file));
}
