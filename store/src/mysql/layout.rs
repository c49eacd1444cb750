//! What a database has: the tables that every Lars tool expects, and those that only `lars migrate` adds. Read once a
//! connection, so that an unmigrated database is served with what it has.

use super::CallError;
use super::expected::{self, Columns};
use super::routes::integer;
use crate::names::table_of;
use lars_wire::names::NameOf;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

/// One statement for each right that is used, by the version of the schema that has its table. They are prepared and never
/// run: the database judges the rights when it prepares.
const USED: [(u64, &str); 19] = [
    (
        0,
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (?, ?, ?, ?)",
    ),
    (0, "UPDATE RouteData SET serverport = ? WHERE id = ?"),
    (0, "DELETE FROM RouteData WHERE id = ?"),
    (0, "SELECT MAX(id) FROM RouteData"),
    (0, "INSERT INTO RouteVersion (id, version) VALUES (?, ?)"),
    (0, "UPDATE RouteVersion SET version = ? WHERE id = ?"),
    (0, "SELECT version FROM RouteVersion"),
    (
        0,
        "INSERT INTO RouteChange (modid, cmdid, version) VALUES (?, ?, ?)",
    ),
    (0, "DELETE FROM RouteChange WHERE id = ?"),
    (0, "SELECT id FROM RouteChange"),
    (0, "UPDATE ServerCallStatus SET ts = ? WHERE ts = ?"),
    (
        0,
        "INSERT INTO ServerCallStatus (modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    (
        1,
        "INSERT INTO lars_ack (incarnation, seq, stored_ts) VALUES (?, ?, ?)",
    ),
    (1, "UPDATE lars_ack SET seq = ? WHERE incarnation = ?"),
    (1, "DELETE FROM lars_ack WHERE incarnation = ?"),
    (1, "UPDATE lars_history SET ok = ? WHERE minute = ?"),
    (1, "DELETE FROM lars_history WHERE minute = ?"),
    (2, "INSERT INTO lars_change (incarnation, number) VALUES (?, ?)"),
    (2, "DELETE FROM lars_change WHERE number = ?"),
];

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Version of what Lars added; 0 for nothing.
    pub(super) schema: u64,
    /// `RouteData.serverip`.
    pub(super) route_ip: Number,
    /// The columns of `ServerCallStatus`.
    pub(super) status: StatusNumbers,
    /// Whether there are tables of names: of modids, of cmdids.
    names: [bool; 2],
}

/// The columns of `ServerCallStatus`: an older installation may have signed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusNumbers {
    pub(super) modid: Number,
    pub(super) cmdid: Number,
    pub(super) ip: Number,
    pub(super) port: Number,
    pub(super) caller: Number,
    pub(super) succ: Number,
    pub(super) err: Number,
    pub(super) ts: Number,
}

/// What a column of whole numbers takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// The largest.
    pub(super) max: u64,
    /// Whether it has 32 bits with a sign: an address from 128.0.0.0 on stands in it as a negative number.
    pub(super) is_signed32: bool,
}

impl Default for Number {
    fn default() -> Self {
        Self {
            max: i64::MAX as u64,
            is_signed32: false,
        }
    }
}

impl Number {
    /// Of a column type such as `int(10) unsigned`.
    fn of(kind: &str) -> Self {
        let bits = match kind.split(|letter: char| !letter.is_ascii_alphabetic()).next() {
            Some("tinyint") => 8,
            Some("smallint") => 16,
            Some("mediumint") => 24,
            Some("int" | "integer") => 32,
            _ => return Self::default(),
        };
        let is_signed = !kind.contains("unsigned");
        Self {
            max: (1 << (bits - u32::from(is_signed))) - 1,
            is_signed32: is_signed && bits == 32,
        }
    }

    /// The number as it stands in the column; none where the column does not take it.
    pub(super) fn exact(self, number: u64) -> Option<Value> {
        (number <= self.max).then(|| Value::from(number))
    }

    /// The number, or the largest that the column takes.
    pub(super) fn at_most(self, number: u64) -> Value {
        Value::from(number.min(self.max))
    }

    /// The same 32 bits.
    pub(super) fn address(self, number: u32) -> Value {
        if self.is_signed32 {
            Value::from(number.cast_signed())
        } else {
            Value::from(number)
        }
    }
}

