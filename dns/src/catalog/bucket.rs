//! One bucket: sorted arrays without pointers but for the zones' names, immutable once built.
//!
//! A node takes 32 bytes here and a module 32 more, so that a module of ten nodes costs 36 bytes a node.

use lars_wire::{ModuleId, NodeAddr, NodeState};
use std::sync::Arc;

/// The highest bit of `zone_and_state`: the node is draining.
const DRAINING: u32 = 1 << 31;

/// One node as the catalog keeps it: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CatalogNode {
    row: u64,
    addr: NodeAddr,
    weight: u16,
    /// Place in the bucket's zones (0 for none, else one more than the place), and [`DRAINING`].
    zone_and_state: u32,
}

const _: () = assert!(size_of::<CatalogNode>() == 32);
const _: () = assert!(size_of::<Entry>() == 32);

impl CatalogNode {
    /// The row of the store that says so.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    pub(crate) fn addr(&self) -> NodeAddr {
        self.addr
    }

    pub(crate) fn weight(&self) -> u16 {
        self.weight
    }

    pub(crate) fn state(&self) -> NodeState {
        if self.zone_and_state & DRAINING == 0 {
            NodeState::Serving
        } else {
            NodeState::Draining
        }
    }

    fn zone_place(&self) -> usize {
        (self.zone_and_state & !DRAINING) as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    module: ModuleId,
    version: u64,
    hash: u64,
    /// Where the module's nodes end; they begin where those of the entry before end.
    end: u32,
}

/// The modules of one bucket with their nodes.
#[derive(Debug)]
pub(crate) struct Bucket {
    modules: Box<[Entry]>,
    nodes: Box<[CatalogNode]>,
    /// The first is the empty name.
    zones: Box<[Arc<str>]>,
}

impl Default for Bucket {
    fn default() -> Self {
        BucketBuilder::default().build()
    }
}

impl Bucket {
    /// Place of a module among the bucket's modules.
    pub(crate) fn place(&self, module: ModuleId) -> Option<usize> {
        self.modules
            .binary_search_by_key(&module, |entry| entry.module)
            .ok()
    }

    pub(crate) fn modules_len(&self) -> usize {
        self.modules.len()
    }

    pub(crate) fn module(&self, place: usize) -> ModuleId {
        self.modules[place].module
    }

    pub(crate) fn version(&self, place: usize) -> u64 {
        self.modules[place].version
    }

    pub(crate) fn hash(&self, place: usize) -> u64 {
        self.modules[place].hash
    }

    pub(crate) fn nodes(&self) -> &[CatalogNode] {
        &self.nodes
    }

    /// The nodes of the module at `place`, by address.
    pub(crate) fn nodes_of(&self, place: usize) -> &[CatalogNode] {
        let first = place.checked_sub(1).map_or(0, |before| self.modules[before].end);
        &self.nodes[first as usize..self.modules[place].end as usize]
    }

    pub(crate) fn zone(&self, node: &CatalogNode) -> &Arc<str> {
        &self.zones[node.zone_place()]
    }

    /// What this takes, behind an `Arc`, with an empty name of its own; the zones' other names are the publisher's.
    pub(crate) fn bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        2 * counts
            + size_of::<Self>()
            + size_of_val(&*self.modules)
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.zones)
    }
}

/// A node on its way into a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewNode {
    /// The row of the store.
    pub(crate) row: u64,
    pub(crate) addr: NodeAddr,
    pub(crate) weight: u16,
    pub(crate) state: NodeState,
    pub(crate) zone: Arc<str>,
}

/// Builds a bucket, module by module in their order.
#[derive(Debug)]
pub(crate) struct BucketBuilder {
    modules: Vec<Entry>,
    nodes: Vec<CatalogNode>,
    zones: Vec<Arc<str>>,
}

impl Default for BucketBuilder {
    fn default() -> Self {
        Self {
            modules: Vec::new(),
            nodes: Vec::new(),
            zones: vec![Arc::from("")],
        }
    }
}

