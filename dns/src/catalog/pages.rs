//! Cuts a module of the catalog into pages as they travel. Does what [`lars_wire::directory::pages`] does, but from
//! the compact form, with the stored hash and with buffers that are used again: this is every answer's path.

use super::{Catalog, View};
use lars_wire::ModuleId;
use lars_wire::bounds::{HEADER_BYTES, PAGE_NODES_MAX, PAGE_ZONES_MAX};
use lars_wire::caller::Status;
use lars_wire::directory::{PageNode, RoutePage};

/// Bytes of a page's frame without zones and nodes: header, module, status, instance, version, hash, explained,
/// total, first, and the two lengths.
const PAGE_BYTES: usize = HEADER_BYTES + 8 + 1 + 8 + 8 + 8 + 1 + 4 + 4 + 8 + 8;
/// Bytes of a node in a page.
const PAGE_NODE_BYTES: usize = 23;

/// Cuts pages; each core has one, and so has the publisher.
pub struct PageCutter {
    page: RoutePage,
    zones_bytes: usize,
    /// Names of zones that no page holds now, to be written over.
    names: Vec<String>,
}

impl PageCutter {
    /// Buffers for pages of the given instance.
    pub fn new(catalog: &Catalog) -> Self {
        let page = RoutePage {
            module: ModuleId::default(),
            status: Status::NotFound,
            instance: catalog.instance(),
            version: 0,
            hash: 0,
            explained: true,
            total: 0,
            first: 0,
            zones: Vec::new(),
            nodes: Vec::new(),
        };
        Self {
            page,
            zones_bytes: 0,
            names: Vec::new(),
        }
    }

    /// Gives every page of `view`, in order, to `emit`, with an upper bound of its frame's bytes: at least one page.
    /// Stops when `emit` says false, and then returns false.
    pub fn cut(&mut self, view: &View, mut emit: impl FnMut(&RoutePage, usize) -> bool) -> bool {
        let nodes = view.nodes();
        self.page.module = view.module();
        self.page.status = if nodes.is_empty() {
            Status::NotFound
        } else {
            Status::Ok
        };
        self.page.version = view.version();
        self.page.hash = view.hash();
        self.page.explained = !nodes.is_empty() || view.explained;
        self.page.total = nodes.len() as u32;
        self.start_page(0);
        for (place, node) in nodes.iter().enumerate() {
            let mut zone = self.zone_place(view.zone(node));
            if zone.is_none() || self.page.nodes.len() == PAGE_NODES_MAX {
                if !emit(&self.page, self.frame_bytes_max()) {
                    return false;
                }
                self.start_page(place as u32);
                zone = self.zone_place(view.zone(node));
            }
            self.page.nodes.push(PageNode {
                addr: node.addr(),
                weight: node.weight(),
                state: node.state(),
                zone: zone.unwrap_or(0),
            });
        }
        emit(&self.page, self.frame_bytes_max())
    }

    fn start_page(&mut self, first: u32) {
        self.page.first = first;
        self.page.nodes.clear();
        self.names.append(&mut self.page.zones);
        self.zones_bytes = 0;
    }

    fn zone_place(&mut self, zone: &str) -> Option<u16> {
        if zone.is_empty() {
            return Some(0);
        }
        if let Some(place) = self.page.zones.iter().position(|known| known == zone) {
            return Some(place as u16 + 1);
        }
        if self.page.zones.len() == PAGE_ZONES_MAX {
            return None;
        }
        let mut name = self.names.pop().unwrap_or_default();
        name.clear();
        name.push_str(zone);
        self.page.zones.push(name);
        self.zones_bytes += 8 + zone.len();
        Some(self.page.zones.len() as u16)
    }

    fn frame_bytes_max(&self) -> usize {
        PAGE_BYTES + self.zones_bytes + self.page.nodes.len() * PAGE_NODE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::{BucketBuilder, Catalog, NewNode, PageCutter, bucket_of};
    use lars_wire::bounds::FRAME_BYTES_MAX;
    use lars_wire::caller::Status;
    use lars_wire::directory::{RouteHead, pages};
    use lars_wire::{ModuleId, NodeAddr, NodeState, Route, codec};
    use std::sync::Arc;

    const MODULE: ModuleId = ModuleId::new(3, 4);

    fn catalog_of(nodes: u32, zones: u32) -> Catalog {
        let catalog = Catalog::new(77);
        let node = |place: u32| NewNode {
            row: u64::from(place),
            addr: NodeAddr::from_ipv4_number(0x0a00_0001 + place, 80),
            weight: 1 + (place % 9) as u16,
            state: NodeState::ALL[(place % 2) as usize],
            zone: Arc::from(if zones == 0 {
                String::new()
            } else {
                format!("zone-{}", place % zones)
            }),
        };
        let nodes: Vec<NewNode> = (0..nodes).map(node).collect();
        let route = Route::new(
            nodes
                .iter()
                .map(|node| lars_wire::RouteNode {
                    addr: node.addr,
                    weight: node.weight,
                    state: node.state,
                    zone: Arc::clone(&node.zone),
                })
                .collect(),
        );
        let mut builder = BucketBuilder::default();
        builder.push_module(MODULE, 9, route.content_hash(), nodes.into_iter());
        catalog.swap(bucket_of(MODULE), builder.build());
        catalog
    }

    #[test]
    fn pages_are_those_that_the_protocol_describes() {
        for (nodes, zones) in [
            (1, 0),
            (10, 3),
            (1_024, 1),
            (1_025, 2),
            (3_000, 300),
            (600, 600),
            (10_000, 7),
        ] {
            let catalog = catalog_of(nodes, zones);
            let view = catalog.view(MODULE);
            let head = RouteHead {
                module: MODULE,
                status: Status::Ok,
                instance: 77,
                version: 9,
                explained: true,
            };
            let (expected, mut cut) = (pages(head, &view.route()), Vec::new());
            assert!(PageCutter::new(&catalog).cut(&view, |page, _| {
                cut.push(page.clone());
                true
            }));
            assert!(cut == expected, "{nodes} nodes in {zones} zones");
        }
    }

    #[test]
    fn bound_given_with_a_page_is_its_exact_size() {
        for (nodes, zones) in [(0, 0), (10, 3), (2_000, 300)] {
            let catalog = catalog_of(nodes, zones);
            let mut cutter = PageCutter::new(&catalog);
            cutter.cut(&catalog.view(MODULE), |page, bytes_max| {
                let mut out = vec![0; FRAME_BYTES_MAX];
                assert_eq!(codec::encode(page, 0, &mut out), Ok(bytes_max));
                true
            });
        }
    }

    #[test]
    fn absent_module_is_one_page_that_says_not_found() {
        let catalog = Catalog::new(77);
        let mut seen = Vec::new();
        PageCutter::new(&catalog).cut(&catalog.view(MODULE), |page, _| {
            seen.push((page.status, page.total, page.explained));
            true
        });
        assert_eq!(
            seen,
            [(Status::NotFound, 0, false)],
            "an empty catalog is not yet believed"
        );
        catalog.set_emptiness_explained();
        PageCutter::new(&catalog).cut(&catalog.view(MODULE), |page, _| {
            assert!(page.explained);
            true
        });
    }
}
