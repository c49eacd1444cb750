//! What a database has: the tables that every Lars tool expects, and those that only `lars migrate` adds. Read once a
//! connection, so that an unmigrated database is served with what it has.

use super::CallError;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;

/// Tables without which nothing works, with the columns that are used.
const EXPECTED: [(&str, &[&str]); 4] = [
    ("RouteData", &["id", "modid", "cmdid", "serverip", "serverport"]),
    ("RouteVersion", &["id", "version"]),
    ("RouteChange", &["id", "modid", "cmdid", "version"]),
    (
        "ServerCallStatus",
        &[
            "modid", "cmdid", "ip", "port", "caller", "succ_cnt", "err_cnt", "ts", "overload",
        ],
    ),
];

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Version of what Lars added; 0 for nothing.
    pub(super) schema: u64,
    /// Whether numbers in `ServerCallStatus` are signed: addresses from 128.0.0.0 on are then negative.
    pub(super) status_signed: bool,
}

impl Layout {
    /// Looks at the database; says which table or column is missing and what would mend it.
    pub(super) async fn read(conn: &mut Conn) -> Result<Self, CallError> {
        let columns = columns(conn).await?;
        if let Some(missing) = missing(&columns) {
            return Err(CallError::Unfit(missing));
        }
        let schema = match columns.contains_key("lars_schema") {
            true => conn
                .query_first("SELECT MAX(version) FROM lars_schema")
                .await?
                .unwrap_or(0),
            false => 0,
        };
        super::migrate::check_known(schema).map_err(CallError::Unfit)?;
        let status_signed = columns
            .get("servercallstatus")
            .and_then(|table| table.get("ip"))
            .is_some_and(|kind| !kind.contains("unsigned"));
        Ok(Self {
            schema,
            status_signed,
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

    /// For status.
    pub(super) fn describe(self) -> String {
        match self.schema {
            0 => "not migrated: no weights, zones, draining, IPv6, history or exact counts; `lars migrate` adds them".into(),
            version => format!("schema {version}"),
        }
    }
}

/// Column types by table and column, names in lower case: MySQL's case rules differ by platform.
async fn columns(conn: &mut Conn) -> Result<BTreeMap<String, BTreeMap<String, String>>, CallError> {
    let rows: Vec<(String, String, String)> = conn
        .query(
            "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), CAST(column_type AS CHAR)
             FROM information_schema.columns WHERE table_schema = DATABASE()",
        )
        .await?;
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (table, column, kind) in rows {
        tables
            .entry(table.to_lowercase())
            .or_default()
            .insert(column.to_lowercase(), kind.to_lowercase());
    }
    Ok(tables)
}

fn missing(columns: &BTreeMap<String, BTreeMap<String, String>>) -> Option<String> {
    let lacks = |(table, expected): &(&str, &[&str])| match columns.get(&table.to_lowercase()) {
        None => Some(format!("table {table}")),
        Some(found) => {
            let column = expected.iter().find(|column| !found.contains_key(**column))?;
            Some(format!("column {column} of table {table}"))
        }
    };
    let missing: Vec<String> = EXPECTED.iter().filter_map(lacks).collect();
    if missing.is_empty() {
        return None;
    }
    let text = missing.join(", ");
    Some(match columns.is_empty() {
        true => {
            "the database has no tables (or the account may not see them): run `lars migrate` to make them"
                .into()
        }
        false => format!(
            "{text} is missing: this is no Lars database, or run `lars migrate` to make what is missing"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> BTreeMap<String, BTreeMap<String, String>> {
        let columns = |names: &[&str]| {
            names
                .iter()
                .map(|name| ((*name).to_owned(), "int".to_owned()))
                .collect()
        };
        EXPECTED
            .iter()
            .map(|(table, names)| (table.to_lowercase(), columns(names)))
            .collect()
    }

    #[test]
    fn missing_table_and_column_are_named() {
        assert_eq!(missing(&whole()), None);
        let mut lacking = whole();
        lacking.remove("routechange");
        lacking
            .get_mut("routedata")
            .map(|table| table.remove("serverport"));
        let text = missing(&lacking).expect("something is missing");
        assert!(
            text.contains("table RouteChange") && text.contains("column serverport of table RouteData"),
            "{text}"
        );
        assert!(missing(&BTreeMap::new()).is_some_and(|text| text.contains("lars migrate")));
    }
}
