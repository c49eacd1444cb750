//! One use of a node: measures itself and tells the agent how it went.

use crate::client::Client;
use crate::error::ClientError;
use lars_wire::caller::{Node, Outcome, Report};
use lars_wire::{ModuleId, NodeAddr};
use std::time::{Duration, Instant};

/// A node was picked; now call it and say how it went. The latency runs from the pick to the verdict.
///
/// Dropped without a verdict, it is reported as cancelled: the caller gave up, which says nothing about the node.
/// It may be moved to another thread and be judged there.
#[derive(Debug)]
#[must_use = "a call that is dropped without a verdict is reported as cancelled"]
pub struct Call {
    client: Client,
    module: ModuleId,
    picked: Node,
    picked_at: Instant,
    judged: bool,
}

impl Call {
    pub(crate) fn new(client: Client, module: ModuleId, picked: Node) -> Self {
        Self {
            client,
            module,
            picked,
            picked_at: Instant::now(),
            judged: false,
        }
    }

    /// The node to call.
    pub fn node(&self) -> NodeAddr {
        self.picked.node
    }

    /// The module that was asked for.
    pub fn module(&self) -> ModuleId {
        self.module
    }

    /// Version of the route that the pick was made from.
    pub fn version(&self) -> u64 {
        self.picked.version
    }

    /// Takes the node without a verdict: how the call went is told another way, as by [`Client::report`].
    pub fn into_node(mut self) -> NodeAddr {
        self.judged = true;
        self.picked.node
    }

    /// How long ago the node was picked.
    pub fn elapsed(&self) -> Duration {
        self.picked_at.elapsed()
    }

    /// The call succeeded.
    pub fn ok(self) -> Result<(), ClientError> {
        self.judge(Outcome::Ok, 0)
    }

    /// The call failed; `retcode` is the caller's own, for people.
    pub fn failed(self, retcode: i32) -> Result<(), ClientError> {
        self.judge(Outcome::Failed, retcode)
    }

    /// No answer came in time.
    pub fn timed_out(self) -> Result<(), ClientError> {
        self.judge(Outcome::TimedOut, 0)
    }

    /// The caller gave up for its own reasons; the same as dropping the call, but tells when it could not be reported.
    pub fn cancelled(self) -> Result<(), ClientError> {
        self.judge(Outcome::Cancelled, 0)
    }

    fn judge(mut self, outcome: Outcome, retcode: i32) -> Result<(), ClientError> {
        self.judged = true;
        self.client.send_report(&self.verdict(outcome, retcode))
    }

    fn verdict(&self, outcome: Outcome, retcode: i32) -> Report {
        Report {
            module: self.module,
            node: self.picked.node,
            token: self.picked.token,
            outcome,
            retcode,
            latency_us: micros(self.elapsed()),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.judged {
            // Nobody is there to be told that the agent is gone; what was cancelled counts for nothing anyway.
            let _ = self.client.send_report(&self.verdict(Outcome::Cancelled, 0));
        }
    }
}

/// Whole microseconds, at most what a report can carry (71 minutes).
pub(crate) fn micros(latency: Duration) -> u32 {
    u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)
}
