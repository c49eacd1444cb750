//! The thread that callers' boards and rings are handed over by. It lends the board, takes rings, drains them every few
//! milliseconds and gives what it found, folded for each node, to the owners. A thread of its own, so that no core
//! touches memory that callers write, and none waits for it.

mod fold;
mod grants;
mod line;

use crate::mail::Mail;
use crate::stats::CallerCounts;
use crate::tap::{Tap, TapEnd};
use fold::Fold;
pub(crate) use grants::{GrantTray, Grants, tray};
use lars_board::{Board, Grant, PacketListener, Packets, wait};
use lars_pool::Seldom;
use lars_pool::mail::Mailer;
use line::{Ended, Hall, Line};
use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two passes while there is something to drain: a state changes at most this much later than by a socket.
const PASS_BUSY: Duration = Duration::from_millis(5);
/// Between two passes while there is nothing. What is reported then is seen by every picker within 10 ms all the same, with
/// some for a thread that wakes late; 1,000 wake-ups a second were measured at 2.5% of a core, so these are a third of one.
const PASS_IDLE: Duration = Duration::from_millis(7);
const _: () = assert!(PASS_BUSY.as_millis() <= PASS_IDLE.as_millis() && PASS_IDLE.as_millis() < 10);
/// Callers at a time, far more than one host runs; each costs a descriptor.
const CALLERS_MAX: usize = 4_096;
/// How long the last runs are tried to be given to a busy core.
const STOP_MAX: Duration = Duration::from_secs(1);

/// What the thread is made of.
pub(crate) struct CallersParts {
    /// Where callers come to.
    pub path: PathBuf,
    /// What they are lent.
    pub board: Board,
    /// Ways to the cores.
    pub mailers: Vec<Mailer<Mail>>,
    /// The agent's random identity.
    pub incarnation: [u8; 16],
    /// See `AgentConfig::rings_max`.
    pub rings_max: u32,
    /// Probes that owners want made by callers with the board.
    pub grants: Grants,
    /// Its counts.
    pub counts: Arc<CallerCounts>,
    /// The tap of recordings.
    pub tap: Tap,
}

/// The running thread. Dropping it drains all rings once more and ends it.
pub(crate) struct Callers {
    thread: Option<JoinHandle<()>>,
    stop: Packets,
    path: PathBuf,
}

impl Callers {
    /// Listens and starts the thread.
    pub(crate) fn start(parts: CallersParts) -> io::Result<Self> {
        let listener = PacketListener::bind(&parts.path)?;
        let (stop, stopped) = Packets::pair()?;
        let path = parts.path.clone();
        let mut desk = Desk::new(parts, listener, stopped);
        let thread = std::thread::Builder::new()
            .name("agent-callers".to_owned())
            .spawn(move || desk.run())?;
        Ok(Self {
            thread: Some(thread),
            stop,
            path,
        })
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        // The path first: once the cores' sockets are gone another agent may listen there.
        let _ = std::fs::remove_file(&self.path);
        // Where the other end is gone the thread has ended by itself.
        let _ = self.stop.send(b"stop", None);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the agent's callers' thread ended by a panic");
        }
    }
}

struct Desk {
    listener: PacketListener,
    stopped: Packets,
    board: Board,
    incarnation: [u8; 16],
    rings_max: u32,
    mailers: Vec<Mailer<Mail>>,
    /// For each core what its queue had no room for: while there is some, nothing more is drained.
    held: Vec<Option<Mail>>,
    lines: Vec<Line>,
    fold: Fold,
    grants: Grants,
    next_ring: Cell<u64>,
    tap: TapEnd,
    counts: Arc<CallerCounts>,
    log: Seldom,
    /// Whether callers that left have left something in the fold.
    leftover: bool,
    /// When the next pass is due; none while nobody has a ring.
    next_pass: Option<Instant>,
}

impl Desk {
    fn new(parts: CallersParts, listener: PacketListener, stopped: Packets) -> Self {
        Self {
            listener,
            stopped,
            board: parts.board,
            incarnation: parts.incarnation,
            rings_max: parts.rings_max,
            held: parts.mailers.iter().map(|_| None).collect(),
            fold: Fold::new(parts.mailers.len() as u16),
            grants: parts.grants,
            next_ring: Cell::new(0),
            mailers: parts.mailers,
            tap: TapEnd::new(parts.tap),
            lines: Vec::new(),
            counts: parts.counts,
            log: Seldom::new(),
            leftover: false,
            next_pass: None,
        }
    }

    fn run(&mut self) {
        while self.turn() {}
        self.end();
    }

