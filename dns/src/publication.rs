//! What the control thread tells every core after it changed the catalog: each change is encoded at most once,
//! whatever the number of connections that it goes to.

use crate::catalog::View;
use bytes::Bytes;
use lars_compat::MessageId;
use lars_compat::route::{RouteWriter, route_bytes_max};
use lars_wire::caller::Status;
use lars_wire::directory::{RouteDelta, RouteHead, pages};
use lars_wire::{ModuleId, Route, codec};
use std::sync::OnceLock;
use std::time::Instant;

/// One of our edits while its pushes wait to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EditId(pub(crate) u64);

/// Changes that are pushed together, in order of module.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) changes: Vec<Change>,
    /// The edit that made them, and until when its acknowledgements are waited for.
    pub(crate) edit: Option<(EditId, Instant)>,
}

impl Publication {
    /// The newest version in it.
    pub(crate) fn version(&self) -> u64 {
        self.changes.iter().map(Change::version).max().unwrap_or(0)
    }
}

/// A module whose nodes changed.
#[derive(Debug)]
pub(crate) struct Change {
    head: RouteHead,
    route: Route,
    /// For connections whose last push of this module was the one before.
    delta: Option<Bytes>,
    whole: OnceLock<Bytes>,
    old_whole: OnceLock<Bytes>,
}

impl Change {
    /// The module is `route` from `head.version` on.
    pub(crate) fn new(head: RouteHead, route: Route, delta: Option<&RouteDelta>) -> Self {
        let status = if route.is_empty() {
            Status::NotFound
        } else {
            Status::Ok
        };
        let delta = delta.and_then(|delta| {
            let mut bytes = Vec::new();
            // A delta that does not fit a frame is sent as the whole.
            codec::append(delta, 0, &mut bytes)
                .ok()
                .map(|()| Bytes::from(bytes))
        });
        Self {
            head: RouteHead { status, ..head },
            route,
            delta,
            whole: OnceLock::new(),
            old_whole: OnceLock::new(),
        }
    }

    pub(crate) fn module(&self) -> ModuleId {
        self.head.module
    }

    pub(crate) fn version(&self) -> u64 {
        self.head.version
    }

    /// Whether the catalog still has what this change led to.
    pub(crate) fn is_latest(&self, view: &View) -> bool {
        if view.exists() {
            view.version() == self.version()
        } else {
            self.route.is_empty()
        }
    }

    /// The frame for a connection that holds the version before.
    pub(crate) fn delta(&self) -> Option<&Bytes> {
        self.delta.as_ref()
    }

    /// The frames for any other connection, encoded by the first core that needs them.
    pub(crate) fn whole(&self) -> &Bytes {
        self.whole.get_or_init(|| {
            let mut bytes = Vec::new();
            for page in pages(self.head, &self.route) {
                codec::append(&page, 0, &mut bytes)
                    .expect("a page keeps the bounds that make it fit a frame");
            }
            Bytes::from(bytes)
        })
    }

    /// The frame for an agent of the C++ Lars, likewise.
    pub(crate) fn old_whole(&self) -> &Bytes {
        self.old_whole.get_or_init(|| {
            let nodes = self.route.nodes().iter().map(|node| (node.addr, node.state));
            let mut bytes = vec![0; route_bytes_max(MessageId::Route, nodes.len())];
            let written = RouteWriter::new().write(MessageId::Route, self.module(), &nodes, &mut bytes);
            bytes.truncate(written.expect("there is room for an empty route at least"));
            Bytes::from(bytes)
        })
    }
}
