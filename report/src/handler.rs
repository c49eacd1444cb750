//! One core of report: agents' frames in, batches to the control thread, acknowledgements out.

use crate::mail::{Answer, Arrival, Asker, ChangesArrival, Mail, Outcome};
use crate::old_agents::OldWindows;
use crate::records::{call_batch, change_records};
use crate::refusal::{Refused, UNANSWERED_MAX};
use crate::session::{Session, Speech};
use crate::stats::CoreCounts;
use crate::status::StatusSource;
use lars_compat::{MessageId, Opening};
use lars_pool::{ByConnection, CloseReason, ConnectionId, CoreIndex, Handler, Peer, Received, Seldom, Turn};
use lars_wire::admin::GetStatus;
use lars_wire::bounds::{HEADER_BYTES, TALLIES_MAX, TEXT_BYTES_MAX};
use lars_wire::caller::{Hello, Welcome};
use lars_wire::event::{ChangeAck, ChangeBatch};
use lars_wire::frame::Frame;
use lars_wire::record::{TallyAck, TallyBatch};
use lars_wire::session::Stopped;
use lars_wire::{Kind, Message, VERSION, codec};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Frames of one connection that are handled before others have their turn.
const FRAMES_PER_TURN_MAX: usize = 256;
/// What a batch takes of the room for what waits beside its tallies, in units of one tally.
const BATCH_ROOM: u32 = 2;
/// Bytes of the longest answer but for the status: a refusal, with its reason and the length of its text.
const ANSWER_BYTES_MAX: usize = HEADER_BYTES + 1 + 8 + TEXT_BYTES_MAX;

/// Batches of windows of old agents that are on their way to the store together: each is one agent's, so that one
/// transaction takes many.
const OLD_ON_THEIR_WAY_MAX: u32 = 1_024;
/// Who is told that windows of old agents are stored: their core, which then passes on the next.
const NOBODY: ConnectionId = ConnectionId {
    slot: u32::MAX,
    generation: u32::MAX,
};

/// What a core is made of.
pub(crate) struct HandlerParts {
    /// Which core it is.
    pub me: CoreIndex,
    /// The way to the control thread. It has room for all that the cores may send, since each of them keeps to its own.
    pub arrivals: mpsc::Sender<Arrival>,
    /// The same for changes of nodes; it has little room, since those who find none send theirs again.
    pub changes: mpsc::Sender<ChangesArrival>,
    /// Room for what waits, in units of one tally.
    pub room: u32,
    /// Its counts.
    pub counts: Arc<CoreCounts>,
    /// What it answers to a status.
    pub status: StatusSource,
    /// Report's random identity.
    pub incarnation: [u8; 16],
}

/// One core of report.
pub(crate) struct ReportHandler {
    parts: HandlerParts,
    sessions: ByConnection<Session>,
    bad_log: Seldom,
    old_windows: OldWindows,
    /// Batches of those that are on their way to the store.
    old_on_their_way: u32,
    old_now: u64,
}

impl ReportHandler {
    /// A core that serves nobody yet.
    pub(crate) fn new(parts: HandlerParts) -> Self {
        Self {
            parts,
            sessions: ByConnection::default(),
            bad_log: Seldom::new(),
            old_windows: OldWindows::default(),
            old_on_their_way: 0,
            old_now: 0,
        }
    }

    fn request(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        frame: Frame<'_>,
    ) -> Result<(), Refused> {
        let Some(session) = self.sessions.get(connection) else {
            return Ok(());
        };
        let (welcomed, is_local) = (session.welcomed, session.peer.is_local());
        match frame.header.kind {
            Kind::Hello if !welcomed => self.hello(turn, connection, frame),
            other if !welcomed => Err(Refused::NoHello(other)),
            Kind::TallyBatch => self.batch(connection, frame),
            Kind::ChangeBatch => self.changes(connection, frame),
            Kind::GetStatus if is_local => {
                let GetStatus { .. } = codec::decode(frame.body)?;
                let mut bytes = Vec::new();
                if codec::append(&self.parts.status.text(), frame.header.sequence, &mut bytes).is_ok() {
                    turn.reply_shared(connection, bytes.into());
                }
                Ok(())
            }
            Kind::GetStatus => Err(Refused::Forbidden(Kind::GetStatus)),
            other => Err(Refused::Unexpected(other)),
        }
    }

