//! Frames that were sent before, so that a module that many ask for is encoded once for each of its versions and
//! copied from then on. Each core has its own; its size is fixed, and the catalog holds nothing for it.
//!
//! A frame is known to be current without a look into the catalog where the catalog's own version has not moved since
//! it was last compared. Every answer of a core goes this way, so that no connection sees a module's version fall.

use super::View;
use lars_wire::ModuleId;

/// Places for frames: a module has one, which it shares with all that fall on it.
const PLACES: usize = 2_048;
/// Bytes of a frame that is kept: 41 nodes without zones. A longer one costs about as much to copy as to encode.
const FRAME_BYTES_KEPT: usize = 1_024;

const _: () = assert!(PLACES.is_power_of_two());

/// What is known of a place's frame.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    module: ModuleId,
    /// 0 where there is none.
    bytes: u32,
    version: u64,
    /// A version of the catalog as of which this is the module's.
    as_of: u64,
}

/// The frames of one core: 2 MiB at most, of which no more is touched than is used.
#[derive(Debug)]
pub(crate) struct EncodedRoutes {
    places: Box<[Place]>,
    frames: Box<[u8]>,
}

impl EncodedRoutes {
    pub(crate) fn new() -> Self {
        Self {
            places: vec![Place::default(); PLACES].into_boxed_slice(),
            frames: vec![0; PLACES * FRAME_BYTES_KEPT].into_boxed_slice(),
        }
    }

    /// The module's frame, if the catalog still stands at the version as of which it was last compared.
    #[inline]
    pub(crate) fn as_of(&self, module: ModuleId, version: u64) -> Option<&[u8]> {
        let at = place_of(module);
        let place = &self.places[at];
        (place.module == module && place.as_of == version && place.bytes > 0).then(|| self.frame(at))
    }

    /// The frame of what is seen, if it is kept; it is then known to be current as of that sight.
    pub(crate) fn of(&mut self, view: &View) -> Option<&[u8]> {
        let at = place_of(view.module);
        let place = &mut self.places[at];
        if place.module != view.module
            || place.version != view.version()
            || place.bytes == 0
            || !view.exists()
        {
            return None;
        }
        place.as_of = view.version;
        Some(self.frame(at))
    }

    /// Keeps the whole route of what is seen, in one frame; an absent module's and a long one are not kept.
    pub(crate) fn keep(&mut self, view: &View, frame: &[u8]) {
        if frame.len() > FRAME_BYTES_KEPT || !view.exists() {
            return;
        }
        let at = place_of(view.module);
        self.frames[at * FRAME_BYTES_KEPT..][..frame.len()].copy_from_slice(frame);
        self.places[at] = Place {
            module: view.module,
            bytes: frame.len() as u32,
            version: view.version(),
            as_of: view.version,
        };
    }

    #[inline]
    fn frame(&self, at: usize) -> &[u8] {
        &self.frames[at * FRAME_BYTES_KEPT..][..self.places[at].bytes as usize]
    }
}

/// By the hash's upper half: the lower one chose the bucket.
#[inline]
fn place_of(module: ModuleId) -> usize {
    (module.hash64() >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{BucketBuilder, Catalog, bucket_of};
    use lars_wire::{NodeAddr, NodeState};
    use std::sync::Arc;

    /// Puts a module of one node into the catalog, as of `version`.
    fn publish(catalog: &Catalog, module: ModuleId, version: u64) {
        let node = crate::catalog::NewNode {
            row: 1,
            addr: NodeAddr::from_ipv4_number(0x0a00_0001, 80),
            weight: 1,
            state: NodeState::Serving,
            zone: Arc::from(""),
        };
        let mut builder = BucketBuilder::default();
        builder.push_module(module, version, version, std::iter::once(node));
        catalog.swap(bucket_of(module), builder.build());
        catalog.moved_to(version);
    }

    /// A module other than `module` that falls on the same place.
    fn neighbour(module: ModuleId) -> ModuleId {
        (0..u32::MAX)
            .map(|cmdid| ModuleId::new(9, cmdid))
            .find(|other| place_of(*other) == place_of(module))
            .expect("places are few")
    }

    const MODULE: ModuleId = ModuleId::new(1, 1);

    #[test]
    fn frame_is_given_until_the_catalog_moves_and_then_only_where_the_module_did_not() {
        let (catalog, mut encoded) = (Catalog::new(7), EncodedRoutes::new());
        publish(&catalog, MODULE, 2);
        assert_eq!(encoded.as_of(MODULE, 2), None);
        encoded.keep(&catalog.view(MODULE), b"two");
        assert_eq!(encoded.as_of(MODULE, 2), Some(&b"two"[..]));
        publish(&catalog, ModuleId::new(1, 2), 3);
        assert_eq!(encoded.as_of(MODULE, catalog.version()), None);
        assert_eq!(encoded.of(&catalog.view(MODULE)), Some(&b"two"[..]));
        assert_eq!(encoded.as_of(MODULE, catalog.version()), Some(&b"two"[..]));
        publish(&catalog, MODULE, 4);
        assert_eq!(encoded.as_of(MODULE, catalog.version()), None);
        assert_eq!(encoded.of(&catalog.view(MODULE)), None);
    }

    #[test]
    fn modules_that_share_a_place_are_never_taken_for_each_other() {
        let (catalog, mut encoded) = (Catalog::new(7), EncodedRoutes::new());
        let other = neighbour(MODULE);
        publish(&catalog, other, 2);
        publish(&catalog, MODULE, 2);
        encoded.keep(&catalog.view(MODULE), b"mine");
        assert_eq!(encoded.as_of(other, 2), None);
        assert_eq!(encoded.of(&catalog.view(other)), None);
        encoded.keep(&catalog.view(other), b"the other's");
        assert_eq!(encoded.as_of(MODULE, 2), None);
        assert_eq!(encoded.as_of(other, 2), Some(&b"the other's"[..]));
    }

    #[test]
    fn absent_modules_and_long_frames_are_not_kept() {
        let (catalog, mut encoded) = (Catalog::new(7), EncodedRoutes::new());
        encoded.keep(&catalog.view(MODULE), b"absent");
        assert_eq!(encoded.as_of(MODULE, catalog.version()), None);
        publish(&catalog, MODULE, 2);
        encoded.keep(&catalog.view(MODULE), &[1; FRAME_BYTES_KEPT]);
        encoded.keep(&catalog.view(MODULE), &[2; FRAME_BYTES_KEPT + 1]);
        assert_eq!(encoded.as_of(MODULE, 2), Some(&[1; FRAME_BYTES_KEPT][..]));
        catalog.swap(bucket_of(MODULE), BucketBuilder::default().build());
        catalog.moved_to(3);
        assert_eq!(encoded.of(&catalog.view(MODULE)), None, "a module that is gone");
    }

    #[test]
    fn module_of_zeros_is_not_there_before_it_was_kept() {
        let (catalog, mut encoded) = (Catalog::new(7), EncodedRoutes::new());
        assert_eq!(encoded.as_of(ModuleId::default(), 0), None);
        assert_eq!(encoded.of(&catalog.view(ModuleId::default())), None);
    }
}
