//! A route as a caller sees it, put together from its pages.

use lars_wire::directory::{RoutePage, route_nodes};
use lars_wire::{Route, RouteNode};

/// All nodes of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// Grows with each change; comparable only while the agent's dns is the same.
    pub version: u64,
    /// The nodes, sorted by address.
    pub nodes: Vec<RouteNode>,
}

/// Puts the pages of one answer together.
#[derive(Default)]
pub(crate) struct Pages {
    nodes: Vec<RouteNode>,
    first: Option<(u64, u64, u64)>,
}

impl Pages {
    /// Adds the next page; the route when it was the last. `Err` says what is wrong with the page.
    pub(crate) fn add(&mut self, page: &RoutePage) -> Result<Option<RouteView>, String> {
        let identity = (page.instance, page.version, page.hash);
        if *self.first.get_or_insert(identity) != identity {
            return Err("pages of two routes came in one answer".to_owned());
        }
        if page.first as usize != self.nodes.len() {
            let (first, have) = (page.first, self.nodes.len());
            return Err(format!(
                "a page starts at node {first} when {have} nodes were here"
            ));
        }
        self.nodes.extend(route_nodes(&page.zones, &page.nodes));
        if self.nodes.len() < page.total as usize {
            return Ok(None);
        }
        let route = Route::new(std::mem::take(&mut self.nodes));
        if route.content_hash() != page.hash {
            return Err("the pages do not add up to the route's hash".to_owned());
        }
        Ok(Some(RouteView {
            version: page.version,
            nodes: route.nodes().to_vec(),
        }))
    }
}
