//! The first load: rows as they come, 40 bytes each, by bucket; then the catalog, bucket by bucket, each giving back
//! its rows as it is built. Its own file because a million rows at a start are worth a path without detours.

use crate::bad_rows::BadRows;
use crate::catalog::{BUCKETS, Bucket, BucketBuilder, NewNode, bucket_of};
use crate::diff;
use crate::row_index::RowIndex;
use hashbrown::{HashMap, HashSet};
use lars_store::routes::{BadRow, RouteRecord};
use lars_wire::bounds::NODES_MAX;
use lars_wire::{ContentHash, ModuleId, NodeAddr, NodeState};
use std::sync::Arc;

/// Rows on their way into the catalog.
#[derive(Debug)]
pub(crate) struct Load {
    buckets: Vec<Vec<Row>>,
    index: RowIndex,
    zones: Vec<Arc<str>>,
    zone_places: HashMap<Arc<str>, u32>,
    /// The place of the zone of the row before: most rows stand in the same.
    zone_last: u32,
}

/// One row. What a [`RouteRecord`] has, without a pointer.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: u64,
    module: ModuleId,
    addr: NodeAddr,
    weight: u16,
    /// Place of the zone, and [`DRAINING`].
    zone_and_state: u32,
}

/// The highest bit of `zone_and_state`: the node is draining.
const DRAINING: u32 = 1 << 31;

const _: () = assert!(size_of::<Row>() == 40);

/// What is known when all is in the catalog, beside the catalog.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The module of each row that is served or skipped.
    pub(crate) index: RowIndex,
    /// Rows that are not served, by module.
    pub(crate) skipped: HashMap<ModuleId, Vec<u64>>,
    /// The zones in use.
    pub(crate) zones: HashSet<Arc<str>>,
    /// Rows that say what an older one said before.
    pub(crate) repeated: BadRows,
}

impl Default for Load {
    fn default() -> Self {
        let none: Arc<str> = Arc::from("");
        Self {
            buckets: vec![Vec::new(); BUCKETS],
            index: RowIndex::default(),
            zones: vec![Arc::clone(&none)],
            zone_places: HashMap::from([(none, 0)]),
            zone_last: 0,
        }
    }
}

impl Load {
    /// Takes a row. Costs least where they come by id.
    pub(crate) fn take(&mut self, record: RouteRecord) {
        self.index.put(record.id, record.module);
        let draining = if record.state == NodeState::Draining {
            DRAINING
        } else {
            0
        };
        let zone_and_state = self.zone_place(record.zone) | draining;
        self.buckets[bucket_of(record.module)].push(Row {
            id: record.id,
            module: record.module,
            addr: record.node,
            weight: record.weight,
            zone_and_state,
        });
    }

    /// Gives up the rows with an id above `after`: they will be read again.
    pub(crate) fn forget_after(&mut self, after: u64) {
        for rows in &mut self.buckets {
            rows.retain(|row| row.id <= after);
        }
        self.index.forget_after(after);
    }

    /// Builds every bucket that has a module, and gives it away with its place.
    pub(crate) fn build(self, version: u64, mut put: impl FnMut(usize, Bucket)) -> Loaded {
        let Self {
            buckets,
            index,
            zones,
            ..
        } = self;
        let mut loaded = Loaded {
            index,
            zones: zones.iter().skip(1).cloned().collect(),
            ..Loaded::default()
        };
        for (place, mut rows) in buckets.into_iter().enumerate() {
            // Stable, so that rows of one node stay by id.
            rows.sort_by_key(|row| row.module);
            let mut builder = BucketBuilder::with_nodes(rows.len());
            for rows in rows.chunk_by_mut(|one, other| one.module == other.module) {
                push_module(&mut builder, version, rows, &zones, &mut loaded);
            }
            let bucket = builder.build();
            if bucket.modules_len() > 0 {
                put(place, bucket);
            }
        }
        loaded
    }

    fn zone_place(&mut self, zone: Arc<str>) -> u32 {
        if *self.zones[self.zone_last as usize] != *zone {
            let next = self.zones.len() as u32;
            self.zone_last = *self.zone_places.entry(Arc::clone(&zone)).or_insert(next);
            if self.zone_last == next {
                self.zones.push(zone);
            }
        }
        self.zone_last
    }
}

impl Row {
    fn state(&self) -> NodeState {
        if self.zone_and_state & DRAINING == 0 {
            NodeState::Serving
        } else {
            NodeState::Draining
        }
    }

    fn zone<'a>(&self, zones: &'a [Arc<str>]) -> &'a Arc<str> {
        &zones[(self.zone_and_state & !DRAINING) as usize]
    }

    fn is_servable(&self, zones: &[Arc<str>]) -> bool {
        diff::is_servable(self.addr, self.weight, self.zone(zones))
    }

    fn node(&self, zones: &[Arc<str>]) -> NewNode {
        NewNode {
            row: self.id,
            addr: self.addr,
            weight: self.weight,
            state: self.state(),
            zone: Arc::clone(self.zone(zones)),
        }
    }

    fn record(&self, zones: &[Arc<str>]) -> RouteRecord {
        RouteRecord {
            id: self.id,
            module: self.module,
            node: self.addr,
            weight: self.weight,
            state: self.state(),
            zone: Arc::clone(self.zone(zones)),
        }
    }
}

