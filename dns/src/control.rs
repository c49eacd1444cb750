//! The control thread: owns the store, looks at it, stores edits, tells every core what changed, and answers an edit
//! when its pushes are acknowledged.

mod desk;
mod outbox;

use crate::config::DnsConfig;
use crate::confirmations::Settled;
use crate::keeper::{Keeper, Looked};
use crate::mail::{Asker, EditUnderWay, Mail, Request, Word};
use crate::publication::{EditId, Publication};
use crate::stats::Counts;
use bytes::Bytes;
use lars_pool::mail::Mailer;
use lars_store::routes::{EditDone, RouteStore};
use lars_store::{AnyStore, StoreConfig, StoreError};
use lars_wire::admin::{Edited, RouteEdit, bounded_text};
use lars_wire::{Message, codec};
use outbox::Outbox;
use std::cell::Cell;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long an edit's answer waits for the acknowledgements of its pushes.
pub(crate) const CONFIRM_MAX: Duration = Duration::from_millis(300);
/// A core that has not said its word about an edit by then is stuck; the edit is answered without it.
const CORES_MAX_DELAY: Duration = Duration::from_secs(1);
/// Waits between tries to reach a store that is away: doubled from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// How long a store may let dns wait that was told to stop.
const STOP_MAX: Duration = Duration::from_secs(1);
/// How often old change rows are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_mins(1);
/// How often mail for a core with a full queue is tried again.
const OUTBOX_RETRY: Duration = Duration::from_millis(1);

/// What the control thread is made from.
pub(crate) struct ControlParts {
    pub(crate) config: DnsConfig,
    pub(crate) store: StoreConfig,
    pub(crate) counts: Arc<Counts>,
    pub(crate) mailers: Vec<Mailer<Mail>>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) words: mpsc::UnboundedReceiver<Word>,
    /// Told how the first try to open the store ended.
    pub(crate) opened: std_mpsc::SyncSender<Result<(), StoreError>>,
    /// Seeds the jitter of the back-off.
    pub(crate) seed: u64,
}

/// The control thread's state.
pub(crate) struct Control {
    parts: ControlParts,
    keeper: Keeper,
    store: Option<AnyStore>,
    outbox: Outbox,
    under_way: Vec<(EditUnderWay, EditDone, Instant)>,
    edits: u64,
    /// The version of the store under which was pushed last, until those who got it know of a newer one.
    pushed_under: Option<u64>,
    /// The wait before the next try to reach the store; none while it is there.
    retry: Option<Duration>,
    random: fastrand::Rng,
    next_look: Instant,
    next_prune: Instant,
    started: Instant,
}

