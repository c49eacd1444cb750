//! The one writer of the catalog: loads it, compares slices of the store with it, and replaces modules, giving what
//! is to be pushed. Pure: rows go in, changes come out.

use crate::bad_rows::BadRows;
use crate::catalog::{BucketBuilder, Catalog, CatalogNode, NewNode, VERSION_LOADED, bucket_of};
use crate::diff::{self, Difference, ModuleRows};
use crate::load::Load;
use crate::publication::Change;
use crate::row_index::RowIndex;
use hashbrown::{HashMap, HashSet};
use lars_store::routes::{BadRow, RouteRecord, Rows};
use lars_wire::directory::{RouteHead, delta};
use lars_wire::{ModuleId, Route, RouteNode, caller::Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Zones that nobody uses any more are forgotten when the table has grown by this many.
const ZONES_SLACK: usize = 1_024;

/// Writes the catalog.
pub(crate) struct Publisher {
    catalog: Arc<Catalog>,
    /// The module of each row that is served or skipped.
    index: RowIndex,
    /// Rows that are not served, by module.
    skipped: HashMap<ModuleId, Vec<u64>>,
    /// Modules that still show a row which now stands in another, and were not read again yet.
    left: BTreeSet<ModuleId>,
    zones: HashSet<Arc<str>>,
    zones_kept: usize,
    version: u64,
}

impl Publisher {
    /// The writer of an empty catalog.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            index: RowIndex::default(),
            skipped: HashMap::new(),
            left: BTreeSet::new(),
            zones: HashSet::new(),
            zones_kept: 0,
            version: VERSION_LOADED,
        }
    }

    /// What is written.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// How many rows were understood but are not served.
    pub(crate) fn rows_skipped(&self) -> u64 {
        self.skipped.values().map(Vec::len).sum::<usize>() as u64
    }

    /// Those rows. What else a peer would refuse no store gives.
    pub(crate) fn skipped_rows(&self) -> Vec<BadRow> {
        let of_module = |(module, ids): (&ModuleId, &Vec<u64>)| {
            let module = *module;
            ids.clone()
                .into_iter()
                .map(move |id| BadRow::beyond_bound(id, module))
        };
        self.skipped.iter().flat_map(of_module).collect()
    }

    /// The id of the row that comes `rows` behind an id; none where fewer are known behind it.
    pub(crate) fn row_behind(&self, after: u64, rows: usize) -> Option<u64> {
        let mut behind = self.index.range(after, u64::MAX);
        behind.nth(rows.saturating_sub(1)).map(|(id, _)| id)
    }

    /// What the index of rows takes in memory.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// Puts a first load into the catalog, bucket by bucket; returns the rows that say what others said before. Nothing
    /// is pushed: nobody was answered before.
    pub(crate) fn finish(&mut self, load: Load) -> BadRows {
        let loaded = load.build(self.version, |place, bucket| self.catalog.swap(place, bucket));
        self.index = loaded.index;
        self.skipped = loaded.skipped;
        self.zones = loaded.zones;
        self.catalog.moved_to(self.version);
        loaded.repeated
    }

    /// What the rows of a slice (ids above `after`, up to and with `last`) tell that is not known: rows new, gone, moved
    /// to another module, or changed.
    pub(crate) fn compare(&self, after: u64, last: u64, rows: &Rows) -> Compared {
        let (mut differing, mut repeated) = (BTreeSet::new(), Vec::new());
        let mut known = self.index.range(after, last).peekable();
        for row in &rows.good {
            while let Some((_, gone)) = known.next_if(|(id, _)| *id < row.id) {
                differing.insert(gone);
            }
            let before = known.next_if(|(id, _)| *id == row.id).map(|(_, module)| module);
            let agrees = match before {
                Some(before) => before == row.module && self.holds(row),
                None => {
                    let is_repeated = self.has_older_row_of(row);
                    repeated.extend(is_repeated.then(|| BadRow::repeated(row)));
                    is_repeated
                }
            };
            if !agrees {
                differing.extend(before);
                differing.insert(row.module);
            }
        }
        differing.extend(known.map(|(_, gone)| gone));
        Compared { differing, repeated }
    }

    /// How a module of the store differs from what is served.
    pub(crate) fn difference(&self, rows: &ModuleRows) -> Difference {
        let difference = diff::difference(&self.catalog.view(rows.module), rows);
        let skipped = self.skipped.get(&rows.module).map_or(&[][..], Vec::as_slice);
        if difference == Difference::None && skipped != rows.skipped {
            Difference::Rows
        } else {
            difference
        }
    }

    /// Replaces modules; each bucket is swapped once. Gives a change for each module whose nodes differ, in order of
    /// module.
    pub(crate) fn replace(&mut self, news: Vec<ModuleRows>) -> Vec<Change> {
        let mut of_bucket: BTreeMap<usize, BTreeMap<ModuleId, ModuleRows>> = BTreeMap::new();
        for rows in news {
            of_bucket
                .entry(bucket_of(rows.module))
                .or_default()
                .insert(rows.module, rows);
        }
        let mut moved = Vec::new();
        for (place, news) in of_bucket {
            self.replace_in(place, news, &mut moved);
        }
        self.catalog.moved_to(self.version);
        self.forget_unused_zones();
        moved.sort_unstable_by_key(|moved: &Moved| moved.module);
        moved.into_iter().map(|moved| self.change(&moved)).collect()
    }

    /// Modules that rows have left for those that were replaced: to be read again too.
    pub(crate) fn take_left(&mut self) -> Vec<ModuleId> {
        std::mem::take(&mut self.left).into_iter().collect()
    }

    fn replace_in(&mut self, place: usize, mut news: BTreeMap<ModuleId, ModuleRows>, moved: &mut Vec<Moved>) {
        let older = Arc::clone(&self.catalog.bucket(place));
        let kept = (0..older.modules_len()).map(|place| older.module(place));
        let modules: BTreeSet<ModuleId> = kept.chain(news.keys().copied()).collect();
        let mut builder = BucketBuilder::default();
        for module in modules {
            let held = older.place(module);
            let Some(rows) = news.remove(&module) else {
                if let Some(held) = held {
                    builder.copy_module(&older, held);
                }
                continue;
            };
            let view = self.catalog.view(module);
            let (mut version, mut hash) = (view.version(), view.hash());
            if !matches!(
                diff::difference(&view, &rows),
                Difference::None | Difference::Rows
            ) {
                let (was, is) = (view.route(), route_of(&rows.nodes));
                self.version += 1;
                moved.push(Moved {
                    module,
                    base: version,
                    version: self.version,
                    was,
                    is,
                });
                version = self.version;
                hash = moved.last().map_or(hash, |moved| moved.is.content_hash());
            }
            self.reindex(&view, &rows);
            if !rows.nodes.is_empty() {
                let nodes: Vec<NewNode> = rows
                    .nodes
                    .into_iter()
                    .map(|node| NewNode {
                        zone: self.intern(node.zone),
                        ..node
                    })
                    .collect();
                builder.push_module(module, version, hash, nodes.into_iter());
            }
        }
        self.catalog.swap(place, builder.build());
    }

    fn change(&self, moved: &Moved) -> Change {
        let head = RouteHead {
            module: moved.module,
            status: Status::Ok,
            instance: self.catalog.instance(),
            version: moved.version,
            // Whatever is published here was explained, or held back until it was confirmed.
            explained: true,
        };
        let delta = delta(head, moved.base, &moved.was, &moved.is);
        Change::new(head, moved.is.clone(), delta.as_ref())
    }

    fn reindex(&mut self, held: &crate::catalog::View, rows: &ModuleRows) {
        let module = rows.module;
        for node in held.nodes() {
            self.index.remove(node.row(), module);
        }
        for id in self.skipped.remove(&module).unwrap_or_default() {
            self.index.remove(id, module);
        }
        for id in rows
            .nodes
            .iter()
            .map(|node| node.row)
            .chain(rows.skipped.iter().copied())
        {
            self.left
                .extend(self.index.put(id, module).filter(|before| *before != module));
        }
        self.left.remove(&module);
        self.note_skipped(module, rows.skipped.clone());
    }

    fn note_skipped(&mut self, module: ModuleId, skipped: Vec<u64>) {
        if !skipped.is_empty() {
            self.skipped.insert(module, skipped);
        }
    }

    /// Whether a row of the store is held exactly so, or is known not to be served.
    fn holds(&self, row: &RouteRecord) -> bool {
        let view = self.catalog.view(row.module);
        let nodes = view.nodes();
        if let Ok(place) = nodes.binary_search_by_key(&row.node, CatalogNode::addr)
            && nodes[place].row() == row.id
        {
            let node = &nodes[place];
            return node.weight() == row.weight
                && node.state() == row.state
                && **view.zone(node) == *row.zone;
        }
        self.skipped
            .get(&row.module)
            .is_some_and(|skipped| skipped.binary_search(&row.id).is_ok())
    }

    /// Whether an unknown row is the later of two with one address: it changes nothing, and is not kept.
    fn has_older_row_of(&self, row: &RouteRecord) -> bool {
        let view = self.catalog.view(row.module);
        let nodes = view.nodes();
        let place = nodes.binary_search_by_key(&row.node, CatalogNode::addr);
        place.is_ok_and(|place| nodes[place].row() < row.id)
    }

    fn intern(&mut self, zone: Arc<str>) -> Arc<str> {
        self.zones.get_or_insert(zone).clone()
    }

    fn forget_unused_zones(&mut self) {
        if self.zones.len() >= self.zones_kept + ZONES_SLACK {
            self.zones.retain(|zone| Arc::strong_count(zone) > 1);
            self.zones_kept = self.zones.len();
        }
    }
}

/// A slice of the store beside what is known.
#[derive(Debug)]
pub(crate) struct Compared {
    /// Modules for which they do not agree.
    pub(crate) differing: BTreeSet<ModuleId>,
    /// Rows that say what older ones outside the slice say.
    pub(crate) repeated: Vec<BadRow>,
}

/// A module whose nodes changed.
struct Moved {
    module: ModuleId,
    base: u64,
    version: u64,
    was: Route,
    is: Route,
}

fn route_of(nodes: &[NewNode]) -> Route {
    let node = |node: &NewNode| RouteNode {
        addr: node.addr,
        weight: node.weight,
        state: node.state,
        zone: Arc::clone(&node.zone),
    };
    Route::new(nodes.iter().map(node).collect())
}

#[cfg(test)]
mod tests;
