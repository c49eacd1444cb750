//! Agent and dns: which nodes does a module have, and what changed. Also the pages in which any service sends a
//! route, since 10,000 nodes do not fit one frame.

use crate::bounded;
use crate::bounds::{MODULES_MAX, NODES_MAX, PAGE_NODES_MAX, PAGE_ZONES_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};
use crate::caller::Status;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use crate::plain::{Reader, Writer};
use crate::route::{NodeState, Route, RouteNode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A module and the content that the asking side holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownModule {
    /// The module.
    pub module: ModuleId,
    /// The dns that gave the route; 0 for none.
    pub instance: u64,
    /// The version it gave.
    pub version: u64,
    /// [`Route::content_hash`] of what is held; what is compared when the instance is another one.
    pub hash: u64,
}

/// Tell me these routes, now and whenever they change. Answered by a [`RoutePage`] for each module that differs
/// from what is known, and for each that dns does not know (status not found).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// At most [`MODULES_MAX`].
    #[serde(deserialize_with = "bounded::seq::<MODULES_MAX, _, _>")]
    pub modules: Vec<KnownModule>,
}

/// Tell me no more of these. Not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// At most [`MODULES_MAX`].
    #[serde(deserialize_with = "bounded::seq::<MODULES_MAX, _, _>")]
    pub modules: Vec<ModuleId>,
}

/// A node of a page: 23 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageNode {
    /// Where it is.
    pub addr: NodeAddr,
    /// Its weight, 1 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// What the operator wants of it.
    pub state: NodeState,
    /// Its zone: 0 for none, else one more than the place in the page's `zones`.
    pub zone: u16,
}

/// One page of a route. Pages of one answer follow each other on their connection, in order; the route is applied
/// when `first + nodes.len() == total`. A module that does not exist is one page of no nodes, status not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePage {
    /// The module.
    pub module: ModuleId,
    /// Ok, not found, or (from an agent) pending.
    pub status: Status,
    /// The dns whose version this is. Versions are compared only within one instance.
    pub instance: u64,
    /// Grows with each change that the instance has seen.
    pub version: u64,
    /// [`Route::content_hash`] of the whole route.
    pub hash: u64,
    /// Whether dns knows why the route is as it is (a change row, its own writer, a full comparison): a route that
    /// shrank without this is held back by the agent until it is confirmed.
    pub explained: bool,
    /// Nodes of the whole route.
    pub total: u32,
    /// Place of this page's first node in the whole route.
    pub first: u32,
    /// The zones that this page's nodes stand in.
    #[serde(deserialize_with = "bounded::seq::<PAGE_ZONES_MAX, _, _>")]
    pub zones: Vec<String>,
    /// The nodes, sorted by address.
    #[serde(deserialize_with = "bounded::seq::<PAGE_NODES_MAX, _, _>")]
    pub nodes: Vec<PageNode>,
}

/// What changed in a route since `base`. Sent only to a connection whose last push of the module was `base`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDelta {
    /// The module.
    pub module: ModuleId,
    /// As in [`RoutePage`].
    pub instance: u64,
    /// The version that this changes.
    pub base: u64,
    /// The version that results.
    pub version: u64,
    /// Hash of the route that results: where it does not, subscribe again with hash 0 to get the whole.
    pub hash: u64,
    /// As in [`RoutePage`].
    pub explained: bool,
    /// As in [`RoutePage`].
    #[serde(deserialize_with = "bounded::seq::<PAGE_ZONES_MAX, _, _>")]
    pub zones: Vec<String>,
    /// Nodes new or changed.
    #[serde(deserialize_with = "bounded::seq::<PAGE_NODES_MAX, _, _>")]
    pub put: Vec<PageNode>,
    /// Nodes gone.
    #[serde(deserialize_with = "bounded::seq::<PAGE_NODES_MAX, _, _>")]
    pub removed: Vec<NodeAddr>,
}

/// A push was applied. Answers no question and gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushAck {
    /// The module.
    pub module: ModuleId,
    /// The version that was applied.
    pub version: u64,
}

/// This is what I hold of modules that I am subscribed to: repairs what a push lost. Answered by a page for each
/// module that differs, then by [`DigestDone`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// At most [`MODULES_MAX`].
    #[serde(deserialize_with = "bounded::seq::<MODULES_MAX, _, _>")]
    pub modules: Vec<KnownModule>,
}

