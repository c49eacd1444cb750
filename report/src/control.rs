//! The thread that alone speaks with the store: one transaction for all that waits, then the answers. While the store
//! is away nothing is answered and nothing is lost: it keeps trying.

mod courier;
mod keeper;

pub(crate) use keeper::Opened;

use crate::control::courier::Courier;
use crate::control::keeper::Keeper;
use crate::intake::Intake;
use crate::mail::{Answer, Arrival, ChangesArrival, Mail, Outcome};
use crate::stats::ControlCounts;
use crate::status::StoreState;
use lars_pool::mail::Mailer;
use lars_store::{CallBatch, CallStore, ChangeStore, StoreConfig, Stored};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

/// How often what grew too old is deleted.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// Acknowledgements idle for so long are forgotten: far longer than a spool is kept (three days).
const ACK_IDLE_S: u64 = 7 * 24 * 3_600;
const DAY_MINUTES: u64 = 24 * 60;
/// How long a store may let report wait that was told to stop: twice this and the rest are within 1.5 s.
const STOP_MAX: Duration = Duration::from_millis(600);

/// What the control thread is made of.
pub(crate) struct ControlParts {
    /// The store.
    pub store: StoreConfig,
    /// Batches from the cores.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Changes of nodes from the cores.
    pub changes: mpsc::Receiver<ChangesArrival>,
    /// The way to each core.
    pub mailers: Vec<Mailer<Mail>>,
    /// Tells to stop.
    pub stop: Arc<Notify>,
    /// Where the store's state is shown.
    pub state: Arc<StoreState>,
    /// Counts.
    pub counts: Arc<ControlCounts>,
    /// Tallies stored in one transaction.
    pub transaction_tallies_max: usize,
    /// How long history is kept.
    pub history_retention_days: u32,
}

/// The control thread's state.
struct Control {
    keeper: Keeper,
    arrivals: mpsc::Receiver<Arrival>,
    changes: mpsc::Receiver<ChangesArrival>,
    /// One batch of them, to be stored next.
    changes_next: Option<ChangesArrival>,
    intake: Intake,
    courier: Courier,
    counts: Arc<ControlCounts>,
    transaction_tallies_max: usize,
    history_retention_days: u32,
    /// When the next pruning starts, or goes on.
    prune_at: Instant,
}

/// Runs until it is told to stop. `opened` hears how the first try to open the store went.
pub(crate) async fn run(parts: ControlParts, opened: impl FnOnce(Opened)) {
    let mut keeper = Keeper::new(parts.store, parts.state, Arc::clone(&parts.counts));
    let first = keeper.open_first().await;
    let go_on = !matches!(first, Opened::Unfit(_));
    opened(first);
    if !go_on {
        return;
    }
    let mut control = Control {
        keeper,
        arrivals: parts.arrivals,
        changes: parts.changes,
        changes_next: None,
        intake: Intake::default(),
        courier: Courier::new(parts.mailers),
        counts: parts.counts,
        transaction_tallies_max: parts.transaction_tallies_max,
        history_retention_days: parts.history_retention_days,
        prune_at: Instant::now(),
    };
    while !control.wait(&parts.stop).await {
        match work_or_stop(&mut control, &parts.stop).await {
            Stopping::Not => {}
            Stopping::Now => break,
            // What was stored but not acknowledged will be sent again and known again.
            Stopping::InTheMiddle => return,
        }
    }
    // What has arrived is stored if the store takes it; if not, the agents keep it.
    control.take_arrivals();
    let rest = async { while control.store_some().await {} };
    let stored = tokio::time::timeout(STOP_MAX, rest).await;
    if stored.is_err() {
        tracing::warn!("the store did not answer in time to stop; agents keep what was not acknowledged");
    }
    control.courier.send();
}

/// What became of one turn of work.
enum Stopping {
    /// It was done.
    Not,
    /// It was done, and meanwhile report was told to stop.
    Now,
    /// Report was told to stop, and the store let it wait for too long.
    InTheMiddle,
}

/// Works; but a store that does not answer keeps nobody from stopping.
async fn work_or_stop(control: &mut Control, stop: &Notify) -> Stopping {
    let is_told = Cell::new(false);
    let overdue = async {
        stop.notified().await;
        is_told.set(true);
        tokio::time::sleep(STOP_MAX).await;
    };
    tokio::select! {
        biased;
        () = control.work() => if is_told.get() { Stopping::Now } else { Stopping::Not },
        () = overdue => Stopping::InTheMiddle,
    }
}

