//! What report needs of a store for the changes of nodes' states: each is stored once.

use crate::error::StoreError;
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};

/// One change as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The agent's identity.
    pub incarnation: [u8; 16],
    /// Counts its changes from 1.
    pub number: u64,
    /// The agent's IPv4 address as a number.
    pub caller: u32,
    /// When, in Unix milliseconds.
    pub unix_ms: u64,
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// How it stood.
    pub from: NodeView,
    /// How it stands.
    pub to: NodeView,
    /// Which rule says so.
    pub reason: String,
}

/// The changes of a store.
pub trait ChangeStore {
    /// Stores each that is not there yet, all or none. Where the database has no table for them (it is not migrated to
    /// version 2) nothing is stored; returns whether there is one.
    fn store_changes(&mut self, changes: &[ChangeRecord]) -> impl Future<Output = Result<bool, StoreError>>;

    /// At most `rows_max`, of one module or all, the newest first.
    fn changes(
        &mut self,
        module: Option<ModuleId>,
        rows_max: u32,
    ) -> impl Future<Output = Result<Vec<ChangeRecord>, StoreError>>;

    /// Deletes those before `unix_ms_first`, at most [`crate::calls::PRUNE_ROWS_MAX`]; returns how many.
    fn prune_node_changes(&mut self, unix_ms_first: u64) -> impl Future<Output = Result<u64, StoreError>>;
}

/// As it stands in the table.
pub(crate) fn state_word(view: NodeView) -> &'static str {
    match view {
        NodeView::Idle => "idle",
        NodeView::Overloaded => "overloaded",
        NodeView::Probing => "probing",
        NodeView::Draining => "draining",
    }
}

/// The other way; none for a word that another program wrote.
pub(crate) fn state_of(word: &str) -> Option<NodeView> {
    NodeView::ALL
        .iter()
        .copied()
        .find(|view| state_word(*view) == word)
}