/// The end of the answer to [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestDone {
    /// Modules that differed.
    pub differing: u32,
}

/// How far the store is from which dns speaks on this connection: in front of the first answer to a [`Subscribe`] or
/// [`Digest`], of a push whenever it has moved, and once behind a push when it moves later (what was pushed may have been
/// read of it already). Answers no question and gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreVersion {
    /// As in [`RoutePage`].
    pub instance: u64,
    /// `RouteVersion` of the store.
    pub version: u64,
}

/// Zones of a page while it is filled.
#[derive(Default)]
struct Zones {
    names: Vec<String>,
}

impl Zones {
    fn place(&mut self, zone: &str) -> Option<u16> {
        if zone.is_empty() {
            return Some(0);
        }
        if let Some(place) = self.names.iter().position(|name| name == zone) {
            return Some(place as u16 + 1);
        }
        if self.names.len() == PAGE_ZONES_MAX {
            return None;
        }
        self.names.push(zone.to_owned());
        Some(self.names.len() as u16)
    }
}

/// The head that all pages of one route share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteHead {
    /// The module.
    pub module: ModuleId,
    /// As in [`RoutePage`].
    pub status: Status,
    /// As in [`RoutePage`].
    pub instance: u64,
    /// As in [`RoutePage`].
    pub version: u64,
    /// As in [`RoutePage`].
    pub explained: bool,
}

/// Cuts a route into its pages: at least one.
pub fn pages(head: RouteHead, route: &Route) -> Vec<RoutePage> {
    let (hash, total) = (route.content_hash(), route.nodes().len() as u32);
    let RouteHead {
        module,
        status,
        instance,
        version,
        explained,
    } = head;
    let page = |first, zones, nodes| RoutePage {
        module,
        status,
        instance,
        version,
        hash,
        explained,
        total,
        first,
        zones,
        nodes,
    };
    let (mut pages, mut zones, mut nodes, mut first) = (Vec::new(), Zones::default(), Vec::new(), 0);
    for (place, node) in route.nodes().iter().enumerate() {
        let zone = if nodes.len() < PAGE_NODES_MAX {
            zones.place(&node.zone)
        } else {
            None
        };
        let zone = zone.unwrap_or_else(|| {
            // The page is full of nodes or of zones: the next one has room for any zone.
            let (zones_before, nodes_before) = (std::mem::take(&mut zones).names, std::mem::take(&mut nodes));
            pages.push(page(first, zones_before, nodes_before));
            first = place as u32;
            zones.place(&node.zone).unwrap_or(0)
        });
        nodes.push(PageNode {
            addr: node.addr,
            weight: node.weight,
            state: node.state,
            zone,
        });
    }
    pages.push(page(first, zones.names, nodes));
    pages
}

