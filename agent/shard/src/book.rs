//! What dns said: pages put together, deltas applied, versions compared, and the last good routes as they go to disk.

use lars_wire::caller::Status;
use lars_wire::directory::{KnownModule, PushAck, RouteDelta, RoutePage};
use lars_wire::{ModuleId, Route};
use std::sync::Arc;

/// A module's route, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteNews {
    /// The module.
    pub module: ModuleId,
    /// Ok or not found.
    pub status: Status,
    /// Version of the route.
    pub version: u64,
    /// Whether dns knows why it is as it is.
    pub explained: bool,
    /// The nodes; empty with not found.
    pub route: Arc<Route>,
}

/// What a page or a delta led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Noted {
    /// More pages are to come.
    More,
    /// The route is whole: tell its owner, and dns that it is applied.
    Whole(RouteNews, PushAck),
    /// It does not fit what is held: subscribe to the module again with this (hash 0), to get the whole.
    AskAgain(KnownModule),
}

/// Every route that this agent is subscribed to, on its control thread.
pub struct RouteBook {}

impl RouteBook {
    /// An empty book.
    pub fn new() -> Self {
        todo!()
    }

    /// The module is wanted from now on; returns what to say in the subscription.
    pub fn subscribe(&mut self, module: ModuleId) -> KnownModule {
        let _ = module;
        todo!()
    }

    /// The module is wanted no more.
    pub fn unsubscribe(&mut self, module: ModuleId) {
        let _ = module;
        todo!()
    }

    /// A new connection to dns: half-received routes are forgotten. Everything to subscribe to, in order of module.
    pub fn reconnected(&mut self) -> Vec<KnownModule> {
        todo!()
    }

    /// A page arrived.
    pub fn page(&mut self, page: RoutePage) -> Noted {
        let _ = page;
        todo!()
    }

    /// A delta arrived.
    pub fn delta(&mut self, delta: RouteDelta) -> Noted {
        let _ = delta;
        todo!()
    }

    /// What is held, for the digest: at most `modules_max` from `after` on, in order of module.
    pub fn digest(&self, after: Option<ModuleId>, modules_max: usize) -> Vec<KnownModule> {
        let _ = (after, modules_max);
        todo!()
    }

    /// Counts changes of what would be written to disk.
    pub fn edition(&self) -> u64 {
        todo!()
    }

    /// The last good routes as bytes: magic, format version, frames of route pages, checksum.
    pub fn to_disk(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads them back: the book, and news for the owners. A damaged file says why and gives nothing.
    pub fn from_disk(bytes: &[u8]) -> Result<(Self, Vec<RouteNews>), String> {
        let _ = bytes;
        todo!()
    }
}
