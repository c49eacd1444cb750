//! One core of report: agents' frames in, batches to the control thread, acknowledgements out.

use crate::mail::{Answer, Arrival, Asker, Mail, Outcome};
use crate::records::call_batch;
use crate::refusal::{Refused, Throttle, UNANSWERED_MAX};
use crate::sessions::Sessions;
use crate::stats::CoreCounts;
use crate::status::StatusSource;
use lars_pool::{CloseReason, ConnectionId, CoreIndex, Handler, Peer, Received, Turn};
use lars_wire::admin::GetStatus;
use lars_wire::bounds::{HEADER_BYTES, TEXT_BYTES_MAX};
use lars_wire::caller::{Hello, Welcome};
use lars_wire::frame::Frame;
use lars_wire::record::{TallyAck, TallyBatch};
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

/// What a core is made of.
pub(crate) struct HandlerParts {
    /// Which core it is.
    pub me: CoreIndex,
    /// The way to the control thread. It has room for all that the cores may send, since each of them keeps to its own.
    pub arrivals: mpsc::Sender<Arrival>,
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
    sessions: Sessions,
    bad_log: Throttle,
}

impl ReportHandler {
    /// A core that serves nobody yet.
    pub(crate) fn new(parts: HandlerParts) -> Self {
        Self {
            parts,
            sessions: Sessions::default(),
            bad_log: Throttle::default(),
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

    fn answered(&mut self, turn: &mut Turn<'_, Mail>, Answer { asker, outcome }: Answer) {
        self.parts.room += asker.room;
        let Some(session) = self.sessions.get(asker.connection) else {
            return;
        };
        if outcome != Outcome::Known {
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
        match refused {
            Refused::NoRoom => self.parts.counts.turned_away.add(1),
            // The control thread counts it.
            Refused::Gap { .. } => {}
            _ => self.parts.counts.bad_frames.add(1),
        }
        if let Some(kept_back) = self.bad_log.pass(turn.now()) {
            let peer = self.sessions.get(connection).map(|session| session.peer);
            tracing::warn!(?peer, error = %refused, kept_back, "an agent's connection is closed");
        }
    }
}

impl Handler for ReportHandler {
    type Mail = Mail;

    fn opened(&mut self, _: &mut Turn<'_, Mail>, connection: ConnectionId, peer: Peer, _: u16) {
        self.sessions.open(connection, peer);
        self.parts.counts.connections.set(self.sessions.len() as u64);
    }

    fn received(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, bytes: &[u8]) -> Received {
        let Some(session) = self.sessions.get(connection) else {
            return Received::Close;
        };
        let mut stream = session.stream;
        let mut question = 0;
        let drained = stream.drain(bytes, FRAMES_PER_TURN_MAX, |frame| {
            question = frame.header.sequence;
            self.request(turn, connection, frame)
        });
        if let Some(session) = self.sessions.get(connection) {
            session.stream = stream;
        }
        match drained {
            Ok(drained) if drained.more => Received::Yield(drained.consumed),
            Ok(drained) => Received::Consumed(drained.consumed),
            Err(refused) => {
                // Bytes that are no frame ask no question.
                let question = if matches!(refused, Refused::Frame(_)) {
                    0
                } else {
                    question
                };
                self.refuse(turn, connection, question, &refused);
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
        self.sessions.close(connection);
        self.parts.counts.connections.set(self.sessions.len() as u64);
    }

    fn settle(&mut self, _: &mut Turn<'_, Mail>) -> Option<Instant> {
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