    fn hello(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        frame: Frame<'_>,
    ) -> Result<(), Refused> {
        let hello: Hello = codec::decode(frame.body)?;
        if hello.version < u16::from(VERSION) {
            return Err(Refused::Version(hello.version));
        }
        if let Some(session) = self.sessions.get(connection) {
            session.welcomed = true;
        }
        let version = u16::from(VERSION);
        let welcome = Welcome {
            version,
            incarnation: self.parts.incarnation,
            sockets: 0,
            board: false,
        };
        answer(turn, connection, frame.header.sequence, &welcome);
        Ok(())
    }

    /// Passes a batch on; it is answered when it is stored.
    fn batch(&mut self, connection: ConnectionId, frame: Frame<'_>) -> Result<(), Refused> {
        let batch: TallyBatch = codec::decode(frame.body)?;
        let Some(session) = self.sessions.get(connection) else {
            return Ok(());
        };
        if session.unanswered >= UNANSWERED_MAX {
            return Err(Refused::TooMany);
        }
        let room = BATCH_ROOM + batch.tallies.len() as u32;
        if room > self.parts.room {
            return Err(Refused::NoRoom);
        }
        let asker = Asker {
            core: self.parts.me,
            connection,
            question: frame.header.sequence,
            room,
        };
        let arrival = Arrival {
            batch: call_batch(&batch, unix_now_ms()),
            asker,
        };
        // It fails only while the service stops: what is not acknowledged, the agent keeps.
        if self.parts.arrivals.try_send(arrival).is_err() {
            return Err(Refused::NoRoom);
        }
        session.unanswered += 1;
        self.parts.room -= room;
        self.parts.counts.batches.add(1);
        self.parts.counts.tallies.add(batch.tallies.len() as u64);
        Ok(())
    }

    /// Passes changes of nodes on; answered when they are stored. Those for which there is no room now are dropped: the
    /// agent sends them again.
    fn changes(&mut self, connection: ConnectionId, frame: Frame<'_>) -> Result<(), Refused> {
        let batch: ChangeBatch = codec::decode(frame.body)?;
        let arrival = ChangesArrival {
            changes: change_records(batch, unix_now_ms()),
            asker: Asker {
                core: self.parts.me,
                connection,
                question: frame.header.sequence,
                room: 0,
            },
        };
        if !arrival.changes.is_empty() && self.parts.changes.try_send(arrival).is_err() {
            self.parts.counts.changes_dropped.add(1);
        }
        Ok(())
    }

    /// Frames of an agent of the C++ Lars: windows, which nobody is answered for.
    fn received_old(&mut self, bytes: &[u8]) -> Result<Received, Refused> {
        let mut consumed = 0;
        for _ in 0..FRAMES_PER_TURN_MAX {
            let Some(frame) = lars_compat::split(&bytes[consumed..])? else {
                return Ok(Received::Consumed(consumed));
            };
            consumed += frame.bytes();
            if frame.id() == Some(MessageId::Status) {
                let status = lars_compat::decode(MessageId::Status, frame.body)?;
                self.parts.counts.old_statuses.add(1);
                let dropped = self.old_windows.add(&status, unix_now_ms() / 1_000);
                self.parts.counts.old_windows_dropped.add(dropped);
            } else {
                // As those programs do with a message that they do not expect.
                self.parts.counts.old_skipped.add(1);
            }
        }
        Ok(Received::Yield(consumed))
    }

    /// Passes the windows of old agents on, once those before them are stored: until then newer ones replace them.
    fn pass_old_windows(&mut self) {
        while self.old_on_their_way < OLD_ON_THEIR_WAY_MAX
            && !self.old_windows.is_empty()
            && self.parts.room > BATCH_ROOM
        {
            let records_max = TALLIES_MAX.min((self.parts.room - BATCH_ROOM) as usize);
            let Some(batch) = self.old_windows.take(self.parts.me.0, records_max) else {
                return;
            };
            let room = BATCH_ROOM + batch.records.len() as u32;
            let asker = Asker {
                core: self.parts.me,
                connection: NOBODY,
                question: 0,
                room,
            };
            // It fails only while the service stops.
            if self.parts.arrivals.try_send(Arrival { batch, asker }).is_err() {
                return;
            }
            self.parts.room -= room;
            self.old_on_their_way += 1;
        }
    }