/// The message for a change, where it fits one frame and saves half of the whole; else `None`: send [`pages`].
pub fn delta(head: RouteHead, base: u64, older: &Route, newer: &Route) -> Option<RouteDelta> {
    let (put, removed) = older.delta_to(newer);
    let changes = put.len() + removed.len();
    if changes > PAGE_NODES_MAX || changes * 2 > newer.nodes().len() {
        return None;
    }
    let mut zones = Zones::default();
    let put = put
        .iter()
        .map(|node| {
            let zone = zones.place(&node.zone)?;
            Some(PageNode {
                addr: node.addr,
                weight: node.weight,
                state: node.state,
                zone,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let RouteHead {
        module,
        instance,
        version,
        explained,
        ..
    } = head;
    let hash = newer.content_hash();
    Some(RouteDelta {
        module,
        instance,
        base,
        version,
        hash,
        explained,
        zones: zones.names,
        put,
        removed,
    })
}

/// Page nodes with their zones' names put back.
pub fn route_nodes(zones: &[String], nodes: &[PageNode]) -> Vec<RouteNode> {
    let none: Arc<str> = Arc::from("");
    let names: Vec<Arc<str>> = zones.iter().map(|zone| Arc::from(zone.as_str())).collect();
    let name = |zone: u16| match zone {
        0 => none.clone(),
        _ => names.get(usize::from(zone) - 1).unwrap_or(&none).clone(),
    };
    let node = |node: &PageNode| RouteNode {
        addr: node.addr,
        weight: node.weight,
        state: node.state,
        zone: name(node.zone),
    };
    nodes.iter().map(node).collect()
}

fn check_nodes(zones: &[String], nodes: &[PageNode]) -> Result<(), &'static str> {
    if zones.len() > PAGE_ZONES_MAX || zones.iter().any(|zone| zone.len() > ZONE_BYTES_MAX) {
        return Err("zones");
    }
    if nodes.len() > PAGE_NODES_MAX {
        return Err("nodes");
    }
    if nodes.iter().any(|node| usize::from(node.zone) > zones.len()) {
        return Err("zone");
    }
    if nodes
        .iter()
        .any(|node| node.weight == 0 || node.weight > WEIGHT_MAX)
    {
        return Err("weight");
    }
    if nodes.iter().any(|node| !node.addr.is_callable()) {
        Err("addr")
    } else {
        Ok(())
    }
}

impl Message for Subscribe {
    const KIND: Kind = Kind::Subscribe;
    fn check(&self) -> Result<(), &'static str> {
        if self.modules.len() > MODULES_MAX {
            Err("modules")
        } else {
            Ok(())
        }
    }
}
impl Message for Unsubscribe {
    const KIND: Kind = Kind::Unsubscribe;
    fn check(&self) -> Result<(), &'static str> {
        if self.modules.len() > MODULES_MAX {
            Err("modules")
        } else {
            Ok(())
        }
    }
}
impl Message for RoutePage {
    const KIND: Kind = Kind::RoutePage;
    fn check(&self) -> Result<(), &'static str> {
        let end = self.first as usize + self.nodes.len();
        if self.total as usize > NODES_MAX || end > self.total as usize {
            return Err("total");
        }
        if self.nodes.is_empty() && self.total != 0 {
            return Err("nodes");
        }
        check_nodes(&self.zones, &self.nodes)
    }

    fn write_plain(&self, space: &mut [u8]) -> Option<usize> {
        let room = space.len();
        let mut body = Writer::new(space);
        body.put(self.module.modid.to_le_bytes())?;
        body.put(self.module.cmdid.to_le_bytes())?;
        body.put([self.status.into()])?;
        body.put(self.instance.to_le_bytes())?;
        body.put(self.version.to_le_bytes())?;
        body.put(self.hash.to_le_bytes())?;
        body.put([self.explained.into()])?;
        body.put(self.total.to_le_bytes())?;
        body.put(self.first.to_le_bytes())?;
        body.put((self.zones.len() as u64).to_le_bytes())?;
        for zone in &self.zones {
            body.put((zone.len() as u64).to_le_bytes())?;
            body.bytes(zone.as_bytes())?;
        }
        body.put((self.nodes.len() as u64).to_le_bytes())?;
        for node in &self.nodes {
            body.node(node.addr)?;
            body.put(node.weight.to_le_bytes())?;
            body.put([node.state.into()])?;
            body.put(node.zone.to_le_bytes())?;
        }
        Some(room - body.left())
    }
}
impl Message for RouteDelta {
    const KIND: Kind = Kind::RouteDelta;
    fn check(&self) -> Result<(), &'static str> {
        if self.removed.len() > PAGE_NODES_MAX {
            return Err("removed");
        }
        check_nodes(&self.zones, &self.put)
    }
}
impl Message for PushAck {
    const KIND: Kind = Kind::PushAck;

    #[inline]
    fn read_plain(body: &[u8]) -> Option<Self> {
        let mut body = Reader::new(body);
        let ack = Self {
            module: body.module()?,
            version: body.u64()?,
        };
        (body.left() == 0).then_some(ack)
    }
}
impl Message for Digest {
    const KIND: Kind = Kind::Digest;
    fn check(&self) -> Result<(), &'static str> {
        if self.modules.len() > MODULES_MAX {
            Err("modules")
        } else {
            Ok(())
        }
    }
}
impl Message for DigestDone {
    const KIND: Kind = Kind::DigestDone;
}
impl Message for StoreVersion {
    const KIND: Kind = Kind::StoreVersion;
}
