//! What tables and columns must be there, read from the files that make them, and what would mend those that are not.
//! Pure: what the database has goes in, words for people come out.

use super::migrate::{BASE, STEPS, statements};
use std::collections::BTreeMap;

/// Column types by table and column, all in lower case.
pub(super) type Columns = BTreeMap<String, BTreeMap<String, String>>;

/// Tables of the C++ system that nothing works without. Those of names are not among them.
const NEEDED: [&str; 4] = ["RouteData", "RouteVersion", "RouteChange", "ServerCallStatus"];
/// Written and read as a letter; whatever type takes that will do.
const ANY_TYPE: &str = "overload";

/// One column as the files make it.
struct Column<'a> {
    table: &'a str,
    name: &'a str,
    /// Its type and what follows: `INT UNSIGNED NOT NULL`.
    definition: String,
}

/// What is not as it must be, with the statements that mend it; none where all is well. `schema` is the version of what
/// Lars added.
pub(super) fn faults(columns: &Columns, schema: u64) -> Option<String> {
    if columns.is_empty() {
        return Some(
            "the database has no tables (or the account may not see them): run `lars migrate` to make them"
                .to_owned(),
        );
    }
    let of_steps = STEPS
        .iter()
        .take(schema as usize)
        .flat_map(|step| statements(step))
        // Others fill tables.
        .filter(|statement| ["CREATE", "ALTER"].iter().any(|word| statement.starts_with(word)));
    let base = statements(BASE).filter(|statement| NEEDED.contains(&table_of(statement)));
    let mut faults = Vec::new();
    for statement in base.chain(of_steps) {
        let table = table_of(statement);
        let Some(found) = columns.get(&table.to_lowercase()) else {
            faults.push(missing_table(table, statement));
            continue;
        };
        for column in columns_of(statement) {
            faults.extend(fault(&column, found.get(&column.name.to_lowercase())));
        }
    }
    faults.dedup();
    (!faults.is_empty()).then(|| faults.join("; "))
}

fn missing_table(table: &str, statement: &str) -> String {
    let mend = if NEEDED.contains(&table) {
        "`lars migrate` makes it".to_owned()
    } else {
        let words: Vec<&str> = statement.split_whitespace().collect();
        format!("this would mend it: {}", words.join(" "))
    };
    format!("table {table} is missing, or this account may not see it: {mend}")
}

fn fault(column: &Column<'_>, found: Option<&String>) -> Option<String> {
    let Column {
        table,
        name,
        definition,
    } = column;
    let (what, verb) = match found {
        None => ("missing".to_owned(), "ADD COLUMN"),
        Some(found) if *name != ANY_TYPE && Class::of(found) != Class::of(definition) => {
            (format!("{found}, which cannot hold it"), "MODIFY")
        }
        Some(_) => return None,
    };
    Some(format!(
        "column {name} of table {table} is {what}; this would mend it: ALTER TABLE {table} {verb} {name} {definition}"
    ))
}

/// What a type holds, as far as it matters for reading and writing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Number,
    Letters,
    Other,
}

impl Class {
    fn of(kind: &str) -> Self {
        let end = kind.find(|letter: char| !letter.is_ascii_alphabetic());
        match kind[..end.unwrap_or(kind.len())].to_ascii_lowercase().as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal" => Self::Number,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "binary"
            | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Letters,
            _ => Self::Other,
        }
    }
}

/// The table that a statement of our files makes or changes.
fn table_of(statement: &str) -> &str {
    let words = statement.split_whitespace();
    let mut names =
        words.skip_while(|word| !word.eq_ignore_ascii_case("TABLE") && !word.eq_ignore_ascii_case("INTO"));
    names.next();
    names
        .find(|word| !["IF", "NOT", "EXISTS"].contains(word))
        .unwrap_or_default()
}

