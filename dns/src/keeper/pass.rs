//! The long way in a database that nobody migrated: its whole table is passed over for some modules, a slice at a step,
//! with a look between any two, so that no change waits for a pass. The slices are not of one moment; so a module that
//! was told or read meanwhile is not published from them.

use super::{Keeper, Looked, Stage};
use crate::tracker::guard::Reason;
use lars_store::StoreError;
use lars_store::routes::{RouteRecord, RouteStore};
use lars_wire::ModuleId;
use std::collections::BTreeMap;

/// Rows of a slice: some 10 ms, after which others have their turn.
pub(super) const SLICE_ROWS: usize = 50_000;
/// After so many slices the sweep or a comparison has its turn, since there may always be a pass.
const SLICES_ALONE: u32 = 8;

/// A pass under way.
pub(super) struct Pass {
    /// What is read, and why.
    modules: BTreeMap<ModuleId, Reason>,
    /// What the next pass is to read, since it has changed while this one was under way.
    next: BTreeMap<ModuleId, Reason>,
    /// Rows up to this id were passed over; none when all were.
    pub(super) after: Option<u64>,
    rows: Vec<RouteRecord>,
}

impl Pass {
    fn of(modules: BTreeMap<ModuleId, Reason>) -> Self {
        Self {
            modules,
            next: BTreeMap::new(),
            after: Some(0),
            rows: Vec::new(),
        }
    }

    /// Whether there are rows that were not passed over.
    pub(super) fn has_more(&self) -> bool {
        self.after.is_some()
    }

    /// Whether some rows were passed over and others were not.
    pub(super) fn is_in_its_middle(&self) -> bool {
        self.after.is_some_and(|after| after > 0)
    }

    /// Whether this pass or the next reads a module because it was told.
    pub(super) fn is_told(&self, module: ModuleId) -> bool {
        [&self.modules, &self.next]
            .iter()
            .any(|modules| modules.get(&module) == Some(&Reason::Told))
    }

    /// Modules have changed: what was read of them may be older.
    pub(super) fn changed<'a>(&mut self, modules: impl IntoIterator<Item = &'a ModuleId>) {
        for module in modules {
            if let Some(reason) = self.modules.remove(module) {
                self.next.insert(*module, reason);
            }
        }
    }

    /// Change rows name modules.
    pub(super) fn told<'a>(&mut self, modules: impl IntoIterator<Item = &'a ModuleId>) {
        for module in modules {
            self.modules.remove(module);
            self.next.insert(*module, Reason::Told);
        }
    }

    /// These were read by themselves, as of one moment.
    pub(super) fn were_read(&mut self, modules: &[ModuleId]) {
        for module in modules {
            self.modules.remove(module);
        }
    }
}

impl Keeper {
    /// Begins a pass for what is to be read, unless one is under way.
    pub(super) fn begin_pass(&mut self) {
        if self.pass.is_some() || self.unread.is_empty() {
            return;
        }
        let modules = self.next_unread().into_iter();
        let modules = modules.filter_map(|module| Some((module, self.unread.remove(&module)?)));
        self.pass = Some(Pass::of(modules.collect()));
    }

    /// Passes over a slice.
    pub(super) async fn pass_slice(&mut self, store: &mut impl RouteStore) -> Result<Looked, StoreError> {
        self.stage = Stage::Watching;
        let Some(pass) = &mut self.pass else {
            return Ok(Looked::Busy);
        };
        let after = pass.after.unwrap_or(u64::MAX);
        let last = self.publisher.row_behind(after, self.slice_rows);
        let modules: Vec<ModuleId> = pass.modules.keys().copied().collect();
        let rows = store
            .rows_between(&modules, after, last.unwrap_or(u64::MAX))
            .await?;
        pass.rows.extend(rows);
        pass.after = last;
        Ok(Looked::Busy)
    }

    /// Whether a slice is due; every now and then it is not.
    pub(super) fn is_slice_due(&mut self) -> bool {
        let is_due = self.pass.as_ref().is_some_and(Pass::has_more) && self.slices_alone < SLICES_ALONE;
        self.slices_alone = if is_due { self.slices_alone + 1 } else { 0 };
        is_due
    }

    /// Publishes what a pass has read, once a look has come after its last slice.
    pub(super) fn end_pass(&mut self) {
        let Some(pass) = self.pass.take_if(|pass| !pass.has_more()) else {
            return;
        };
        let read: Vec<ModuleId> = pass.modules.keys().copied().collect();
        let rows = pass.rows.into_iter();
        let rows = rows
            .filter(|row| pass.modules.contains_key(&row.module))
            .collect();
        for (module, reason) in pass.modules.into_iter().chain(pass.next) {
            self.note_unread([module], reason);
        }
        self.publish_read(&read, rows, Reason::Told);
    }

    /// What a pass was to read is to be read some other time.
    pub(super) fn give_up_pass(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        for (module, reason) in pass.modules.into_iter().chain(pass.next) {
            self.note_unread([module], reason);
        }
    }
}
