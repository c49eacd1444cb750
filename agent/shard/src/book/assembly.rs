//! Routes of which some pages are here: put together in order, judged when whole.

use lars_wire::bounds::NODES_MAX;
use lars_wire::caller::Status;
use lars_wire::directory::{RoutePage, route_nodes};
use lars_wire::{ModuleId, Route, RouteNode};
use std::collections::BTreeMap;

/// Nodes in all unfinished routes together. Pages of one route follow each other, so one unfinished route is usual;
/// 16 of the largest leave room for a dns that mixes them.
const ASSEMBLING_NODES_MAX: usize = 16 * NODES_MAX;

/// Where a page led.
#[derive(Debug)]
pub(super) enum Step {
    /// The route is not whole yet.
    More,
    /// The page does not continue what is here, or the whole is not what its hash says: nothing of it is kept.
    Broken,
    /// The route is whole.
    Whole(Route),
}

#[derive(Debug)]
struct Assembly {
    instance: u64,
    version: u64,
    hash: u64,
    total: u32,
    nodes: Vec<RouteNode>,
}

impl Assembly {
    fn is_continued_by(&self, page: &RoutePage) -> bool {
        let head = (self.instance, self.version, self.hash, self.total);
        head == (page.instance, page.version, page.hash, page.total)
            && self.nodes.len() == page.first as usize
    }
}

/// Unfinished routes by module.
#[derive(Debug, Default)]
pub(super) struct Assemblies {
    unfinished: BTreeMap<ModuleId, Assembly>,
    /// Nodes in all of them together.
    nodes: usize,
}

impl Assemblies {
    /// Adds a page; a first page begins anew whatever was here of the module.
    pub(super) fn add(&mut self, page: &RoutePage) -> Step {
        let unfinished = self.take(page.module);
        let assembly = match unfinished {
            _ if page.first == 0 => Assembly {
                instance: page.instance,
                version: page.version,
                hash: page.hash,
                total: page.total,
                nodes: Vec::new(),
            },
            Some(assembly) if assembly.is_continued_by(page) => assembly,
            _ => return Step::Broken,
        };
        self.extend(assembly, page)
    }

    /// Whether something of the module is here.
    pub(super) fn has(&self, module: ModuleId) -> bool {
        self.unfinished.contains_key(&module)
    }

    /// Whether nothing is unfinished.
    pub(super) fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// What is here of the module is not wanted any longer.
    pub(super) fn forget(&mut self, module: ModuleId) {
        self.take(module);
    }

    /// Nothing will be continued.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, module: ModuleId) -> Option<Assembly> {
        let assembly = self.unfinished.remove(&module)?;
        self.nodes -= assembly.nodes.len();
        Some(assembly)
    }

    fn extend(&mut self, mut assembly: Assembly, page: &RoutePage) -> Step {
        let (total, end) = (page.total as usize, assembly.nodes.len() + page.nodes.len());
        let stands_still = page.nodes.is_empty() && total > 0;
        let contradicts = page.status == Status::NotFound && total > 0;
        let too_much = total > NODES_MAX || self.nodes + end > ASSEMBLING_NODES_MAX;
        if stands_still || contradicts || too_much || end > total {
            return Step::Broken;
        }
        assembly.nodes.extend(route_nodes(&page.zones, &page.nodes));
        if end < total {
            self.nodes += end;
            self.unfinished.insert(page.module, assembly);
            return Step::More;
        }
        let route = Route::new(assembly.nodes);
        if route.nodes().len() == total && route.content_hash() == page.hash {
            Step::Whole(route)
        } else {
            Step::Broken
        }
    }
}