impl Control {
    /// Waits until there is something to do; returns whether that is to stop.
    async fn wait(&mut self, stop: &Notify) -> bool {
        let due = self.next_timeout();
        tokio::select! {
            biased;
            () = stop.notified() => return true,
            arrival = self.arrivals.recv() => match arrival {
                Some(arrival) => self.arrived(arrival),
                // No core is left to serve.
                None => return true,
            },
            Some(changes) = self.changes.recv(), if self.changes_next.is_none() => {
                self.changes_next = Some(changes);
            }
            () = sleep_until(due) => {}
        }
        self.take_arrivals();
        false
    }

    fn next_timeout(&self) -> Instant {
        let is_idle = self.intake.is_empty() && self.changes_next.is_none();
        let store_at = if is_idle && self.keeper.is_up() {
            self.prune_at
        } else {
            self.keeper.next_try()
        };
        let send_at = self.courier.next_try();
        send_at.map_or(store_at, |send_at| send_at.min(store_at))
    }

    async fn work(&mut self) {
        if self.keeper.is_due() {
            if !self.intake.is_empty() {
                self.store_some().await;
            }
            if let Some(arrival) = self.changes_next.take() {
                self.store_changes(arrival).await;
            }
            // With nothing to store, pruning is also how a store that was away is found to be back.
            let is_probe = self.intake.is_empty() && !self.keeper.is_up();
            if self.keeper.is_due() && (is_probe || self.prune_at <= Instant::now()) {
                self.prune().await;
            }
        }
        self.courier.send();
    }

    /// Everything that waits in the channel: while one transaction ran, others arrived.
    fn take_arrivals(&mut self) {
        while let Ok(arrival) = self.arrivals.try_recv() {
            self.arrived(arrival);
        }
        self.counts.tallies_waiting.set(self.intake.tallies() as u64);
        // What is known already frees its room now, not after a transaction.
        self.courier.send();
    }

    fn arrived(&mut self, arrival: Arrival) {
        let answers = self.intake.add(arrival);
        if !answers.is_empty() {
            self.counts.batches_known.add(1);
        }
        for answer in answers {
            self.courier.put(answer);
        }
    }

    /// One transaction. Returns whether it went through and more waits.
    async fn store_some(&mut self) -> bool {
        let Some(store) = self.keeper.store().await else {
            return false;
        };
        let lot = self.intake.take(self.transaction_tallies_max);
        if lot.batches.is_empty() {
            return false;
        }
        let result = store.store(&lot.batches).await;
        match result {
            Ok(stored) => {
                self.keeper.went_through();
                self.count(&lot.batches, &stored);
                for answer in lot.answers(&stored) {
                    self.courier.put(answer);
                }
                self.counts.tallies_waiting.set(self.intake.tallies() as u64);
                !self.intake.is_empty()
            }
            Err(error) => {
                self.keeper.failed(&error);
                self.intake.give_back(lot);
                false
            }
        }
    }

    /// Changes of nodes. What the store does not take is dropped, and comes again.
    async fn store_changes(&mut self, arrival: ChangesArrival) {
        let Some(last) = arrival.changes.last() else {
            return;
        };
        let (incarnation, number) = (last.incarnation, last.number);
        let Some(store) = self.keeper.store().await else {
            return;
        };
        match store.store_changes(&arrival.changes).await {
            Ok(kept) => {
                self.keeper.went_through();
                let stored = if kept { arrival.changes.len() as u64 } else { 0 };
                self.counts.changes_stored.add(stored);
                self.courier.put(Answer {
                    asker: arrival.asker,
                    outcome: Outcome::Changes { incarnation, number },
                });
            }
            Err(error) => self.keeper.failed(&error),
        }
    }

    fn count(&self, batches: &[CallBatch], stored: &[Stored]) {
        self.counts.transactions.add(1);
        for (batch, stored) in batches.iter().zip(stored) {
            match stored {
                Stored::Now(_) => {
                    self.counts.batches_stored.add(1);
                    self.counts.tallies_stored.add(batch.records.len() as u64);
                }
                Stored::Before(_) => self.counts.batches_repeated.add(1),
                Stored::Gap(_) => self.counts.gaps.add(1),
            }
        }
    }

    /// Deletes some of what grew too old: what is to be stored comes in between.
    async fn prune(&mut self) {
        let minute_first = unix_minute().saturating_sub(u64::from(self.history_retention_days) * DAY_MINUTES);
        let Some(store) = self.keeper.store().await else {
            return;
        };
        let result = match store.prune(minute_first, ACK_IDLE_S).await {
            Ok(rows) => store
                .prune_node_changes(minute_first * 60_000)
                .await
                .map(|changes| rows + changes),
            failed => failed,
        };
        match result {
            Ok(rows) => {
                self.keeper.went_through();
                self.counts.rows_pruned.add(rows);
                if rows == 0 {
                    self.prune_at = Instant::now() + PRUNE_INTERVAL;
                }
            }
            Err(error) => self.keeper.failed(&error),
        }
    }
}

fn unix_minute() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / 60)
}
