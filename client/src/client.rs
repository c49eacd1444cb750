//! The client: every question that a caller asks the agent, each with a deadline.

use crate::attempts::Attempts;
use crate::builder::Builder;
use crate::call::{Call, Chosen, micros};
use crate::connection::{Connection, Deadline, timeout};
use crate::endpoint::Endpoint;
use crate::error::{ClientError, PickError};
use crate::keeper::{self, Keeper};
use crate::link::{Link, Transport};
#[cfg(feature = "tokio")]
use crate::outbox::Outbox;
use crate::picker::{Picker, is_unknown};
use crate::places::Places;
use crate::pool::{Lent, Pool};
use crate::route::{Pages, RouteView};
use crate::seat::{Seat, Seen};
use lars_wire::admin::{GetStatus, StatusText};
use lars_wire::bounds::REPORTS_MAX;
use lars_wire::caller::{
    Avoid, Explain, Explanation, GetRoute, Node, Outcome, Pick, Ping, Pong, Register, Registered, Report,
    ReportBatch,
};
use lars_wire::directory::RoutePage;
use lars_wire::event::{ChangeRows, ListChanges};
use lars_wire::{ModuleId, NodeAddr};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// None where the agent lends no board, or the client was told to do without.
    board: Option<BoardSide>,
    /// Reports of calls that were picked by async callers.
    #[cfg(feature = "tokio")]
    outbox: Arc<Outbox>,
}

/// What a client with a board has besides.
pub(crate) struct BoardSide {
    link: Arc<Link>,
    places: Places,
    _keeper: Keeper,
}

impl BoardSide {
    /// Fetches the board if that can be done before `deadline`, and keeps it from there on.
    pub(crate) fn new(link: Arc<Link>, deadline: Instant) -> io::Result<Self> {
        let first = keeper::attach(&link, deadline).ok();
        let keeper = keeper::start(&link, first)?;
        Ok(Self {
            places: Places::new(Arc::clone(&link)),
            link,
            _keeper: keeper,
        })
    }
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

    pub(crate) fn new(pool: Pool, timeout: Duration, board: Option<BoardSide>) -> Self {
        Self {
            shared: Arc::new(Shared {
                pool,
                timeout,
                board,
                #[cfg(feature = "tokio")]
                outbox: Arc::default(),
            }),
        }
    }

    /// How picks are made at the moment.
    pub fn transport(&self) -> Transport {
        self.shared
            .board
            .as_ref()
            .map_or(Transport::Socket, |side| side.link.transport())
    }

    /// What one thread picks with: faster than the client itself where many threads pick. In a child process it is refused
    /// with its first pick or report ([`ClientError::Forked`]).
    pub fn picker(&self) -> Picker {
        let seat = self.shared.board.as_ref().and_then(|side| Seat::new(&side.link));
        Picker::new(self.clone(), seat)
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
        if let Some(made) = self.look(module, options)? {
            return made;
        }
        self.settle(self.ask(module, options), module, options)
    }

    /// The call that the agent's answer leads to, or the board of the agent before where this one could not tell. Waits for nobody.
    pub(crate) fn settle(
        &self,
        asked: Result<Chosen, PickError>,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Call, PickError> {
        if let (true, Some(side)) = (is_unknown(&asked), &self.shared.board) {
            let seen = side.places.with(|seat| {
                let seen = seat.pick_previous(module, options.key, options.avoid);
                self.made(seat, seen)
            });
            if let Some(Some(made)) = seen {
                return made;
            }
        }
        Ok(Call::by_socket(self.clone(), asked?))
    }

    /// The tries of one call of `module`: each at another node, until the call succeeds or it is time to stop.
    pub fn attempts(&self, module: ModuleId) -> Attempts<'_> {
        Attempts::of_client(self, module)
    }

