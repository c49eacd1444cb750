//! How connections and cores end: what is queued is sent first, and no descriptor is closed that the kernel still uses.

use super::backend::Backend;
use super::connection::Stage;
use super::core_loop::CoreLoop;
use super::timers::Timer;
use crate::handler::{CloseReason, ConnectionId, Handler};
use crate::turn::Turn;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a peer may go on sending after its connection was closed by the handler, so that it can read the answer
/// that says why.
const LINGER_MAX: Duration = Duration::from_millis(500);
/// How long a stopping core goes on sending what is queued.
const STOP_SEND_MAX: Duration = Duration::from_millis(200);
/// How long a stopping core waits for the kernel to report that all is over.
const STOP_REAP_MAX: Duration = Duration::from_millis(200);

/// A core that stops.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stopping {
    /// What is queued is sent.
    Sending(Instant),
    /// The kernel ends what is under way.
    Reaping(Instant),
}

impl Stopping {
    pub(crate) fn deadline(&self) -> Instant {
        match self {
            Self::Sending(at) | Self::Reaping(at) => *at,
        }
    }
}

impl<H: Handler, B: Backend> CoreLoop<H, B> {
    /// Tells the handler that a connection ended, and closes it. Comes once for each connection.
    pub(super) fn finish(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        connection.stage = Stage::Ending;
        connection.inflow.discard(&mut self.backend);
        let lingers = reason == CloseReason::Handler
            && connection.out.is_empty()
            && connection.ended.is_none()
            && self.stopping.is_none();
        let fd = connection.fd();
        self.desk.stats().closed(reason);
        if matches!(reason, CloseReason::Slow | CloseReason::Unfinished)
            && let Some(kept_back) = self.complaints.allow(self.now)
        {
            tracing::warn!(?reason, kept_back, "closed a connection for its peer's fault");
        }
        self.handler
            .closed(&mut Turn::new(self.now, &mut self.desk), id, reason);
        if !lingers {
            self.end(id);
        } else if let Some(connection) = self.desk.connections.get_mut(id) {
            connection.stage = Stage::Lingering;
            shut_down(fd, Shutdown::Write);
            self.timers.set(self.now + LINGER_MAX, Timer::Linger(id));
            self.want_bytes(id);
        }
    }

    /// The peer had its time.
    pub(super) fn end_lingering(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.get_mut(id)
            && connection.stage == Stage::Lingering
        {
            self.end(id);
        }
    }

    /// Shuts a connection down that the handler knows no more.
    pub(super) fn end(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        connection.stage = Stage::Ending;
        let fd = connection.fd();
        shut_down(fd, Shutdown::Both);
        if self.backend.forget(id, fd) {
            (connection.receiving, connection.sending, connection.blocked) = (false, false, false);
        }
        self.let_go(id);
    }

    /// Closes the descriptor of an ending connection once the kernel is done with it.
    pub(super) fn let_go(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.get_mut(id)
            && connection.stage == Stage::Ending
            && connection.is_quiet()
        {
            connection.out.sent(0, &mut self.desk.unsent);
            connection.out.give_up(&mut self.desk.unsent);
            self.desk.connections.remove(id, self.now);
            self.desk.stats().connections_released.add(1);
        }
    }

    /// Starts to stop when told to, and goes on with it when it is time.
    pub(super) fn look_for_stop(&mut self) {
        match self.stopping {
            None if self.inbox.stop.load(Ordering::Acquire) => {
                self.stopping = Some(Stopping::Sending(self.now + STOP_SEND_MAX));
                self.stop_listening();
                for id in self.desk.connections.ids() {
                    self.desk.close(id, CloseReason::Stop);
                    self.end_lingering(id);
                }
            }
            Some(Stopping::Sending(at)) if at <= self.now || self.desk.connections.len() == 0 => {
                self.stopping = Some(Stopping::Reaping(self.now + STOP_REAP_MAX));
                for id in self.desk.connections.ids() {
                    self.desk.doom(id, CloseReason::Stop);
                }
            }
            _ => {}
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_stopped(&self) -> bool {
        match self.stopping {
            None => false,
            Some(Stopping::Reaping(at)) if at <= self.now => true,
            Some(_) => {
                self.desk.connections.len() == 0
                    && self.listeners.iter().all(|listening| !listening.is_armed())
            }
        }
    }
}

/// Ends one or both directions of a socket.
pub(super) fn shut_down(fd: RawFd, how: Shutdown) {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no memory is passed. A socket that the peer has left already fails with ENOTCONN, which is as good.
    unsafe { libc::shutdown(fd, how) };
}
