//! Names in the tables of an existing installation: older ones keep other letters, or are not there at all.

use crate::mysql::{empty_database, open, run};
use lars_store::mysql::migrate::migrate;
use lars_store::{NameStore, StoreError};
use lars_wire::names::NameOf::{Cmdid, Modid};

/// The tables that are expected, without names.
const NAMELESS: &str = "
    CREATE TABLE RouteData (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, modid INT UNSIGNED NOT NULL,
        cmdid INT UNSIGNED NOT NULL, serverip INT UNSIGNED NOT NULL, serverport INT UNSIGNED NOT NULL);
    CREATE TABLE RouteVersion (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, version INT UNSIGNED NOT NULL);
    CREATE TABLE RouteChange (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, modid INT UNSIGNED NOT NULL,
        cmdid INT UNSIGNED NOT NULL, version BIGINT NOT NULL);
    CREATE TABLE ServerCallStatus (modid INT NOT NULL, cmdid INT NOT NULL, ip INT NOT NULL, port INT NOT NULL,
        caller INT NOT NULL, succ_cnt INT NOT NULL, err_cnt INT NOT NULL, ts BIGINT NOT NULL, overload CHAR(1) NOT NULL,
        PRIMARY KEY (modid, cmdid, ip, port, caller));";

async fn refused(url: &str, name: &str) -> String {
    let mut store = open(url).await.expect("it opens");
    match store.set_name(Modid, 1, Some(name)).await {
        Err(StoreError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn name_survives_older_letters_or_is_refused_with_what_makes_room_for_it() {
    crate::block_on(async {
        for (letters, good, bad) in [("latin1", "größe", "名前"), ("utf8mb3", "名前", "🚀")] {
            let url = empty_database().await;
            let table = "(id int(10) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, modid int(11) NOT NULL,
                         content char(255) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=";
            run(
                &url,
                &format!("{NAMELESS} CREATE TABLE ModIDConfig {table}{letters}"),
            )
            .await;
            let mut store = open(&url).await.expect("it opens");
            store
                .set_name(Modid, 1, Some(good))
                .await
                .expect("its letters are kept");
            let text = refused(&url, bad).await;
            assert!(
                text.contains(letters) && text.contains("utf8mb4 NOT NULL"),
                "{text}"
            );
            let rows = store.names(Modid, None, None, 10).await.expect("names");
            assert_eq!(
                rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
                [good],
                "it stays"
            );
            run(
                &url,
                "ALTER TABLE ModIDConfig MODIFY content CHAR(255) CHARACTER SET utf8mb4 NOT NULL",
            )
            .await;
            store
                .set_name(Modid, 1, Some(bad))
                .await
                .expect("now there is room");
            let beyond = store.set_name(Modid, 1 << 31, Some("x")).await;
            assert!(
                matches!(beyond, Err(StoreError::Refused(_))),
                "a column with a sign: {beyond:?}"
            );
        }
    });
}

#[test]
fn shorter_column_refuses_what_it_would_cut() {
    crate::block_on(async {
        let url = empty_database().await;
        run(&url, &format!("{NAMELESS} CREATE TABLE ModIDConfig (id INT AUTO_INCREMENT PRIMARY KEY, modid INT, content VARCHAR(10))")).await;
        let text = refused(&url, "eleven chars").await;
        assert!(text.contains("varchar(10)"), "{text}");
    });
}

#[test]
fn database_without_tables_of_names_has_none_and_says_what_makes_them() {
    crate::block_on(async {
        let url = empty_database().await;
        run(&url, NAMELESS).await;
        let mut store = open(&url).await.expect("it opens");
        assert!(store.names(Cmdid, None, None, 10).await.expect("none").is_empty());
        let text = refused(&url, "shop").await;
        assert!(
            text.contains("ModIDConfig") && text.contains("lars migrate"),
            "{text}"
        );
        migrate(&url, false).await.expect("it migrates");
        open(&url)
            .await
            .expect("it opens")
            .set_name(Modid, 1, Some("shop"))
            .await
            .expect("it is named");
    });
}

#[test]
fn missing_right_to_names_costs_the_names_alone() {
    crate::block_on(async {
        let url = empty_database().await;
        migrate(&url, false).await.expect("the tables are made");
        let name = url
            .split('/')
            .nth(3)
            .and_then(|rest| rest.split('?').next())
            .expect("a name")
            .to_owned();
        let user = format!("n_{name}");
        let grants: String = [
            "RouteData",
            "RouteVersion",
            "RouteChange",
            "ServerCallStatus",
            "lars_schema",
            "lars_ack",
            "lars_history",
            "lars_call_status6",
            "lars_change",
        ]
        .map(|table| format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.{table} TO '{user}'@'%';"))
        .concat();
        run(&url, &format!("CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'p'; {grants} GRANT SELECT ON {name}.ModIDConfig TO '{user}'@'%'")).await;
        let authority = url.split('/').nth(2).expect("an account and a host");
        let host = authority.rsplit('@').next().expect("a host");
        let poor = url.replacen(authority, &format!("{user}:p@{host}"), 1);
        let mut store = open(&poor).await.expect("routes are served all the same");
        assert!(store.names(Modid, None, None, 10).await.expect("none").is_empty());
        assert!(
            store
                .names(Cmdid, None, None, 10)
                .await
                .expect("a table it may not see")
                .is_empty()
        );
        match store.set_name(Modid, 1, Some("shop")).await {
            Err(StoreError::Unfit(text)) => assert!(text.contains("GRANT SELECT, INSERT"), "{text}"),
            other => panic!("{other:?}"),
        }
        run(&url, &format!("DROP USER '{user}'@'%'")).await;
    });
}
