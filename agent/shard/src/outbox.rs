//! Counts on their way to report: merged while they wait, frozen when first sent, forgotten when acknowledged.

use lars_wire::record::{Tally, TallyAck, TallyBatch};
use std::time::Instant;

/// One agent's counts that report has not acknowledged yet.
pub struct TallyOutbox {}

impl TallyOutbox {
    /// An empty outbox. `pending_max` bounds the merged tallies that wait; beyond it minutes are merged (ages grow,
    /// sums stay exact), never dropped.
    pub fn new(incarnation: [u8; 16], caller: u32, pending_max: usize) -> Self {
        let _ = (incarnation, caller, pending_max);
        todo!()
    }

    /// Adds fresh counts.
    pub fn add(&mut self, now: Instant, tally: &Tally) {
        let _ = (now, tally);
        todo!()
    }

    /// The batch to send now: the one in flight again (after a reconnect), else a new one frozen from what waits;
    /// none while nothing waits, or while one is in flight on this connection.
    pub fn next(&mut self, now: Instant) -> Option<TallyBatch> {
        let _ = now;
        todo!()
    }

    /// The connection ended: what is in flight is to be sent again.
    pub fn reconnected(&mut self) {
        todo!()
    }

    /// Report stored a batch. Returns whether it was the one in flight.
    pub fn acknowledged(&mut self, ack: &TallyAck) -> bool {
        let _ = ack;
        todo!()
    }

    /// Tallies that wait or are in flight.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
