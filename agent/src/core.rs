//! One core's turn: callers' frames in, answers out, and the shard of modules that this core owns.

#[cfg(test)]
mod allocations;
mod answer;
mod bulk;
mod desk;
mod line;
mod old_callers;
mod owner;
mod recording;
mod refusal;
mod request;
mod session;
mod waiting;

pub(crate) use owner::Owner;
pub(crate) use refusal::no_connection_left;

use crate::core::desk::Desk;
use crate::core::old_callers::OldCallers;
use crate::core::recording::Recording;
use crate::core::refusal::Refused;
use crate::core::session::Session;
use crate::mail::{Answered, Mail, Memo};
use crate::stats::CoreCounts;
use crate::status::StatusSource;
use crate::tap::{Tap, TapEnd};
use lars_board::BoardReader;
use lars_pool::{ByConnection, CloseReason, ConnectionId, CoreIndex, Handler, Peer, Received, Seldom, Turn};
use lars_wire::session::Stopped;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Frames of one connection that are handled before others have their turn.
const FRAMES_PER_TURN_MAX: usize = 256;
/// How often a core tells readers of the board that its shard lives, also when nothing else happens. A caller that
/// maps the board compares it with a coarse clock of 4 ms grain, and believes an agent hung after seconds.
const BEAT_INTERVAL: Duration = Duration::from_millis(100);
/// How often owners are told which modules were picked from; far below the shortest `module_idle_s`.
const USED_INTERVAL: Duration = Duration::from_secs(5);
/// Nodes whose counts are given away in one turn: a fraction of a millisecond, also where they are in no cache. What is left of
/// a flush follows in the next turns.
const FLUSHED_IN_TURN_MAX: usize = 4_096;
/// How soon a core that finds no room for its memos tries again.
const MEMO_RETRY: Duration = Duration::from_millis(5);

/// What a core is made of.
pub(crate) struct CoreParts {
    /// Which core it is.
    pub me: CoreIndex,
    /// How many there are.
    pub cores: u16,
    /// Its own reader of the board.
    pub reader: BoardReader,
    /// The modules that it owns.
    pub owner: Owner,
    /// The way to the control thread.
    pub memos: mpsc::Sender<Memo>,
    /// Its counts.
    pub counts: Arc<CoreCounts>,
    /// What it answers to a status.
    pub status: StatusSource,
    /// The agent's random identity.
    pub incarnation: [u8; 16],
    /// How often counts go to report.
    pub flush_interval: Duration,
    /// Whether the board is handed out: then the callers' thread posts reports too.
    pub board: bool,
    /// The tap of recordings.
    pub tap: Tap,
}

/// One core of the agent.
pub(crate) struct Core {
    me: CoreIndex,
    reader: BoardReader,
    owner: Owner,
    sessions: ByConnection<Session>,
    /// Connections whose long answers wait until the caller has read.
    unread: Vec<ConnectionId>,
    desk: Desk,
    old: OldCallers,
    counts: Arc<CoreCounts>,
    status: StatusSource,
    incarnation: [u8; 16],
    bad_log: Seldom,
    flush_interval: Duration,
    board: bool,
    tap: Tap,
    tap_end: TapEnd,
    /// The recording that a caller of this core asked for.
    recording: Option<Recording>,
    next_flush: Option<Instant>,
    /// Nodes whose counts are still to be given away in this flush, at most.
    flushing: usize,
    next_beat: Option<Instant>,
    next_used: Option<Instant>,
}

impl Core {
    /// A core that serves nobody yet.
    pub(crate) fn new(parts: CoreParts) -> Self {
        Self {
            me: parts.me,
            reader: parts.reader,
            owner: parts.owner,
            sessions: ByConnection::default(),
            unread: Vec::new(),
            desk: Desk::new(
                parts.me,
                parts.cores.saturating_sub(1) + u16::from(parts.board),
                parts.memos,
            ),
            old: OldCallers::default(),
            counts: parts.counts,
            status: parts.status,
            incarnation: parts.incarnation,
            bad_log: Seldom::new(),
            flush_interval: parts.flush_interval,
            board: parts.board,
            tap_end: TapEnd::new(parts.tap.clone()),
            tap: parts.tap,
            recording: None,
            next_flush: None,
            flushing: 0,
            next_beat: None,
            next_used: None,
        }
    }

    /// Tells the caller why, and closes its connection.
    fn refuse(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        Stopped {
            sequence,
            error: refused,
            ..
        }: &Stopped<Refused>,
    ) -> Received {
        Self::reply(turn, connection, *sequence, &refused.refusal());
        if !matches!(refused, Refused::Stopping) {
            self.counts.bad_frames.add(1);
            if let Some(kept_back) = self.bad_log.allow(turn.now()) {
                let peer = self.sessions.get(connection).map(|session| session.peer);
                tracing::warn!(?peer, error = %refused, kept_back, "a caller's connection is closed for what it sent");
            }
        }
        Received::Close
    }

    /// Brings the owner's answers to those who asked.
    fn deliver(&mut self, turn: &mut Turn<'_, Mail>) {
        // An answer that leaves may let a question go on that stood in line behind it, so there may be new ones.
        while !self.owner.answers.is_empty() {
            for answered in std::mem::take(&mut self.owner.answers) {
                if answered.ask.asker.core == self.me {
                    self.answered(turn, &answered);
                } else {
                    turn.post(answered.ask.asker.core, Mail::Answered(Box::new(answered)));
                }
            }
        }
    }

