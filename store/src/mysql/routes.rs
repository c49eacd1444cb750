//! Reading routes from the database.

use super::{CallError, Connection, MysqlStore, unix_now_s};
use crate::error::StoreError;
use crate::judge::{Judge, RawRow};
use crate::routes::{ChangeRow, EditDone, Observation, PageRead, RouteRecord, RouteStore, Rows};
use lars_wire::ModuleId;
use lars_wire::admin::RouteEdit;
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Change rows are kept for as long as any dns may look back.
const CHANGES_KEPT_S: u64 = 3_600;
/// Modules of one statement: each adds one range to it, and a list of more than 500 pairs is turned into a table by the
/// database first.
const MODULES_A_STATEMENT: usize = 256;
/// More rows are not counted: a look would take long, and changes wait for it. A hundred thousand take 20 ms.
const COUNTED_MAX: u64 = 100_000;
/// Counting may take this share of the time at most.
const COUNTING_SHARE: u32 = 20;
/// So many rows are counted at every look, within a millisecond or two, also where a busy machine took longer once.
const COUNTED_ALWAYS: u64 = 10_000;
/// A table that was too large to be counted is tried again after this time: it may have shrunk.
const TRIED_AGAIN: Duration = Duration::from_secs(10);

/// How many rows `RouteData` had when they were counted last: none where it was too many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SizeSeen {
    rows: Option<u64>,
    counted: Option<(Instant, Duration)>,
}

impl SizeSeen {
    /// Whether what was counted will do.
    fn is_fresh(self) -> bool {
        self.counted.is_some_and(|(when, took)| match self.rows {
            Some(rows) => rows > COUNTED_ALWAYS && when.elapsed() < took * COUNTING_SHARE,
            None => when.elapsed() < TRIED_AGAIN,
        })
    }
}

impl RouteStore for MysqlStore {
    async fn observe(&mut self, changes_after: u64) -> Result<Observation, StoreError> {
        let mut size = self.size;
        let observation = self
            .call("looking for changes", async |db| {
                look(db, changes_after, &mut size).await
            })
            .await;
        self.size = size;
        observation
    }

    async fn rows_of(&mut self, modules: &[ModuleId]) -> Result<Rows, StoreError> {
        let modules = by_number(modules);
        self.call("reading modules", async |db| {
            db.begin_snapshot().await?;
            let mut judge = Judge::new();
            if db.layout.has_node_columns() {
                for some in modules.chunks(MODULES_A_STATEMENT) {
                    judge = read_modules(db, some, judge).await?;
                }
            } else {
                judge = pick_out(db, &modules, (0, u64::MAX), judge).await?;
            }
            db.commit().await?;
            Ok(judge.into_rows())
        })
        .await
    }

    async fn rows_between(
        &mut self,
        modules: &[ModuleId],
        after: u64,
        last: u64,
    ) -> Result<Vec<RouteRecord>, StoreError> {
        let modules = by_number(modules);
        self.call("passing over routes", async |db| {
            let judge = pick_out(db, &modules, (after, last), Judge::new()).await?;
            Ok(judge.into_rows().good)
        })
        .await
    }

    fn passes_over_all(&self) -> bool {
        let found = self.connection.as_ref();
        found.is_some_and(|found| !found.layout.has_node_columns())
    }

    async fn rows_with(&mut self, ids: &[u64]) -> Result<Vec<RouteRecord>, StoreError> {
        let Some(last) = ids.last() else {
            return Ok(Vec::new());
        };
        // The last id fills the statement up to a power of two, so that few different ones are prepared.
        let fill = ids.len().next_power_of_two() - ids.len();
        let keys: Vec<Value> = ids
            .iter()
            .chain(std::iter::repeat_n(last, fill))
            .map(|id| Value::from(*id))
            .collect();
        self.call("reading rows", async |db| {
            let statement = format!(
                "SELECT {} FROM RouteData WHERE id IN ({}) ORDER BY id",
                row_columns(db),
                vec!["?"; keys.len()].join(", ")
            );
            let judge = db
                .conn
                .exec_fold(statement, keys.clone(), Judge::new(), take)
                .await?;
            Ok(judge.into_rows().good)
        })
        .await
    }

    async fn rows_after(&mut self, after: u64, rows_max: u32) -> Result<Rows, StoreError> {
        self.call("reading routes", async |db| {
            let statement = format!(
                "SELECT {} FROM RouteData WHERE id > ? ORDER BY id LIMIT ?",
                row_columns(db)
            );
            let judge = db
                .conn
                .exec_fold(statement, (after, rows_max), Judge::new(), take)
                .await?;
            Ok(judge.into_rows())
        })
        .await
    }

    async fn each_after(
        &mut self,
        after: u64,
        rows_max: u32,
        take: &mut impl FnMut(RouteRecord),
    ) -> Result<PageRead, StoreError> {
        self.read_page(after, u64::MAX, rows_max, take).await
    }

