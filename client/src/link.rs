//! What the pickers of one client share of the board: which one is in force, the rings, and whether the agent lives. A
//! thread of the client's (`keeper.rs`) keeps it; pickers read one word to learn that something changed.

use crate::doubt::Doubts;
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::outlet::Outlet;
use lars_board::{Board, ForkWord, Packets, RingWriter, Stopwatch};
use lars_wire::caller::{Outcome, Ping};
use lars_wire::ring::{RingHalfFull, RingOffer};
use lars_wire::{Message, ModuleId, NodeAddr, codec};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How soon a flush asks again that could not be asked.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// How a client's picks are made at the moment. Of a single pick [`Call::is_stale`](crate::Call::is_stale) tells more: where the
/// agent was started anew and does not know a module yet, that one is picked from the board of the agent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// From the board, in this process.
    Board,
    /// From the board as a dead or hung agent left it: states of nodes are not refreshed, and reports wait for the next
    /// agent.
    StaleBoard,
    /// By asking the agent: there is no board, or the client was told to do without. In a child process, where every pick
    /// is refused, it is this as well.
    Socket,
}

/// The board's side of a client.
pub(crate) struct Link {
    /// The agent's socket, for errors.
    pub(crate) socket: PathBuf,
    /// The socket for boards and rings.
    pub(crate) path: PathBuf,
    /// Who we say we are.
    pub(crate) name: String,
    /// Records of each ring.
    pub(crate) ring_records: u32,
    pub(crate) stopwatch: Stopwatch,
    /// Grows with each board, and when its agent goes or comes back; 0 in a child process.
    word: Arc<ForkWord>,
    is_stale: AtomicBool,
    /// Asked while the board is stale alone.
    doubts: Mutex<Doubts>,
    state: Mutex<State>,
    /// Told when the agent has answered a flush, or has come or gone.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// With the number of the attachment that it came with.
    board: Option<(u64, Board)>,
    attachments: u64,
    packets: Option<Arc<Packets>>,
    /// Every ring of the client, in the order of their numbers.
    outlets: Vec<Outlet>,
    /// Those that no picker uses.
    free: Vec<Outlet>,
    echo_asked: u64,
    echo_answered: u64,
}

impl Link {
    pub(crate) fn new(socket: PathBuf, name: String, ring_records: u32, word: Arc<ForkWord>) -> Self {
        let mut path = socket.clone().into_os_string();
        path.push(".board");
        Self {
            socket,
            path: path.into(),
            name,
            ring_records,
            stopwatch: Stopwatch::start(),
            word,
            is_stale: AtomicBool::new(false),
            doubts: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Another number for each board in force and each change of whether it is stale, 0 in a child process.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.word.get()
    }

    /// Whether this process is a child of the one that made the client.
    #[inline]
    pub(crate) fn is_child(&self) -> bool {
        self.word.get() == 0
    }

    pub(crate) fn forked(&self) -> ClientError {
        let endpoint = Endpoint::Unix(self.socket.clone());
        ClientError::Forked { endpoint }
    }

    pub(crate) fn transport(&self) -> Transport {
        // The lock may have been taken when the process was forked: nobody gives it back here.
        if self.is_child() {
            return Transport::Socket;
        }
        match (self.lock().board.is_some(), self.is_stale.load(Ordering::Relaxed)) {
            (false, _) => Transport::Socket,
            (true, false) => Transport::Board,
            (true, true) => Transport::StaleBoard,
        }
    }

    /// Whether picks are made from what a dead or hung agent left.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    /// Whether there is an agent, alive or hanging.
    pub(crate) fn is_attached(&self) -> bool {
        self.lock().packets.is_some()
    }

    /// Its agent goes, or comes back. For the thread that keeps the link.
    pub(crate) fn set_stale(&self, stale: bool) {
        if self.is_stale.swap(stale, Ordering::Relaxed) != stale {
            self.doubts().clear();
            self.word.set(self.word.get() + 1);
        }
    }

    /// The board in force, and a number of its own.
    pub(crate) fn board(&self) -> Option<(u64, Board)> {
        self.lock().board.clone()
    }

    /// While nobody else judges nodes: a call ended.
    pub(crate) fn doubt(&self, module: ModuleId, node: NodeAddr, outcome: Outcome) {
        self.doubts().record(Instant::now(), module, node, outcome);
    }

    /// Whether this client passes the node over by itself.
    pub(crate) fn is_doubted(&self, module: ModuleId, node: NodeAddr) -> bool {
        self.doubts().doubts(Instant::now(), module, node)
    }

    fn doubts(&self) -> MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent is there: its board is in force from here on, and it is offered every ring.
    pub(crate) fn attach(&self, board: Board, packets: Arc<Packets>) {
        let mut state = self.lock();
        state.attachments += 1;
        state.board = Some((state.attachments, board));
        for outlet in &state.outlets {
            offer(&packets, outlet);
        }
        state.packets = Some(packets);
        self.set_stale(false);
        self.word.set(self.word.get() + 1);
        drop(state);
        self.changed.notify_all();
    }

    /// The agent is gone. Its board stays.
    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        state.packets = None;
        self.set_stale(true);
        drop(state);
        self.changed.notify_all();
    }

