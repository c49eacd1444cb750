//! From bytes that arrived to the handler: fairly, in order, and only as fast as they can be handled.

use super::backend::{Backend, Receive};
use super::connection::Stage;
use super::core_loop::CoreLoop;
use super::inflow::{FRAME_BYTES_MAX, Taken, UNHANDLED_BYTES_MAX};
use super::out_queue::OUT_PAUSE_BYTES;
use super::slots::{Inbound, SLOT_BYTES};
use super::timers::Timer;
use crate::handler::{CloseReason, ConnectionId, Handler, Received};
use crate::stats::CoreStats;
use crate::turn::Turn;
use std::time::{Duration, Instant};

/// How long a peer may hold memory without using it while others lack some.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// How long a peer may leave a frame unfinished, or send nothing at first: far longer than any network delays the
/// rest of a frame, and short enough that silent strangers do not take the places of callers for long.
const UNFINISHED_MAX: Duration = Duration::from_secs(10);

/// Connections that waited and are gone on with in one turn. Each may take a whole turn of its handler (256 frames take an
/// agent 50 us), and who has just asked waits for all of them.
const WAITING_PER_TURN_MAX: usize = 16;

/// What became of a connection's unhandled bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pumped {
    /// There is nothing more to show.
    Dry,
    /// The handler wants others to have their turn first.
    Yielded,
    /// Memory, or another core, must come to help first.
    Starved,
    /// The peer must read its answers first.
    Paused,
    /// Nothing is shown any more.
    Closed,
}

impl<H: Handler, B: Backend> CoreLoop<H, B> {
    /// Bytes arrived.
    pub(super) fn received(&mut self, id: ConnectionId, inbound: Inbound, armed: bool) {
        self.desk.stats().receives.add(1);
        self.desk.stats().bytes_received.add(inbound.len() as u64);
        let Some(connection) = self.desk.connections.get_mut(id) else {
            self.backend.release(inbound);
            return;
        };
        connection.receiving = armed;
        connection.stopping &= armed;
        if connection.stage != Stage::Open {
            self.backend.release(inbound);
            self.want_bytes(id);
            self.let_go(id);
            return;
        }
        // Less than a slot means that the socket is empty: the peer does not outrun us.
        connection.flooding &= inbound.len() == SLOT_BYTES || connection.inflow.has_more();
        connection.inflow.hold(inbound);
        if !connection.waiting && !connection.paused {
            self.pump(id);
        } else {
            self.make_way(id);
        }
        self.hold_back(id);
    }

    /// No more bytes come: what came before is handled first, then the connection ends for `reason`.
    pub(super) fn no_more_comes(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        connection.ended = Some(reason);
        match connection.stage {
            Stage::Open if !connection.waiting && !connection.paused => {
                self.pump(id);
            }
            Stage::Lingering => self.end(id),
            _ => {}
        }
    }

    /// Shows the handler what waited for this turn: the bytes of the first `waited` connections of the list, or of as many
    /// of them as a turn has room for.
    pub(super) fn pump_waiting(&mut self, waited: usize) {
        let count = waited.min(WAITING_PER_TURN_MAX);
        let later = self.waiting.split_off(count);
        self.due = self.due.saturating_sub(count);
        for id in std::mem::replace(&mut self.waiting, later) {
            if let Some(connection) = self.desk.connections.get_mut(id) {
                connection.waiting = false;
                // What helped one may help those behind it.
                if self.pump(id) != Pumped::Starved {
                    self.due = self.due.max(waited - count);
                }
                self.want_bytes(id);
            }
        }
    }

    /// The out-queue got shorter: a connection that waited for this goes on in the next turn.
    pub(super) fn resume(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.open_mut(id)
            && std::mem::take(&mut connection.paused)
        {
            self.wait_for_turn(id, true);
        }
    }

    /// Sees to it that a receive is armed at the end of this turn, if bytes are wanted then.
    pub(super) fn want_bytes(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.get_mut(id)
            && !connection.receiving
            && !connection.rearm
        {
            connection.rearm = true;
            self.rearm.push(id);
        }
    }