    fn answered(&mut self, turn: &mut Turn<'_, Mail>, answered: &Answered) {
        if answered.ask.question.is_bulky() {
            self.answer_bulky(turn, answered);
        } else if let Some(session) = self.sessions.get(answered.ask.asker.connection) {
            session.waits = session.waits.saturating_sub(1);
            self.answer(turn, answered);
        }
    }

    /// Tells every owner which of its modules were picked from here.
    fn tell_used(&mut self, turn: &mut Turn<'_, Mail>) {
        let mut used = Vec::new();
        self.reader.take_used(&mut used);
        used.extend(self.old.routes_used.drain());
        let mut of_owner = vec![Vec::new(); usize::from(turn.cores())];
        for module in used {
            of_owner[usize::from(module.shard(turn.cores()))].push(module);
        }
        for (core, modules) in (0..).zip(of_owner) {
            match CoreIndex(core) {
                _ if modules.is_empty() => {}
                owner if owner == self.me => self.owner.used(turn.now(), &modules),
                owner => turn.post(owner, Mail::Used(modules)),
            }
        }
    }

    /// Gives counts to the control thread, those of as many nodes as a turn allows; where there is no room they stay with the
    /// shard.
    fn flush(&mut self, now: Instant) {
        if self.desk.has_room_for_tallies() {
            let most = self.flushing.min(FLUSHED_IN_TURN_MAX);
            self.flushing -= most;
            let tallies = self.owner.take_tallies(now, most);
            self.desk.tallies(tallies);
        }
    }
}

/// Whether something that is done every `interval` is due; sets when it is next.
fn is_due(next: &mut Option<Instant>, now: Instant, interval: Duration) -> bool {
    let due = next.is_some_and(|next| next <= now);
    if due || next.is_none() {
        *next = Some(now + interval);
    }
    due
}

impl Handler for Core {
    type Mail = Mail;

    fn opened(&mut self, _: &mut Turn<'_, Mail>, connection: ConnectionId, peer: Peer, _: u16) {
        self.sessions.open(connection, Session::new(peer));
    }

    fn received(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, bytes: &[u8]) -> Received {
        let Some(session) = self.sessions.get(connection) else {
            return Received::Close;
        };
        let mut stream = session.stream;
        let drained = stream.drain(bytes, FRAMES_PER_TURN_MAX, |frame| {
            self.request(turn, connection, frame)
        });
        if let Some(session) = self.sessions.get(connection) {
            session.stream = stream;
        }
        self.deliver(turn);
        match drained {
            Ok(drained) if drained.more => Received::Yield(drained.consumed),
            Ok(drained) => Received::Consumed(drained.consumed),
            Err(stopped) => self.refuse(turn, connection, &stopped),
        }
    }

    fn datagram(&mut self, turn: &mut Turn<'_, Mail>, _: u16, bytes: &[u8], answer: &mut [u8]) -> usize {
        self.old_caller(turn, bytes, answer)
    }

    fn mail(&mut self, turn: &mut Turn<'_, Mail>, mail: Mail) {
        let now = turn.now();
        match mail {
            Mail::Ask(ask) => self.owner.ask(now, *ask),
            Mail::Want(module) => {
                self.owner.want(now, module);
            }
            Mail::Answered(answered) => self.answered(turn, &answered),
            Mail::Report(report) => self.owner.report(now, &[report]),
            Mail::Calls(runs) => {
                for run in &runs {
                    self.counts.reports(run.outcome, run.calls);
                }
                self.owner.ended(now, &runs);
            }
            Mail::Probe(grant) => self.owner.probe(grant),
            Mail::Used(modules) => self.owner.used(now, &modules),
            Mail::Learn(news, confirm) => self.owner.learn(now, &news, Some(confirm)),
            Mail::Policies(set) => self.owner.set_policies(now, self.me.0, turn.cores(), &set),
            Mail::Tapped(tapped) => self.tapped(turn, &tapped),
            Mail::Drain => self.desk.drain(),
            Mail::Drained => self.desk.drained(),
        }
        self.deliver(turn);
    }

    fn closed(&mut self, _: &mut Turn<'_, Mail>, connection: ConnectionId, _: CloseReason) {
        self.end_recording_of(connection);
        self.sessions.close(connection);
    }

    fn settle(&mut self, turn: &mut Turn<'_, Mail>) -> Option<Instant> {
        let now = turn.now();
        let owner_due = self.owner.settle(now);
        let unread_due = self.retry_unread(turn);
        let recording_due = self.settle_recording(turn);
        self.deliver(turn);
        if is_due(&mut self.next_used, now, USED_INTERVAL) {
            self.tell_used(turn);
        }
        if is_due(&mut self.next_beat, now, BEAT_INTERVAL) {
            self.owner.beat(now);
        }
        self.desk.tell_drained(turn);
        let is_last_flush = self.desk.is_last_flush_due();
        if is_due(&mut self.next_flush, now, self.flush_interval) || is_last_flush {
            self.flushing = self.owner.tallies_waiting();
        }
        if self.flushing > 0 {
            self.flush(now);
        }
        if is_last_flush && self.flushing == 0 {
            self.desk.last_flush_done();
        }
        self.desk.orders(&mut self.owner.orders);
        self.desk.changes(&mut self.owner.changes);
        let retry = (!self.desk.send()).then(|| now + MEMO_RETRY);
        self.counts.connections.set(self.sessions.len() as u64);
        // What is left in line is gone on with at once, after the frames that came meanwhile.
        let line_due = self.owner.has_line().then_some(now);
        let flush_due = (self.flushing > 0 && self.desk.has_room_for_tallies()).then_some(now);
        [
            retry,
            line_due,
            flush_due,
            unread_due,
            recording_due,
            owner_due,
            self.next_flush,
            self.next_beat,
            self.next_used,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
