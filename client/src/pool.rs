//! The connections that the threads of one client share: one for each thread that asks at the moment, bounded,
//! opened when needed and again, with back-off, when the agent restarts.

use crate::back_off::BackOff;
use crate::connection::{Connection, Deadline, timeout};
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use lars_board::ForkWord;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Connections of one client.
pub(crate) struct Pool {
    path: PathBuf,
    name: String,
    connections_max: usize,
    /// 0 in a child process, which must not use what its parent made.
    fork: Arc<ForkWord>,
    state: Mutex<State>,
    /// Told at each check-in.
    checked_in: Condvar,
}

#[derive(Default)]
struct State {
    /// The last checked in is lent first, so that few connections serve few threads.
    idle: Vec<Kept>,
    /// Connections that a flush waits for, checked in meanwhile.
    parked: Vec<Kept>,
    lent: Vec<Loan>,
    id_last: u64,
    /// Ids that flushes wait for, once for each flush.
    wanted: Vec<u64>,
    /// Reports whose connection broke before a pong confirmed them.
    unsure: u64,
    back_off: BackOff,
}

/// A connection that is not lent.
struct Kept {
    id: u64,
    connection: Connection,
}

/// A connection that is lent, or a place taken for one that is being opened.
struct Loan {
    id: u64,
    /// Whether it carried unconfirmed reports when it was lent.
    unconfirmed: bool,
}

/// A connection lent to one operation; goes back to its pool when dropped.
pub(crate) struct Lent<'a> {
    pool: &'a Pool,
    id: u64,
    connection: Option<Connection>,
}

impl Pool {
    /// A pool that opens at most `connections_max` connections.
    pub(crate) fn new(path: PathBuf, name: String, connections_max: usize, fork: Arc<ForkWord>) -> Self {
        Self {
            path,
            name,
            connections_max: connections_max.max(1),
            fork,
            state: Mutex::default(),
            checked_in: Condvar::new(),
        }
    }

