//! The changes of nodes' states on their way to report: one batch in flight, sent again until it is acknowledged.

use crate::control::outflow::Outflow;
use crate::control::uplink::LinkEvent;
use crate::status::KeptChanges;
use lars_shard::{ChangeLog, NodeChange};
use lars_wire::event::ChangeAck;
use lars_wire::{Kind, codec};
use std::time::{Duration, Instant};

/// How long an acknowledgement may take before the batch is sent again: report drops one for which it has no room, and
/// one that its store did not take.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The half of the conversation with report that is about changes.
pub(super) struct Changes {
    kept: KeptChanges,
    outflow: Option<Outflow>,
    deadline: Option<Instant>,
}

impl Changes {
    /// No link yet.
    pub(super) fn new(kept: KeptChanges) -> Self {
        Self {
            kept,
            outflow: None,
            deadline: None,
        }
    }

    /// Fresh changes from a core.
    pub(super) fn add(&mut self, changes: Vec<NodeChange>) {
        self.kept
            .with(|log| changes.into_iter().for_each(|change| log.add(change)));
        self.pump();
    }

    /// Takes what the link to report says of changes; gives back what it says of anything else.
    pub(super) fn event(&mut self, event: LinkEvent) -> Option<LinkEvent> {
        match event {
            LinkEvent::Up(outflow) => {
                self.outflow = Some(outflow.clone());
                self.send_again();
                Some(LinkEvent::Up(outflow))
            }
            LinkEvent::Down => {
                self.outflow = None;
                self.deadline = None;
                Some(LinkEvent::Down)
            }
            LinkEvent::Frame {
                kind: Kind::ChangeAck,
                body,
                ..
            } => {
                match codec::decode::<ChangeAck>(&body) {
                    Ok(ack) => {
                        self.deadline = None;
                        self.kept.with(|log| log.acknowledged(&ack));
                        self.pump();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "report sent what is no message of report; the link is set up anew");
                        if let Some(outflow) = &self.outflow {
                            outflow.end();
                        }
                    }
                }
                None
            }
            other @ LinkEvent::Frame { .. } => Some(other),
        }
    }

    /// When [`Self::due`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends again what was not acknowledged in time.
    pub(super) fn due(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.send_again();
        }
    }

    /// Changes that report does not have yet.
    pub(super) fn waiting(&self) -> u64 {
        self.kept.with(|log| log.waiting())
    }

    fn send_again(&mut self) {
        self.deadline = None;
        self.kept.with(ChangeLog::reconnected);
        self.pump();
    }

    fn pump(&mut self) {
        let Some(outflow) = &self.outflow else { return };
        let now = Instant::now();
        if let Some(batch) = self.kept.with(|log| log.next(now)) {
            outflow.send(&batch, 0);
            self.deadline = Some(now + ACK_TIMEOUT);
        }
    }
}