impl Layout {
    /// Looks at the database; says which table, column or right is missing and what would mend it.
    pub(super) async fn read(conn: &mut Conn) -> Result<Self, CallError> {
        let columns = columns(conn).await?;
        let schema = if columns.contains_key("lars_schema") {
            check_right(conn, "SELECT version FROM lars_schema").await?;
            schema_version(conn).await?
        } else {
            0
        };
        super::migrate::check_known(schema).map_err(CallError::Unfit)?;
        if let Some(mut faults) = expected::faults(&columns, schema) {
            if faults.contains("may not see") {
                faults = format!("{faults}; this shows it: {}", grant(conn).await?);
            }
            return Err(CallError::Unfit(faults));
        }
        for (since, statement) in USED {
            if schema >= since {
                check_right(conn, statement).await?;
            }
        }
        let number = |table: &str, column: &str| {
            let kind = columns.get(table).and_then(|table| table.get(column));
            kind.map_or_else(Number::default, |kind| Number::of(kind))
        };
        let status = |column| number("servercallstatus", column);
        let names = |of| {
            let (table, column) = table_of(of);
            let found = columns.get(&table.to_lowercase());
            found.is_some_and(|found| {
                ["id", column, "content"]
                    .iter()
                    .all(|column| found.contains_key(*column))
            })
        };
        Ok(Self {
            schema,
            route_ip: number("routedata", "serverip"),
            status: StatusNumbers {
                modid: status("modid"),
                cmdid: status("cmdid"),
                ip: status("ip"),
                port: status("port"),
                caller: status("caller"),
                succ: status("succ_cnt"),
                err: status("err_cnt"),
                ts: status("ts"),
            },
            names: [names(NameOf::Modid), names(NameOf::Cmdid)],
        })
    }

    /// Whether `RouteData` has weight, zone, state and IPv6.
    pub(super) fn has_node_columns(self) -> bool {
        self.schema >= 1
    }

    /// Whether there are tables for history and acknowledgements.
    pub(super) fn has_history(self) -> bool {
        self.schema >= 1
    }

    /// Whether there is a table for changes of nodes' states.
    pub(super) fn has_changes(self) -> bool {
        self.schema >= 2
    }

    /// Whether there is a table of these names.
    pub(super) fn has_names(self, of: NameOf) -> bool {
        self.names[usize::from(u8::from(of))]
    }

    /// For status.
    pub(super) fn describe(self) -> String {
        match self.schema {
            0 => "not migrated: no weights, zones, draining, IPv6, history or exact counts; `lars migrate` adds them".into(),
            1 => "schema 1: changes of nodes are not kept; `lars migrate` adds their table".into(),
            version => format!("schema {version}"),
        }
    }
}

/// The newest version that `lars migrate` has finished; 0 for none.
pub(super) async fn schema_version(conn: &mut Conn) -> Result<u64, CallError> {
    let version: Option<Value> = conn.query_first("SELECT MAX(version) FROM lars_schema").await?;
    Ok(integer(version.as_ref())
        .and_then(|version| u64::try_from(version).ok())
        .unwrap_or(0))
}

/// Whether the account may do what a statement does.
pub(super) async fn check_right(conn: &mut Conn, statement: &str) -> Result<(), CallError> {
    let prepared = match conn.prep(statement).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let error = CallError::from(error);
            let CallError::Unfit(text) = error else {
                return Err(error);
            };
            let grant = grant(conn).await?;
            return Err(CallError::Unfit(format!("{text}; this would mend it: {grant}")));
        }
    };
    Ok(conn.close(prepared).await?)
}

/// The statement that gives this account every right that is used.
async fn grant(conn: &mut Conn) -> Result<String, CallError> {
    let who: Option<(String, String)> = conn.query_first("SELECT CURRENT_USER(), DATABASE()").await?;
    let (user, database) = who.unwrap_or_default();
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    Ok(format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `{database}`.* TO '{name}'@'{host}'"
    ))
}

/// Column types by table and column, names in lower case: MySQL's case rules differ by platform.
async fn columns(conn: &mut Conn) -> Result<Columns, CallError> {
    let rows: Vec<(String, String, String)> = conn
        .query(
            "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), CAST(column_type AS CHAR)
             FROM information_schema.columns WHERE table_schema = DATABASE()",
        )
        .await?;
    let mut tables = Columns::new();
    for (table, column, kind) in rows {
        tables
            .entry(table.to_lowercase())
            .or_default()
            .insert(column.to_lowercase(), kind.to_lowercase());
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_takes_what_its_type_says() {
        let number = |kind| {
            let number = Number::of(kind);
            (number.max, number.is_signed32)
        };
        assert_eq!(number("int(10) unsigned"), (u64::from(u32::MAX), false));
        assert_eq!(number("int unsigned"), (u64::from(u32::MAX), false));
        assert_eq!(number("int(11)"), (i32::MAX as u64, true));
        assert_eq!(number("smallint(5) unsigned"), (65_535, false));
        assert_eq!(number("bigint(20)"), (i64::MAX as u64, false));
        assert_eq!(
            Number::of("int(11)").address(0xc0a8_0001),
            Value::Int(-1_062_731_775)
        );
        assert_eq!(Number::of("int").exact(1 << 31), None);
        assert_eq!(Number::of("int").at_most(1 << 31), Value::from(i32::MAX as u64));
    }
}