    /// A ring for one more picker: one that is free, or a new one. None in a child process, which would offer its ring to the
    /// agent over the connection of its parent.
    pub(crate) fn check_out(self: &Arc<Self>) -> Option<Outlet> {
        if self.is_child() {
            return None;
        }
        let mut state = self.lock();
        if let Some(outlet) = state.free.pop() {
            return Some(outlet);
        }
        let ring = RingWriter::create(self.ring_records).ok()?;
        let number = state.outlets.len() as u32;
        let outlet = Outlet::new(number, ring, Arc::clone(self));
        if let Some(packets) = &state.packets {
            offer(packets, &outlet);
        }
        state.outlets.push(outlet.clone());
        Some(outlet)
    }

    /// The picker needs its ring no more; calls that are still under way may go on to report there.
    pub(crate) fn check_in(&self, outlet: Outlet) {
        self.lock().free.push(outlet);
    }

    /// Every ring.
    pub(crate) fn outlets(&self) -> Vec<Outlet> {
        self.lock().outlets.clone()
    }

    /// Those that hold calls outside of the ring. The others are left alone: whoever comes to a ring from another thread, be it
    /// for a handle, costs the thread that reports its favour.
    pub(crate) fn holding(&self) -> Vec<Outlet> {
        let state = self.lock();
        state
            .outlets
            .iter()
            .filter(|outlet| outlet.holds())
            .cloned()
            .collect()
    }

    /// The ring of that number.
    pub(crate) fn outlet(&self, number: u32) -> Option<Outlet> {
        self.lock().outlets.get(number as usize).cloned()
    }

    /// Calls for which there was no room anywhere, since the last question.
    pub(crate) fn take_lost(&self) -> u64 {
        self.outlets().iter().map(Outlet::take_lost).sum()
    }