/// Adds a module whose rows come by id.
fn push_module(
    builder: &mut BucketBuilder,
    version: u64,
    rows: &mut [Row],
    zones: &[Arc<str>],
    loaded: &mut Loaded,
) {
    let module = rows[0].module;
    rows.sort_by_key(|row| row.addr);
    let is_plain = rows.len() <= NODES_MAX
        && rows.windows(2).all(|pair| pair[0].addr != pair[1].addr)
        && rows.iter().all(|row| row.is_servable(zones));
    let nodes: Vec<NewNode> = if is_plain {
        rows.iter().map(|row| row.node(zones)).collect()
    } else {
        // Rare: which rows count is decided where it always is.
        let judged = diff::judge(module, rows.iter().map(|row| row.record(zones)).collect());
        for id in &judged.duplicates {
            loaded.index.remove(*id, module);
        }
        let repeated = rows
            .iter()
            .filter(|row| judged.duplicates.binary_search(&row.id).is_ok());
        let repeated: Vec<BadRow> = repeated.map(|row| BadRow::repeated(&row.record(zones))).collect();
        loaded.repeated.add(&repeated);
        if !judged.skipped.is_empty() {
            loaded.skipped.insert(module, judged.skipped);
        }
        judged.nodes
    };
    if nodes.is_empty() {
        return;
    }
    let mut hash = ContentHash::default();
    for node in &nodes {
        hash.add(node.addr, node.weight, node.state, &node.zone);
    }
    builder.push_module(module, version, hash.value(), nodes.into_iter());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::publisher::Publisher;
    use allocation_counter::measure;

    fn record(id: u64, cmdid: u32, zone: &str, state: NodeState) -> RouteRecord {
        RouteRecord {
            id,
            module: ModuleId::new(1, cmdid),
            node: NodeAddr::from_ipv4_number(0x0a00_0000 + id as u32, 80),
            weight: 1 + id as u16 % 100,
            state,
            zone: Arc::from(zone),
        }
    }

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut load = Load::default();
        let states = [NodeState::Serving, NodeState::Draining];
        let records: Vec<RouteRecord> = (1..1_000)
            .map(|id: u32| {
                let zone = ["", "a", "b"][id as usize % 3];
                record(id.into(), id * 7 % 13, zone, states[id as usize % 2])
            })
            .collect();
        records.iter().cloned().for_each(|record| load.take(record));
        let catalog = Arc::new(Catalog::new(1));
        let loaded = load.build(5, |place, bucket| catalog.swap(place, bucket));
        for cmdid in 0..13 {
            let module = ModuleId::new(1, cmdid);
            let view = catalog.view(module);
            let expected = records.iter().filter(|record| record.module == module);
            let expected: Vec<_> = expected
                .map(|record| (record.id, record.node, record.weight, record.state, &record.zone))
                .collect();
            let found: Vec<_> = view
                .nodes()
                .iter()
                .map(|node| {
                    (
                        node.row(),
                        node.addr(),
                        node.weight(),
                        node.state(),
                        view.zone(node),
                    )
                })
                .collect();
            assert_eq!(found, expected);
            assert_eq!((view.version(), view.hash()), (5, view.route().content_hash()));
        }
        let zones: std::collections::BTreeSet<&str> = loaded.zones.iter().map(|zone| &**zone).collect();
        assert_eq!(zones.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            (loaded.repeated.count(), loaded.index.range(0, u64::MAX).count()),
            (0, 999)
        );
    }

    #[test]
    fn node_costs_48_bytes_as_the_allocator_counts_them() {
        // Ten nodes a module, as in a directory of a million in a hundred thousand modules.
        const NODES: u64 = 200_000;
        let mut kept = None;
        let counted = measure(|| {
            let mut publisher = Publisher::new(Arc::new(Catalog::new(1)));
            let mut load = Load::default();
            for id in 1..=NODES {
                load.take(record(
                    id,
                    id as u32 % (NODES as u32 / 10),
                    "a",
                    NodeState::Serving,
                ));
            }
            publisher.finish(load);
            kept = Some(publisher);
        });
        let publisher = kept.expect("it was made");
        assert_eq!(publisher.catalog().nodes(), NODES);
        let told = publisher.catalog().bytes() + publisher.index_bytes();
        let held = counted.bytes_current as u64;
        // What is held beside: tables of the empty, names of zones, the tree of chunks.
        assert!(
            told <= held && held < told + 8_192,
            "{told} bytes are told, {held} are held"
        );
        // A twentieth of the million still has every bucket's own cost, which is 3 bytes a node here.
        let bytes = held as f64 / NODES as f64;
        println!("{bytes} bytes a node");
        assert!(bytes <= 48.0, "{bytes} bytes a node");
    }
}