    async fn each(&mut self, take: &mut impl FnMut(RouteRecord)) -> Result<PageRead, StoreError> {
        self.read_all(take).await
    }

    async fn edit(&mut self, edits: &[RouteEdit]) -> Result<EditDone, StoreError> {
        // What we changed ourselves is counted at once, where it is counted at all.
        self.size.counted = self.size.counted.filter(|_| self.size.rows.is_none());
        let now_s = unix_now_s();
        self.call("editing routes", async |db| {
            db.begin().await?;
            let done = super::edit::apply(db, edits, now_s).await?;
            db.commit().await?;
            Ok(done)
        })
        .await
    }

    async fn prune_changes(&mut self, seen_long_ago: u64) -> Result<u64, StoreError> {
        let now_s = unix_now_s();
        let oldest = now_s.saturating_sub(CHANGES_KEPT_S);
        self.call("pruning changes", async |db| {
            db.conn
                .exec_drop(
                    "DELETE FROM RouteChange WHERE version < ? OR (version > ? AND id <= ?)",
                    (oldest, now_s, seen_long_ago),
                )
                .await?;
            Ok(db.conn.affected_rows())
        })
        .await
    }
}

async fn look(
    db: &mut Connection,
    changes_after: u64,
    size: &mut SizeSeen,
) -> Result<Observation, CallError> {
    db.begin_snapshot().await?;
    // One row that is always there, so that a missing version row is no missing answer.
    let head: Option<(Value, Value)> = db
        .conn
        .exec_first(
            "SELECT (SELECT version FROM RouteVersion WHERE id = 1), (SELECT MAX(id) FROM RouteData)",
            (),
        )
        .await?;
    let (version, max_id) = head.unwrap_or((Value::NULL, Value::NULL));
    let changes = db
        .conn
        .exec_fold(
            "SELECT id, modid, cmdid, version FROM RouteChange WHERE id > ? ORDER BY id",
            (changes_after,),
            Vec::new(),
            |mut changes, row: Row| {
                changes.extend(change(&row));
                changes
            },
        )
        .await?;
    let number = |value: &Value| {
        integer(Some(value))
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(0)
    };
    if !size.is_fresh() {
        let begun = Instant::now();
        let rows: Option<u64> = db
            .conn
            .exec_first(
                "SELECT COUNT(*) FROM (SELECT 1 FROM RouteData LIMIT ?) AS counted",
                (COUNTED_MAX + 1,),
            )
            .await?;
        size.rows = rows.filter(|rows| *rows <= COUNTED_MAX);
        size.counted = Some((Instant::now(), begun.elapsed()));
    }
    db.commit().await?;
    Ok(Observation {
        version: number(&version),
        changes,
        rows: size.rows,
        max_id: number(&max_id),
    })
}

/// None for a row that names no module: the version that its writer set still tells that something changed.
fn change(row: &Row) -> Option<ChangeRow> {
    let key = |place: usize| integer(row.as_ref(place)).and_then(|value| u32::try_from(value).ok());
    Some(ChangeRow {
        id: integer(row.as_ref(0)).and_then(|id| u64::try_from(id).ok())?,
        module: ModuleId::new(key(1)?, key(2)?),
        version: integer(row.as_ref(3)).unwrap_or(0),
    })
}

/// Reads the rows of some modules by the index of modules.
async fn read_modules(db: &mut Connection, modules: &[ModuleId], judge: Judge) -> Result<Judge, CallError> {
    let modules = filled(modules);
    let statement = format!(
        "SELECT {} FROM RouteData WHERE {} ORDER BY id",
        row_columns(db),
        vec!["(modid = ? AND cmdid = ?)"; modules.len()].join(" OR ")
    );
    let keys = modules.iter().flat_map(|module| [module.modid, module.cmdid]);
    let keys: Vec<Value> = keys.map(Value::from).collect();
    Ok(db.conn.exec_fold(statement, keys, judge, take).await?)
}

/// Passes over the rows with an id above the first and up to the second, without an index, and keeps those of some
/// modules, given by number. Few are picked out by the database: a list of single numbers is searched by halves and sorts
/// out most rows before pairs are compared. Many are picked out here: a statement for each list of them would cost a
/// pass each.
async fn pick_out(
    db: &mut Connection,
    modules: &[ModuleId],
    (after, last): (u64, u64),
    mut judge: Judge,
) -> Result<Judge, CallError> {
    if modules.is_empty() {
        return Ok(judge);
    }
    let ids = format!(
        "SELECT {} FROM RouteData WHERE id > ? AND id <= ?",
        row_columns(db)
    );
    let mut keys = vec![Value::from(after), Value::from(last)];
    if modules.len() <= MODULES_A_STATEMENT {
        let modules = filled(modules);
        keys.extend(modules.iter().map(|module| Value::from(module.modid)));
        for module in &modules {
            keys.extend([Value::from(module.modid), Value::from(module.cmdid)]);
        }
        let single = vec!["?"; modules.len()].join(", ");
        let pairs = vec!["(?, ?)"; modules.len()].join(", ");
        let statement = format!("{ids} AND modid IN ({single}) AND (modid, cmdid) IN ({pairs}) ORDER BY id");
        return Ok(db.conn.exec_fold(statement, keys, judge, take).await?);
    }
    let mut rows = db.conn.exec_iter(format!("{ids} ORDER BY id"), keys).await?;
    while let Some(row) = rows.next().await? {
        let row = raw(&row);
        let key = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let module = key(row.modid)
            .zip(key(row.cmdid))
            .map(|(modid, cmdid)| ModuleId::new(modid, cmdid));
        if module.is_some_and(|module| modules.binary_search(&module).is_ok()) {
            judge.take(&row);
        }
    }
    Ok(judge)
}

