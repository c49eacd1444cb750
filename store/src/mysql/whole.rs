//! Reading every route at once: the lower half of the ids over the store's own connection, the upper half over a second
//! one by a thread of its own. Its own file because a dns that starts waits for nothing else: to take rows apart costs
//! the driver more than twice what sending them costs the database, so that two do it sooner than one.

use super::routes::{not_again, raw, row_columns};
use super::{MysqlStore, routes::integer};
use crate::error::StoreError;
use crate::judge::Judge;
use crate::routes::{PageRead, RouteRecord};
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use std::cell::RefCell;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// A table whose ids lie closer together is read over one connection: making another takes longer.
const IDS_ALONE: u64 = 50_000;
/// Rows of one statement, which has a deadline: at its end the database waits for us and we for it.
const ROWS_A_STATEMENT: u32 = 250_000;
/// Rows that change threads together, and how many such lots may wait (some megabytes).
const LOT_ROWS: usize = 1_024;
const LOTS_WAITING_MAX: usize = 64;
/// How long the second thread waits when that many do.
const LOTS_WAITING: Duration = Duration::from_micros(100);

/// What the second thread has read, when it is done.
type Read = Result<PageRead, StoreError>;

impl MysqlStore {
    /// Gives every row to `take`, in no order.
    pub(super) async fn read_all(&mut self, take: &mut impl FnMut(RouteRecord)) -> Read {
        let (first, last) = self.ids().await?;
        if last - first < IDS_ALONE {
            return self.read_range(0, u64::MAX, take).await;
        }
        let middle = first + (last - first) / 2;
        let (give, mut lots) = mpsc::channel(LOTS_WAITING_MAX);
        let (tell, told) = oneshot::channel();
        self.start_upper(middle, give, tell)?;
        let take = RefCell::new(take);
        let upper = async {
            while let Some(lot) = lots.recv().await {
                let mut take = take.borrow_mut();
                for row in lot {
                    take(row);
                }
            }
            told.await
        };
        let mut give_own = |row| take.borrow_mut()(row);
        let (lower, upper) = tokio::join!(self.read_range(0, middle, &mut give_own), upper);
        let ended = |_| StoreError::Away("the second thread that reads routes has ended".to_owned());
        let (mut all, upper) = (lower?, upper.map_err(ended)??);
        all.bad.extend(upper.bad);
        all.last_id = upper.last_id.or(all.last_id);
        Ok(all)
    }

    /// Starts the thread that reads the rows above an id.
    fn start_upper(
        &self,
        after: u64,
        give: mpsc::Sender<Vec<RouteRecord>>,
        tell: oneshot::Sender<Read>,
    ) -> Result<(), StoreError> {
        let mut store = Self::unconnected(self.access.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let started = runtime.and_then(|runtime| {
            let name = "routes-upper".to_owned();
            thread::Builder::new().name(name).spawn(move || {
                let mut lot = Vec::with_capacity(LOT_ROWS);
                let read = runtime.block_on(store.read_range(after, u64::MAX, &mut |row| {
                    lot.push(row);
                    if lot.len() == LOT_ROWS {
                        hand_over(&give, std::mem::replace(&mut lot, Vec::with_capacity(LOT_ROWS)));
                    }
                }));
                hand_over(&give, lot);
                // Who no longer waits has been told to stop.
                let _ = tell.send(read);
            })
        });
        started
            .map(drop)
            .map_err(|error| StoreError::Away(format!("a thread that reads routes: {error}")))
    }

    /// The smallest and the largest id; 0 where there is none.
    async fn ids(&mut self) -> Result<(u64, u64), StoreError> {
        self.call("looking for ids", async |db| {
            let ids: Option<(Value, Value)> = db
                .conn
                .exec_first("SELECT MIN(id), MAX(id) FROM RouteData", ())
                .await?;
            let (first, last) = ids.unwrap_or((Value::NULL, Value::NULL));
            let id = |value| integer(Some(value)).and_then(|id| u64::try_from(id).ok());
            Ok((id(&first).unwrap_or(0), id(&last).unwrap_or(0)))
        })
        .await
    }

    /// Gives every row with an id above `after` and up to `last`, by id.
    async fn read_range(&mut self, mut after: u64, last: u64, take: &mut impl FnMut(RouteRecord)) -> Read {
        let mut all = PageRead::default();
        loop {
            let page = self.read_page(after, last, ROWS_A_STATEMENT, take).await?;
            all.bad.extend(page.bad);
            match page.last_id {
                Some(id) => (after, all.last_id) = (id, Some(id)),
                None => return Ok(all),
            }
        }
    }

    /// Gives at most `rows_max` rows with an id above `after` and up to `last`, by id.
    pub(super) async fn read_page(
        &mut self,
        after: u64,
        last: u64,
        rows_max: u32,
        take: &mut impl FnMut(RouteRecord),
    ) -> Read {
        self.call("reading routes", async |db| {
            let statement = format!(
                "SELECT {} FROM RouteData WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                row_columns(db)
            );
            let mut judge = Judge::new();
            let mut page = db.conn.exec_iter(statement, (after, last, rows_max)).await?;
            while let Some(row) = page.next().await.map_err(|error| not_again(error.into()))? {
                if let Some(record) = judge.judge(&raw(&row)) {
                    take(record);
                }
            }
            Ok(judge.into_page())
        })
        .await
    }
}

/// Gives a lot away, once there is room for it. A thread of its own may wait.
fn hand_over(give: &mpsc::Sender<Vec<RouteRecord>>, mut lot: Vec<RouteRecord>) {
    while let Err(TrySendError::Full(back)) = give.try_send(lot) {
        lot = back;
        thread::sleep(LOTS_WAITING);
    }
}