impl Control {
    pub(crate) fn new(mut parts: ControlParts, now: Instant) -> Self {
        let keeper = Keeper::new(Arc::clone(&parts.counts.catalog), parts.config.poll_interval());
        let outbox = Outbox::new(std::mem::take(&mut parts.mailers));
        Self {
            keeper,
            store: None,
            outbox,
            under_way: Vec::new(),
            edits: 0,
            pushed_under: None,
            retry: None,
            random: fastrand::Rng::with_seed(parts.seed),
            next_look: now,
            next_prune: now + PRUNE_INTERVAL,
            started: now,
            parts,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        let (_, nobody) = mpsc::unbounded_channel();
        let mut words = std::mem::replace(&mut self.parts.words, nobody);
        let mut heard = Vec::new();
        loop {
            let now = Instant::now();
            self.outbox.retry();
            self.answer_overdue(now);
            if now >= self.next_look {
                if unless_stopped(self.look(now), &mut words, &mut heard).await {
                    return;
                }
                heard.drain(..).for_each(|settled| self.settled(settled));
            }
            let wake = tokio::time::sleep_until(self.wake(now).into());
            tokio::select! {
                biased;
                word = words.recv() => match word {
                    Some(Word::Settled(settled)) => self.settled(settled),
                    Some(Word::Stop) | None => return,
                },
                request = self.parts.requests.recv() => match request {
                    Some(request) => {
                        if unless_stopped(self.asked(request), &mut words, &mut heard).await {
                            return;
                        }
                        heard.drain(..).for_each(|settled| self.settled(settled));
                    }
                    None => return,
                },
                () = wake => {}
            }
        }
    }

    fn wake(&self, now: Instant) -> Instant {
        let overdue = self.under_way.iter().map(|under_way| under_way.2);
        let mail = self.outbox.is_behind().then(|| now + OUTBOX_RETRY);
        overdue.chain(mail).chain([self.next_look]).min().unwrap_or(now)
    }

    /// One step of the keeper, or a try to reach the store.
    async fn look(&mut self, now: Instant) {
        let looked = match self.take_store().await {
            Ok(mut store) => {
                let looked = self.keeper.look(&mut store).await;
                self.store = Some(store);
                looked
            }
            Err(error) => Err(error),
        };
        self.publish(None);
        let counts = &self.parts.counts.control;
        counts.looks.add(1);
        counts.look_last_us.set(now.elapsed().as_micros() as u64);
        match looked {
            Ok(looked) => {
                self.store_answered();
                if looked == Looked::Loaded {
                    self.loaded();
                }
                let interval = self.parts.config.poll_interval();
                let due = if looked == Looked::Busy {
                    now
                } else {
                    now + interval
                };
                self.next_look = due.max(Instant::now());
                if looked != Looked::Busy && now >= self.next_prune {
                    self.prune(now).await;
                }
            }
            Err(error) => self.store_failed(now, &error),
        }
    }

    async fn take_store(&mut self) -> Result<AnyStore, StoreError> {
        if let Some(store) = self.store.take() {
            return Ok(store);
        }
        let opened = AnyStore::open(&self.parts.store).await;
        let outcome = opened.as_ref().map(|_| ()).map_err(copy);
        // Only the first is listened to.
        let _ = self.parts.opened.try_send(outcome);
        let store = opened?;
        let name = store.describe();
        self.parts.counts.tell_store(|sight| sight.name = name);
        Ok(store)
    }

    fn loaded(&mut self) {
        let (counts, catalog) = (&self.parts.counts, &self.parts.counts.catalog);
        counts
            .control
            .load_ms
            .set(self.started.elapsed().as_millis() as u64);
        tracing::info!(
            modules = catalog.modules(),
            nodes = catalog.nodes(),
            "loaded the routes"
        );
        self.outbox.send_all(&Mail::Loaded);
        // Every row of the store was here once more.
        lars_pool::memory::give_back();
    }

    fn store_answered(&mut self) {
        let counts = &self.parts.counts;
        if self.retry.take().is_some() {
            tracing::info!("the store is back");
        }
        counts.control.store_up.set(1);
        counts.control.comparisons.set(self.keeper.comparisons());
        counts.control.index_bytes.set(self.keeper.index_bytes());
        let bad = self.keeper.bad_rows_count();
        if bad != counts.control.bad_rows.get() {
            counts.control.bad_rows.set(bad);
            tracing::warn!(
                bad,
                first = %self.keeper.bad_rows(),
                "rows of the store that cannot be served; `lars route check` lists all"
            );
        }
        let (held, waiting) = self.keeper.held();
        let told = match (held, waiting) {
            (0, _) => String::new(),
            (_, 0) => {
                format!("{held} modules lost nodes unannounced; published when the store is seen so again")
            }
            (_, waiting) => format!(
                "{waiting} modules are gone from the store at once, more than half of all: their last routes are \
                 served until the rows are back, or until `lars route accept` says that it is meant"
            ),
        };
        counts.control.modules_held.set(held);
        let version = self.keeper.version();
        // A database may have been migrated meanwhile.
        let name = self.store.as_ref().map(AnyStore::describe);
        let mut is_news = false;
        counts.tell_store(|sight| {
            sight.error.clear();
            sight.version = version;
            if let Some(name) = name {
                sight.name = name;
            }
            is_news = sight.held != told;
            sight.held.clone_from(&told);
        });
        if is_news && waiting > 0 {
            tracing::error!(told, "held back");
        } else if is_news && held > 0 {
            tracing::warn!(told, "held back");
        }
    }

    fn store_failed(&mut self, now: Instant, error: &StoreError) {
        let counts = &self.parts.counts;
        counts.control.store_errors.add(1);
        counts.control.store_up.set(0);
        let text = bounded_text(error.to_string());
        counts.tell_store(|sight| sight.error.clone_from(&text));
        if self.retry.is_none() && counts.catalog.is_loaded() {
            tracing::error!(
                text,
                "the store does not answer as it should; the last routes are served"
            );
        } else if self.retry.is_none() {
            tracing::error!(
                text,
                "the store could not be read; nothing is served before it is"
            );
        }
        let wait = self.retry.map_or(RETRY_FIRST, |wait| (wait * 2).min(RETRY_LAST));
        self.retry = Some(wait);
        self.store = None;
        self.next_look = now + wait.mul_f64(self.random.f64().mul_add(0.5, 0.75));
    }

    async fn prune(&mut self, now: Instant) {
        self.next_prune = now + PRUNE_INTERVAL;
        if !self.parts.config.prune_changes {
            return;
        }
        let seen_long_ago = self.keeper.changes_seen_long_ago(now);
        let Some(store) = &mut self.store else { return };
        match store.prune_changes(seen_long_ago).await {
            Ok(pruned) => self.parts.counts.control.changes_pruned.add(pruned),
            Err(error) => tracing::warn!(%error, "old change rows were not deleted; tried again in a minute"),
        }
    }

    /// Pushes what the keeper changed.
    fn publish(&mut self, edit: Option<(EditId, Instant)>) -> bool {
        // Before any core can answer or push what was just read.
        let version = self.keeper.version();
        self.parts.counts.control.route_version.set(version);
        let found = self.keeper.changes_found();
        self.parts.counts.control.changes_found.set(found);
        if let Some(told) = self.pushed_under.take_if(|told| *told != version) {
            self.outbox.send_all(&Mail::Moved { told });
        }
        let changes = self.keeper.take_changes();
        if changes.is_empty() {
            return false;
        }
        self.pushed_under = Some(version);
        self.parts.counts.control.changes.add(changes.len() as u64);
        self.outbox
            .send_all(&Mail::Published(Arc::new(Publication { changes, edit })));
        true
    }

    async fn edit(&mut self, asker: Asker, edits: Vec<RouteEdit>) {
        // What others changed is pushed under no edit's name.
        self.publish(None);
        let outcome = match &mut self.store {
            Some(store) if self.parts.counts.catalog.is_loaded() => self.keeper.edit(store, &edits).await,
            _ => Err(unreachable_now()),
        };
        let now = Instant::now();
        self.edits += 1;
        let edit = EditId(self.edits);
        let pushed = self.publish(Some((edit, now + CONFIRM_MAX)));
        match outcome {
            Ok(done) => {
                self.parts.counts.control.edits.add(1);
                let cores_left = if pushed { self.outbox.cores() } else { 0 };
                let under_way = EditUnderWay {
                    edit,
                    asker,
                    cores_left,
                    unconfirmed: 0,
                };
                if pushed {
                    self.under_way.push((under_way, done, now + CORES_MAX_DELAY));
                } else {
                    self.answer_edit(&under_way, &done);
                }
            }
            Err(error) => self.refuse(&error, &asker),
        }
    }

    /// A core said its word about an edit.
    fn settled(&mut self, settled: Settled) {
        let is_it = |under_way: &(EditUnderWay, EditDone, Instant)| under_way.0.edit == settled.edit;
        let Some(place) = self.under_way.iter().position(is_it) else {
            return;
        };
        let under_way = &mut self.under_way[place].0;
        under_way.cores_left -= 1;
        under_way.unconfirmed += settled.unconfirmed;
        if under_way.cores_left == 0 {
            let (under_way, done, _) = self.under_way.swap_remove(place);
            self.answer_edit(&under_way, &done);
        }
    }

    fn answer_overdue(&mut self, now: Instant) {
        while let Some(place) = self.under_way.iter().position(|under_way| under_way.2 <= now) {
            let (under_way, done, _) = self.under_way.swap_remove(place);
            self.answer_edit(&under_way, &done);
        }
    }

    fn answer_edit(&mut self, under_way: &EditUnderWay, done: &EditDone) {
        let unconfirmed = under_way.unconfirmed;
        self.parts
            .counts
            .control
            .edits_unconfirmed
            .add(u64::from(unconfirmed > 0));
        let EditDone {
            put,
            removed,
            version,
        } = *done;
        self.answer(
            &Edited {
                put,
                removed,
                version,
                unconfirmed,
            },
            &under_way.asker,
            false,
        );
    }

    fn answer<M: Message>(&mut self, message: &M, asker: &Asker, close: bool) {
        let mut frame = Vec::new();
        codec::append(message, asker.sequence, &mut frame).expect("an answer keeps its bounds");
        let (connection, frame) = (asker.connection, Bytes::from(frame));
        self.outbox.send(
            asker.core,
            Mail::Answer {
                connection,
                frame,
                close,
            },
        );
    }
}

/// Does some work with the store; whether dns was told to stop meanwhile. A store that does not answer keeps nobody
/// from stopping. What cores say of edits in between is gathered in `heard`.
async fn unless_stopped(
    work: impl Future<Output = ()>,
    words: &mut mpsc::UnboundedReceiver<Word>,
    heard: &mut Vec<Settled>,
) -> bool {
    let is_told = Cell::new(false);
    let overdue = async {
        while let Some(Word::Settled(settled)) = words.recv().await {
            heard.push(settled);
        }
        is_told.set(true);
        tokio::time::sleep(STOP_MAX).await;
    };
    tokio::select! {
        biased;
        () = work => is_told.get(),
        () = overdue => true,
    }
}

/// What is told while there is no connection to the store.
fn unreachable_now() -> StoreError {
    StoreError::Away("it cannot be reached now, nothing was changed; ask again".to_owned())
}

/// An error twice: for the log, and for who started the service.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Away(text) => StoreError::Away(text.clone()),
        StoreError::Unfit(text) => StoreError::Unfit(text.clone()),
        StoreError::Refused(text) => StoreError::Refused(text.clone()),
    }
}
