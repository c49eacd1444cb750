//! The reading half: look up, read, choose, check. No lock, no system call, nothing shared written.

use crate::entry::EntryNode;
use lars_wire::{ModuleId, NodeAddr};

/// A node that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The node.
    pub addr: NodeAddr,
    /// Version of the route.
    pub version: u64,
    /// For the report: bits 0 to 15 are the node's place in the entry plus one, bits 16 to 39 the entry's generation,
    /// bit 40 says that this was a probe. Never 0.
    pub token: u64,
}

/// The outcome of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// A node.
    Node(Choice),
    /// Every node is overloaded (or draining, or to be avoided).
    Overloaded {
        /// Version of the route.
        version: u64,
    },
    /// The module is not on the board.
    Absent,
}

/// Reads the board for one thread. `Send`.
pub struct BoardReader {}

impl BoardReader {
    /// Chooses a node by the entry's rule; nodes in `avoid` are passed over unless nothing else is left.
    pub fn pick(&mut self, module: ModuleId, avoid: &[NodeAddr]) -> Picked {
        let _ = (module, avoid);
        todo!()
    }

    /// Puts the module's nodes into `nodes` (cleared before); returns the route's version, or none where the module
    /// is not on the board.
    pub fn entry(&mut self, module: ModuleId, nodes: &mut Vec<EntryNode>) -> Option<u64> {
        let _ = (module, nodes);
        todo!()
    }

    /// Modules picked since the last call of this, in no particular order, appended to `modules`: so the owners
    /// learn what is still in use.
    pub fn take_used(&mut self, modules: &mut Vec<ModuleId>) {
        let _ = modules;
        todo!()
    }
}
