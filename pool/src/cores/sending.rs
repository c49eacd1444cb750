//! From out-queues to the kernel: one write in flight for each connection, all of a turn's writes submitted together.

use super::backend::{Backend, Sending};
use super::connection::Stage;
use super::core_loop::CoreLoop;
use super::out_queue::OUT_RESUME_BYTES;
use super::timers::Timer;
use crate::handler::{CloseReason, ConnectionId, Handler};
use std::time::Duration;

/// A peer that takes nothing for this long is too slow.
const STALL_MAX: Duration = Duration::from_secs(10);

impl<H: Handler, B: Backend> CoreLoop<H, B> {
    /// Sends what this turn queued, and ends what is to end. Ending tells the handler, which may queue more.
    pub(super) fn flush(&mut self) {
        let alone = self.desk.dirty.len() == 1;
        while let Some(id) = self.desk.dirty.pop() {
            if let Some(connection) = self.desk.connections.get_mut(id) {
                connection.dirty = false;
                self.flush_one(id, alone);
            }
        }
    }

    fn flush_one(&mut self, id: ConnectionId, alone: bool) {
        while let Some(connection) = self.desk.connections.get_mut(id) {
            let closing = match connection.stage {
                Stage::Open => None,
                Stage::Closing(reason) => Some(reason),
                Stage::Doomed(reason) => return self.finish(id, reason),
                Stage::Free | Stage::Lingering | Stage::Ending => return,
            };
            if connection.sending || connection.blocked {
                return;
            }
            let fd = connection.fd();
            let Some(front) = connection.out.front() else {
                if let Some(reason) = closing {
                    self.finish(id, reason);
                }
                return;
            };
            let sending = self.backend.send(id, fd, front, alone);
            self.desk.all_stats[usize::from(self.desk.core.0)].sends.add(1);
            match sending {
                Sending::Done(bytes) => {
                    self.took(id, bytes);
                }
                Sending::Blocked => return self.block(id),
                Sending::Started => {
                    connection.out.hand_out();
                    connection.sending = true;
                    return;
                }
                Sending::Failed(_) => return self.fail(id),
            }
        }
    }

    /// The kernel is done with a write.
    pub(super) fn sent(&mut self, id: ConnectionId, result: Result<usize, i32>) {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        connection.sending = false;
        match result {
            Ok(bytes) => {
                if !self.took(id, bytes) {
                    self.desk.stats().completions_short.add(1);
                }
            }
            Err(libc::EAGAIN | libc::EINTR) => {
                connection.out.sent(0, &mut self.desk.unsent);
                self.desk.stats().completions_blocked.add(1);
                self.block(id);
            }
            Err(_) => self.fail(id),
        }
        self.let_go(id);
    }

    /// The kernel takes bytes again.
    pub(super) fn writable(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.get_mut(id) {
            connection.blocked = false;
            self.desk.touch(id);
            self.let_go(id);
        }
    }

    /// A stall timer fired.
    pub(super) fn look_for_stall(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        connection.stall_timer = false;
        if !connection.blocked {
            return;
        }
        let at = connection.progress + STALL_MAX;
        if at <= self.now {
            self.desk.doom(id, CloseReason::Slow);
        } else {
            connection.stall_timer = true;
            self.timers.set(at, Timer::Stall(id));
        }
    }

    /// The kernel took so many bytes of a write. Returns whether that was all of it.
    fn took(&mut self, id: ConnectionId, bytes: usize) -> bool {
        let stats = &self.desk.all_stats[usize::from(self.desk.core.0)];
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return true;
        };
        connection.progress = self.now;
        stats.bytes_sent.add(bytes as u64);
        let whole = connection.out.sent(bytes, &mut self.desk.unsent);
        if !whole {
            stats.sends_short.add(1);
        }
        if connection.paused && connection.out.bytes() <= OUT_RESUME_BYTES {
            self.resume(id);
        }
        if let Some(connection) = self.desk.connections.get_mut(id)
            && (!connection.out.is_empty() || matches!(connection.stage, Stage::Closing(_)))
        {
            self.desk.touch(id);
        }
        whole
    }

    /// The kernel takes nothing now.
    fn block(&mut self, id: ConnectionId) {
        self.desk.stats().sends_blocked.add(1);
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        if matches!(connection.stage, Stage::Ending | Stage::Lingering) {
            return;
        }
        connection.blocked = true;
        if !connection.stall_timer {
            connection.stall_timer = true;
            connection.progress = self.now;
            self.timers.set(self.now + STALL_MAX, Timer::Stall(id));
        }
        let fd = connection.fd();
        self.backend.await_writable(id, fd);
    }

    /// The socket failed: nothing can be sent any more.
    fn fail(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.get_mut(id) {
            let reason = match connection.stage {
                Stage::Closing(reason) => reason,
                _ => connection.ended.unwrap_or(CloseReason::Error),
            };
            connection.ended = Some(reason);
            self.desk.doom(id, reason);
        }
    }
}
