//! Short names for what the tests of routes are made of.

use lars_shard::RouteNews;
use lars_wire::caller::Status;
use lars_wire::{ModuleId, NodeAddr, NodeState, Route, RouteNode};
use std::sync::Arc;

/// The node 10.x.y.z:7777 with `last` spread over the three bytes.
pub(crate) fn addr(last: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + last, 7777)
}

/// Serving nodes of default weight.
pub(crate) fn route(nodes: impl IntoIterator<Item = u32>) -> Arc<Route> {
    Arc::new(Route::new(
        nodes.into_iter().map(|last| RouteNode::new(addr(last))).collect(),
    ))
}

/// The same route with one node draining.
pub(crate) fn with_draining(route: &Route, draining: u32) -> Arc<Route> {
    let node = |node: &RouteNode| RouteNode {
        state: if node.addr == addr(draining) {
            NodeState::Draining
        } else {
            node.state
        },
        ..node.clone()
    };
    Arc::new(Route::new(route.nodes().iter().map(node).collect()))
}

/// What dns says of a module, explained.
pub(crate) fn news(module: ModuleId, version: u64, route: &Arc<Route>) -> RouteNews {
    RouteNews {
        module,
        status: if route.is_empty() {
            Status::NotFound
        } else {
            Status::Ok
        },
        version,
        explained: true,
        route: route.clone(),
    }
}

/// The same without an explanation.
pub(crate) fn unexplained(module: ModuleId, version: u64, route: &Arc<Route>) -> RouteNews {
    RouteNews {
        explained: false,
        ..news(module, version, route)
    }
}
