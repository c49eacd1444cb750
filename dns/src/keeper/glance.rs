//! The short way in a database that nobody migrated: it has no index by module, so that reading one module means passing
//! over the whole table, a quarter of a second at a million rows. Most changes can be told by a few rows read by their ids.

use super::Keeper;
use crate::catalog::CatalogNode;
use crate::diff::{self, Difference};
use crate::tracker::guard::Reason;
use lars_store::StoreError;
use lars_store::routes::RouteStore;
use lars_wire::ModuleId;
use std::collections::BTreeSet;

/// Rows that are read one by one before the whole table is passed over for them: fewer than a pass costs.
const GLANCE_ROWS_MAX: usize = 4_096;

impl Keeper {
    /// Publishes what the rows known of these modules, read by their ids, and new rows tell. That a module has lost nodes
    /// is left to the pass that follows: another row may have moved here.
    pub(super) async fn glance(
        &mut self,
        store: &mut impl RouteStore,
        told: &BTreeSet<ModuleId>,
        rows_after: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut rows = match rows_after {
            Some(after) => store.rows_after(after, GLANCE_ROWS_MAX as u32).await?.good,
            None => Vec::new(),
        };
        let grown = rows.iter().map(|row| row.module);
        let modules: BTreeSet<ModuleId> = grown.chain(told.iter().copied()).collect();
        let modules: Vec<ModuleId> = modules.into_iter().collect();
        match &mut self.pass {
            // It may have read them before.
            Some(pass) => {
                pass.changed(&modules);
                pass.told(told);
            }
            None => self.note_unread(told.iter().copied(), Reason::Told),
        }
        let catalog = self.publisher.catalog();
        let views = modules.iter().map(|module| catalog.view(*module));
        let ids: BTreeSet<u64> = views
            .flat_map(|view| view.nodes().iter().map(CatalogNode::row).collect::<Vec<_>>())
            .take(GLANCE_ROWS_MAX)
            .collect();
        if ids.len() == GLANCE_ROWS_MAX {
            return Ok(());
        }
        let ids: Vec<u64> = ids.into_iter().collect();
        rows.extend(store.rows_with(&ids).await?);
        rows.retain(|row| modules.binary_search(&row.module).is_ok());
        let grouped = diff::group(&modules, rows).into_iter();
        let news = grouped.filter(|rows| self.publisher.difference(rows) == Difference::Nodes);
        let news = news.collect();
        self.changes.extend(self.publisher.replace(news));
        let left = self.publisher.take_left();
        match &mut self.pass {
            Some(pass) => pass.told(&left),
            None => self.note_unread(left, Reason::Told),
        }
        Ok(())
    }
}