    /// Arms the receives of this turn. While slots are scarce only as many as there are slots, so that the others need
    /// not be told in vain: they have their turn next.
    pub(super) fn arm_receives(&mut self) {
        if self.rearm.is_empty() {
            return;
        }
        let mut most = if self.scarce {
            self.backend.slots_free()
        } else {
            usize::MAX
        };
        let mut rearm = std::mem::take(&mut self.rearm).into_iter();
        while most > 0
            && let Some(id) = rearm.next()
        {
            most -= usize::from(self.arm_receive(id));
        }
        self.rearm.extend(rearm);
        self.scarce = !self.rearm.is_empty();
        self.rearm_due = self.scarce && self.backend.slots_free() > 0;
    }

    /// Arms a connection's receive, if bytes are wanted.
    fn arm_receive(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return false;
        };
        connection.rearm = false;
        let wanted = match connection.stage {
            Stage::Open => {
                let outruns = connection.flooding && connection.inflow.has_more();
                !connection.paused && !outruns && connection.inflow.unhandled() < UNHANDLED_BYTES_MAX
            }
            // What comes is thrown away; only the end of it is waited for.
            Stage::Lingering => true,
            _ => false,
        };
        if !wanted || connection.receiving || connection.ended.is_some() {
            return false;
        }
        // While slots are scarce each gets one: a receive of many would take as many as there are for a single peer.
        let how = if connection.flooding || self.scarce {
            Receive::Once
        } else {
            Receive::Many
        };
        connection.receiving = true;
        let fd = connection.fd();
        self.backend.receive(id, fd, how);
        true
    }

    /// Shows the handler what there is, until it yields or nothing is left.
    fn pump(&mut self, id: ConnectionId) -> Pumped {
        let pumped = loop {
            if let Some(pumped) = self.show(id) {
                break pumped;
            }
        };
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return pumped;
        };
        match pumped {
            Pumped::Dry => {
                if let Some(reason) = connection.ended {
                    self.desk.close(id, reason);
                }
            }
            Pumped::Yielded => self.wait_for_turn(id, true),
            Pumped::Starved => self.wait_for_turn(id, false),
            Pumped::Paused => connection.paused = true,
            Pumped::Closed => connection.inflow.discard(&mut self.backend),
        }
        self.make_way(id);
        pumped
    }

    /// Shows the handler the oldest bytes once. `None` means: go on.
    fn show(&mut self, id: ConnectionId) -> Option<Pumped> {
        let (over, crowded) = (self.desk.posts.is_over(), self.desk.unsent.is_crowded());
        let memory = &self.desk.memory;
        let Some(connection) = self.desk.connections.open_mut(id) else {
            return Some(Pumped::Closed);
        };
        // While memory is short, only who has read all answers gets another, whatever it is written to. Who lets them
        // lie takes no more turns until it has read them, and leaves the receive slots to others.
        let (unread, short) = (!connection.out.is_empty(), memory.is_short());
        let deaf = unread && (crowded || (short && connection.blocked));
        if connection.out.bytes() >= OUT_PAUSE_BYTES || deaf {
            return Some(Pumped::Paused);
        }
        if (over || (short && unread)) && connection.inflow.unhandled() > 0 {
            return Some(Pumped::Starved);
        }
        let view = match connection.inflow.take(memory, &mut self.backend) {
            Taken::View(view) => view,
            Taken::Nothing => return Some(Pumped::Dry),
            Taken::NoMemory => return Some(Pumped::Starved),
        };
        let bytes = view.bytes(&self.backend);
        let shown = bytes.len();
        let turn = &mut Turn::new(self.now, &mut self.desk);
        let (consumed, more) = match self.handler.received(turn, id, bytes) {
            Received::Consumed(bytes) => (bytes, false),
            Received::Yield(bytes) => (bytes, true),
            Received::Close => {
                self.desk.close(id, CloseReason::Handler);
                (shown, false)
            }
        };
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return Some(Pumped::Closed);
        };
        if consumed > 0 {
            connection.handled = self.now;
        }
        let freed = connection
            .inflow
            .put_back(view, consumed, more, &self.desk.memory, &mut self.backend);
        connection.owes = match connection.owes {
            // Whole frames are left: now it is we who owe.
            _ if more || connection.inflow.unhandled() == 0 => None,
            Some(since) if consumed == 0 && !connection.may_be_silent => Some(since),
            _ => Some(self.now),
        };
        connection.may_be_silent = false;
        if !more && consumed == 0 && shown >= FRAME_BYTES_MAX {
            self.desk.close(id, CloseReason::Handler);
            return Some(Pumped::Closed);
        }
        self.owe(id);
        match (freed, more) {
            (false, _) => Some(Pumped::Starved),
            (true, true) => Some(Pumped::Yielded),
            (true, false) => None,
        }
    }

    /// Sets a timer for a peer that owes the rest of a frame.
    pub(super) fn owe(&mut self, id: ConnectionId) {
        if let Some(connection) = self.desk.connections.open_mut(id)
            && let Some(since) = connection.owes
            && !connection.owe_timer
        {
            connection.owe_timer = true;
            self.timers.set(since + UNFINISHED_MAX, Timer::Unfinished(id));
        }
    }

    /// That timer fired: a peer that still owes what it owed is closed. Who waits for us is spared, and while there are
    /// places enough, who may be silent.
    pub(super) fn look_for_end_of_frame(&mut self, id: ConnectionId) {
        let taken: u64 = self.desk.all_stats.iter().map(CoreStats::connections).sum();
        let roomy = taken < self.connections_max.div_ceil(2);
        let Some(connection) = self.desk.connections.open_mut(id) else {
            return;
        };
        connection.owe_timer = false;
        if connection.waiting || connection.paused || (connection.may_be_silent && roomy) {
            connection.owes = connection.owes.map(|_| self.now);
        }
        match connection.owes {
            Some(since) if since + UNFINISHED_MAX <= self.now => self.desk.doom(id, CloseReason::Unfinished),
            _ => self.owe(id),
        }
    }

    /// Puts a connection into the list of those whose bytes wait; `ready` says that the next turn can serve it.
    fn wait_for_turn(&mut self, id: ConnectionId, ready: bool) {
        if let Some(connection) = self.desk.connections.get_mut(id)
            && !connection.waiting
        {
            connection.waiting = true;
            self.waiting.push(id);
        }
        if ready {
            self.due = self.waiting.len();
        }
    }

    /// Frees the slots of a connection whose bytes wait, before others lack them. A peer that reads nothing and whose
    /// bytes fit nowhere else is too slow.
    fn make_way(&mut self, id: ConnectionId) {
        let scarce = self.backend.slots_free() < self.backend.slots() / 2;
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        if !connection.inflow.holds_slots() || !(connection.paused || scarce) {
            return;
        }
        let freed = connection.inflow.evacuate(&self.desk.memory, &mut self.backend);
        if !freed && connection.paused {
            self.desk.doom(id, CloseReason::Slow);
        }
    }

    /// Stops a receive that brings more than is handled.
    fn hold_back(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.open_mut(id) else {
            return;
        };
        if !connection.receiving {
            self.want_bytes(id);
        } else if !connection.stopping
            && (connection.paused || connection.inflow.unhandled() >= UNHANDLED_BYTES_MAX)
        {
            (connection.stopping, connection.flooding) = (true, true);
            let fd = connection.fd();
            self.desk.stats().receives_paused.add(1);
            self.backend.stop_receiving(id, fd);
        }
    }

    /// Sets a timer once memory was short.
    pub(super) fn look_for_shortage(&mut self) {
        if !self.reclaiming && self.desk.memory.take_was_short() {
            self.reclaiming = true;
            self.timers.set(self.now + HOLD_MAX, Timer::Reclaim);
        }
    }

    /// Where memory is still short, ends those who hold some for nothing: half a frame whose end does not come, or
    /// answers that are not read. Who waits for us is spared.
    pub(super) fn reclaim(&mut self) {
        self.reclaiming = false;
        if !self.desk.memory.take_was_short() {
            return;
        }
        for id in self.desk.connections.ids() {
            let Some(connection) = self.desk.connections.get_mut(id) else {
                continue;
            };
            let since = |at: Instant| self.now.saturating_duration_since(at);
            let half_a_frame = connection.inflow.unhandled() > 0
                && !connection.waiting
                && !connection.paused
                && since(connection.handled) >= HOLD_MAX;
            if half_a_frame || (connection.blocked && since(connection.progress) >= HOLD_MAX) {
                self.desk.doom(id, CloseReason::Slow);
            }
        }
    }
}
