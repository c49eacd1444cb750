//! Keeps the catalog as the store is: loads it, looks, reads again what the tracker names, sweeps, and holds back
//! what the guard does not believe. Speaks to a store, but knows no clock, no thread and no peer.

mod comparison;
mod glance;
mod pass;

use crate::bad_rows::BadRows;
use crate::catalog::Catalog;
use crate::diff::{self, Difference};
use crate::load::Load;
use crate::publication::Change;
use crate::publisher::Publisher;
use crate::tracker::Tracker;
use crate::tracker::guard::{Guard, Reason};
use crate::tracker::sweep::Sweep;
use lars_store::StoreError;
use lars_store::routes::{EditDone, Observation, RouteRecord, RouteStore};
use lars_wire::ModuleId;
use lars_wire::admin::RouteEdit;
use lars_wire::held::HeldRow;
use pass::Pass;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of one page when everything is read: some 20 ms, after which others have their turn.
const PAGE_ROWS: u32 = 20_000;
/// Modules read again at once, many enough that a database without an index by module is passed over a few times at
/// most ...
const MODULES_READ_MAX: usize = 4_096;
/// ... and so many nodes, as far as they are known: their rows take some megabytes on their way into the catalog.
const NODES_READ_MAX: usize = 32_768;

/// What the next look does.
enum Stage {
    /// Reads everything for the first time.
    Loading(Box<Loading>),
    /// Looks, and reads again what changed.
    Watching,
    /// Reads what a look was told of a database without an index by module and a glance could not tell; new rows have
    /// ids above this one, if there are any.
    Rereading(Option<u64>),
    /// Passes over a slice of a table without an index by module, after a look.
    Passing,
    /// Reads a slice of the sweep, after a look.
    Sweeping,
    /// Compares a page with the catalog, after a look.
    Comparing,
}

#[derive(Default)]
struct Loading {
    /// What was seen before the first page.
    before: Option<Observation>,
    load: Load,
    after: u64,
    bad: BadRows,
    /// To read everything at once has failed: it is read by small pages, for a database that may be too slow for more.
    has_failed: bool,
}

/// What a look led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There is more to read: look again at once.
    Busy,
    /// The first load is done.
    Loaded,
    /// Nothing more to do until the next look is due.
    Idle,
}

/// The catalog's keeper.
pub(crate) struct Keeper {
    publisher: Publisher,
    tracker: Tracker,
    sweep: Sweep,
    guard: Guard,
    stage: Stage,
    interval: Duration,
    comparisons: u64,
    /// Rows up to this id are compared, where everything is; in between what is announced has its turn.
    compared_to: Option<u64>,
    /// Another comparison is due when this one is done: the reason for it may lie where this one was already.
    compare_again: bool,
    /// Changes that the sweep came across: nobody had announced them.
    changes_found: u64,
    /// The version that an edit of ours made, until the next look shows it.
    edited: Option<u64>,
    /// Modules that are to be read again, and why.
    unread: BTreeMap<ModuleId, Reason>,
    /// The pass over a table without an index by module that is under way.
    pass: Option<Pass>,
    /// Rows of a slice of a pass, and how many were passed over in a row.
    slice_rows: usize,
    slices_alone: u32,
    /// Changes of the catalog that are not pushed yet.
    changes: Vec<Change>,
}

impl Keeper {
    /// The keeper of an empty catalog, who looks each `interval`.
    pub(crate) fn new(catalog: Arc<Catalog>, interval: Duration) -> Self {
        Self {
            publisher: Publisher::new(catalog),
            tracker: Tracker::default(),
            sweep: Sweep::new(interval, BadRows::default()),
            guard: Guard::new(interval),
            stage: Stage::Loading(Box::default()),
            interval,
            comparisons: 0,
            compared_to: None,
            compare_again: false,
            changes_found: 0,
            edited: None,
            unread: BTreeMap::new(),
            pass: None,
            slice_rows: pass::SLICE_ROWS,
            slices_alone: 0,
            changes: Vec::new(),
        }
    }

