//! A running report: how its threads are put together, and how it stops.

use crate::config::ReportConfig;
use crate::control::{self, ControlParts, Opened};
use crate::error::ReportError;
use crate::handler::{HandlerParts, ReportHandler};
use crate::mail::Mail;
use crate::stats::ReportStats;
use crate::status::{StatusSource, StoreState};
use lars_pool::{Bind, CoreIndex, Cores, CoresConfig, IoInUse, Plan};
use lars_store::StoreConfig;
use lars_wire::admin::StatusText;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{Notify, mpsc};

/// Batches of changes of nodes that wait for the store; agents send again what finds no room.
const CHANGES_WAITING_MAX: usize = 64;

/// A running report. Dropping it stops it likewise, but nobody waits for the control thread's end.
pub struct Report {
    addr: SocketAddr,
    status: StatusSource,
    /// Stopped before the cores, so that its last answers still go out.
    control: ControlThread,
    cores: Cores,
}

/// Whether report is ready, for those that ask from elsewhere. Clones show the same service.
#[derive(Clone, Debug)]
pub struct ReportReadiness {
    store: Arc<StoreState>,
}

impl ReportReadiness {
    /// Whether the store takes what it is given.
    pub fn ready(&self) -> bool {
        self.store.is_up()
    }
}

impl Report {
    /// Starts report: when this returns, it listens, and the store is open or merely away.
    ///
    /// # Errors
    /// The configuration is wrong, the address is taken, the store is unfit, or the machine refuses threads or rings.
    pub fn start(config: &ReportConfig, store: &StoreConfig) -> Result<Self, ReportError> {
        config.check().map_err(ReportError::Config)?;
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation)
            .map_err(|error| system("no randomness from the kernel")(io::Error::other(error)))?;
        let (mut plan, addr) = plan(config)?;
        let status = StatusSource {
            stats: ReportStats::new(plan.stats()),
            store: Arc::default(),
            io: Arc::default(),
            history_retention_days: config.history_retention_days,
        };
        // As many as there can be: each batch takes at least its own place of the cores' room.
        let (arrivals, inbox) = mpsc::channel(config.tallies_waiting_max as usize);
        let (changes, changes_inbox) = mpsc::channel(CHANGES_WAITING_MAX);
        let control = ControlThread::start(&plan.io().clone(), |stop| ControlParts {
            store: store.clone(),
            arrivals: inbox,
            changes: changes_inbox,
            mailers: plan.mailers(),
            stop,
            state: Arc::clone(&status.store),
            counts: status.stats.control(),
            transaction_tallies_max: config.transaction_tallies_max as usize,
            history_retention_days: config.history_retention_days,
        })?;
        let room = config.tallies_waiting_max / u32::from(plan.cores());
        let handlers = (0..plan.cores()).map(|core| {
            ReportHandler::new(HandlerParts {
                me: CoreIndex(core),
                arrivals: arrivals.clone(),
                changes: changes.clone(),
                room,
                counts: status.stats.core(core),
                status: status.clone(),
                incarnation,
            })
        });
        let handlers = handlers.collect();
        let cores = plan
            .start(handlers)
            .map_err(system("report's cores do not start"))?;
        // Set once, here.
        let _ = status.io.set(cores.io().clone());
        Ok(Self {
            addr,
            status,
            control,
            cores,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether the store takes what it is given.
    pub fn ready(&self) -> bool {
        self.readiness().ready()
    }

    /// The same for those that ask from elsewhere.
    pub fn readiness(&self) -> ReportReadiness {
        ReportReadiness {
            store: Arc::clone(&self.status.store),
        }
    }

    /// How bytes are moved, and why.
    pub fn io(&self) -> &IoInUse {
        self.cores.io()
    }

    /// The counts, for scraping.
    pub fn stats(&self) -> ReportStats {
        self.status.stats.clone()
    }

    /// What report answers to [`lars_wire::admin::GetStatus`].
    pub fn status(&self) -> StatusText {
        self.status.text()
    }

    /// Stops within 1.5 s: what has arrived is stored and acknowledged, if the store takes it; what is not
    /// acknowledged stays with the agents.
    pub fn stop(self) {
        let Self { control, cores, .. } = self;
        control.stop();
        cores.stop();
    }
}

/// The control thread, told to stop when this is dropped.
struct ControlThread {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl ControlThread {
    /// Starts it, and waits until the store was tried once.
    fn start(io: &IoInUse, parts: impl FnOnce(Arc<Notify>) -> ControlParts) -> Result<Self, ReportError> {
        let stop = Arc::new(Notify::new());
        let parts = parts(Arc::clone(&stop));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let start = move || {
            // Nobody listens where the service gave up meanwhile: then it is told to stop as well.
            control::run(parts, move |opened| drop(tell.send(opened)))
        };
        let thread = lars_pool::control::spawn("report-control", io.kind, start)
            .map_err(system("report's control thread does not start"))?;
        let control = Self {
            stop,
            thread: Some(thread),
        };
        match told.recv() {
            Ok(Opened::Up | Opened::Away) => Ok(control),
            Ok(Opened::Unfit(error)) => Err(ReportError::Store(error)),
            Err(_) => Err(system("report's control thread ended at once")(
                io::ErrorKind::Other.into(),
            )),
        }
    }

    fn stop(mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(
                "report's control thread ended by a panic: what was not acknowledged will be sent again"
            );
        }
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

fn plan(config: &ReportConfig) -> Result<(Plan<Mail>, SocketAddr), ReportError> {
    let mut plan = Plan::new(CoresConfig {
        name: "report",
        io: config.io,
        cores: config.cores,
        pin: config.pin,
        connections_max: config.connections_max,
        unsent_bytes_max: config.unsent_max_mib as usize * 1024 * 1024,
    })
    .map_err(system("report's cores cannot be planned"))?;
    let listen = |source| ReportError::Listen {
        addr: config.listen,
        source,
    };
    let bound = plan.listen(&Bind::Tcp(config.listen), 0).map_err(listen)?;
    // A TCP listener always has an address; the one asked for stands in.
    Ok((plan, bound.unwrap_or(config.listen)))
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ReportError {
    move |source| ReportError::System { what, source }
}