    /// Where the agent listens.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone())
    }

    /// Lends an idle connection, opens one, or waits for one to come back.
    pub(crate) fn check_out(&self, deadline: Deadline) -> Result<Lent<'_>, ClientError> {
        self.refuse_child()?;
        let mut state = self.lock();
        loop {
            if let Some(kept) = state.idle.pop() {
                return Ok(self.lend(&mut state, kept));
            }
            if state.open_count() < self.connections_max {
                return self.open(state, deadline);
            }
            state = self.wait(state, "for a free connection", deadline)?;
        }
    }

    /// Lends a new connection although there may be idle ones: those of an agent that restarted are all broken.
    pub(crate) fn check_out_new(&self, deadline: Deadline) -> Result<Lent<'_>, ClientError> {
        self.refuse_child()?;
        let mut state = self.lock();
        loop {
            if state.open_count() == self.connections_max && !state.idle.is_empty() {
                let oldest = state.idle.remove(0);
                state.unsure += oldest.connection.unconfirmed();
            }
            if state.open_count() < self.connections_max {
                return self.open(state, deadline);
            }
            state = self.wait(state, "for a free connection", deadline)?;
        }
    }

    /// Every connection that carries unconfirmed reports, one after the other as they come free, is given to `each`.
    pub(crate) fn each_unconfirmed(
        &self,
        deadline: Deadline,
        mut each: impl FnMut(&mut Connection) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        self.refuse_child()?;
        let mut wanted = self.want_unconfirmed();
        let result = loop {
            let mut state = self.lock();
            wanted.retain(|id| state.is_known(*id));
            if wanted.is_empty() {
                break Ok(());
            }
            let Some(kept) = state.take_any(&wanted) else {
                match self.wait(state, "a flush", deadline) {
                    Ok(_) => continue,
                    Err(error) => break Err(error),
                }
            };
            wanted.retain(|id| *id != kept.id);
            let mut lent = self.lend(&mut state, kept);
            state.unwant(lent.id);
            drop(state);
            if let Err(error) = each(&mut lent) {
                break Err(error);
            }
        };
        let mut state = self.lock();
        for id in wanted {
            state.unwant(id);
        }
        state.release_parked();
        drop(state);
        self.checked_in.notify_all();
        result
    }

    /// An error in a child process.
    pub(crate) fn refuse_child(&self) -> Result<(), ClientError> {
        if self.fork.get() == 0 {
            let endpoint = self.endpoint();
            return Err(ClientError::Forked { endpoint });
        }
        Ok(())
    }

    /// Reports that may be lost since the last question; forgets them.
    pub(crate) fn take_unsure(&self) -> u64 {
        std::mem::take(&mut self.lock().unsure)
    }

    /// Marks the connections that carry unconfirmed reports now, so that they are kept for a flush.
    fn want_unconfirmed(&self) -> Vec<u64> {
        let mut state = self.lock();
        let idle = state.idle.iter().chain(&state.parked);
        let idle = idle
            .filter(|kept| kept.connection.unconfirmed() > 0)
            .map(|kept| kept.id);
        let lent = state
            .lent
            .iter()
            .filter(|loan| loan.unconfirmed)
            .map(|loan| loan.id);
        let wanted: Vec<u64> = idle.chain(lent).collect();
        state.wanted.extend_from_slice(&wanted);
        wanted
    }

    /// Takes a place in the pool and opens a connection for it.
    fn open(&self, mut state: MutexGuard<'_, State>, deadline: Deadline) -> Result<Lent<'_>, ClientError> {
        state.back_off.check(Instant::now())?;
        state.id_last += 1;
        let id = state.id_last;
        state.lent.push(Loan {
            id,
            unconfirmed: false,
        });
        drop(state);
        // From here on a drop gives the place back, whatever happens.
        let mut lent = Lent {
            pool: self,
            id,
            connection: None,
        };
        let opened = self.connect(deadline);
        self.lock().back_off.learn(opened.as_ref().err(), Instant::now());
        lent.connection = Some(opened?);
        Ok(lent)
    }

    fn lend(&self, state: &mut State, kept: Kept) -> Lent<'_> {
        let unconfirmed = kept.connection.unconfirmed() > 0;
        state.lent.push(Loan {
            id: kept.id,
            unconfirmed,
        });
        Lent {
            pool: self,
            id: kept.id,
            connection: Some(kept.connection),
        }
    }

    fn check_in(&self, id: u64, connection: Option<Connection>) {
        // Lent before a fork: in the child the lock may be nobody's to give back.
        if self.refuse_child().is_err() {
            return;
        }
        let mut state = self.lock();
        state.lent.retain(|loan| loan.id != id);
        match connection {
            Some(connection) if connection.is_usable() => {
                let kept = Kept { id, connection };
                if state.wanted.contains(&id) {
                    state.parked.push(kept);
                } else {
                    state.idle.push(kept);
                }
            }
            Some(broken) => state.unsure += broken.unconfirmed(),
            None => {}
        }
        let waited_for = !state.wanted.is_empty();
        drop(state);
        if waited_for {
            self.checked_in.notify_all();
        } else {
            self.checked_in.notify_one();
        }
    }

    /// Tries the socket of the core that this thread runs on, then the one that every agent has.
    fn connect(&self, deadline: Deadline) -> Result<Connection, ClientError> {
        if let Some(near) = near_socket(&self.path) {
            // Left over from an agent with more cores, it refuses; one that hangs has used up the time for both.
            match Connection::open(&Endpoint::Unix(near), &self.name, deadline) {
                Err(ClientError::NotRunning { .. }) => {}
                opened => return opened,
            }
        }
        Connection::open(&self.endpoint(), &self.name, deadline)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        asked: &'static str,
        deadline: Deadline,
    ) -> Result<MutexGuard<'a, State>, ClientError> {
        match deadline.at.checked_duration_since(Instant::now()) {
            Some(left) => {
                let waited = self.checked_in.wait_timeout(state, left);
                Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
            }
            None => Err(timeout(&self.endpoint(), asked, deadline)),
        }
    }

    /// A thread that panicked left the lists whole: each change of them is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Connections that are open or being opened.
    fn open_count(&self) -> usize {
        self.idle.len() + self.parked.len() + self.lent.len()
    }

    fn is_known(&self, id: u64) -> bool {
        let mut kept = self.idle.iter().chain(&self.parked);
        kept.any(|kept| kept.id == id) || self.lent.iter().any(|loan| loan.id == id)
    }

    fn take_any(&mut self, wanted: &[u64]) -> Option<Kept> {
        for list in [&mut self.parked, &mut self.idle] {
            if let Some(place) = list.iter().position(|kept| wanted.contains(&kept.id)) {
                return Some(list.remove(place));
            }
        }
        None
    }

    fn unwant(&mut self, id: u64) {
        if let Some(place) = self.wanted.iter().position(|wanted| *wanted == id) {
            self.wanted.swap_remove(place);
        }
    }

    /// Gives back to everyone what no flush waits for any more.
    fn release_parked(&mut self) {
        for kept in std::mem::take(&mut self.parked) {
            if self.wanted.contains(&kept.id) {
                self.parked.push(kept);
            } else {
                self.idle.push(kept);
            }
        }
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a lent connection is there until it is dropped")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
            .as_mut()
            .expect("a lent connection is there until it is dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.check_in(self.id, self.connection.take());
    }
}