/// Each of them once, by number.
fn by_number(modules: &[ModuleId]) -> Vec<ModuleId> {
    let modules: BTreeSet<ModuleId> = modules.iter().copied().collect();
    modules.into_iter().collect()
}

/// The last fills a statement up to a power of two, so that few different ones are prepared.
fn filled(modules: &[ModuleId]) -> Vec<ModuleId> {
    let fill = modules.len().next_power_of_two() - modules.len();
    let last = modules.last().into_iter().cycle().take(fill);
    modules.iter().chain(last).copied().collect()
}

/// The columns of a row in the order in which [`take`] reads them; what an unmigrated database lacks stands there as
/// its default.
pub(super) fn row_columns(db: &Connection) -> &'static str {
    if db.layout.has_node_columns() {
        "id, modid, cmdid, serverip, serverport, weight, zone, state, serverip6"
    } else {
        "id, modid, cmdid, serverip, serverport"
    }
}

/// Rows that were given away cannot be taken back, so the same call may not give them again.
pub(super) fn not_again(error: CallError) -> CallError {
    match error {
        CallError::Again(text) => CallError::Away(text),
        other => other,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the driver hands the row over")]
fn take(mut judge: Judge, row: Row) -> Judge {
    judge.take(&raw(&row));
    judge
}

pub(super) fn raw(row: &Row) -> RawRow<'_> {
    RawRow {
        id: integer(row.as_ref(0))
            .and_then(|id| u64::try_from(id).ok())
            .unwrap_or(0),
        modid: integer(row.as_ref(1)),
        cmdid: integer(row.as_ref(2)),
        // A signed column shows addresses from 128.0.0.0 on as negative.
        serverip: integer(row.as_ref(3)).map(unsigned_ip),
        serverport: integer(row.as_ref(4)),
        weight: row.as_ref(5).map_or(Some(100), |value| integer(Some(value))),
        zone: row.as_ref(6).map_or(Some(""), text),
        state: row.as_ref(7).map_or(Some("serving"), text),
        serverip6: row.as_ref(8).and_then(bytes).unwrap_or_default(),
    }
}

/// The address of a column that may be signed.
pub(super) fn unsigned_ip(value: i64) -> i64 {
    i32::try_from(value).map_or(value, |value| i64::from(value.cast_unsigned()))
}

/// A number of whatever width; none for anything else.
pub(super) fn integer(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Int(value) => Some(*value),
        Value::UInt(value) => Some(i64::try_from(*value).unwrap_or(i64::MAX)),
        // The text protocol, which is used without bound parameters, gives every number as its digits.
        Value::Bytes(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_signed_column_is_the_same_address() {
        assert_eq!(unsigned_ip(-1_062_731_775), 3_232_235_521);
        assert_eq!(unsigned_ip(3_232_235_521), 3_232_235_521);
        assert_eq!(unsigned_ip(0x0a00_0001), 0x0a00_0001);
    }

    #[test]
    fn numbers_are_read_from_every_form_and_texts_are_none() {
        assert_eq!(integer(Some(&Value::Int(-3))), Some(-3));
        assert_eq!(integer(Some(&Value::UInt(u64::MAX))), Some(i64::MAX));
        assert_eq!(integer(Some(&Value::Bytes(b"17".to_vec()))), Some(17));
        assert_eq!(integer(Some(&Value::Bytes(b"x".to_vec()))), None);
        assert_eq!(integer(Some(&Value::NULL)), None);
    }

    #[test]
    fn small_table_is_counted_always_a_larger_one_rarely_and_the_largest_hardly_ever() {
        let seen = |rows, ago_ms| SizeSeen {
            rows,
            counted: Instant::now()
                .checked_sub(Duration::from_millis(ago_ms))
                .map(|when| (when, Duration::from_millis(20))),
        };
        assert!(!seen(Some(COUNTED_ALWAYS), 0).is_fresh(), "however long it took");
        assert!(seen(Some(COUNTED_ALWAYS + 1), 200).is_fresh());
        assert!(!seen(Some(COUNTED_ALWAYS + 1), 400).is_fresh());
        assert!(seen(None, 9_000).is_fresh());
        assert!(!seen(None, 10_000).is_fresh());
        assert!(!SizeSeen::default().is_fresh());
    }
}