    fn answered(&mut self, turn: &mut Turn<'_, Mail>, Answer { asker, outcome }: Answer) {
        self.parts.room += asker.room;
        if asker.connection == NOBODY {
            self.old_on_their_way = self.old_on_their_way.saturating_sub(1);
            return;
        }
        let Some(session) = self.sessions.get(asker.connection) else {
            return;
        };
        if !matches!(outcome, Outcome::Known | Outcome::Changes { .. }) {
            session.unanswered = session.unanswered.saturating_sub(1);
        }
        match outcome {
            Outcome::Stored {
                incarnation,
                sequence,
            } => {
                answer(
                    turn,
                    asker.connection,
                    asker.question,
                    &TallyAck {
                        incarnation,
                        sequence,
                    },
                );
            }
            Outcome::Changes { incarnation, number } => {
                let ack = ChangeAck { incarnation, number };
                answer(turn, asker.connection, asker.question, &ack);
            }
            Outcome::Gap { sequence, newest } => {
                self.refuse(
                    turn,
                    asker.connection,
                    asker.question,
                    &Refused::Gap { sequence, newest },
                );
                turn.close(asker.connection);
            }
            Outcome::Known | Outcome::Forgotten => {}
        }
    }

    /// Tells the peer why its connection is closed next.
    fn refuse(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        question: u32,
        refused: &Refused,
    ) {
        answer(turn, connection, question, &refused.refusal());
        self.complain(turn, connection, refused);
    }

    /// Counts a connection that is closed, and says so now and then.
    fn complain(&mut self, turn: &Turn<'_, Mail>, connection: ConnectionId, refused: &Refused) {
        match refused {
            Refused::NoRoom => self.parts.counts.turned_away.add(1),
            // The control thread counts it.
            Refused::Gap { .. } => {}
            _ => self.parts.counts.bad_frames.add(1),
        }
        if let Some(kept_back) = self.bad_log.allow(turn.now()) {
            let peer = self.sessions.get(connection).map(|session| session.peer);
            tracing::warn!(?peer, error = %refused, kept_back, "an agent's connection is closed");
        }
    }
}

impl Handler for ReportHandler {
    type Mail = Mail;

    fn opened(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, peer: Peer, _: u16) {
        // An agent of the C++ Lars connects when it starts and speaks when its first caller has reported.
        turn.allow_silence(connection);
        self.sessions.open(connection, Session::new(peer));
        self.parts.counts.connections.set(self.sessions.len() as u64);
    }

    fn received(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, bytes: &[u8]) -> Received {
        let Some(session) = self.sessions.get(connection) else {
            return Received::Close;
        };
        if session.speech == Speech::Unclear {
            match Opening::of(bytes) {
                Opening::Unclear => return Received::Consumed(0),
                Opening::Old => {
                    session.speech = Speech::Old;
                    self.old_now += 1;
                    self.parts.counts.old_agents.set(self.old_now);
                }
                Opening::Other => session.speech = Speech::Ours,
            }
        }
        if session.speech == Speech::Old {
            return self.received_old(bytes).unwrap_or_else(|refused| {
                self.complain(turn, connection, &refused);
                Received::Close
            });
        }
        let mut stream = session.stream;
        let drained = stream.drain(bytes, FRAMES_PER_TURN_MAX, |frame| {
            self.request(turn, connection, frame)
        });
        if let Some(session) = self.sessions.get(connection) {
            session.stream = stream;
        }
        match drained {
            Ok(drained) if drained.more => Received::Yield(drained.consumed),
            Ok(drained) => Received::Consumed(drained.consumed),
            Err(Stopped { sequence, error, .. }) => {
                self.refuse(turn, connection, sequence, &error);
                Received::Close
            }
        }
    }

    fn mail(&mut self, turn: &mut Turn<'_, Mail>, mail: Mail) {
        let Mail::Answers(answers) = mail;
        for answer in answers {
            self.answered(turn, answer);
        }
    }

    fn closed(&mut self, _: &mut Turn<'_, Mail>, connection: ConnectionId, _: CloseReason) {
        let session = self.sessions.get(connection);
        self.old_now -= u64::from(session.is_some_and(|session| session.speech == Speech::Old));
        self.parts.counts.old_agents.set(self.old_now);
        self.sessions.close(connection);
        self.parts.counts.connections.set(self.sessions.len() as u64);
    }

    fn settle(&mut self, _: &mut Turn<'_, Mail>) -> Option<Instant> {
        self.pass_old_windows();
        None
    }
}

/// Queues one frame. A connection that does not take it is closed by the pool.
fn answer<M: Message>(turn: &mut Turn<'_, Mail>, connection: ConnectionId, question: u32, message: &M) {
    turn.reply(connection, ANSWER_BYTES_MAX, |out| {
        codec::encode(message, question, out).unwrap_or(0)
    });
}

fn unix_now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
