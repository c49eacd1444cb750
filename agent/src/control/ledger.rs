//! The agent's half of the conversation with report: one batch in flight, sent again until it is acknowledged.

use crate::control::outflow::Outflow;
use crate::control::uplink::LinkEvent;
use crate::stats::ControlCounts;
use lars_shard::TallyOutbox;
use lars_wire::admin::{Reason, Refusal};
use lars_wire::record::{Tally, TallyAck};
use lars_wire::{CodecError, Kind, codec};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an acknowledgement may take. A report whose store is away holds it back; another address may do better,
/// and sending again costs nothing but bytes.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// The link to report and all that goes over it.
pub(super) struct Ledger {
    outbox: TallyOutbox,
    outflow: Option<Outflow>,
    /// When the batch in flight is given up on this link.
    deadline: Option<Instant>,
    counts: Arc<ControlCounts>,
}

impl Ledger {
    /// No link yet.
    pub(super) fn new(outbox: TallyOutbox, counts: Arc<ControlCounts>) -> Self {
        Self {
            outbox,
            outflow: None,
            deadline: None,
            counts,
        }
    }

    /// Fresh counts from a core.
    pub(super) fn add(&mut self, now: Instant, tallies: &[Tally]) {
        for tally in tallies {
            self.outbox.add(now, tally);
        }
        self.pump(now);
    }

    /// The link says something.
    pub(super) fn event(&mut self, now: Instant, event: LinkEvent) {
        match event {
            LinkEvent::Up(outflow) => {
                self.outbox.reconnected();
                self.outflow = Some(outflow);
            }
            LinkEvent::Down => {
                self.outflow = None;
                self.deadline = None;
            }
            LinkEvent::Frame { kind, body } => {
                if let Err(error) = self.frame(kind, &body) {
                    tracing::warn!(%error, "report sent what is no message of report; the link is set up anew");
                    self.end();
                }
            }
        }
        self.pump(now);
    }

    /// When [`Self::due`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Gives up a link on which nothing is acknowledged.
    pub(super) fn due(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            tracing::warn!("report does not acknowledge; the link is set up anew and the batch sent again");
            self.deadline = None;
            self.end();
        }
    }

    /// Ends the link; the task that reads it sees to another.
    pub(super) fn end(&mut self) {
        if let Some(outflow) = &self.outflow {
            outflow.end();
        }
    }

    /// Tallies that are not acknowledged.
    pub(super) fn pending(&self) -> usize {
        self.outbox.len()
    }

    fn frame(&mut self, kind: Kind, body: &[u8]) -> Result<(), CodecError> {
        match kind {
            Kind::TallyAck => {
                let ack: TallyAck = codec::decode(body)?;
                if self.outbox.acknowledged(&ack) {
                    self.deadline = None;
                    self.counts.batches_acknowledged.add(1);
                }
            }
            Kind::Refusal => {
                let refusal: Refusal = codec::decode(body)?;
                tracing::warn!(reason = ?refusal.reason, text = refusal.text, "report refuses");
                self.start_over(refusal.reason);
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
    fn start_over(&mut self, reason: Reason) {
        let mut incarnation = [0; 16];
        let refused = reason == Reason::Unexpected && self.deadline.is_some();
        if refused && getrandom::fill(&mut incarnation).is_ok() {
            self.outbox.start_over(incarnation);
        }
    }

    fn pump(&mut self, now: Instant) {
        if let Some(outflow) = &self.outflow
            && let Some(batch) = self.outbox.next(now)
        {
            outflow.send(&batch, 0);
            self.deadline = Some(now + ACK_TIMEOUT);
        }
        self.counts.tallies_pending.set(self.outbox.len() as u64);
    }
}
