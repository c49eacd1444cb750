//! The comparison of everything with the catalog, page by page with a look between any two: for a version that nothing
//! explains, and for a store that was away.

use super::{Keeper, Looked, PAGE_ROWS, Stage};
use crate::tracker::guard::Reason;
use lars_store::StoreError;
use lars_store::routes::RouteStore;

impl Keeper {
    /// Begins a comparison, or another one behind that which is under way.
    pub(super) fn compare_everything(&mut self) {
        if self.compared_to.is_some() {
            self.compare_again = true;
        } else {
            self.start_comparison();
        }
    }

    fn start_comparison(&mut self) {
        self.comparisons += 1;
        self.compared_to = Some(0);
        self.compare_again = false;
    }

    /// Compares a page.
    pub(super) async fn compare_page(&mut self, store: &mut impl RouteStore) -> Result<Looked, StoreError> {
        self.stage = Stage::Watching;
        let after = self.compared_to.unwrap_or(0);
        let rows = store.rows_after(after, PAGE_ROWS).await?;
        let last = rows.last_id.unwrap_or(u64::MAX);
        let compared = self.publisher.compare(after, last, &rows);
        self.reread(store, compared.differing, Reason::Compared).await?;
        if rows.last_id.is_some() {
            self.compared_to = Some(last);
            return Ok(Looked::Busy);
        }
        self.compared_to = None;
        if self.compare_again {
            self.start_comparison();
        }
        let vanished = self.guard.compared(self.publisher.catalog().modules());
        self.reread(store, vanished.into_iter().collect(), Reason::Found)
            .await?;
        Ok(self.what_next())
    }
}
