//! Answers that are much longer than their questions: the whole route of a module is up to 400 KB. A caller that asks
//! for hundreds of them in one go gets them at the pace at which it reads, instead of being taken for a slow one.

use crate::core::Core;
use crate::mail::{Answered, Ask, Mail};
use lars_pool::{ConnectionId, CoreIndex, Turn};
use lars_wire::bounds::{FRAME_BYTES_MAX, NODES_MAX, PAGE_NODES_MAX};
use std::time::{Duration, Instant};

/// Questions of one connection with long answers that are with owners at a time: bounds what their answers take.
const BULKY_MAX: u8 = 4;
/// Room in a connection's out-queue with which it is gone on: the longest route is 16 pages of 64 KiB at most.
const ROOM_MIN: usize = NODES_MAX / PAGE_NODES_MAX * FRAME_BYTES_MAX;
/// How soon it is looked again whether a caller has read.
const RETRY: Duration = Duration::from_millis(5);

impl Core {
    /// Passes the question on, or lets it stand in line.
    pub(super) fn ask_bulky(&mut self, turn: &mut Turn<'_, Mail>, ask: Ask) {
        let Some(session) = self.sessions.get(ask.asker.connection) else {
            return;
        };
        session.deferred.push_back(ask);
        self.ask_deferred(turn, ask.asker.connection);
    }

    /// Sends a long answer; where the caller has not read enough for it, the question stands in line again.
    pub(super) fn answer_bulky(&mut self, turn: &mut Turn<'_, Mail>, answered: &Answered) {
        let connection = answered.ask.asker.connection;
        let Some(session) = self.sessions.get(connection) else {
            return;
        };
        session.bulky = session.bulky.saturating_sub(1);
        if turn.room(connection) >= answered.frames.len() {
            session.waits = session.waits.saturating_sub(1);
            turn.reply_shared(connection, answered.frames.clone());
            self.ask_deferred(turn, connection);
        } else {
            session.deferred.push_front(answered.ask);
            if !self.unread.contains(&connection) {
                self.unread.push(connection);
            }
        }
    }

    /// Goes on with callers that have read meanwhile; returns when to look again.
    pub(super) fn retry_unread(&mut self, turn: &mut Turn<'_, Mail>) -> Option<Instant> {
        let unread = std::mem::take(&mut self.unread);
        for connection in unread {
            if self.sessions.get(connection).is_none() {
                continue;
            }
            if turn.room(connection) < ROOM_MIN {
                self.unread.push(connection);
            } else {
                self.ask_deferred(turn, connection);
            }
        }
        (!self.unread.is_empty()).then(|| turn.now() + RETRY)
    }

    fn ask_deferred(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId) {
        while let Some(session) = self.sessions.get(connection) {
            if session.bulky >= BULKY_MAX || self.unread.contains(&connection) {
                return;
            }
            let Some(ask) = session.deferred.pop_front() else {
                return;
            };
            session.bulky += 1;
            self.pass_on(turn, ask);
        }
    }

    /// Brings a question to the module's owner: a call where that is this core, else mail.
    pub(super) fn pass_on(&mut self, turn: &mut Turn<'_, Mail>, ask: Ask) {
        let owner = CoreIndex(ask.module.shard(turn.cores()));
        if owner == self.me {
            self.owner.ask(turn.now(), ask);
        } else {
            turn.post(owner, Mail::Ask(Box::new(ask)));
        }
    }
}
