//! A report that is a sum in memory: it stores each batch once, checks that a batch never changes, and can be made
//! to lose connections at the worst moments.

use crate::caller::PATIENCE;
use lars_wire::admin::{Reason, Refusal};
use lars_wire::caller::Welcome;
use lars_wire::event::{ChangeAck, ChangeBatch, StateChange};
use lars_wire::record::{Tally, TallyAck, TallyBatch};
use lars_wire::{Kind, Message, ModuleId, NodeAddr, PREFACE, codec, frame};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Calls by outcome: succeeded, failed, timed out, cancelled.
pub(crate) type Sum = [u64; 4];

#[derive(Default)]
struct State {
    sums: BTreeMap<(ModuleId, NodeAddr), Sum>,
    callers: Vec<u32>,
    stored: BTreeMap<[u8; 16], u64>,
    seen: BTreeMap<([u8; 16], u64), Vec<Tally>>,
    resent: u64,
    /// Batches that are read and forgotten, with the connection.
    lose: u32,
    /// Batches that are stored, but whose acknowledgement is lost with the connection.
    lose_acks: u32,
    /// Batches with counts of this node are neither stored nor answered.
    ignored: Option<NodeAddr>,
    closed: bool,
    /// Batches of changes that are forgotten with the connection.
    lose_changes: u32,
    /// Changes of nodes by identity and number.
    changes: BTreeMap<([u8; 16], u64), StateChange>,
}