/// The columns that a statement of our files makes: one a line.
fn columns_of(statement: &str) -> Vec<Column<'_>> {
    let table = table_of(statement);
    let is_create = statement.starts_with("CREATE");
    let column = |line| {
        let line = str::trim(line).trim_end_matches(',');
        let line = if is_create {
            line
        } else {
            line.strip_prefix("ADD COLUMN")?
        };
        let mut words = line.split_whitespace();
        let name = words
            .next()
            .filter(|name| !["PRIMARY", "INDEX", ")"].contains(name))?;
        Some(Column {
            table,
            name,
            definition: words.collect::<Vec<_>>().join(" "),
        })
    };
    statement.lines().skip(1).filter_map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as our files make it.
    fn whole() -> Columns {
        let mut columns = Columns::new();
        let all = statements(BASE).chain(STEPS.iter().flat_map(|step| statements(step)));
        for statement in all.filter(|statement| !table_of(statement).is_empty()) {
            let table = columns.entry(table_of(statement).to_lowercase()).or_default();
            for column in columns_of(statement) {
                table.insert(column.name.to_lowercase(), column.definition.to_lowercase());
            }
        }
        columns
    }

    fn without(table: &str, column: Option<&str>) -> Columns {
        let mut columns = whole();
        match column {
            None => drop(columns.remove(table)),
            Some(column) => {
                let table = columns.get_mut(table).expect("a table");
                table.remove(column).expect("a column");
            }
        }
        columns
    }

    #[test]
    fn database_that_our_files_made_has_no_fault() {
        let columns = whole();
        assert_eq!(columns["routedata"].len(), 9, "{columns:?}");
        assert_eq!(columns["lars_history"].len(), 11, "{columns:?}");
        assert_eq!(faults(&columns, STEPS.len() as u64), None);
    }

    #[test]
    fn what_is_missing_or_of_a_wrong_type_is_named_with_the_statement_that_mends_it() {
        let mut wrong = whole();
        wrong
            .get_mut("routeversion")
            .expect("a table")
            .insert("version".into(), "datetime".into());
        for (columns, words) in [
            (
                without("routechange", None),
                &["table RouteChange", "lars migrate"][..],
            ),
            (
                without("routedata", Some("serverport")),
                &["ALTER TABLE RouteData ADD COLUMN serverport INT UNSIGNED NOT NULL"],
            ),
            (
                without("routedata", Some("weight")),
                &["ALTER TABLE RouteData ADD COLUMN weight INT UNSIGNED NOT NULL DEFAULT 100"],
            ),
            (
                without("lars_ack", None),
                &["CREATE TABLE lars_ack ( incarnation BINARY(16) NOT NULL PRIMARY KEY, seq"],
            ),
            (
                wrong,
                &[
                    "is datetime",
                    "ALTER TABLE RouteVersion MODIFY version INT UNSIGNED NOT NULL",
                ],
            ),
            (Columns::new(), &["no tables", "lars migrate"]),
        ] {
            let text = faults(&columns, STEPS.len() as u64).expect("a fault");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn what_an_unmigrated_database_lacks_is_no_fault_and_names_are_never_needed() {
        assert_eq!(faults(&without("lars_ack", None), 0), None);
        assert_eq!(faults(&without("routedata", Some("weight")), 0), None);
        assert_eq!(faults(&without("modidconfig", None), 1), None);
        assert_eq!(faults(&without("cmdidconfig", Some("content")), 1), None);
    }

    #[test]
    fn other_widths_and_signs_are_no_fault() {
        let mut columns = whole();
        for kind in ["int(11)", "bigint(20) unsigned", "decimal(10,0)"] {
            columns
                .get_mut("routedata")
                .expect("a table")
                .insert("serverip".into(), kind.into());
            assert_eq!(faults(&columns, 1), None, "{kind}");
        }
        columns
            .get_mut("servercallstatus")
            .expect("a table")
            .insert("overload".into(), "tinyint(1)".into());
        assert_eq!(faults(&columns, 1), None);
    }
}
