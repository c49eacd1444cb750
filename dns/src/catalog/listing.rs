//! The catalog in order of module and address, page by page, for `lars route list`. Its own file because the
//! buckets are in order of hash: each page looks at every module's name, which only a listing may do.

use super::{BUCKETS, Catalog};
use lars_wire::admin::{ListRoutes, RouteRow, RouteRows};
use lars_wire::bounds::EDITS_MAX;
use lars_wire::{ModuleId, NodeAddr};

impl Catalog {
    /// The rows that `list` asks for: at most [`EDITS_MAX`], and whether more follow.
    pub fn list(&self, list: &ListRoutes) -> RouteRows {
        let modules = match list.module {
            Some(module) => vec![module],
            None => self.modules_from(list.after.map(|(module, _)| module)),
        };
        let mut rows = Vec::new();
        for module in modules {
            let view = self.view(module);
            let nodes = view.nodes();
            let first = nodes.partition_point(|node| !is_behind((module, node.addr()), list.after));
            for node in &nodes[first..] {
                if rows.len() == EDITS_MAX {
                    return RouteRows { rows, more: true };
                }
                rows.push(RouteRow {
                    module,
                    node: node.addr(),
                    weight: node.weight(),
                    state: node.state(),
                    zone: view.zone(node).to_string(),
                });
            }
        }
        RouteRows { rows, more: false }
    }

    /// The first modules in order, from `first` on: enough to fill a page and to know whether more follow.
    fn modules_from(&self, first: Option<ModuleId>) -> Vec<ModuleId> {
        // A module has at least one node, but the first may have been listed to its end.
        let enough = EDITS_MAX + 2;
        let mut modules = Vec::new();
        for place in 0..BUCKETS {
            let bucket = self.bucket(place);
            let all = (0..bucket.modules_len()).map(|place| bucket.module(place));
            modules.extend(all.filter(|module| first.is_none_or(|first| *module >= first)));
            // Kept short: what cannot be on the page is dropped before the list grows long.
            if modules.len() >= 4 * enough {
                keep_smallest(&mut modules, enough);
            }
        }
        keep_smallest(&mut modules, enough);
        modules.sort_unstable();
        modules
    }
}

fn keep_smallest(modules: &mut Vec<ModuleId>, count: usize) {
    if modules.len() > count {
        modules.select_nth_unstable(count);
        modules.truncate(count);
    }
}

fn is_behind(row: (ModuleId, NodeAddr), after: Option<(ModuleId, NodeAddr)>) -> bool {
    after.is_none_or(|after| row > after)
}

#[cfg(test)]
mod tests {
    use crate::catalog::{BucketBuilder, Catalog, NewNode, bucket_of};
    use lars_wire::admin::ListRoutes;
    use lars_wire::{ModuleId, NodeAddr, NodeState};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn catalog_of(modules: u32, nodes: u32) -> Catalog {
        let catalog = Catalog::new(1);
        let mut buckets: BTreeMap<usize, Vec<ModuleId>> = BTreeMap::new();
        for cmdid in (0..modules).rev() {
            let module = ModuleId::new(cmdid % 7, cmdid);
            buckets.entry(bucket_of(module)).or_default().push(module);
        }
        for (place, mut modules) in buckets {
            modules.sort_unstable();
            let mut builder = BucketBuilder::default();
            for module in modules {
                let node = |place| NewNode {
                    row: 1,
                    addr: NodeAddr::from_ipv4_number(0x0a00_0001 + place, 80),
                    weight: 100,
                    state: NodeState::Serving,
                    zone: Arc::from("z"),
                };
                builder.push_module(module, 1, 1, (0..nodes).map(node));
            }
            catalog.swap(place, builder.build());
        }
        catalog
    }

    #[test]
    fn listing_page_by_page_gives_every_row_once_in_order() {
        for (modules, nodes) in [(0, 0), (1, 1), (3_000, 2), (5, 1_000), (512, 1), (513, 1)] {
            let catalog = catalog_of(modules, nodes);
            let (mut rows, mut after) = (Vec::new(), None);
            loop {
                let page = catalog.list(&ListRoutes { module: None, after });
                rows.extend(page.rows.iter().map(|row| (row.module, row.node)));
                after = rows.last().copied();
                if !page.more {
                    break;
                }
                assert_eq!(page.rows.len(), 512, "a page with more behind it is full");
            }
            assert_eq!(rows.len() as u32, modules * nodes);
            assert!(rows.is_sorted_by(|a, b| a < b), "{modules} modules of {nodes}");
        }
    }

    #[test]
    fn listing_one_module_leaves_the_others_out() {
        let catalog = catalog_of(100, 3);
        let module = ModuleId::new(1, 8);
        let page = catalog.list(&ListRoutes {
            module: Some(module),
            after: None,
        });
        assert!(page.rows.len() == 3 && page.rows.iter().all(|row| row.module == module) && !page.more);
    }
}
