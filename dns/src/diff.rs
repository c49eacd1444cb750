//! From rows as the store has them to what a module is now, and how that differs from what is served. The
//! difference decides what is published, never the reason for which the rows were read.

use crate::catalog::{NewNode, View};
use lars_store::routes::RouteRecord;
use lars_wire::bounds::{NODES_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeMap;

/// One module as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModuleRows {
    pub(crate) module: ModuleId,
    /// What is to be served, by address, each once.
    pub(crate) nodes: Vec<NewNode>,
    /// Ids of rows beyond the bound of nodes, and of those that would not pass a peer's check, by id. None is served.
    pub(crate) skipped: Vec<u64>,
    /// Ids of the later rows of those with one address, by id.
    pub(crate) duplicates: Vec<u64>,
}

/// How a module of the store differs from the one that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// In nothing.
    None,
    /// The same nodes stand in other rows: nobody need hear of it.
    Rows,
    /// In its nodes, and no fewer than before.
    Nodes,
    /// It has fewer nodes.
    Shrunk,
    /// It has no node any more.
    Vanished,
}

/// Puts the rows of `modules` together, in order of module; one without rows has no nodes.
pub(crate) fn group(modules: &[ModuleId], rows: Vec<RouteRecord>) -> Vec<ModuleRows> {
    let mut of_module: BTreeMap<ModuleId, Vec<RouteRecord>> =
        modules.iter().map(|module| (*module, Vec::new())).collect();
    for row in rows {
        of_module.entry(row.module).or_default().push(row);
    }
    of_module
        .into_iter()
        .map(|(module, rows)| judge(module, rows))
        .collect()
}

/// Decides which rows of a module are served: of two with one address the older row, and the oldest where there are
/// more than a route may have, so that what is served does not flap.
pub(crate) fn judge(module: ModuleId, mut rows: Vec<RouteRecord>) -> ModuleRows {
    let (mut skipped, mut duplicates) = (Vec::new(), Vec::new());
    rows.retain(|row| is_servable(row.node, row.weight, &row.zone) || skip(&mut skipped, row.id));
    rows.sort_unstable_by_key(|row| (row.node, row.id));
    let mut last = None;
    rows.retain(|row| last.replace(row.node) != Some(row.node) || skip(&mut duplicates, row.id));
    if rows.len() > NODES_MAX {
        rows.sort_unstable_by_key(|row| row.id);
        skipped.extend(rows.drain(NODES_MAX..).map(|row| row.id));
        rows.sort_unstable_by_key(|row| row.node);
    }
    skipped.sort_unstable();
    duplicates.sort_unstable();
    let node = |row: RouteRecord| NewNode {
        row: row.id,
        addr: row.node,
        weight: row.weight,
        state: row.state,
        zone: row.zone,
    };
    ModuleRows {
        module,
        nodes: rows.into_iter().map(node).collect(),
        skipped,
        duplicates,
    }
}

/// How `rows` differ from what `view` shows of the same module.
pub(crate) fn difference(view: &View, rows: &ModuleRows) -> Difference {
    let held = view.nodes();
    let same = |(held, new): (&crate::catalog::CatalogNode, &NewNode)| {
        held.addr() == new.addr
            && held.weight() == new.weight
            && held.state() == new.state
            && **view.zone(held) == *new.zone
    };
    if held.len() == rows.nodes.len() && held.iter().zip(&rows.nodes).all(same) {
        let same_rows = held
            .iter()
            .zip(&rows.nodes)
            .all(|(held, new)| held.row() == new.row);
        return if same_rows {
            Difference::None
        } else {
            Difference::Rows
        };
    }
    match rows.nodes.len() {
        0 => Difference::Vanished,
        len if len < held.len() => Difference::Shrunk,
        _ => Difference::Nodes,
    }
}

/// Whether a node would pass the check of whoever receives it: the store promises that, and a push that a peer must
/// refuse would cost every subscriber its connection.
pub(crate) fn is_servable(node: NodeAddr, weight: u16, zone: &str) -> bool {
    (1..=WEIGHT_MAX).contains(&weight) && zone.len() <= ZONE_BYTES_MAX && node.is_callable()
}

fn skip(skipped: &mut Vec<u64>, id: u64) -> bool {
    skipped.push(id);
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::NodeState;
    use std::sync::Arc;

    const MODULE: ModuleId = ModuleId::new(1, 1);

    fn row(id: u64, last: u32) -> RouteRecord {
        RouteRecord {
            id,
            module: MODULE,
            node: NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80),
            weight: 100,
            state: NodeState::Serving,
            zone: Arc::from(""),
        }
    }

    #[test]
    fn of_two_rows_with_one_address_the_older_is_served() {
        let judged = judge(MODULE, vec![row(9, 1), row(3, 1), row(5, 2)]);
        assert_eq!(
            judged.nodes.iter().map(|node| node.row).collect::<Vec<_>>(),
            [3, 5]
        );
        assert_eq!((judged.skipped, judged.duplicates), (vec![], vec![9]));
    }

    #[test]
    fn rows_that_a_peer_would_refuse_are_skipped() {
        let weightless = RouteRecord {
            weight: 0,
            ..row(1, 1)
        };
        let nameless = RouteRecord {
            zone: Arc::from("z".repeat(33)),
            ..row(2, 2)
        };
        let nowhere = RouteRecord {
            node: NodeAddr::NONE,
            ..row(3, 3)
        };
        let judged = judge(MODULE, vec![weightless, nameless, nowhere, row(4, 4)]);
        assert_eq!((judged.nodes.len(), judged.skipped), (1, vec![1, 2, 3]));
    }

    #[test]
    fn nodes_beyond_the_bound_are_the_youngest() {
        let rows = (1..=NODES_MAX as u64 + 2)
            .map(|id| row(id, 100_000 - id as u32))
            .collect();
        let judged = judge(MODULE, rows);
        assert_eq!(judged.nodes.len(), NODES_MAX);
        assert!(judged.nodes.is_sorted_by_key(|node| node.addr));
        assert_eq!(judged.skipped, [NODES_MAX as u64 + 1, NODES_MAX as u64 + 2]);
    }

    #[test]
    fn module_without_rows_is_grouped_as_one_without_nodes() {
        let other = ModuleId::new(1, 2);
        let grouped = group(&[other, MODULE], vec![row(1, 1)]);
        let counts: Vec<_> = grouped
            .iter()
            .map(|rows| (rows.module, rows.nodes.len()))
            .collect();
        assert_eq!(counts, [(MODULE, 1), (other, 0)]);
    }
}
