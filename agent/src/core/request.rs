//! One frame of a caller: decoded, and answered or passed to the module's owner.

use crate::core::Core;
use crate::core::answer::{frames_without_nodes, no_node, put};
use crate::core::refusal::Refused;
use crate::core::session::WAITS_MAX;
use crate::mail::{Answered, Ask, Asker, Mail, Question};
use crate::tap::TappedCalls;
use lars_board::Picked;
use lars_pool::{ConnectionId, CoreIndex, Peer, Turn};
use lars_wire::admin::GetStatus;
use lars_wire::bounds::{HEADER_BYTES, TEXT_BYTES_MAX};
use lars_wire::caller::{
    Avoid, BarePick, Explain, GetRoute, Hello, Node, Pick, Ping, Pong, Register, Registered, Report,
    ReportBatch, Status, Welcome,
};
use lars_wire::event::ListChanges;
use lars_wire::frame::Frame;
use lars_wire::{CodecError, Kind, Message, ModuleId, VERSION, codec};

/// Room for any answer that is encoded in place; the longest is a refusal with its text.
const ANSWER_BYTES_MAX: usize = HEADER_BYTES + TEXT_BYTES_MAX + 64;
/// Room for a node: header, status, address, token and version.
const NODE_BYTES_MAX: usize = HEADER_BYTES + 1 + 18 + 8 + 8;

impl Core {
    /// Handles one frame.
    pub(crate) fn request(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        frame: Frame<'_>,
    ) -> Result<(), Refused> {
        let (kind, sequence, body) = (frame.header.kind, frame.header.sequence, frame.body);
        let Some(session) = self.sessions.get(connection) else {
            return Ok(());
        };
        let (welcomed, peer) = (session.welcomed, session.peer);
        if !welcomed {
            return self.hello(turn, connection, frame);
        }
        let asker = Asker {
            core: self.me,
            connection,
            sequence,
        };
        match kind {
            Kind::Pick => match BarePick::read(body) {
                Some(pick) => self.pick(turn, asker, pick, &Avoid::NONE),
                None => self.pick_and_avoid(turn, asker, body)?,
            },
            // Read and counted where it lies: moved, it would be copied in pieces that the processor waits for.
            Kind::Report => {
                let report = codec::decode::<Report>(body);
                let report = report.as_ref().map_err(CodecError::clone)?;
                self.reports(turn, std::slice::from_ref(report))?;
            }
            Kind::ReportBatch => self.reports(turn, &codec::decode::<ReportBatch>(body)?.reports)?,
            Kind::Register => {
                let Register { module, deadline_ms } = codec::decode(body)?;
                self.ask(turn, asker, module, Question::Register, deadline_ms);
            }
            Kind::GetRoute => {
                let GetRoute { module, deadline_ms } = codec::decode(body)?;
                self.ask(turn, asker, module, Question::Route, deadline_ms);
            }
            Kind::Explain => {
                let Explain { module } = codec::decode(body)?;
                self.ask(turn, asker, module, Question::Explain, 0);
            }
            Kind::Ping => {
                let Ping { echo } = codec::decode(body)?;
                Self::reply(turn, connection, sequence, &Pong { echo });
            }
            Kind::GetStatus if matches!(peer, Peer::Unix { .. }) => {
                let GetStatus { .. } = codec::decode(body)?;
                let mut frames = Vec::new();
                put(&mut frames, &self.status.text(), sequence);
                turn.reply_shared(connection, frames.into());
            }
            Kind::ListChanges if matches!(peer, Peer::Unix { .. }) => {
                let ListChanges { module } = codec::decode(body)?;
                let rows = self.status.changes.with(|log| log.rows(turn.now(), module));
                let mut frames = Vec::new();
                put(&mut frames, &rows, sequence);
                turn.reply_shared(connection, frames.into());
            }
            Kind::Record if matches!(peer, Peer::Unix { .. }) => {
                self.record(turn, connection, sequence, codec::decode(body)?)?;
            }
            Kind::GetStatus | Kind::ListChanges | Kind::Record => return Err(Refused::Forbidden(kind)),
            _ => return Err(Refused::Unexpected(kind)),
        }
        Ok(())
    }

    fn hello(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        frame: Frame<'_>,
    ) -> Result<(), Refused> {
        if frame.header.kind != Kind::Hello {
            return Err(Refused::NoHello(frame.header.kind));
        }
        let hello: Hello = codec::decode(frame.body)?;
        if hello.version < u16::from(VERSION) {
            return Err(Refused::Version(hello.version));
        }
        if let Some(session) = self.sessions.get(connection) {
            session.welcomed = true;
        }
        let welcome = Welcome {
            version: u16::from(VERSION),
            incarnation: self.incarnation,
            sockets: turn.cores(),
            board: self.board,
        };
        Self::reply(turn, connection, frame.header.sequence, &welcome);
        Ok(())
    }

