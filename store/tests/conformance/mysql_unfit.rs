//! A database that will not do: each fault is told with what would mend it, and that does mend it.

use crate::mysql::{MysqlPlace, empty_database, open, run};
use crate::place::{M1, Place, put, v4};
use lars_store::mariadb::MariaDb;
use lars_store::mysql::migrate::migrate;
use lars_store::{AnyStore, RouteStore, StoreError};

pub(crate) fn unfit<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unfit(text)) => text,
        Err(other) => panic!("it would be tried again: {other}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// The database's name in its URL.
pub(crate) fn name_of(url: &str) -> String {
    let name = url.split('/').nth(3).and_then(|rest| rest.split('?').next());
    name.expect("a name").to_owned()
}

/// The same database for another account, with the password `p`.
pub(crate) fn as_user(url: &str, user: &str) -> String {
    let authority = url.split('/').nth(2).expect("an account and a host");
    let host = authority.rsplit('@').next().expect("a host");
    url.replacen(authority, &format!("{user}:p@{host}"), 1)
}

/// The statement that a text says would mend it.
fn mending(text: &str) -> &str {
    let (_, statement) = text
        .split_once("this would mend it: ")
        .unwrap_or_else(|| panic!("no statement: {text}"));
    statement.split("; ").next().unwrap_or(statement)
}

async fn serves(url: &str) -> AnyStore {
    let mut store = open(url).await.unwrap_or_else(|error| panic!("{error}"));
    store.edit(&[put(M1, v4(1))]).await.expect("it is edited");
    store
}

#[test]
fn table_or_column_that_is_missing_or_of_a_wrong_type_is_mended_by_the_statement_that_is_told() {
    crate::block_on(async {
        for (harm, named) in [
            (
                "ALTER TABLE RouteData DROP COLUMN serverport",
                "column serverport of table RouteData is missing",
            ),
            (
                "ALTER TABLE RouteData DROP COLUMN zone",
                "column zone of table RouteData is missing",
            ),
            (
                "ALTER TABLE RouteData MODIFY serverip VARCHAR(20)",
                "column serverip of table RouteData is varchar(20)",
            ),
            (
                "ALTER TABLE RouteVersion MODIFY version DATETIME",
                "column version of table RouteVersion is datetime",
            ),
            (
                "ALTER TABLE ServerCallStatus DROP COLUMN overload",
                "column overload of table ServerCallStatus",
            ),
            ("DROP TABLE lars_history", "table lars_history is missing"),
            ("DROP TABLE lars_ack", "table lars_ack is missing"),
        ] {
            let place = MysqlPlace::fresh().await;
            place.foreign("DELETE FROM RouteVersion").await;
            place.foreign(harm).await;
            let text = unfit(open(&place.url).await);
            assert!(text.contains(named), "{harm}: {text}");
            place.foreign(mending(&text)).await;
            serves(&place.url).await;
        }
    });
}

#[test]
fn missing_database_and_missing_tables_are_made_by_what_is_told() {
    crate::block_on(async {
        let url = empty_database().await;
        let name = name_of(&url);
        let other = url.replacen(&name, &format!("{name}_other"), 1);
        for text in [unfit(open(&other).await), unfit(migrate(&other, false).await)] {
            assert!(
                text.contains(&format!("CREATE DATABASE `{name}_other`")),
                "{text}"
            );
        }
        run(&url, &format!("CREATE DATABASE `{name}_other`")).await;
        assert!(unfit(open(&other).await).contains("lars migrate"));
        migrate(&other, false).await.expect("it migrates");
        run(&other, "DROP TABLE RouteChange").await;
        let text = unfit(open(&other).await);
        assert!(
            text.contains("table RouteChange") && text.contains("lars migrate"),
            "{text}"
        );
        migrate(&other, false).await.expect("it migrates");
        serves(&other).await;
        run(&url, &format!("DROP DATABASE `{name}_other`")).await;
    });
}

#[test]
fn account_that_may_too_little_is_told_the_grant_that_helps() {
    crate::block_on(async {
        let place = MysqlPlace::fresh().await;
        let (name, user) = (name_of(&place.url), format!("g_{}", name_of(&place.url)));
        let poor = as_user(&place.url, &user);
        let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}`.* TO '{user}'@'%'");
        place
            .foreign(&format!("CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'p'"))
            .await;
        for rights in ["", "INSERT, UPDATE, DELETE", "SELECT", "SELECT, INSERT, UPDATE"] {
            if !rights.is_empty() {
                place
                    .foreign(&format!("GRANT {rights} ON `{name}`.* TO '{user}'@'%'"))
                    .await;
            }
            let text = unfit(open(&poor).await);
            assert_eq!(mending(&text), grant, "{rights}: {text}");
            if !rights.is_empty() {
                place
                    .foreign(&format!("REVOKE {rights} ON `{name}`.* FROM '{user}'@'%'"))
                    .await;
            }
        }
        place
            .foreign(&format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}`.RouteData TO '{user}'@'%'"
            ))
            .await;
        let text = unfit(open(&poor).await);
        assert!(text.contains("may not see it") && text.contains(&grant), "{text}");
        place.foreign(&grant).await;
        serves(&poor).await;
        let wrong = poor.replacen(":p@", ":q@", 1);
        let text = unfit(open(&wrong).await);
        assert!(
            text.contains("password") && text.contains("LARS_MYSQL_PASSWORD"),
            "{text}"
        );
        place.foreign(&format!("DROP USER '{user}'@'%'")).await;
    });
}

#[test]
fn read_only_server_is_read_and_says_so_to_who_writes() {
    let server = MariaDb::start_own().unwrap_or_else(|error| panic!("{error}"));
    crate::block_on(async {
        let url = server.database().await.expect("a database");
        migrate(&url, false).await.expect("the tables are made");
        serves(&url).await;
        let name = name_of(&url);
        run(&url, &format!("CREATE USER 'far'@'%' IDENTIFIED BY 'p'; GRANT ALL ON {name}.* TO 'far'@'%'; DROP TABLE {name}.ModIDConfig; SET GLOBAL read_only = 1")).await;
        let far = as_user(&url, "far");
        let mut store = open(&far).await.expect("a replica can be read");
        assert_eq!(store.rows_of(&[M1]).await.expect("rows").good.len(), 1);
        match store.edit(&[put(M1, v4(2))]).await {
            Err(StoreError::Away(text)) => assert!(text.contains("read-only"), "{text}"),
            other => panic!("{other:?}"),
        }
        let text = unfit(migrate(&far, false).await);
        assert!(
            text.contains("read-only") && text.contains("takes writes"),
            "{text}"
        );
        run(&url, "SET GLOBAL read_only = 0").await;
        store.edit(&[put(M1, v4(2))]).await.expect("it is edited again");
    });
}
