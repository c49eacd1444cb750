//! How many calls could have been answered at best: what goodput is measured by.

use crate::scenario::SECOND;

/// Adds up, over the pieces of time in which capacity was constant, the lesser of what began and what could be done.
#[derive(Debug)]
pub(super) struct Possible {
    warmup: u64,
    since: u64,
    per_s: f64,
    began: u64,
    calls: f64,
}

impl Possible {
    pub(super) fn new(warmup: u64) -> Self {
        Self {
            warmup,
            since: 0,
            per_s: 0.0,
            began: 0,
            calls: 0.0,
        }
    }

    /// Another piece begins.
    pub(super) fn capacity(&mut self, at: u64, per_s: f64) {
        self.end(at);
        self.per_s = per_s;
    }

    /// A call began.
    pub(super) fn begin(&mut self, at: u64) {
        self.began += u64::from(at >= self.warmup);
    }

    /// The piece ends.
    pub(super) fn end(&mut self, at: u64) {
        let measured = at.saturating_sub(self.since.max(self.warmup));
        let room = self.per_s * measured as f64 / SECOND as f64;
        self.calls += room.min(self.began as f64);
        (self.since, self.began) = (at, 0);
    }

    pub(super) fn calls(&self) -> f64 {
        self.calls
    }
}
