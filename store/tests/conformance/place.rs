//! A database that one test has for itself, and short ways to name what stands in it.

use lars_store::AnyStore;
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::WEIGHT_DEFAULT;
use lars_wire::{ModuleId, NodeAddr, NodeState};
use std::time::{SystemTime, UNIX_EPOCH};

/// A database of one kind.
pub(crate) trait Place: Sync {
    /// Holds the database's write lock until it is dropped.
    type Held;

    /// An empty database with the newest schema.
    async fn fresh() -> Self;

    /// One more connection.
    async fn open(&self) -> AnyStore;

    /// What another program does, on a connection of its own.
    async fn foreign(&self, sql: &str);

    /// Makes columns so wide that they take what the sentences write that no Lars would.
    async fn widen(&self) {}

    /// Another program that has begun to write and does not end.
    async fn hold(&self) -> Self::Held;
}

pub(crate) const M1: ModuleId = ModuleId::new(1, 1);
pub(crate) const M2: ModuleId = ModuleId::new(1, 2);

/// 10.0.0.LAST:80
pub(crate) fn v4(last: u8) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a00_0000 + u32::from(last), 80)
}

/// [2001:db8::LAST]:80
pub(crate) fn v6(last: u8) -> NodeAddr {
    let mut octets = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    octets[15] = last;
    NodeAddr::from_octets(octets, 80)
}

/// A serving node of default weight in no zone.
pub(crate) fn row(module: ModuleId, node: NodeAddr) -> RouteRow {
    RouteRow {
        module,
        node,
        weight: WEIGHT_DEFAULT,
        state: NodeState::Serving,
        zone: String::new(),
    }
}

pub(crate) fn put(module: ModuleId, node: NodeAddr) -> RouteEdit {
    RouteEdit::Put(row(module, node))
}

pub(crate) fn remove(module: ModuleId, node: NodeAddr) -> RouteEdit {
    RouteEdit::Remove { module, node }
}

pub(crate) fn unix_now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}
