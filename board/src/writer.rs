//! The writing half: one for each shard, the only one that writes that shard's part.

use crate::board::BoardError;
use crate::entry::Entry;
use lars_wire::ModuleId;
use std::time::Instant;

/// Publishes one shard's modules. `Send`, not `Sync`.
pub struct BoardWriter {}

impl BoardWriter {
    /// Replaces the module's entry in one step; returns the entry's generation, which is in every token picked
    /// from it.
    pub fn publish(&mut self, now: Instant, entry: &Entry<'_>) -> Result<u32, BoardError> {
        let _ = (now, entry);
        todo!()
    }

    /// Takes the module off the board.
    pub fn withdraw(&mut self, now: Instant, module: ModuleId) {
        let _ = (now, module);
        todo!()
    }

    /// Tells readers that the owner lives.
    pub fn beat(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }
}
