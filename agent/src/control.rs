//! The agent's control thread: links to dns and report, the book of routes and its file, counts on their way out.
//! Everything here is rare; nothing of it stands on the path of a request.

mod archive;
mod changes;
mod couriers;
mod directory;
mod ledger;
mod outflow;
mod spooler;
mod uplink;

use crate::control::archive::Archive;
use crate::control::changes::Changes;
use crate::control::couriers::Couriers;
use crate::control::directory::Directory;
use crate::control::ledger::Ledger;
use crate::control::spooler::Spooler;
use crate::control::uplink::{EVENTS_MAX, LinkEvent, Uplink};
use crate::links::{LinkTable, Links};
use crate::mail::{Mail, Memo, PolicySet};
use crate::spool_state::SpoolState;
use crate::stats::ControlCounts;
use crate::status::KeptChanges;
use lars_pool::mail::Mailer;
use lars_shard::{RouteBook, Spool, SpoolConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

/// Tallies that wait in memory at most: 120 bytes each, 8 MB. Beyond it they go to disk, or where that is not to be had
/// minutes are merged; sums stay exact.
const TALLIES_PENDING_MAX: usize = 65_536;
/// How long a stopping agent tries to bring its last counts to report.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an idle control thread sleeps at most; nothing depends on it.
const IDLE: Duration = Duration::from_mins(1);

/// What the control thread is made of.
pub(crate) struct ControlParts {
    /// Addresses of dns.
    pub dns: Vec<String>,
    /// Addresses of report.
    pub report: Vec<String>,
    /// Where link states are shown.
    pub links: Arc<Links>,
    /// Ways to the cores.
    pub mailers: Vec<Mailer<Mail>>,
    /// What the cores send.
    pub memos: mpsc::Receiver<Memo>,
    /// Told when to stop.
    pub stop: Arc<Notify>,
    /// Told of policies that differ from those at the start.
    pub policies: watch::Receiver<Arc<PolicySet>>,
    /// The routes that the disk remembered.
    pub book: RouteBook,
    /// Their file.
    pub routes_path: PathBuf,
    /// The folder of counts that report has not acknowledged.
    pub spool_path: PathBuf,
    /// See `AgentConfig::spool_bytes_max`.
    pub spool_bytes_max: u64,
    /// Where the spool's state is shown.
    pub spool: Arc<SpoolState>,
    /// The last changes of nodes' states.
    pub changes: KeptChanges,
    /// The agent's random identity.
    pub incarnation: [u8; 16],
    /// What `ServerCallStatus` names the agent.
    pub caller: u32,
    /// See `AgentConfig::digest_interval_s`.
    pub digest_interval: Duration,
    /// See `AgentConfig::repull_interval_s`.
    pub repull_interval: Duration,
    /// Its counts.
    pub counts: Arc<ControlCounts>,
    /// For what is left to chance.
    pub seed: u64,
}

/// The control thread's state.
struct Control {
    links: Arc<Links>,
    memos: mpsc::Receiver<Memo>,
    stop: Arc<Notify>,
    policies: watch::Receiver<Arc<PolicySet>>,
    couriers: Couriers,
    directory: Directory,
    dns_events: mpsc::Receiver<LinkEvent>,
    ledger: Ledger,
    changes: Changes,
    report_events: mpsc::Receiver<LinkEvent>,
    archive: Archive,
    uplinks: Vec<JoinHandle<()>>,
    /// Cores that have given their last counts.
    drained: usize,
}

/// Runs until the agent stops, or all its cores have ended.
pub(crate) async fn run(parts: ControlParts) {
    let mut control = Control::start(parts);
    if control.serve().await {
        control.stop().await;
    }
    control.end_links().await;
}

impl Control {
    fn start(parts: ControlParts) -> Self {
        let now = Instant::now();
        let mut rng = fastrand::Rng::with_seed(parts.seed);
        let (dns, dns_events) = mpsc::channel(EVENTS_MAX);
        let (report, report_events) = mpsc::channel(EVENTS_MAX);
        let uplinks = vec![
            uplink(
                "dns",
                parts.dns,
                &parts.links,
                |links| &links.dns,
                rng.fork(),
                dns,
            ),
            uplink(
                "report",
                parts.report,
                &parts.links,
                |links| &links.report,
                rng.fork(),
                report,
            ),
        ];
        let counts = &parts.counts;
        let spool = Spool::new(SpoolConfig {
            incarnation: parts.incarnation,
            caller: parts.caller,
            pending_max: TALLIES_PENDING_MAX,
            bytes_max: parts.spool_bytes_max,
        });
        let spooler = Spooler::start(parts.spool_path);
        let edition = parts.book.edition();
        Self {
            links: parts.links,
            memos: parts.memos,
            stop: parts.stop,
            policies: parts.policies,
            couriers: Couriers::new(parts.mailers, Arc::clone(counts)),
            directory: Directory::new(
                now,
                parts.book,
                parts.digest_interval,
                parts.repull_interval,
                Arc::clone(counts),
            ),
            dns_events,
            ledger: Ledger::new(spool, spooler, Arc::clone(counts), parts.spool),
            changes: Changes::new(parts.changes),
            report_events,
            archive: Archive::new(now, parts.routes_path, edition, Arc::clone(counts)),
            uplinks,
            drained: 0,
        }
    }

    /// Returns whether to stop in good order: false when the cores have ended without it.
    async fn serve(&mut self) -> bool {
        loop {
            let wake = self.next_timeout();
            // While cores are too busy to take routes, dns is not read: the push waits there.
            let reads_dns = self.couriers.has_room();
            tokio::select! {
                () = self.stop.notified() => return true,
                memo = self.memos.recv() => match memo {
                    Some(memo) => self.memo(memo),
                    None => return false,
                },
                Some(event) = self.dns_events.recv(), if reads_dns => {
                    self.directory.event(Instant::now(), event, &mut self.couriers);
                }
                Some(event) = self.report_events.recv() => self.report_event(event),
                Some(outcome) = self.ledger.disk() => self.ledger.done(outcome),
                Ok(()) = self.policies.changed() => {
                    let set = Arc::clone(&self.policies.borrow_and_update());
                    self.couriers.send_to_all(|| Mail::Policies(Arc::clone(&set)));
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now = Instant::now();
            self.couriers.retry();
            self.directory.due(now);
            self.ledger.due(now);
            self.changes.due(now);
            self.archive.due(now, self.directory.book()).await;
        }
    }

    fn next_timeout(&self) -> Instant {
        let now = Instant::now();
        let timeouts = [
            self.couriers.next_timeout(now),
            self.directory.next_timeout(),
            self.ledger.next_timeout(),
            self.changes.next_timeout(),
            self.archive.next_timeout(now, self.directory.book()),
        ];
        timeouts.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    fn memo(&mut self, memo: Memo) {
        match memo {
            Memo::Orders(orders) => self.directory.orders(&orders),
            Memo::Tallies(tallies) => self.ledger.add(&tallies),
            Memo::Changes(changes) => self.changes.add(changes),
            Memo::Drained => self.drained += 1,
        }
    }

    fn report_event(&mut self, event: LinkEvent) {
        if let Some(event) = self.changes.event(event) {
            self.ledger.event(event);
        }
    }

    /// Gathers the last counts, brings them to report, for [`STOP_TIMEOUT`] at most, and the rest of them to disk; and
    /// writes the routes.
    async fn stop(&mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        self.couriers.send_to_all(|| Mail::Drain);
        while !self.is_settled() {
            let step = async {
                tokio::select! {
                    memo = self.memos.recv() => memo.map(|memo| self.memo(memo)).is_some(),
                    Some(event) = self.report_events.recv() => {
                        self.report_event(event);
                        true
                    }
                    Some(outcome) = self.ledger.disk() => {
                        self.ledger.done(outcome);
                        true
                    }
                    () = tokio::time::sleep(Duration::from_millis(5)) => true,
                }
            };
            if !timeout_at(deadline.into(), step).await.unwrap_or(false) {
                break;
            }
            self.couriers.retry();
        }
        self.ledger.close().await;
        self.archive.close(Instant::now(), self.directory.book()).await;
    }

    /// Whether nothing is left to wait for: all counts and changes are acknowledged, or there is no hope for it now.
    fn is_settled(&self) -> bool {
        let gathered = self.drained >= self.couriers.cores();
        let told = self.ledger.pending() == 0 && self.changes.waiting() == 0;
        gathered && (told || !self.links.report.is_hopeful())
    }

    /// Ends both links, and waits a moment for the tasks that read them: a read is never dropped under way.
    async fn end_links(mut self) {
        self.directory.end();
        self.ledger.end();
        self.dns_events.close();
        self.report_events.close();
        // What a link still wants to say is nobody's business now; taking it lets the task see that.
        while self.dns_events.try_recv().is_ok() || self.report_events.try_recv().is_ok() {}
        let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
        for uplink in &mut self.uplinks {
            if timeout_at(deadline, &mut *uplink).await.is_err() {
                uplink.abort();
            }
        }
    }
}

fn uplink(
    to: &'static str,
    addrs: Vec<String>,
    links: &Arc<Links>,
    table: fn(&Links) -> &LinkTable,
    rng: fastrand::Rng,
    events: mpsc::Sender<LinkEvent>,
) -> JoinHandle<()> {
    let uplink = Uplink {
        to,
        addrs,
        links: Arc::clone(links),
        table,
        rng,
        events,
    };
    tokio::task::spawn_local(uplink.run())
}