/// `PATH.N` of processor N, on which this thread runs now, when the agent has a core there: a round trip on one core
/// takes a fifth of one across cores. A thread moves; this is asked once for each connection, and being wrong costs
/// nothing but that.
fn near_socket(path: &Path) -> Option<PathBuf> {
    /// Place of `processor` behind the command's name in /proc/PID/stat (proc(5): field 39, the name is field 2).
    const PROCESSOR_FIELD: usize = 36;
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    // The name may hold spaces and parentheses: what follows its last one is plain.
    let processor = stat
        .rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(PROCESSOR_FIELD)?;
    let mut near = path.as_os_str().to_owned();
    near.push(".");
    near.push(processor);
    let near = PathBuf::from(near);
    near.exists().then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::caller::Welcome;
    use lars_wire::{PREFACE, VERSION, codec};
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Says welcome to one connection and keeps it.
    fn welcome_one(listener: &UnixListener) -> UnixStream {
        let (mut stream, _) = listener.accept().expect("it listens");
        stream
            .read_exact(&mut [0; PREFACE.len()])
            .expect("the client starts");
        let welcome = Welcome {
            version: u16::from(VERSION),
            incarnation: [0; 16],
            sockets: 0,
            board: false,
        };
        let mut bytes = Vec::new();
        codec::append(&welcome, 1, &mut bytes).expect("it fits");
        stream.write_all(&bytes).expect("the client reads");
        stream
    }

    #[test]
    fn connection_that_a_flush_waits_for_is_lent_to_nobody_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).expect("the socket is free");
        let pool = &Pool::new(
            path,
            "test".to_owned(),
            1,
            Arc::new(ForkWord::new().expect("a page")),
        );
        let patient = Deadline::after(PATIENCE);
        let (release, held) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let welcomed = scope.spawn(|| welcome_one(&listener));
            pool.check_out(patient).expect("it is welcomed").wrote_reports(1);
            let _stream = welcomed.join().expect("no panic");
            let lent = pool.check_out(patient).expect("it is idle");
            let flush = scope.spawn(move || {
                pool.each_unconfirmed(patient, |connection| {
                    held.recv_timeout(PATIENCE).expect("the test lets it go");
                    connection.confirm_reports();
                    Ok(())
                })
            });
            while pool.lock().wanted.is_empty() {
                assert!(Instant::now() < patient.at, "the flush does not start");
                std::thread::yield_now();
            }
            drop(lent);
            let hasty = Deadline::after(Duration::from_millis(20));
            assert!(matches!(pool.check_out(hasty), Err(ClientError::Timeout { .. })));
            release.send(()).expect("the flush waits");
            flush.join().expect("no panic").expect("it is flushed");
            assert_eq!(
                pool.check_out(patient).expect("it is free again").unconfirmed(),
                0
            );
        });
    }
}
