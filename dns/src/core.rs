//! One core of dns: bytes to frames, frames to answers, changes to pushes. The pool's [`Handler`]; what it does stands
//! in the files beside it.

mod answers;
mod connection;
mod old_agents;
mod pushes;
mod questions;
mod streak;
#[cfg(test)]
mod tests;

use crate::catalog::{Catalog, EncodedRoutes, PageCutter, VERSION_LOADED};
use crate::confirmations::{Confirmations, Settled};
use crate::mail::{Mail, Request, Word};
use crate::stats::{CoreCounts, Counts};
use crate::subscriptions::Subscriptions;
use connection::{Connection, Speech};
use lars_compat::Opening;
use lars_compat::route::RouteWriter;
use lars_pool::{CloseReason, ConnectionId, CoreIndex, Handler, Peer, Received, Seldom, Turn};
use lars_wire::admin::{Reason, Refusal, bounded_text};
use lars_wire::bounds::{FRAME_BYTES_MAX, HEADER_BYTES, NODES_MAX, ZONE_BYTES_MAX};
use lars_wire::{CodecError, FrameError, Message, codec};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Frames of one connection that are handled in a turn before others have theirs.
const FRAMES_PER_TURN_MAX: usize = 256;
/// No answer is longer: the largest route, every node in a zone of its own, and its pages' heads. A question is
/// looked at only while so much more fits the out-queue.
const ANSWER_BYTES_MAX: usize = NODES_MAX * (23 + 8 + ZONE_BYTES_MAX) + 65 * 128;
/// How often those who read slowly are looked at again while routes are owed to them.
const OWED_RETRY: Duration = Duration::from_millis(5);

const _: () = assert!(ANSWER_BYTES_MAX > FRAME_BYTES_MAX);

/// Why a connection's frames are handled no further in this turn.
#[derive(Debug)]
enum Stop {
    /// There is no room for another answer: show the rest again when the peer has read.
    Later,
    /// The peer broke the rules: it is told, and its connection closed.
    Refuse(Reason, String),
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        let reason = match error {
            FrameError::Version { .. } => Reason::Version,
            _ => Reason::Malformed,
        };
        Self::Refuse(reason, error.to_string())
    }
}

impl From<CodecError> for Stop {
    fn from(error: CodecError) -> Self {
        Self::Refuse(Reason::Malformed, error.to_string())
    }
}

/// What a core is made from.
pub(crate) struct CoreParts {
    pub(crate) core: CoreIndex,
    pub(crate) incarnation: [u8; 16],
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) counts: Arc<Counts>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) words: mpsc::UnboundedSender<Word>,
}

/// One core's mind.
pub(crate) struct DnsCore {
    parts: CoreParts,
    cutter: PageCutter,
    encoded: EncodedRoutes,
    old_routes: RouteWriter,
    confirmations: Confirmations,
    /// By slot.
    connections: Vec<Option<Connection>>,
    connections_now: u64,
    old_now: u64,
    /// The newest version that this core has pushed: a route of the catalog with a larger one will be pushed yet.
    published: u64,
    /// Connections with routes owed to them, each once.
    owing: Vec<ConnectionId>,
    complaints: Seldom,
}

impl DnsCore {
    pub(crate) fn new(parts: CoreParts) -> Self {
        Self {
            cutter: PageCutter::new(&parts.catalog),
            encoded: EncodedRoutes::new(),
            old_routes: RouteWriter::new(),
            parts,
            confirmations: Confirmations::default(),
            connections: Vec::new(),
            connections_now: 0,
            old_now: 0,
            published: VERSION_LOADED,
            owing: Vec::new(),
            complaints: Seldom::new(),
        }
    }