    /// What the board says; none where it cannot tell, or there is none. Waits for nobody.
    pub(crate) fn look(
        &self,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Option<Result<Call, PickError>>, ClientError> {
        let Some(side) = &self.shared.board else {
            return Ok(None);
        };
        let is_plain = options.key.is_none() && options.avoid.is_empty();
        let seen = side.places.with(|seat| {
            seat.follow()?;
            if is_plain && let Some(made) = seat.glance_call(module) {
                return Ok(Some(made));
            }
            let seen = seat.pick(module, options.key, options.avoid)?;
            Ok(self.made(seat, seen))
        });
        Ok(seen.transpose()?.flatten())
    }

    /// The call that a look at the board led to; none where the board cannot tell.
    fn made(&self, seat: &Seat, seen: Seen) -> Option<Result<Call, PickError>> {
        let Seen::Picked(picked) = seen else { return None };
        Some(picked.map(|chosen| {
            if seat.outlet().is_usable() {
                Call::by_ring(seat.outlet().clone(), chosen)
            } else {
                Call::by_socket(self.clone(), chosen)
            }
        }))
    }

    /// Asks the agent for a node.
    pub(crate) fn ask(&self, module: ModuleId, options: PickOptions<'_>) -> Result<Chosen, PickError> {
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
        Ok(Chosen::by_socket(module, picked))
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
    /// Reports in rings wait for the next agent where this one has died.
    ///
    /// [`ClientError::Unsure`] tells, once, that connections broke behind reports which no flush had confirmed, or that reports
    /// of calls of async callers could not be sent.
    pub fn flush(&self) -> Result<(), ClientError> {
        let deadline = self.deadline(Duration::ZERO);
        let pool = &self.shared.pool;
        pool.refuse_child()?;
        #[cfg(feature = "tokio")]
        if !self.shared.outbox.wait(deadline.at) {
            return Err(timeout(&self.endpoint(), "to take reports", deadline));
        }
        let lost = match &self.shared.board {
            Some(side) if !side.link.flush(deadline.at) => {
                return Err(timeout(&self.endpoint(), "a flush of reports in rings", deadline));
            }
            Some(side) => side.link.take_lost(),
            None => 0,
        };
        let flushed = pool.each_unconfirmed(deadline, |connection| match barrier(connection, deadline) {
            // Counted as unsure when the broken connection goes back; the others are still worth asking.
            Err(ClientError::Lost { .. }) => Ok(()),
            result => result,
        });
        flushed?;
        #[cfg(feature = "tokio")]
        let lost = lost + self.shared.outbox.take_lost();
        match pool.take_unsure() + lost {
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

    /// The last changes of nodes' states that the agent keeps, of one module or all, the newest first.
    pub fn changes(&self, module: Option<ModuleId>) -> Result<ChangeRows, ClientError> {
        let deadline = self.deadline(Duration::ZERO);
        self.with_connection(deadline, |connection| {
            connection.ask(&ListChanges { module }, "for changes of nodes", deadline)
        })
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

    /// Hands a report over to a thread that sends it; the caller never waits.
    #[cfg(feature = "tokio")]
    pub(crate) fn post_report(self, report: Report) -> Result<(), ClientError> {
        self.shared.pool.refuse_child()?;
        let (endpoint, outbox) = (self.endpoint(), Arc::clone(&self.shared.outbox));
        let deadline = self.deadline(Duration::ZERO);
        match outbox.post(self, report) {
            Ok(true) => Ok(()),
            Ok(false) => Err(timeout(&endpoint, "to take the reports before", deadline)),
            Err(error) => Err(ClientError::Invalid {
                endpoint,
                what: format!("no thread can be started to send it: {error}"),
            }),
        }
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

    /// A connection that nobody has used yet, for a conversation that cannot be begun again on another.
    pub(crate) fn fresh_connection(&self, deadline: Deadline) -> Result<Lent<'_>, ClientError> {
        self.shared.pool.check_out_new(deadline)
    }

    pub(crate) fn deadline(&self, wait: Duration) -> Deadline {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PickError;
    use lars_board::{ForkWord, RING_RECORDS_DEFAULT};
    use std::ops::ControlFlow;

    #[test]
    fn child_of_the_client_s_process_is_refused_by_the_board_and_by_the_socket() {
        let nowhere = PathBuf::from("/nowhere/agent.sock");
        let fork = Arc::new(ForkWord::new().expect("a page"));
        let name = || "test".to_owned();
        let pool = Pool::new(nowhere.clone(), name(), 1, Arc::clone(&fork));
        let link = Arc::new(Link::new(
            nowhere,
            name(),
            RING_RECORDS_DEFAULT,
            Arc::clone(&fork),
        ));
        let side = BoardSide::new(link, Instant::now()).expect("a thread");
        let client = Client::new(pool, Duration::from_secs(1), Some(side));
        let mut picker = client.picker();
        let mut unused = client.picker();
        let module = ModuleId::new(1, 1);
        let alone = picker.pick(module).expect_err("nobody listens");
        assert!(
            matches!(alone, PickError::Client(ClientError::NotRunning { .. })),
            "{alone}"
        );
        // As a fork leaves it in the child.
        fork.set(0);
        let refused = |error: PickError| matches!(error, PickError::Client(ClientError::Forked { .. }));
        assert!(refused(picker.pick(module).expect_err("a child")));
        assert!(refused(unused.pick(module).expect_err("a child")));
        assert!(refused(client.picker().pick(module).expect_err("a child")));
        assert!(refused(client.pick(module).expect_err("a child")));
        assert!(refused(
            client.register(module, Duration::ZERO).expect_err("a child")
        ));
        let report = client.report(module, NodeAddr::NONE, Outcome::Ok, 0, Duration::ZERO);
        let recorded = client.record(None, Duration::ZERO, |_| ControlFlow::Continue(()));
        for told in [report, recorded, client.flush()] {
            assert!(matches!(told, Err(ClientError::Forked { .. })), "{told:?}");
        }
    }
}