    /// Forgets the rings: the client is gone. Those of calls still under way last as long as these.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.packets = None;
        let forgotten = (
            std::mem::take(&mut state.outlets),
            std::mem::take(&mut state.free),
        );
        drop(state);
        drop(forgotten);
    }

    /// Tells the agent that a ring is half full. Where it does not listen, its next pass finds out.
    #[cold]
    pub(crate) fn half_full(&self, ring: u32) {
        let packets = self.lock().packets.clone();
        if let Some(packets) = packets {
            let _ = send(&packets, &RingHalfFull { ring }, None);
        }
    }

    /// A flush was answered.
    pub(crate) fn answered(&self, echo: u64) {
        let mut state = self.lock();
        state.echo_answered = state.echo_answered.max(echo);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until an agent has taken everything that was reported, at most until `deadline`; whether it has.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let mut confirmed = false;
        loop {
            let outlets = self.outlets();
            // Every one is asked, so that all bring in what they hold outside of their rings.
            let left = outlets.iter().filter(|outlet| !outlet.unload()).count();
            if outlets.is_empty() || (left == 0 && confirmed) {
                return true;
            }
            match self.barrier(deadline) {
                Some(answered) => confirmed = answered,
                None => return false,
            }
        }
    }

    /// Asks the agent to drain and waits for its answer; false where it went away meanwhile, none at the deadline.
    fn barrier(&self, deadline: Instant) -> Option<bool> {
        let mut state = self.lock();
        state.echo_asked += 1;
        let (echo, packets) = (state.echo_asked, state.packets.clone());
        let asked = packets
            .as_ref()
            .is_some_and(|packets| send(packets, &Ping { echo }, None));
        while state.echo_answered < echo {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = if asked { left } else { left.min(ASK_AGAIN) };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let same = match (&state.packets, &packets) {
                (Some(now), Some(then)) => Arc::ptr_eq(now, then),
                _ => false,
            };
            if !asked || !same {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Each change of the state is one step, so a thread that panicked left it whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn offer(packets: &Packets, outlet: &Outlet) {
    // Where it cannot be offered the ring waits for the next agent, and holds as much as it can.
    if let Ok(file) = outlet.file() {
        let ring = outlet.number();
        send(packets, &RingOffer { ring }, Some(file.as_fd()));
    }
}

/// Sends one frame as a packet; whether it was taken.
pub(crate) fn send<M: Message>(packets: &Packets, message: &M, file: Option<BorrowedFd<'_>>) -> bool {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).is_ok() && packets.send(&bytes, file).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Places;
    use crate::seat::Seat;
    use lars_board::{BoardConfig, RING_RECORDS_DEFAULT};
    use std::sync::mpsc;

    /// A link to an agent, and the agent's end of it.
    fn attached() -> (Arc<Link>, Arc<ForkWord>, Packets) {
        let fork = Arc::new(ForkWord::new().expect("a page"));
        let (socket, name) = (PathBuf::from("/nowhere/agent.sock"), "test".to_owned());
        let link = Link::new(socket, name, RING_RECORDS_DEFAULT, Arc::clone(&fork));
        let config = BoardConfig {
            modules_max: 64,
            shards: 1,
        };
        let (board, _writers) = Board::create(config).expect("memory");
        let (agent, ours) = Packets::pair().expect("descriptors are left");
        link.attach(board, Arc::new(ours));
        (Arc::new(link), fork, agent)
    }

    fn packets_of(agent: &Packets) -> usize {
        let mut bytes = [0; 64];
        std::iter::from_fn(|| agent.receive(&mut bytes).expect("it is open")).count()
    }

    #[test]
    fn child_process_makes_no_ring_and_sends_nothing_over_its_parent_s_connection() {
        let (link, fork, agent) = attached();
        let places = Places::new(Arc::clone(&link));
        let seat = Seat::new(&link).expect("a ring");
        assert_eq!(packets_of(&agent), 1);
        // As a fork leaves it in the child.
        fork.set(0);
        assert!(link.check_out().is_none());
        assert!(Seat::new(&link).is_none());
        assert!(places.with(|_| ()).is_none());
        drop(seat);
        assert!(link.check_out().is_none());
        assert_eq!(packets_of(&agent), 0);
    }

    #[test]
    fn child_process_waits_for_no_lock_that_its_parent_held_at_the_fork() {
        let (link, fork, _agent) = attached();
        let mut seat = Seat::new(&link).expect("a ring");
        let (done, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let held = link.lock();
            fork.set(0);
            let link = &link;
            scope.spawn(move || {
                let transport = link.transport();
                let is_given = Seat::new(link).is_some();
                let followed = seat.follow();
                drop(seat);
                done.send((transport, is_given, followed))
                    .expect("the test waits");
            });
            let told = told.recv_timeout(Duration::from_secs(10));
            drop(held);
            let forked = Err(link.forked());
            assert_eq!(told, Ok((Transport::Socket, false, forked)));
        });
    }
}
