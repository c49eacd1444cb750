//! One use of a node: measures itself and tells the agent how it went.

use crate::client::Client;
use crate::error::ClientError;
use crate::outlet::Outlet;
use lars_board::{Choice, Moment};
use lars_wire::caller::{Node, Outcome, Report};
use lars_wire::{ModuleId, NodeAddr};
use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

/// A node that was picked, as [`crate::Picker::choose`] gives it to callers that measure for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The module that was asked for.
    pub module: ModuleId,
    /// The node to call.
    pub node: NodeAddr,
    /// Version of the route that the pick was made from.
    pub version: u64,
    pub(crate) token: u64,
    pub(crate) by_board: bool,
    /// See [`Self::is_stale`].
    pub(crate) stale: bool,
}

impl Chosen {
    pub(crate) fn by_socket(module: ModuleId, picked: Node) -> Self {
        Self {
            module,
            node: picked.node,
            version: picked.version,
            token: picked.token,
            by_board: false,
            stale: false,
        }
    }

    #[inline(always)]
    pub(crate) fn by_board(module: ModuleId, Choice { addr, version, token }: Choice) -> Self {
        Self {
            module,
            node: addr,
            version,
            token,
            by_board: true,
            stale: false,
        }
    }

    /// Whether the node comes from what an agent left behind that is dead or hangs, or from the board of the agent before, since
    /// this one does not know the module yet: the route may have changed since, and nobody has judged its nodes.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub(crate) fn report(&self, outcome: Outcome, retcode: i32, latency: Duration) -> Report {
        Report {
            module: self.module,
            node: self.node,
            token: self.token,
            outcome,
            retcode,
            latency_us: micros(latency),
        }
    }
}

/// A node was picked; now call it and say how it went. The latency runs from the pick to the verdict.
///
/// Dropped without a verdict, it is reported as cancelled: the caller gave up, which says nothing about the node.
/// It may be moved to another thread and be judged there.
///
/// A verdict waits for nobody where the call was picked from the board or by an async caller. Otherwise it is written to the
/// agent's socket, and waits, at most as long as the client's timeout, where the agent takes nothing in.
#[must_use = "a call that is dropped without a verdict is reported as cancelled"]
pub struct Call {
    chosen: Chosen,
    way: Way,
}

/// How the verdict gets to the agent.
enum Way {
    /// In a frame; where `aside`, by another thread, so that this one does not wait.
    Socket {
        client: Client,
        picked_at: Instant,
        aside: bool,
    },
    /// In a ring.
    Ring { outlet: Outlet, picked_at: Moment },
    /// It is told, or will be told another way.
    None,
}

impl Call {
    pub(crate) fn by_socket(client: Client, chosen: Chosen) -> Self {
        let picked_at = Instant::now();
        Self {
            chosen,
            way: Way::Socket {
                client,
                picked_at,
                aside: false,
            },
        }
    }

    /// The same call, whose verdict never waits for the agent, since it may be given by a thread that runs tasks.
    #[cfg(feature = "tokio")]
    pub(crate) fn aside(mut self) -> Self {
        if let Way::Socket { aside, .. } = &mut self.way {
            *aside = true;
        }
        self
    }

    #[inline(always)]
    pub(crate) fn by_ring(outlet: Outlet, chosen: Chosen) -> Self {
        let picked_at = outlet.now();
        Self {
            chosen,
            way: Way::Ring { outlet, picked_at },
        }
    }

    /// The node to call.
    pub fn node(&self) -> NodeAddr {
        self.chosen.node
    }

    /// The module that was asked for.
    pub fn module(&self) -> ModuleId {
        self.chosen.module
    }

    /// Version of the route that the pick was made from.
    pub fn version(&self) -> u64 {
        self.chosen.version
    }

    /// As [`Chosen::is_stale`].
    pub fn is_stale(&self) -> bool {
        self.chosen.is_stale()
    }

    /// Takes the node without a verdict: how the call went is told another way, as by [`Client::report`].
    pub fn into_node(mut self) -> NodeAddr {
        self.way = Way::None;
        self.chosen.node
    }

    /// How long ago the node was picked.
    pub fn elapsed(&self) -> Duration {
        match &self.way {
            Way::Socket { picked_at, .. } => picked_at.elapsed(),
            Way::Ring { outlet, picked_at } => outlet.since(*picked_at),
            Way::None => Duration::ZERO,
        }
    }

    /// The call succeeded.
    #[inline(always)]
    pub fn ok(self) -> Result<(), ClientError> {
        self.judge(Outcome::Ok, 0)
    }

    /// The call failed; `retcode` is the caller's own, for people (through the board it is not passed on).
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

    #[inline(always)]
    fn judge(mut self, outcome: Outcome, retcode: i32) -> Result<(), ClientError> {
        self.tell(outcome, retcode)
    }

    #[inline(always)]
    fn tell(&mut self, outcome: Outcome, retcode: i32) -> Result<(), ClientError> {
        match mem::replace(&mut self.way, Way::None) {
            Way::Ring { outlet, picked_at } => outlet.end(&self.chosen, outcome, picked_at),
            Way::Socket {
                client,
                picked_at,
                aside,
            } => {
                let report = self.chosen.report(outcome, retcode, picked_at.elapsed());
                #[cfg(feature = "tokio")]
                if aside {
                    return client.post_report(report);
                }
                debug_assert!(!aside, "set for async callers alone");
                client.send_report(&report)
            }
            Way::None => Ok(()),
        }
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // Nobody is there to be told that the agent is gone; what was cancelled counts for nothing anyway.
        let _ = self.tell(Outcome::Cancelled, 0);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("chosen", &self.chosen)
            .finish_non_exhaustive()
    }
}

/// Whole microseconds, at most what a report can carry (71 minutes).
#[inline]
pub(crate) fn micros(latency: Duration) -> u32 {
    u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)
}