    /// `RouteVersion` as last seen, or as our own edit has left it since.
    pub(crate) fn version(&self) -> u64 {
        self.edited.unwrap_or_else(|| self.tracker.version())
    }

    /// Full comparisons made.
    pub(crate) fn comparisons(&self) -> u64 {
        self.comparisons
    }

    /// Changes that nobody had announced, found by the sweep.
    pub(crate) fn changes_found(&self) -> u64 {
        self.changes_found
    }

    /// What is kept beside the catalog to find rows that nobody announced, in bytes.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.publisher.index_bytes()
    }

    /// Change rows with an id up to this were seen an hour ago or longer, whatever time they tell. To be asked now and
    /// then.
    pub(crate) fn changes_seen_long_ago(&mut self, now: Instant) -> u64 {
        self.tracker.seen_long_ago(now)
    }

    /// How many rows cannot be served.
    pub(crate) fn bad_rows_count(&self) -> u64 {
        self.sweep.bad_rows().count() + self.publisher.rows_skipped()
    }

    /// Those rows.
    pub(crate) fn bad_rows(&self) -> BadRows {
        let mut bad = self.sweep.bad_rows().clone();
        bad.add(&self.publisher.skipped_rows());
        bad
    }

    /// Modules whose loss of nodes is held back, and how many of them lost all and wait for people (0 while only the
    /// next pass of the sweep is waited for).
    pub(crate) fn held(&self) -> (u64, u64) {
        let waiting = self.guard.waits_for_people(self.publisher.catalog().modules());
        (
            self.guard.held() as u64,
            if waiting { self.guard.vanished() } else { 0 },
        )
    }

    /// At most `rows_max` modules behind `after` whose loss of nodes is held back, and whether there are more.
    pub(crate) fn held_rows(&self, after: Option<ModuleId>, rows_max: usize) -> (Vec<HeldRow>, bool) {
        let row = |(module, vanished)| HeldRow {
            module,
            nodes: self.publisher.catalog().view(module).nodes().len() as u32,
            vanished,
        };
        let mut held = self.guard.modules(after).map(row);
        (held.by_ref().take(rows_max).collect(), held.next().is_some())
    }

    /// What is held back is meant: takes those modules as the store has them. What could not be read is taken so at
    /// the next look.
    pub(crate) async fn accept(&mut self, store: &mut impl RouteStore) -> Result<(), StoreError> {
        let modules = self.guard.modules(None).map(|(module, _)| module).collect();
        let accepted = self.reread(store, modules, Reason::Told).await;
        if accepted.is_err() {
            self.tracker.lost();
        }
        accepted
    }

    /// Changes that [`Self::take_changes`] would give now.
    pub(crate) fn changes_waiting(&self) -> usize {
        self.changes.len()
    }

    /// The changes made to the catalog since this was asked last. To be pushed whether or not the call that made them
    /// failed in the end.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// One step: a page of what is being read, or a look. After an error the next look finds what this one missed.
    pub(crate) async fn look(&mut self, store: &mut impl RouteStore) -> Result<Looked, StoreError> {
        let looked = match &self.stage {
            Stage::Loading(_) => self.load_page(store).await,
            Stage::Comparing => self.compare_page(store).await,
            Stage::Watching => self.watch(store).await,
            Stage::Rereading(rows_after) => {
                let rows_after = *rows_after;
                self.read_told(store, rows_after).await
            }
            Stage::Passing => self.pass_slice(store).await,
            Stage::Sweeping => {
                let before = self.changes.len();
                let swept = self.sweep_slice(store).await;
                self.changes_found += (self.changes.len() - before) as u64;
                swept
            }
        };
        if looked.is_err() {
            self.tracker.lost();
            self.give_up_pass();
        }
        looked
    }

    /// Stores edits and publishes them.
    pub(crate) async fn edit(
        &mut self,
        store: &mut impl RouteStore,
        edits: &[RouteEdit],
    ) -> Result<EditDone, StoreError> {
        let done = store.edit(edits).await?;
        self.edited = Some(done.version);
        let modules: BTreeSet<ModuleId> = edits.iter().map(RouteEdit::module).collect();
        if let Err(error) = self.reread(store, modules.clone(), Reason::Told).await {
            self.tracker.lost();
            let text = format!("the change is stored, but could not be read back yet: {error}");
            return Err(StoreError::Away(text));
        }
        self.tracker.edited(modules, done.version);
        Ok(done)
    }

    async fn load_page(&mut self, store: &mut impl RouteStore) -> Result<Looked, StoreError> {
        let Stage::Loading(loading) = &mut self.stage else {
            return Ok(Looked::Idle);
        };
        if loading.before.is_none() {
            loading.before = Some(store.observe(0).await?);
        }
        let load = &mut loading.load;
        let mut take = |row| load.take(row);
        let page = if loading.has_failed {
            store.each_after(loading.after, PAGE_ROWS, &mut take).await
        } else {
            store.each(&mut take).await
        };
        let page = page.inspect_err(|_| {
            loading.load.forget_after(loading.after);
            loading.has_failed = true;
        })?;
        loading.bad.add(&page.bad);
        if let Some(last) = page.last_id.filter(|_| loading.has_failed) {
            loading.after = last;
            return Ok(Looked::Busy);
        }
        let Loading {
            before,
            load,
            mut bad,
            ..
        } = std::mem::take(&mut **loading);
        bad.merge(&self.publisher.finish(load));
        self.tracker = Tracker::new(&before.unwrap_or_default());
        self.sweep = Sweep::new(self.interval, bad);
        self.stage = Stage::Watching;
        let catalog = self.publisher.catalog();
        if catalog.modules() > 0 {
            catalog.set_emptiness_explained();
        }
        catalog.set_loaded();
        Ok(Looked::Loaded)
    }

    async fn watch(&mut self, store: &mut impl RouteStore) -> Result<Looked, StoreError> {
        let observation = store.observe(self.tracker.changes_after()).await?;
        let reread = self.tracker.observed(&observation);
        self.edited = None;
        if reread.hurry {
            self.sweep.hurry();
        }
        if reread.everything {
            self.compare_everything();
        }
        if store.passes_over_all() {
            let is_news = !reread.modules.is_empty() || reread.rows_after.is_some();
            if is_news {
                self.glance(store, &reread.modules, reread.rows_after).await?;
            }
            // What a pass has read is as it was, but for what this look has just told.
            self.end_pass();
            if is_news {
                self.stage = Stage::Rereading(reread.rows_after);
                return Ok(Looked::Busy);
            }
            return self.read_told(store, None).await;
        }
        self.give_up_pass();
        self.note_unread(reread.modules, Reason::Told);
        self.read_told(store, reread.rows_after).await
    }

    /// Reads what is to be read again, or begins to, and new rows.
    async fn read_told(
        &mut self,
        store: &mut impl RouteStore,
        rows_after: Option<u64>,
    ) -> Result<Looked, StoreError> {
        self.stage = Stage::Watching;
        if store.passes_over_all() {
            self.begin_pass();
        } else {
            self.reread(store, BTreeSet::new(), Reason::Told).await?;
        }
        if let Some(after) = rows_after {
            self.read_new_rows(store, after).await?;
        }
        self.stage = self.next_stage();
        Ok(Looked::Busy)
    }

    /// What follows a look, in a step of its own, so that what was found so far is pushed first.
    fn next_stage(&mut self) -> Stage {
        if self.is_slice_due() {
            Stage::Passing
        } else if self.compared_to.is_some() {
            Stage::Comparing
        } else {
            Stage::Sweeping
        }
    }

    async fn read_new_rows(&mut self, store: &mut impl RouteStore, mut after: u64) -> Result<(), StoreError> {
        loop {
            let rows = store.rows_after(after, PAGE_ROWS).await?;
            let Some(last) = rows.last_id else { return Ok(()) };
            let compared = self.publisher.compare(after, last, &rows);
            self.reread(store, compared.differing, Reason::Found).await?;
            after = last;
        }
    }

    async fn sweep_slice(&mut self, store: &mut impl RouteStore) -> Result<Looked, StoreError> {
        self.stage = Stage::Watching;
        self.guard.looked();
        let rows = self.publisher.catalog().nodes() + self.bad_rows_count();
        let slice = self.sweep.next(rows);
        let rows = store.rows_after(slice.after, slice.rows_max).await?;
        let compared = self.publisher.compare(slice.after, slice.covers_to(&rows), &rows);
        self.reread(store, compared.differing, Reason::Found).await?;
        if slice.ends_pass(&rows) {
            let unseen = self.guard.unseen(self.sweep.pass()).into_iter().collect();
            self.reread(store, unseen, Reason::Found).await?;
            // An empty table was read twice now; one that had rows is believed anyway.
            self.publisher.catalog().set_emptiness_explained();
        }
        self.sweep.advance(&slice, &rows, &compared.repeated);
        if self.guard.held() > 0 && self.held().1 == 0 {
            // It waits for nothing but to be seen again.
            self.sweep.hurry();
        }
        Ok(self.what_next())
    }

    /// Nobody rests in the middle of a pass or of a comparison.
    fn what_next(&self) -> Looked {
        if self.compared_to.is_some() || self.pass.as_ref().is_some_and(Pass::is_in_its_middle) {
            Looked::Busy
        } else {
            Looked::Idle
        }
    }

    /// Reads modules and publishes what differs and is believed; then those that rows have left for them. Modules that
    /// could not be read stay in the list, for the next time: nothing else may ever name them.
    async fn reread(
        &mut self,
        store: &mut impl RouteStore,
        modules: BTreeSet<ModuleId>,
        reason: Reason,
    ) -> Result<(), StoreError> {
        self.note_unread(modules, reason);
        while !self.unread.is_empty() {
            let modules = self.next_unread();
            let rows = store.rows_of(&modules).await?;
            if let Some(pass) = &mut self.pass {
                pass.were_read(&modules);
            }
            self.publish_read(&modules, rows.good, reason);
        }
        Ok(())
    }

    /// Publishes what was read of modules, where it differs and is believed. For the same reason those are to be read
    /// that rows have left for them.
    fn publish_read(&mut self, modules: &[ModuleId], rows: Vec<RouteRecord>, reason: Reason) {
        let (served, pass) = (self.publisher.catalog().modules(), self.sweep.pass());
        let mut news = Vec::new();
        for rows in diff::group(modules, rows) {
            let Some(reason) = self.unread.remove(&rows.module) else {
                continue;
            };
            let difference = self.publisher.difference(&rows);
            if self.guard.permits(rows.module, difference, reason, pass, served)
                && difference != Difference::None
            {
                news.push(rows);
            }
        }
        self.changes.extend(self.publisher.replace(news));
        let left = self.publisher.take_left();
        self.note_unread(left, reason);
    }

    /// The first modules that are to be read again: as many as are read at once.
    fn next_unread(&self) -> Vec<ModuleId> {
        let catalog = self.publisher.catalog();
        let mut nodes = 0;
        let fits = |module: &ModuleId| {
            let is_first = nodes == 0;
            nodes += catalog.view(*module).nodes().len().max(1);
            is_first || nodes <= NODES_READ_MAX
        };
        let modules = self.unread.keys().copied().take(MODULES_READ_MAX);
        modules.take_while(fits).collect()
    }

    fn note_unread(&mut self, modules: impl IntoIterator<Item = ModuleId>, reason: Reason) {
        for module in modules {
            // A pass may read it for a better one.
            let is_told = self.pass.as_ref().is_some_and(|pass| pass.is_told(module));
            let reason = if is_told { Reason::Told } else { reason };
            let noted = self.unread.entry(module).or_insert(reason);
            *noted = reason.max(*noted);
        }
    }
}

#[cfg(test)]
mod tests;