    fn pick(&mut self, turn: &mut Turn<'_, Mail>, asker: Asker, pick: BarePick, avoid: &Avoid) {
        match self.pick_here(pick.module, pick.key, avoid) {
            Some(node) => self.node(turn, asker, &node),
            None => {
                let question = Question::Pick(pick.key, *avoid);
                self.ask(turn, asker, pick.module, question, pick.deadline_ms);
            }
        }
    }

    /// Apart, so that no other pick pays for the room of the nodes to avoid.
    #[inline(never)]
    fn pick_and_avoid(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        asker: Asker,
        body: &[u8],
    ) -> Result<(), Refused> {
        let pick: Pick = codec::decode(body)?;
        self.pick(turn, asker, pick.bare(), &pick.avoid);
        Ok(())
    }

    /// Picks from the board; none where the module is not on it.
    fn pick_here(&mut self, module: ModuleId, key: Option<u64>, avoid: &Avoid) -> Option<Node> {
        match self.reader.pick_keyed(module, key, avoid.as_slice()) {
            Picked::Node(choice) => Some(Node {
                status: Status::Ok,
                node: choice.addr,
                token: choice.token,
                version: choice.version,
            }),
            Picked::Overloaded { version } => Some(no_node(Status::Overloaded, version)),
            Picked::Absent => None,
        }
    }

    fn node(&mut self, turn: &mut Turn<'_, Mail>, asker: Asker, node: &Node) {
        self.counts.pick(node.status);
        turn.reply(asker.connection, NODE_BYTES_MAX, |out| {
            encode(node, asker.sequence, out)
        });
    }

    /// Counts reports, or puts them out for their owners.
    fn reports(&mut self, turn: &mut Turn<'_, Mail>, reports: &[Report]) -> Result<(), Refused> {
        if !self.desk.takes_reports() {
            return Err(Refused::Stopping);
        }
        for report in reports {
            self.reader.finish(report.token);
            self.take_report(turn, report);
        }
        Ok(())
    }

    /// Counts a report, or puts it out for its owner.
    pub(super) fn take_report(&mut self, turn: &mut Turn<'_, Mail>, report: &Report) {
        self.counts.report(report.outcome);
        let seen = || TappedCalls {
            at: turn.now(),
            module: report.module,
            node: report.node,
            outcome: report.outcome,
            latency_us: report.latency_us,
            calls: 1,
        };
        self.tap_end.see(seen, report.module);
        let owner = CoreIndex(report.module.shard(turn.cores()));
        if owner == self.me {
            self.owner.report(turn.now(), std::slice::from_ref(report));
        } else {
            turn.post(owner, Mail::Report(*report));
        }
    }

    /// Asks the module's owner: a call where that is this core, else mail.
    fn ask(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        asker: Asker,
        module: ModuleId,
        question: Question,
        deadline_ms: u32,
    ) {
        let ask = Ask {
            asker,
            module,
            question,
            deadline_ms,
        };
        let Some(session) = self.sessions.get(asker.connection) else {
            return;
        };
        if session.waits >= WAITS_MAX {
            self.answer(turn, &unanswered(ask));
            return;
        }
        session.waits += 1;
        if question.is_bulky() {
            self.ask_bulky(turn, ask);
        } else {
            self.pass_on(turn, ask);
        }
        self.deliver(turn);
    }

    /// Turns the owner's answer into frames.
    pub(crate) fn answer(&mut self, turn: &mut Turn<'_, Mail>, answered: &Answered) {
        let Answered { ask, status, .. } = answered;
        match &ask.question {
            Question::Pick(key, avoid) => {
                let picked = (*status == Status::Ok).then(|| self.pick_here(ask.module, *key, avoid));
                // Gone again between the owner's answer and this pick: the caller asks again.
                let none = if *status == Status::Ok {
                    Status::Pending
                } else {
                    *status
                };
                let node = picked.flatten().unwrap_or(no_node(none, 0));
                self.node(turn, ask.asker, &node);
            }
            Question::Register => {
                let registered = Registered {
                    status: *status,
                    version: answered.version,
                };
                self.counts.registers.add(1);
                Self::reply(turn, ask.asker.connection, ask.asker.sequence, &registered);
            }
            Question::Route | Question::Explain => {
                turn.reply_shared(ask.asker.connection, answered.frames.clone());
            }
        }
    }

    /// Answers with a short message, encoded in place. What a closed or slow connection does not take is lost with it.
    pub(crate) fn reply<M: Message>(
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        sequence: u32,
        message: &M,
    ) {
        turn.reply(connection, ANSWER_BYTES_MAX, |out| encode(message, sequence, out));
    }
}

/// Encodes what is known to fit; the length of the frame.
fn encode<M: Message>(message: &M, sequence: u32, out: &mut [u8]) -> usize {
    codec::encode(message, sequence, out).unwrap_or_else(|error| {
        debug_assert!(false, "{error}");
        0
    })
}

/// The answer to a question for which its connection has no room: as if its deadline had passed.
fn unanswered(ask: Ask) -> Answered {
    let status = Status::Pending;
    Answered {
        ask,
        status,
        version: 0,
        frames: frames_without_nodes(&ask, status),
    }
}
