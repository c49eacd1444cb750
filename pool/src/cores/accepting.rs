//! Accepting connections and handing them out: each to the core with the fewest.

use super::backend::Backend;
use super::core_loop::CoreLoop;
use super::ending::shut_down;
use super::posts::Handed;
use super::timers::Timer;
use crate::handler::{CoreIndex, Handler};
use crate::listener::{self, Accepted, Listener};
use crate::turn::Turn;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Connections accepted from one listener in one turn.
const ACCEPTS_PER_TURN_MAX: usize = 64;
/// How long to leave a listener alone after a failure: at the limit of descriptors it would fail again at once, in a
/// hot loop.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// A listener of this core.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: Listener,
    /// Whether its connections are handed out among all cores.
    shared: bool,
    /// The kernel will report its next connection.
    armed: bool,
    /// A descriptor in reserve: with none left, it is given up for a moment to turn a peer away who would otherwise
    /// wait for an answer that cannot come.
    spare: Option<File>,
}

impl Listening {
    pub(crate) fn new(listener: Listener, shared: bool) -> Self {
        Self {
            listener,
            shared,
            armed: false,
            spare: spare(),
        }
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

impl<H: Handler, B: Backend> CoreLoop<H, B> {
    pub(super) fn start_listening(&mut self) -> io::Result<()> {
        for (index, listening) in self.listeners.iter_mut().enumerate() {
            self.backend
                .await_connection(index as u16, listening.listener.fd())?;
            listening.armed = true;
        }
        Ok(())
    }

    /// Takes no more connections.
    pub(super) fn stop_listening(&mut self) {
        for listening in &self.listeners {
            // Ends the poll that is under way, too.
            shut_down(listening.listener.fd(), Shutdown::Both);
        }
        // With epoll nothing is under way that must end; with the ring the poll reports the shutdown.
    }

    /// Accepts what waits on a listener.
    pub(super) fn accept(&mut self, index: u16) {
        let place = usize::from(index);
        self.listeners[place].armed = false;
        if self.stopping.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            match self.listeners[place].listener.accept() {
                Ok(Some(accepted)) => self.admit(accepted, place),
                Ok(None) => break,
                Err(error) => return self.back_off(index, &error),
            }
        }
        let listening = &mut self.listeners[place];
        match self.backend.await_connection(index, listening.listener.fd()) {
            Ok(()) => listening.armed = true,
            Err(error) => self.back_off(index, &error),
        }
    }

    /// Serves a connection that was handed to this core.
    pub(super) fn open(&mut self, handed: Handed) {
        let Handed { socket, peer, tag } = handed;
        let id = self.desk.connections.insert(socket, self.now);
        self.desk.stats().connections_opened.add(1);
        self.handler
            .opened(&mut Turn::new(self.now, &mut self.desk), id, peer, tag);
        self.owe(id);
        self.want_bytes(id);
        if self.stopping.is_some() {
            self.desk.close(id, crate::handler::CloseReason::Stop);
        }
    }

    /// Finds the core for a new connection.
    fn admit(&mut self, accepted: Accepted, place: usize) {
        let loads: Vec<u64> = (0..self.handed.len()).map(|core| self.load(core)).collect();
        if loads.iter().sum::<u64>() >= self.connections_max {
            self.desk.stats().connections_refused.add(1);
            return accepted.turn_away(&self.when_full);
        }
        let tag = self.listeners[place].listener.tag();
        let handed = Handed {
            socket: accepted.socket,
            peer: accepted.peer,
            tag,
        };
        if !self.listeners[place].shared {
            return self.open(handed);
        }
        let fewest = loads
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| **load)
            .map_or(0, |(core, _)| core);
        match self.desk.posts.hand(CoreIndex(fewest as u16), handed) {
            Some(own) => self.open(own),
            None => self.handed[fewest] += 1,
        }
    }

    /// How many connections a core has, those on their way to it among them.
    fn load(&self, core: usize) -> u64 {
        let stats = &self.desk.all_stats[core];
        let on_their_way = self.handed[core].saturating_sub(stats.connections_taken.get());
        stats.connections() + on_their_way
    }

    fn back_off(&mut self, index: u16, error: &io::Error) {
        self.desk.stats().accepts_failed.add(1);
        let listening = &mut self.listeners[usize::from(index)];
        if listener::is_out_of_descriptors(error) {
            drop(listening.spare.take());
            if let Ok(Some(accepted)) = listening.listener.accept() {
                drop(accepted);
                self.desk.stats().connections_refused.add(1);
            }
            let listening = &mut self.listeners[usize::from(index)];
            listening.spare = spare();
            tracing::debug!(
                fd = listening.listener.fd().as_raw_fd(),
                "no descriptor is left: one peer was turned away"
            );
        }
        self.timers.set(self.now + ACCEPT_BACK_OFF, Timer::Accept(index));
    }
}
