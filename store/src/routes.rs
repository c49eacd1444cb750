//! What dns needs of a store: to see cheaply whether anything changed, to read what did, and to write.
//!
//! Row ids of change rows are no high-water mark (they commit out of order, and other programs delete them), so an
//! observation is compared as a whole and the difference against the catalog decides.

use crate::error::StoreError;
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::{NODES_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use std::sync::Arc;

/// Rows of a page where everything is read: at its end the store stands still.
const PAGE_ROWS: u32 = 250_000;

/// One row of `RouteData` that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRecord {
    /// The row's id.
    pub id: u64,
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// Its weight.
    pub weight: u16,
    /// What the operator wants of it.
    pub state: NodeState,
    /// Its zone; empty for none.
    pub zone: Arc<str>,
}

/// One row of `RouteData` that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The row's id.
    pub id: u64,
    /// The row's numbers as they stand; 0 for what is no number.
    pub module: (i64, i64),
    /// Why, for people.
    pub reason: String,
}

impl BadRow {
    /// A row that says what one with a smaller id says.
    pub fn repeated(row: &RouteRecord) -> Self {
        let (module, node) = (row.module, row.node);
        Self::of(
            row.id,
            module,
            format!("{node} stands in module {module} already"),
        )
    }

    /// A row of a module that has as many nodes as are served without it.
    pub fn beyond_bound(id: u64, module: ModuleId) -> Self {
        Self::of(
            id,
            module,
            format!("module {module} has {NODES_MAX} nodes already, and no more are served"),
        )
    }

    fn of(id: u64, module: ModuleId, reason: String) -> Self {
        Self {
            id,
            module: (module.modid.into(), module.cmdid.into()),
            reason,
        }
    }
}

/// Rows as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Those that can be served, by id.
    pub good: Vec<RouteRecord>,
    /// Those that cannot.
    pub bad: Vec<BadRow>,
    /// The largest id read, good or bad.
    pub last_id: Option<u64>,
}

/// A page that was given away row by row: what is left to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRead {
    /// The rows that cannot be served, by id.
    pub bad: Vec<BadRow>,
    /// The largest id read, good or bad; none behind the last row.
    pub last_id: Option<u64>,
}

/// One row of `RouteChange`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChangeRow {
    /// The row's id.
    pub id: u64,
    /// The module that changed.
    pub module: ModuleId,
    /// What the writer said the version was.
    pub version: i64,
}

/// What one cheap look sees, all from one consistent snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// `RouteVersion.version`.
    pub version: u64,
    /// Change rows with an id above the look-back's start, by id; without those that name no module.
    pub changes: Vec<ChangeRow>,
    /// Rows in `RouteData`; none where they are too many to be counted at every look.
    pub rows: Option<u64>,
    /// The largest id in `RouteData`; 0 where there is none.
    pub max_id: u64,
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditDone {
    /// Rows added or changed; a put of what is already there exactly so counts as none.
    pub put: u32,
    /// Rows removed.
    pub removed: u32,
    /// `RouteVersion` after it.
    pub version: u64,
}

/// The routes of a store. One connection; used by one task.
pub trait RouteStore {
    /// The cheap look; change rows with an id above `changes_after`.
    fn observe(&mut self, changes_after: u64) -> impl Future<Output = Result<Observation, StoreError>>;

    /// All rows of these modules, from one consistent snapshot. Of rows for one node the first by id is good.
    fn rows_of(&mut self, modules: &[ModuleId]) -> impl Future<Output = Result<Rows, StoreError>>;

    /// Whether reading a module means passing over the whole table, as where there is no index by module.
    fn passes_over_all(&self) -> bool {
        false
    }

    /// The rows of these modules with an id above `after` and up to `last`, by id: a part of [`Self::rows_of`] where that
    /// would take long. Several parts are not of one moment.
    fn rows_between(
        &mut self,
        modules: &[ModuleId],
        after: u64,
        last: u64,
    ) -> impl Future<Output = Result<Vec<RouteRecord>, StoreError>> {
        async move {
            let mut good = self.rows_of(modules).await?.good;
            good.retain(|row| (after.saturating_add(1)..=last).contains(&row.id));
            Ok(good)
        }
    }

    /// The rows with these ids, as far as there are any; bad ones are left out.
    fn rows_with(&mut self, ids: &[u64]) -> impl Future<Output = Result<Vec<RouteRecord>, StoreError>> {
        async {
            let mut found = Vec::new();
            for id in ids.iter().filter(|id| **id > 0) {
                let rows = self.rows_after(id - 1, 1).await?;
                found.extend(rows.good.into_iter().filter(|row| row.id == *id));
            }
            Ok(found)
        }
    }

    /// At most `rows_max` rows with an id above `after`, by id: the way to read everything, page by page (each page
    /// has its own snapshot). Go on behind `last_id` until it is none. A node that stands twice in its module is told
    /// only within a page: the reader keeps the row of the smaller id.
    fn rows_after(&mut self, after: u64, rows_max: u32) -> impl Future<Output = Result<Rows, StoreError>>;

    /// The same page, but each row that can be served is given to `take` as it comes, by id: a large page takes no
    /// memory, and the database goes on while rows are taken. Rows are not compared with one another: a node that
    /// stands twice is given twice. Where it fails, some rows of the page may have been given.
    fn each_after(
        &mut self,
        after: u64,
        rows_max: u32,
        take: &mut impl FnMut(RouteRecord),
    ) -> impl Future<Output = Result<PageRead, StoreError>>;

    /// Every row that can be served is given to `take`, in no order, and those that cannot are told at the end: the way to
    /// read everything where nobody waits for anything else. Rows are not compared with one another; where it fails, some
    /// may have been given.
    fn each(
        &mut self,
        take: &mut impl FnMut(RouteRecord),
    ) -> impl Future<Output = Result<PageRead, StoreError>> {
        async {
            let (mut all, mut after) = (PageRead::default(), 0);
            loop {
                let page = self.each_after(after, PAGE_ROWS, take).await?;
                all.bad.extend(page.bad);
                match page.last_id {
                    Some(id) => (after, all.last_id) = (id, Some(id)),
                    None => return Ok(all),
                }
            }
        }
    }

    /// Applies all edits or none, writes a change row for each module that did change, and moves the version on:
    /// `greatest(version + 1, unix seconds)`, in one transaction that locks the version row first. Where nothing did
    /// change it writes nothing, and the version is the present one. A put that cannot be served, or that would give
    /// its module more than `NODES_MAX` rows, is [`StoreError::Refused`].
    fn edit(&mut self, edits: &[RouteEdit]) -> impl Future<Output = Result<EditDone, StoreError>>;

    /// Deletes change rows older than an hour, by the version in them; returns how many. A version that lies in the
    /// future is no age (a writer's clock was wrong): such a row is deleted if its id is at most `seen_long_ago`.
    fn prune_changes(&mut self, seen_long_ago: u64) -> impl Future<Output = Result<u64, StoreError>>;
}

/// A put must make a row that can be served.
pub(crate) fn check_put(row: &RouteRow) -> Result<(), String> {
    let (module, node) = (row.module, row.node);
    if !node.is_callable() {
        return Err(format!(
            "{node} of module {module} is no node: neither address nor port may be 0"
        ));
    }
    if !(1..=WEIGHT_MAX).contains(&row.weight) {
        return Err(format!(
            "weight {} of {node} in module {module} is outside 1 to {WEIGHT_MAX}",
            row.weight
        ));
    }
    if row.zone.len() > ZONE_BYTES_MAX {
        return Err(format!(
            "the zone of {node} in module {module} is longer than {ZONE_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}
