//! The client: every question that a caller asks the agent, each with a deadline.

use crate::builder::Builder;
use crate::call::{Call, micros};
use crate::connection::{Connection, Deadline};
use crate::endpoint::Endpoint;
use crate::error::{ClientError, PickError};
use crate::pool::Pool;
use crate::route::{Pages, RouteView};
use lars_wire::admin::{GetStatus, StatusText};
use lars_wire::bounds::REPORTS_MAX;
use lars_wire::caller::{
    Avoid, Explain, Explanation, GetRoute, Node, Outcome, Pick, Ping, Pong, Register, Registered, Report,
    ReportBatch,
};
use lars_wire::directory::RoutePage;
use lars_wire::{ModuleId, NodeAddr};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The door to the agent of this machine. Cheap to clone; clones share their connections, and all threads may ask
/// at once.
///
/// A thread holds one connection for the moment in which it asks; there are never more than
/// [`Builder::connections_max`]. A new connection prefers the socket of the agent's core on the processor that the
/// thread runs on, if the agent has one there. When the agent restarts, an operation that finds its connection
/// broken tries once more on a new one, within its deadline; while the agent is gone operations fail at once with
/// [`ClientError::NotRunning`], and it is looked for again at most every 1 to 100 ms.
///
/// Deadlines are kept to within a sixteenth.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    timeout: Duration,
}

/// What a pick may ask for beside the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PickOptions<'a> {
    /// Equal keys prefer equal nodes, where the module's policy sends like to like.
    pub key: Option<u64>,
    /// Nodes already tried for this call; the first 8 count.
    pub avoid: &'a [NodeAddr],
    /// How long to wait for the module's first route; zero answers [`PickError::Pending`] at once.
    pub wait: Duration,
}

impl Client {
    /// Connects to the agent that listens at `path`, with the defaults of [`Builder`].
    pub fn connect(path: impl Into<PathBuf>) -> Result<Self, ClientError> {
        Self::builder().path(path).connect()
    }

