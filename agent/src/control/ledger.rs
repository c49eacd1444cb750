//! The agent's half of the conversation with report: one batch in flight for fresh counts and one for those from disk,
//! each sent again until it is acknowledged; and what is told of both.

use crate::control::outflow::Outflow;
use crate::control::spooler::{Outcome, Spooler};
use crate::control::uplink::LinkEvent;
use crate::spool_state::SpoolState;
use crate::stats::ControlCounts;
use lars_shard::Spool;
use lars_shard::spool::{Lane, Moment, SpoolNews};
use lars_wire::admin::{Reason, Refusal};
use lars_wire::record::{Tally, TallyAck};
use lars_wire::{CodecError, Kind, codec};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long an acknowledgement may take. A report whose store is away holds it back; another address may do better,
/// and sending again costs nothing but bytes.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// The link to report and all that goes over it.
pub(super) struct Ledger {
    spool: Spool,
    spooler: Spooler,
    outflow: Option<Outflow>,
    /// When what is in flight is given up on this link.
    deadline: Option<Instant>,
    counts: Arc<ControlCounts>,
    state: Arc<SpoolState>,
}

impl Ledger {
    /// No link yet.
    pub(super) fn new(
        spool: Spool,
        spooler: Spooler,
        counts: Arc<ControlCounts>,
        state: Arc<SpoolState>,
    ) -> Self {
        let mut ledger = Self {
            spool,
            spooler,
            outflow: None,
            deadline: None,
            counts,
            state,
        };
        ledger.pump();
        ledger
    }

    /// Fresh counts from a core.
    pub(super) fn add(&mut self, tallies: &[Tally]) {
        self.spool.add(now(), tallies);
        self.pump();
    }

    /// The link says something.
    pub(super) fn event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(outflow) => {
                self.spool.connected();
                self.outflow = Some(outflow);
            }
            LinkEvent::Down => {
                self.spool.disconnected();
                self.outflow = None;
                self.deadline = None;
            }
            LinkEvent::Frame { kind, sequence, body } => {
                if let Err(error) = self.frame(kind, sequence, &body) {
                    tracing::warn!(%error, "report sent what is no message of report; the link is set up anew");
                    self.end();
                }
            }
        }
        self.pump();
    }

    /// How a job on disk went, once it did.
    pub(super) async fn disk(&mut self) -> Option<Outcome> {
        self.spooler.outcome().await
    }

    /// A job on disk is done.
    pub(super) fn done(&mut self, outcome: Outcome) {
        self.spool.done(now(), outcome);
        self.pump();
    }

    /// When [`Self::due`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.deadline, self.spool.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Gives up a link on which nothing is acknowledged, and writes down what waits for too long.
    pub(super) fn due(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            tracing::warn!("report does not acknowledge; the link is set up anew and the batch sent again");
            self.deadline = None;
            self.end();
        }
        if self.spool.next_timeout().is_some_and(|due| due <= now) {
            self.pump();
        }
    }

    /// Ends the link; the task that reads it sees to another.
    pub(super) fn end(&mut self) {
        if let Some(outflow) = &self.outflow {
            outflow.end();
        }
    }

    /// Tallies in memory that are not acknowledged.
    pub(super) fn pending(&self) -> usize {
        self.spool.pending()
    }

    /// The agent stops: writes down what is not acknowledged, and returns when the disk has it or refuses it.
    pub(super) async fn close(&mut self) {
        self.spool.close();
        self.pump();
        while self.spool.is_busy() {
            let Some(outcome) = self.spooler.outcome().await else {
                break;
            };
            self.done(outcome);
        }
        let lost = self.spool.unsaved();
        if lost > 0 {
            tracing::warn!(
                tallies = lost,
                "the agent stops with counts that neither report nor the disk has taken: they are lost"
            );
        }
    }

    fn frame(&mut self, kind: Kind, sequence: u32, body: &[u8]) -> Result<(), CodecError> {
        match kind {
            Kind::TallyAck => {
                let ack: TallyAck = codec::decode(body)?;
                if self.spool.acknowledged(now(), &ack) {
                    self.counts.batches_acknowledged.add(1);
                    // Whatever else is under way has its time from now on: report is at work.
                    self.deadline = self.spool.awaits_ack().then(|| Instant::now() + ACK_TIMEOUT);
                }
            }
            Kind::Refusal => {
                let refusal: Refusal = codec::decode(body)?;
                tracing::warn!(reason = ?refusal.reason, text = refusal.text, "report refuses");
                self.start_over(refusal.reason, sequence);
            }
            other => {
                tracing::warn!(kind = ?other, "report sent what an agent does not take; the link is set up anew");
                self.end();
            }
        }
        Ok(())
    }

    /// Report's records are gone, so that it misses the batches before the one in flight: it is offered again as the
    /// first of another identity, since no report would ever take it as what it was.
    fn start_over(&mut self, reason: Reason, sequence: u32) {
        let lane = [Lane::Live, Lane::Replay]
            .into_iter()
            .find(|&lane| number(lane) == sequence);
        if let (Reason::Unexpected, Some(lane)) = (reason, lane) {
            self.spool.refused(now(), lane);
        }
    }

    /// Whatever is to be sent is sent, whatever is to be done on disk is given to the task, and all is told.
    fn pump(&mut self) {
        let now = now();
        if let Some(outflow) = &self.outflow {
            while let Some((lane, batch)) = self.spool.next(now) {
                outflow.send(&batch, number(lane));
                self.deadline.get_or_insert(now.at + ACK_TIMEOUT);
            }
        }
        if let Some(job) = self.spool.job(now) {
            self.spooler.give(job);
        }
        self.tell();
    }

    fn tell(&mut self) {
        for news in self.spool.news() {
            tell(&news);
        }
        let counts = self.spool.counts();
        self.counts.tallies_pending.set(self.spool.pending() as u64);
        self.counts.tallies_unsaved.set(self.spool.unsaved() as u64);
        self.state.set(counts, self.spool.trouble());
    }
}

/// What a batch's frame is numbered, so that a refusal says which it means.
fn number(lane: Lane) -> u32 {
    match lane {
        Lane::Live => 1,
        Lane::Replay => 2,
    }
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment {
        at: Instant::now(),
        unix_ms: since.as_millis() as u64,
    }
}

fn tell(news: &SpoolNews) {
    match news {
        SpoolNews::Found { files, bytes } => {
            tracing::info!(files, bytes, "counts of earlier runs wait on disk for report");
        }
        SpoolNews::Started => tracing::warn!("report does not acknowledge: counts are written to disk"),
        SpoolNews::Drained => tracing::info!("report has all counts that were on disk"),
        SpoolNews::Torn(name) => {
            tracing::warn!(
                name,
                "a journal of counts ends in the middle of a record, as after a crash; all before is used"
            );
        }
        SpoolNews::Damaged(name) => {
            tracing::error!(
                name,
                "a file of counts is damaged: what was whole before is sent, the file put aside"
            );
        }
        SpoolNews::Expired(name, calls) => {
            tracing::error!(name, calls, "counts on disk were three days old and are given up");
        }
        SpoolNews::Trouble(error) => {
            tracing::error!(
                error,
                "counts cannot be written to disk and stay in memory; tried again every 10 s"
            );
        }
        SpoolNews::Well => tracing::info!("counts can be written to disk again"),
    }
}