impl BucketBuilder {
    /// A builder with room for so many nodes.
    pub(crate) fn with_nodes(count: usize) -> Self {
        Self {
            nodes: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    /// Adds a module behind those that are there; its nodes come by address.
    pub(crate) fn push_module(
        &mut self,
        module: ModuleId,
        version: u64,
        hash: u64,
        nodes: impl Iterator<Item = NewNode>,
    ) {
        debug_assert!(
            self.modules.last().is_none_or(|last| last.module < module),
            "modules come in order"
        );
        for node in nodes {
            let draining = if node.state == NodeState::Draining {
                DRAINING
            } else {
                0
            };
            let zone_and_state = self.zone_place(&node.zone) | draining;
            self.nodes.push(CatalogNode {
                row: node.row,
                addr: node.addr,
                weight: node.weight,
                zone_and_state,
            });
        }
        self.modules.push(Entry {
            module,
            version,
            hash,
            end: self.nodes.len() as u32,
        });
    }

    /// Adds a module of another bucket as it stands there.
    pub(crate) fn copy_module(&mut self, from: &Bucket, place: usize) {
        let node = |node: &CatalogNode| NewNode {
            row: node.row,
            addr: node.addr,
            weight: node.weight,
            state: node.state(),
            zone: Arc::clone(from.zone(node)),
        };
        let entry = from.modules[place];
        self.push_module(
            entry.module,
            entry.version,
            entry.hash,
            from.nodes_of(place).iter().map(node),
        );
    }

    /// The bucket.
    pub(crate) fn build(self) -> Bucket {
        Bucket {
            modules: self.modules.into_boxed_slice(),
            nodes: self.nodes.into_boxed_slice(),
            zones: self.zones.into_boxed_slice(),
        }
    }

    /// A bucket has few zones, so a search is cheaper than a table; the last one is the likeliest.
    fn zone_place(&mut self, zone: &Arc<str>) -> u32 {
        if zone.is_empty() {
            return 0;
        }
        if let Some(place) = self.zones.iter().rposition(|known| known == zone) {
            return place as u32;
        }
        self.zones.push(Arc::clone(zone));
        self.zones.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(row: u64, zone: &str, state: NodeState) -> NewNode {
        NewNode {
            row,
            addr: NodeAddr::from_ipv4_number(0x0a00_0000 + row as u32, 80),
            weight: 7,
            state,
            zone: Arc::from(zone),
        }
    }

    #[test]
    fn bucket_gives_back_what_was_built_in() {
        let mut builder = BucketBuilder::default();
        let first = [node(1, "", NodeState::Serving), node(2, "a", NodeState::Draining)];
        let second = [node(3, "b", NodeState::Serving), node(4, "a", NodeState::Serving)];
        builder.push_module(ModuleId::new(1, 1), 3, 11, first.into_iter());
        builder.push_module(ModuleId::new(1, 2), 4, 12, second.into_iter());
        let bucket = builder.build();
        let place = bucket.place(ModuleId::new(1, 2)).expect("it was put in");
        assert_eq!(
            (bucket.version(place), bucket.hash(place), bucket.modules_len()),
            (4, 12, 2)
        );
        let zones: Vec<&str> = bucket.nodes().iter().map(|node| &**bucket.zone(node)).collect();
        assert_eq!(zones, ["", "a", "b", "a"]);
        assert_eq!(bucket.nodes_of(0)[1].state(), NodeState::Draining);
        assert_eq!(
            bucket
                .nodes_of(1)
                .iter()
                .map(CatalogNode::row)
                .collect::<Vec<_>>(),
            [3, 4]
        );
        assert_eq!(bucket.place(ModuleId::new(1, 3)), None);
    }

    #[test]
    fn copied_module_is_the_same_in_its_new_bucket() {
        let mut builder = BucketBuilder::default();
        builder.push_module(
            ModuleId::new(1, 1),
            3,
            11,
            [node(1, "b", NodeState::Draining)].into_iter(),
        );
        let older = builder.build();
        let mut builder = BucketBuilder::default();
        builder.push_module(
            ModuleId::new(0, 1),
            1,
            1,
            [node(9, "a", NodeState::Serving)].into_iter(),
        );
        builder.copy_module(&older, 0);
        let newer = builder.build();
        assert_eq!((newer.version(1), newer.hash(1)), (3, 11));
        let copied = newer.nodes_of(1)[0];
        assert_eq!(
            (&**newer.zone(&copied), copied.state(), copied.row()),
            ("b", NodeState::Draining, 1)
        );
    }
}