/// A running report. Dropping it ends its port.
pub(crate) struct FakeReport {
    pub(crate) addr: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl FakeReport {
    pub(crate) fn start() -> Self {
        Self::start_losing(0, 0)
    }

    /// Loses the first `lose` batches, then the acknowledgements of the next `lose_acks`.
    pub(crate) fn start_losing(lose: u32, lose_acks: u32) -> Self {
        Self::start_at("127.0.0.1:0", lose, lose_acks)
    }

    pub(crate) fn start_at(addr: &str, lose: u32, lose_acks: u32) -> Self {
        let listener = TcpListener::bind(addr).expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        let state = State {
            lose,
            lose_acks,
            ..State::default()
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let report = Self {
            addr,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                if shared.0.lock().expect("no panic").closed {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        report
    }

    /// Batches with counts of this node are neither stored nor answered from now on.
    pub(crate) fn ignore(&self, node: NodeAddr) {
        self.shared.0.lock().expect("no panic").ignored = Some(node);
    }

    /// Nothing is lost or ignored any more.
    pub(crate) fn acknowledge(&self) {
        let mut state = self.shared.0.lock().expect("no panic");
        (state.lose, state.lose_acks, state.ignored) = (0, 0, None);
    }

    /// What is stored of one node.
    pub(crate) fn sum(&self, module: ModuleId, node: NodeAddr) -> Sum {
        let state = self.shared.0.lock().expect("no panic");
        state.sums.get(&(module, node)).copied().unwrap_or_default()
    }

    /// Waits until exactly this is stored of one node.
    pub(crate) fn wait_sum(&self, module: ModuleId, node: NodeAddr, wanted: Sum) {
        self.wait(&format!("{wanted:?} of {module} {node}"), |state| {
            state.sums.get(&(module, node)) == Some(&wanted)
        });
    }

    /// Waits until so many calls are stored of all nodes together; never more.
    pub(crate) fn wait_total(&self, wanted: u64) {
        self.wait(&format!("{wanted} calls"), |state| {
            let total: u64 = state.sums.values().flatten().sum();
            assert!(
                total <= wanted,
                "{total} calls are stored, {wanted} were reported"
            );
            total == wanted
        });
    }

    /// Waits until so many batches were sent more than once.
    pub(crate) fn wait_resent(&self, wanted: u64) {
        self.wait(&format!("{wanted} batches sent again"), |state| {
            state.resent >= wanted
        });
    }

    /// All that is known of agents is lost, as with a new database; what was summed up is kept for the test.
    pub(crate) fn forget_agents(&self) {
        self.shared.0.lock().expect("no panic").stored.clear();
    }

    /// The next batches of changes of nodes are forgotten, with their connections.
    pub(crate) fn lose_changes(&self, batches: u32) {
        self.shared.0.lock().expect("no panic").lose_changes = batches;
    }

    /// Waits until so many changes of nodes are stored; never more. In order of their numbers.
    pub(crate) fn wait_changes(&self, wanted: usize) -> Vec<StateChange> {
        self.wait(&format!("{wanted} changes"), |state| {
            assert!(state.changes.len() <= wanted, "{:?}", state.changes);
            state.changes.len() == wanted
        });
        let state = self.shared.0.lock().expect("no panic");
        state.changes.values().cloned().collect()
    }

    /// What agents named themselves.
    pub(crate) fn callers(&self) -> Vec<u32> {
        self.shared.0.lock().expect("no panic").callers.clone()
    }

    fn wait(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.0.lock().expect("no panic");
        while !wanted(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "in vain waited for: {what}; there is {:?}",
                state.sums
            );
            state = self.shared.1.wait_timeout(state, left).expect("no panic").0;
        }
    }
}

impl Drop for FakeReport {
    fn drop(&mut self) {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        let _ = TcpStream::connect(&self.addr);
    }
}

fn serve(mut stream: TcpStream, shared: &(Mutex<State>, Condvar)) {
    let mut preface = [0; PREFACE.len()];
    if stream.read_exact(&mut preface).is_err() {
        return;
    }
    let (mut buffer, mut chunk) = (Vec::new(), [0; 16_384]);
    while let Ok(bytes) = stream.read(&mut chunk) {
        if bytes == 0 {
            return;
        }
        buffer.extend_from_slice(&chunk[..bytes]);
        while let Some(whole) = frame::split(&buffer).expect("the agent sends good frames") {
            let mut over = false;
            let answer = match whole.header.kind {
                Kind::Hello => Some(encoded(
                    0,
                    &Welcome {
                        version: 1,
                        incarnation: [9; 16],
                        sockets: 0,
                        board: false,
                    },
                )),
                Kind::TallyBatch => {
                    let batch = codec::decode(whole.body).expect("a batch");
                    let mut state = shared.0.lock().expect("no panic");
                    match store(&mut state, &batch) {
                        Stored::Acknowledged(ack) => Some(encoded(whole.header.sequence, &ack)),
                        Stored::Lost => None,
                        Stored::Ignored => Some(Vec::new()),
                        Stored::Gap => {
                            over = true;
                            Some(encoded(
                                whole.header.sequence,
                                &Refusal {
                                    reason: Reason::Unexpected,
                                    text: "a batch before it is missing".to_owned(),
                                },
                            ))
                        }
                    }
                }
                Kind::ChangeBatch => {
                    let batch: ChangeBatch = codec::decode(whole.body).expect("a batch");
                    let mut state = shared.0.lock().expect("no panic");
                    let number = batch.changes.last().expect("never an empty one").number;
                    let incarnation = batch.incarnation;
                    if state.lose_changes > 0 {
                        state.lose_changes -= 1;
                        None
                    } else {
                        for change in batch.changes {
                            state.changes.insert((incarnation, change.number), change);
                        }
                        Some(encoded(0, &ChangeAck { incarnation, number }))
                    }
                }
                other => panic!("an agent does not send {other:?}"),
            };
            shared.1.notify_all();
            // Without an answer the connection is lost.
            let Some(answer) = answer else { return };
            if stream.write_all(&answer).is_err() || over {
                return;
            }
            let used = whole.bytes();
            buffer.drain(..used);
        }
    }
}

fn encoded<M: Message>(sequence: u32, message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, sequence, &mut bytes).expect("it fits");
    bytes
}

/// What became of a batch.
enum Stored {
    Acknowledged(TallyAck),
    /// The connection breaks before anything is answered.
    Lost,
    /// The one before it is not known.
    Gap,
    /// Nothing is answered.
    Ignored,
}

/// Stores a batch once, as the real one does in a transaction.
fn store(state: &mut State, batch: &TallyBatch) -> Stored {
    let (incarnation, sequence) = (batch.incarnation, batch.sequence);
    if let Some(before) = state.seen.insert((incarnation, sequence), batch.tallies.clone()) {
        assert_eq!(before, batch.tallies, "a batch that was sent is never changed");
        state.resent += 1;
    }
    if state.lose > 0 {
        state.lose -= 1;
        return Stored::Lost;
    }
    if batch
        .tallies
        .iter()
        .any(|tally| Some(tally.node) == state.ignored)
    {
        return Stored::Ignored;
    }
    let stored = state.stored.entry(incarnation).or_default();
    if sequence == *stored + 1 {
        *stored = sequence;
        for tally in &batch.tallies {
            let sum = state.sums.entry((tally.module, tally.node)).or_default();
            for (sum, count) in sum
                .iter_mut()
                .zip([tally.ok, tally.failed, tally.timed_out, tally.cancelled])
            {
                *sum += u64::from(count);
            }
        }
        state.callers.push(batch.caller);
    } else if sequence > *stored {
        return Stored::Gap;
    }
    let sequence = *stored;
    if state.lose_acks > 0 {
        state.lose_acks -= 1;
        return Stored::Lost;
    }
    Stored::Acknowledged(TallyAck {
        incarnation,
        sequence,
    })
}
