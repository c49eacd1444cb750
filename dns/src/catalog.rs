//! The catalog: every route, versioned, in 4,096 buckets that are swapped one by one while all cores read them.
//!
//! Readers take a [`View`] of one module; the one writer is [`crate::publisher::Publisher`]. A module's place is its
//! hash, so a change copies one bucket (at a million nodes some 8 KiB) and nothing else.

mod bucket;
mod encoded;
mod listing;
mod pages;

pub(crate) use bucket::{Bucket, BucketBuilder, CatalogNode, NewNode};
pub(crate) use encoded::EncodedRoutes;
pub use pages::PageCutter;

use arc_swap::{ArcSwap, Guard};
use lars_wire::directory::KnownModule;
use lars_wire::{ModuleId, Route, RouteNode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Buckets: at a million nodes one holds about 250, so that a swap stays cheap; empty they cost 200 KiB in all.
pub const BUCKETS: usize = 4_096;

/// The version of everything in a first load. Pushes begin above it.
pub(crate) const VERSION_LOADED: u64 = 1;

/// What [`Route::content_hash`] gives for no nodes: the basis of FNV-1a.
const EMPTY_HASH: u64 = 0xcbf2_9ce4_8422_2325;

/// Every route that this dns serves. Shared by all cores.
pub struct Catalog {
    instance: u64,
    buckets: Box<[ArcSwap<Bucket>]>,
    version: AtomicU64,
    modules: AtomicU64,
    nodes: AtomicU64,
    loaded: AtomicBool,
    emptiness_explained: AtomicBool,
}

impl Catalog {
    /// An empty catalog, not yet loaded. `instance` is this start's random identity.
    pub fn new(instance: u64) -> Self {
        let empty = Arc::new(Bucket::default());
        let buckets = (0..BUCKETS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        Self {
            instance,
            buckets,
            version: AtomicU64::new(VERSION_LOADED),
            modules: AtomicU64::new(0),
            nodes: AtomicU64::new(0),
            loaded: AtomicBool::new(false),
            emptiness_explained: AtomicBool::new(false),
        }
    }

    /// The identity of this start; versions mean something only beside it.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Modules that have nodes.
    pub fn modules(&self) -> u64 {
        self.modules.load(Ordering::Relaxed)
    }

    /// Nodes of all modules.
    pub fn nodes(&self) -> u64 {
        self.nodes.load(Ordering::Relaxed)
    }

    /// What all of it takes in memory, as it is laid out.
    pub fn bytes(&self) -> u64 {
        let buckets = self.buckets.iter().map(|bucket| {
            let bucket = bucket.load();
            // The empty ones are one, and cost nothing.
            if bucket.modules_len() == 0 {
                0
            } else {
                bucket.bytes()
            }
        });
        (size_of_val(&*self.buckets) + buckets.sum::<usize>()) as u64
    }

    /// Whether the store was read once: before that an absent module says nothing.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Moves on with every change, once all buckets of the change are in place.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is held of `module` now.
    pub fn view(&self, module: ModuleId) -> View {
        // The version first: a module that appears between the two loads is then found with its own version, and
        // one that is not found is never said to be absent as of a version in which it is there.
        let version = self.version();
        let bucket = self.buckets[bucket_of(module)].load();
        let place = bucket.place(module);
        let explained = self.modules() != 0 || self.emptiness_explained.load(Ordering::Relaxed);
        View {
            module,
            instance: self.instance,
            version,
            explained,
            bucket,
            place,
        }
    }

    pub(crate) fn bucket(&self, place: usize) -> Guard<Arc<Bucket>> {
        self.buckets[place].load()
    }

    /// Publishes one bucket; [`Self::moved_to`] follows when all buckets of a change are in place.
    pub(crate) fn swap(&self, place: usize, bucket: Bucket) {
        let (modules, nodes) = (bucket.modules_len() as u64, bucket.nodes().len() as u64);
        let before = self.buckets[place].swap(Arc::new(bucket));
        // One thread writes; wrapping subtraction is exact because each bucket's share was added before.
        self.modules.fetch_add(
            modules.wrapping_sub(before.modules_len() as u64),
            Ordering::Relaxed,
        );
        self.nodes
            .fetch_add(nodes.wrapping_sub(before.nodes().len() as u64), Ordering::Relaxed);
    }

    /// The newest version that a reader may name for an absent module.
    pub(crate) fn moved_to(&self, version: u64) {
        self.version.store(version, Ordering::Release);
    }

    /// The store was read for the first time.
    pub(crate) fn set_loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    /// The store was read twice and had no route either time, or it had some: from here on, "not found" is known to
    /// be so, and not the sight of a wrong or half-restored database.
    pub(crate) fn set_emptiness_explained(&self) {
        self.emptiness_explained.store(true, Ordering::Relaxed);
    }
}

/// The bucket of a module, by the hash's lower half (the upper half chooses shards).
pub(crate) fn bucket_of(module: ModuleId) -> usize {
    module.hash64() as usize % BUCKETS
}

/// One module as it stood when it was looked up; later changes do not touch it.
pub struct View {
    module: ModuleId,
    instance: u64,
    version: u64,
    explained: bool,
    bucket: Guard<Arc<Bucket>>,
    place: Option<usize>,
}

impl View {
    /// The module.
    pub fn module(&self) -> ModuleId {
        self.module
    }

    /// Whether the module has nodes.
    pub fn exists(&self) -> bool {
        self.place.is_some()
    }

    /// Whether an absent module is known to be absent, and not the sight of a store that suddenly has nothing.
    pub(crate) fn is_explained(&self) -> bool {
        self.explained
    }

    /// The module's version; for an absent one, a version as of which it is absent.
    pub fn version(&self) -> u64 {
        self.place
            .map_or(self.version, |place| self.bucket.version(place))
    }

    /// [`Route::content_hash`] of the route.
    pub fn hash(&self) -> u64 {
        self.place.map_or(EMPTY_HASH, |place| self.bucket.hash(place))
    }

    /// The module's nodes as they are kept, by address.
    pub(crate) fn nodes(&self) -> &[CatalogNode] {
        self.place.map_or(&[], |place| self.bucket.nodes_of(place))
    }

    /// The name of a node's zone.
    pub(crate) fn zone(&self, node: &CatalogNode) -> &Arc<str> {
        self.bucket.zone(node)
    }

    /// The route, copied out.
    pub fn route(&self) -> Route {
        let node = |node: &CatalogNode| RouteNode {
            addr: node.addr(),
            weight: node.weight(),
            state: node.state(),
            zone: Arc::clone(self.zone(node)),
        };
        Route::new(self.nodes().iter().map(node).collect())
    }

    /// Whether the asking side holds exactly this. Its version decides where it has it from this start of dns, else
    /// the content's hash. Hash 0 asks for the whole in any case.
    pub fn is_held_as(&self, known: &KnownModule) -> bool {
        if known.hash == 0 {
            return false;
        }
        if self.exists() && known.instance == self.instance {
            known.version == self.version()
        } else {
            known.hash == self.hash()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_hash_is_the_hash_of_no_nodes() {
        assert_eq!(EMPTY_HASH, Route::default().content_hash());
    }

    #[test]
    fn catalog_that_was_never_loaded_has_nothing_and_says_so() {
        let catalog = Catalog::new(7);
        let view = catalog.view(ModuleId::new(1, 1));
        assert!(!catalog.is_loaded() && !view.exists() && view.route().is_empty());
        assert_eq!(
            (catalog.modules(), catalog.nodes(), view.hash()),
            (0, 0, EMPTY_HASH)
        );
    }

    #[test]
    fn version_decides_within_one_instance_and_hash_across_instances() {
        let catalog = Catalog::new(7);
        let module = ModuleId::new(1, 1);
        let mut builder = BucketBuilder::default();
        builder.push_module(module, 5, 99, std::iter::empty());
        catalog.swap(bucket_of(module), builder.build());
        let view = catalog.view(module);
        let known = |instance, version, hash| KnownModule {
            module,
            instance,
            version,
            hash,
        };
        assert!(view.is_held_as(&known(7, 5, 1)), "same instance and version");
        assert!(!view.is_held_as(&known(7, 4, 99)), "same instance, older version");
        assert!(view.is_held_as(&known(8, 4, 99)), "other instance, same content");
        assert!(
            !view.is_held_as(&known(8, 5, 98)),
            "other instance, other content"
        );
        assert!(!view.is_held_as(&known(7, 5, 0)), "asks for the whole");
    }
}