    /// Waits for callers or the next pass, whichever comes first, and does what is to be done; false at the end.
    fn turn(&mut self) -> bool {
        let timeout = self
            .next_pass
            .map(|at| at.saturating_duration_since(Instant::now()));
        let sockets: Vec<_> = [self.stopped.as_fd(), self.listener.as_fd()]
            .into_iter()
            .chain(self.lines.iter().map(Line::socket))
            .collect();
        let ready = match wait(&sockets, timeout) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "callers cannot be waited for: the board is handed out no more");
                return false;
            }
        };
        if ready[0] {
            return false;
        }
        self.receive(&ready[2..]);
        if ready[1] {
            self.accept();
        }
        let due = self.next_pass.is_some_and(|at| at <= Instant::now());
        if due || self.leftover || self.lines.iter().any(|line| line.urgent) {
            self.pass();
        }
        self.arm();
        true
    }

    fn accept(&mut self) {
        while self.lines.len() < CALLERS_MAX {
            match self.listener.accept() {
                Ok(Some(packets)) => self.lines.push(Line::new(packets)),
                Ok(None) => return,
                Err(error) => {
                    if let Some(kept_back) = self.log.allow(Instant::now()) {
                        tracing::warn!(%error, kept_back, "a caller that wants the board is not accepted");
                    }
                    // Out of descriptors, most likely: not at once again.
                    std::thread::sleep(PASS_IDLE);
                    return;
                }
            }
        }
        // One too many: it goes on over the socket.
        while let Ok(Some(packets)) = self.listener.accept() {
            drop(packets);
        }
    }

    fn receive(&mut self, ready: &[bool]) {
        let mut place = 0;
        for &is_ready in ready {
            if !is_ready {
                place += 1;
                continue;
            }
            let rings: u32 = self.lines.iter().map(Line::rings).sum();
            let hall = Hall {
                board: &self.board,
                incarnation: self.incarnation,
                cores: self.mailers.len() as u16,
                rings_left: self.rings_max.saturating_sub(rings),
                next_ring: &self.next_ring,
                counts: &self.counts,
            };
            match self.lines[place].receive(&hall) {
                Ok(()) => place += 1,
                Err(ended) => {
                    let mut line = self.lines.remove(place);
                    self.bid_farewell(&mut line, &ended);
                }
            }
        }
    }

    /// What a caller left in its rings still counts.
    fn bid_farewell(&mut self, line: &mut Line, ended: &Ended) {
        let records = line.drain(&mut self.fold, &mut self.tap, &mut self.grants, &self.counts);
        self.counts.ring_records.add(records);
        self.leftover |= records > 0;
        if let (Ended::Bad(error), Some(kept_back)) = (ended, self.log.allow(Instant::now())) {
            tracing::warn!(%error, kept_back, "a caller's connection for the board is closed for what it sent");
        }
    }

    /// Drains every ring, and gives the runs to their owners.
    fn pass(&mut self) {
        if self.give(false) {
            let (mut records, mut back) = (0, Vec::new());
            self.grants.take_in(|grant| back.push(grant));
            for line in &mut self.lines {
                records += line.drain(&mut self.fold, &mut self.tap, &mut self.grants, &self.counts);
            }
            let rings = self.lines.iter_mut().flat_map(Line::each_ring);
            self.grants.settle(rings, |grant| back.push(grant));
            self.counts.ring_records.add(records);
            self.give_tapped();
            self.leftover = false;
            let pause = if records > 0 { PASS_BUSY } else { PASS_IDLE };
            self.next_pass = Some(Instant::now() + pause);
            let batches: Vec<_> = self.fold.take().collect();
            for (held, runs) in self.held.iter_mut().zip(batches) {
                *held = (!runs.is_empty()).then_some(Mail::Calls(runs));
            }
            self.give_back(&back);
        } else {
            self.next_pass = Some(Instant::now() + PASS_BUSY);
        }
        if self.give(false) {
            self.lines.retain_mut(|line| line.answer_pings().is_ok());
        }
    }

    /// Probes that no caller with the board makes are their owner's again. One that finds no room is lost: the owner wants
    /// another when its time has come.
    fn give_back(&mut self, grants: &[Grant]) {
        for &grant in grants {
            let owner = usize::from(grant.module.shard(self.mailers.len() as u16));
            let _ = self.mailers[owner].send(Mail::Probe(grant));
        }
    }

    /// Gives what is held to the cores; returns whether all of it has left.
    fn give(&mut self, until_stop: bool) -> bool {
        let deadline = Instant::now() + STOP_MAX;
        for (held, mailer) in self.held.iter_mut().zip(&mut self.mailers) {
            while let Some(mail) = held.take() {
                let Err(back) = mailer.send(mail) else { break };
                *held = Some(back);
                if !until_stop || mailer.is_abandoned() || Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.held.iter().all(Option::is_none)
    }

    /// Gives what was seen to the core that records. What its queue has no room for is lost: counts go first.
    fn give_tapped(&mut self) {
        let Some((core, tapped)) = self.tap.take() else {
            return;
        };
        let mailer = &mut self.mailers[usize::from(core.0)];
        if let Err(Mail::Tapped(tapped)) = mailer.send(Mail::Tapped(Box::new(tapped))) {
            self.tap.lose(&tapped);
        }
    }

    fn arm(&mut self) {
        let rings: u32 = self.lines.iter().map(Line::rings).sum();
        self.counts.callers.set(self.lines.len() as u64);
        self.counts.rings.set(u64::from(rings));
        let waits = rings > 0 || self.leftover || self.held.iter().any(Option::is_some);
        self.next_pass = match self.next_pass {
            _ if !waits => None,
            None => Some(Instant::now() + PASS_IDLE),
            armed => armed,
        };
    }

    /// The last pass, and behind it that it was the last.
    fn end(&mut self) {
        self.give(true);
        self.pass();
        self.give(true);
        for held in &mut self.held {
            *held = Some(Mail::Drained);
        }
        self.give(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_board::{BoardConfig, CallRecord, NodeSlot, RingWriter};
    use lars_pool::mail::{Consumer, Waker, queue};
    use lars_wire::caller::{Hello, Outcome, Ping};
    use lars_wire::ring::{RingHalfFull, RingOffer};
    use lars_wire::{Message, ModuleId, NodeAddr, codec};
    use std::os::fd::BorrowedFd;

    /// A desk with one core, what that core is sent, and what would end the desk.
    fn desk(path: PathBuf) -> (Desk, Consumer<Mail>, Packets) {
        let (producer, sent) = queue(16);
        let config = BoardConfig {
            modules_max: 64,
            shards: 1,
        };
        let (board, _writers) = Board::create(config).expect("memory");
        let counts = Arc::new(CallerCounts::default());
        let (_tray, grants) = tray(Arc::clone(&counts));
        let listener = PacketListener::bind(&path).expect("the socket is free");
        let parts = CallersParts {
            path,
            board,
            mailers: vec![Mailer::new(producer, Waker::new().expect("descriptors are left"))],
            incarnation: [0; 16],
            rings_max: 4,
            grants,
            counts,
            tap: Tap::default(),
        };
        let (stop, stopped) = Packets::pair().expect("descriptors are left");
        (Desk::new(parts, listener, stopped), sent, stop)
    }

    fn send<M: Message>(caller: &Packets, message: &M, file: Option<BorrowedFd<'_>>) {
        let mut bytes = Vec::new();
        codec::append(message, 1, &mut bytes).expect("it fits");
        caller.send(&bytes, file).expect("it is connected");
    }

    /// A caller that was welcomed.
    fn caller(desk: &mut Desk, path: &std::path::Path) -> Packets {
        let caller = Packets::connect(path).expect("the desk listens");
        assert!(desk.turn());
        let (version, name) = (1, "caller".to_owned());
        send(&caller, &Hello { version, name }, None);
        assert!(desk.turn());
        caller
    }

    #[test]
    fn ring_that_is_half_full_or_flushed_is_drained_ahead_of_the_next_pass() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.sock.board");
        let (mut desk, mut sent, _stop) = desk(path.clone());
        let owner = caller(&mut desk, &path);
        let mut ring = RingWriter::create(64).expect("memory");
        send(&owner, &RingOffer { ring: 3 }, Some(ring.file()));
        assert!(desk.turn());
        for urgent in [true, false] {
            ring.report(&CallRecord {
                module: ModuleId::new(1, 1),
                node: NodeAddr::from_ipv4_number(1, 80),
                slot: NodeSlot::NONE,
                outcome: Outcome::Ok,
                probe: false,
                calls: 1,
                latency_us: 1,
            });
            // A pass that never comes.
            desk.next_pass = Some(Instant::now() + Duration::from_hours(1));
            let _other = caller(&mut desk, &path);
            assert!(
                !ring.is_drained() && sent.is_empty(),
                "another caller is no reason"
            );
            if urgent {
                send(&owner, &RingHalfFull { ring: 3 }, None);
            } else {
                send(&owner, &Ping { echo: 1 }, None);
            }
            assert!(desk.turn());
            assert!(ring.is_drained());
            let mut calls = 0;
            sent.drain(16, |mail| {
                if let Mail::Calls(runs) = mail {
                    calls += runs.iter().map(|run| run.calls).sum::<u32>();
                }
            });
            assert_eq!(calls, 1);
        }
    }
}