    /// A client with other than the default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(pool: Pool, timeout: Duration) -> Self {
        Self {
            shared: Arc::new(Shared { pool, timeout }),
        }
    }

    /// Where the agent listens.
    pub fn endpoint(&self) -> Endpoint {
        self.shared.pool.endpoint()
    }

    /// Which node of `module` shall be called?
    pub fn pick(&self, module: ModuleId) -> Result<Call, PickError> {
        self.pick_with(module, PickOptions::default())
    }

    /// As [`Self::pick`], with a key, nodes to avoid, or a wait for the first route.
    pub fn pick_with(&self, module: ModuleId, options: PickOptions<'_>) -> Result<Call, PickError> {
        let mut avoid = Avoid::NONE;
        for node in options.avoid {
            if !avoid.push(*node) {
                break;
            }
        }
        let pick = Pick {
            module,
            key: options.key,
            deadline_ms: millis(options.wait),
            avoid,
        };
        let deadline = self.deadline(options.wait);
        let picked = self.with_connection(deadline, |connection| {
            connection.ask::<_, Node>(&pick, "a pick", deadline)
        })?;
        PickError::unless_ok(picked.status, module)?;
        Ok(Call::new(self.clone(), module, picked))
    }

    /// Tells how a call went that no [`Call`] stands for. Sent at once, answered never: see [`Self::flush`].
    pub fn report(
        &self,
        module: ModuleId,
        node: NodeAddr,
        outcome: Outcome,
        retcode: i32,
        latency: Duration,
    ) -> Result<(), ClientError> {
        self.send_report(&Report {
            module,
            node,
            token: 0,
            outcome,
            retcode,
            latency_us: micros(latency),
        })
    }

    /// Tells how many calls went, in frames of 1,024 reports. After an error those of earlier frames are sent.
    pub fn report_many(&self, reports: &[Report]) -> Result<(), ClientError> {
        let deadline = self.deadline(Duration::ZERO);
        for chunk in reports.chunks(REPORTS_MAX) {
            let batch = ReportBatch {
                reports: chunk.to_vec(),
            };
            self.with_connection(deadline, |connection| {
                connection.send(&batch, "to take reports", deadline)?;
                connection.wrote_reports(chunk.len() as u64);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Returns when the agent has taken every report that was sent by this client, or one of its clones, before.
    ///
    /// [`ClientError::Unsure`] tells, once, that connections broke behind reports which no flush had confirmed.
    pub fn flush(&self) -> Result<(), ClientError> {
        let deadline = self.deadline(Duration::ZERO);
        let pool = &self.shared.pool;
        let flushed = pool.each_unconfirmed(deadline, |connection| match barrier(connection, deadline) {
            // Counted as unsure when the broken connection goes back; the others are still worth asking.
            Err(ClientError::Lost { .. }) => Ok(()),
            result => result,
        });
        flushed?;
        match pool.take_unsure() {
            0 => Ok(()),
            reports => Err(ClientError::Unsure {
                endpoint: self.endpoint(),
                reports,
            }),
        }
    }

    /// All nodes of `module`, as the agent knows them.
    pub fn route(&self, module: ModuleId) -> Result<RouteView, PickError> {
        let deadline = self.deadline(Duration::ZERO);
        let get = GetRoute {
            module,
            deadline_ms: 0,
        };
        self.with_connection(deadline, |connection| {
            let sequence = connection.send(&get, "a route", deadline)?;
            let mut pages = Pages::default();
            loop {
                let page: RoutePage = connection.answer(sequence, "a route", deadline)?;
                if let Err(not_ok) = PickError::unless_ok(page.status, module) {
                    return Ok(Err(not_ok));
                }
                match pages.add(&page) {
                    Ok(Some(view)) => return Ok(Ok(view)),
                    Ok(None) => {}
                    Err(what) => return Err(connection.protocol(what)),
                }
            }
        })?
    }

    /// Has the agent fetch the route of `module` and waits at most `wait` for it (an agent lets nobody wait longer than
    /// a minute, then it answers pending); returns the route's version. A
    /// program that does this at start never meets [`PickError::Pending`] later.
    pub fn register(&self, module: ModuleId, wait: Duration) -> Result<u64, PickError> {
        let deadline = self.deadline(wait);
        let register = Register {
            module,
            deadline_ms: millis(wait),
        };
        let registered: Registered = self.with_connection(deadline, |connection| {
            connection.ask(&register, "to register", deadline)
        })?;
        PickError::unless_ok(registered.status, module)?;
        Ok(registered.version)
    }

    /// Why each node of `module` stands as it does.
    pub fn explain(&self, module: ModuleId) -> Result<Explanation, PickError> {
        let deadline = self.deadline(Duration::ZERO);
        let explanation: Explanation = self.with_connection(deadline, |connection| {
            connection.ask(&Explain { module }, "to explain", deadline)
        })?;
        PickError::unless_ok(explanation.status, module)?;
        Ok(explanation)
    }

    /// How the agent does.
    pub fn status(&self) -> Result<StatusText, ClientError> {
        let deadline = self.deadline(Duration::ZERO);
        self.with_connection(deadline, |connection| {
            connection.ask(&GetStatus { version: 1 }, "for its status", deadline)
        })
    }

    pub(crate) fn send_report(&self, report: &Report) -> Result<(), ClientError> {
        let deadline = self.deadline(Duration::ZERO);
        self.with_connection(deadline, |connection| {
            connection.send(report, "to take a report", deadline)?;
            connection.wrote_reports(1);
            Ok(())
        })
    }

    /// Runs `operation` on a connection, and once more on a new one when the first was broken. Twice does no harm:
    /// questions change nothing, and a report whose frame could not be written whole was not taken.
    fn with_connection<T>(
        &self,
        deadline: Deadline,
        mut operation: impl FnMut(&mut Connection) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let first = operation(&mut *self.shared.pool.check_out(deadline)?);
        match first {
            Err(ClientError::Lost { .. }) => operation(&mut *self.shared.pool.check_out_new(deadline)?),
            result => result,
        }
    }

    fn deadline(&self, wait: Duration) -> Deadline {
        Deadline::after(self.shared.timeout.saturating_add(wait))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}

/// Waits until the agent has taken everything that was written to this connection.
fn barrier(connection: &mut Connection, deadline: Deadline) -> Result<(), ClientError> {
    let echo = connection.unconfirmed();
    let pong: Pong = connection.ask(&Ping { echo }, "a flush", deadline)?;
    if pong.echo != echo {
        return Err(connection.protocol(format!("pong {} answers ping {echo}", pong.echo)));
    }
    connection.confirm_reports();
    Ok(())
}

/// Whole milliseconds, rounded up so that a short wait is one; at most what a question can carry (49 days).
fn millis(wait: Duration) -> u32 {
    u32::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX)
}