    fn counts(&self) -> &CoreCounts {
        &self.parts.counts.cores[usize::from(self.parts.core.0)]
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.slot as usize)?
            .as_mut()
            .filter(|connection| connection.id == id)
    }

    fn has_room(turn: &mut Turn<'_, Mail>, id: ConnectionId) -> bool {
        turn.room(id) >= ANSWER_BYTES_MAX
    }

    /// Queues one message.
    fn send<M: Message>(
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        message: &M,
        sequence: u32,
        bytes_max: usize,
    ) {
        turn.reply(id, bytes_max, |out| {
            codec::encode(message, sequence, out).unwrap_or(0)
        });
    }

    /// Tells why something is not done.
    fn refuse(
        &self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        sequence: u32,
        reason: Reason,
        text: String,
    ) {
        self.counts().refusals.add(1);
        let text = bounded_text(text);
        let bytes_max = HEADER_BYTES + 1 + 8 + text.len();
        Self::send(turn, id, &Refusal { reason, text }, sequence, bytes_max);
    }

    /// Counts a connection that is closed for what it sent, and says so now and then.
    fn complain(&mut self, turn: &Turn<'_, Mail>, id: ConnectionId, text: &str) {
        self.counts().bad_frames.add(1);
        if let Some(others) = self.complaints.allow(turn.now()) {
            let peer = self.connection_mut(id).map(|connection| connection.peer);
            tracing::warn!(?peer, text, others, "closed a connection for what it sent");
        }
    }

    fn tell_settled(&self, settled: impl IntoIterator<Item = Settled>) {
        for settled in settled {
            // Fails only while the service stops, when nobody waits any more.
            let _ = self.parts.words.send(Word::Settled(settled));
        }
    }
}

impl Handler for DnsCore {
    type Mail = Mail;

    fn opened(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId, peer: Peer, _listener: u16) {
        // An agent of the C++ Lars connects when it starts and asks when its first caller does.
        turn.allow_silence(id);
        let slot = id.slot as usize;
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        self.connections[slot] = Some(Connection::new(id, peer));
        self.connections_now += 1;
        self.counts().connections.set(self.connections_now);
    }

    fn received(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId, bytes: &[u8]) -> Received {
        let Some(connection) = self.connection_mut(id) else {
            return Received::Close;
        };
        if connection.speech == Speech::Unclear {
            match Opening::of(bytes) {
                Opening::Unclear => return Received::Consumed(0),
                Opening::Old => self.met_old_agent(id),
                Opening::Other => connection.speech = Speech::Ours,
            }
        }
        let Some(connection) = self.connection_mut(id) else {
            return Received::Close;
        };
        if connection.is_old() {
            return self.received_old(turn, id, bytes);
        }
        let mut session = connection.session;
        let streak = self.answer_streak(turn, id, bytes);
        let (rest, frames_max) = (&bytes[streak.bytes..], FRAMES_PER_TURN_MAX - streak.frames);
        let drained = session.drain(rest, frames_max, |frame| self.question(turn, id, frame));
        if let Some(connection) = self.connection_mut(id) {
            connection.session = session;
        }
        match drained {
            Ok(drained) if drained.more => Received::Yield(streak.bytes + drained.consumed),
            Ok(drained) => Received::Consumed(streak.bytes + drained.consumed),
            Err(stopped) => match stopped.error {
                Stop::Later => Received::Yield(streak.bytes + stopped.consumed),
                Stop::Refuse(reason, text) => {
                    self.complain(turn, id, &text);
                    self.refuse(turn, id, stopped.sequence, reason, text);
                    Received::Close
                }
            },
        }
    }

    fn mail(&mut self, turn: &mut Turn<'_, Mail>, mail: Mail) {
        match mail {
            Mail::Loaded => self.answer_all(turn),
            Mail::Published(publication) => self.push(turn, &publication),
            Mail::Moved { told } => self.tell_moved(turn, told),
            Mail::Answer {
                connection,
                frame,
                close,
            } => {
                turn.reply_shared(connection, frame);
                if close {
                    turn.close(connection);
                }
            }
        }
    }

    fn closed(&mut self, _turn: &mut Turn<'_, Mail>, id: ConnectionId, _reason: CloseReason) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        self.old_now -= u64::from(connection.is_old());
        self.counts().old_agents.set(self.old_now);
        self.connections[id.slot as usize] = None;
        self.connections_now -= 1;
        self.counts().connections.set(self.connections_now);
        self.parts.subscriptions.close(id.slot);
        self.count_subscriptions();
        let settled = self.confirmations.closed(id.slot);
        self.tell_settled(settled);
    }

    fn settle(&mut self, turn: &mut Turn<'_, Mail>) -> Option<Instant> {
        let expired = self.confirmations.expired(turn.now());
        self.tell_settled(expired);
        self.pay_what_is_owed(turn);
        let retry = (!self.owing.is_empty()).then(|| turn.now() + OWED_RETRY);
        [retry, self.confirmations.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
