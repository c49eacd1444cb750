//! `lars` on a MySQL database: made, migrated, served, checked.

use crate::lars::{Running, eventually, good, path, run, run_json};
use lars_store::mariadb::{self, MariaDb};
use std::sync::OnceLock;

/// One server for the whole program; it ends with it.
static SERVER: OnceLock<MariaDb> = OnceLock::new();

pub(crate) fn wait<T>(work: impl Future<Output = Result<T, String>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn database() -> String {
    wait(
        SERVER
            .get_or_init(|| MariaDb::start().unwrap_or_else(|error| panic!("{error}")))
            .database(),
    )
}

/// What another program does.
pub(crate) fn run_on(url: &str, statements: &str) {
    wait(mariadb::run(url, statements));
}

fn up(url: &str, data: &std::path::Path) -> Running {
    let up = Running::start(&["up", "--port", "0", "--data", path(data), "--mysql", url]);
    assert!(up.first_line.starts_with("ready"), "{:?}", up.first_line);
    up
}

#[test]
fn empty_database_is_refused_migrated_and_served() {
    let (url, folder) = (database(), tempfile::tempdir().expect("a folder"));
    let data = path(folder.path());
    let (code, _, stderr) = run(&["up", "--port", "0", "--data", data, "--mysql", &url]);
    assert!(code == 2 && stderr.contains("lars migrate"), "{code}: {stderr}");
    let plan = good(&["migrate", "--mysql", &url, "--dry-run"]);
    assert!(
        plan.contains("CREATE TABLE IF NOT EXISTS RouteData") && plan.contains("would be run"),
        "{plan}"
    );
    assert_eq!(
        run(&["up", "--port", "0", "--data", data, "--mysql", &url]).0,
        2,
        "a plan makes nothing"
    );
    assert!(good(&["migrate", "--mysql", &url]).contains("schema 0 to 2"));
    assert_eq!(good(&["migrate", "--mysql", &url]), "schema 2: nothing to do\n");
    let up = up(&url, folder.path());
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--data", data]);
    assert_eq!(good(&["pick", "1", "1", "--data", data]), "10.0.0.1:7777\n");
    assert!(!folder.path().join("lars.sqlite").exists());
    assert!(good(&["status", "--data", data]).contains("schema 2"));
    up.terminate();
}

#[test]
fn unmigrated_database_is_served_status_says_what_is_off_and_the_old_page_is_heard() {
    let (url, folder) = (database(), tempfile::tempdir().expect("a folder"));
    let data = path(folder.path());
    wait(mariadb::run(
        &url,
        include_str!("../../../store/schema/mysql-base.sql"),
    ));
    let up = up(&url, folder.path());
    let (_, status) = run_json(&["status", "--json", "--data", data]);
    for service in ["dns", "report"] {
        let store = status["services"][service]["notes"]["store"]
            .as_str()
            .expect("a note");
        assert!(
            store.contains("not migrated") && store.contains("history"),
            "{service}: {store}"
        );
    }
    for statement in [
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (7, 8, 3232235521, 80)",
        "INSERT INTO RouteChange (modid, cmdid, version) VALUES (7, 8, UNIX_TIMESTAMP())",
        "INSERT INTO RouteVersion (id, version) VALUES (1, UNIX_TIMESTAMP()) ON DUPLICATE KEY UPDATE version = UNIX_TIMESTAMP()",
    ] {
        wait(mariadb::run(&url, statement));
    }
    eventually("the old page's row is picked", || {
        let (code, stdout, _) = run(&["pick", "7", "8", "--data", data]);
        (code == 0 && stdout == "192.168.0.1:80\n").then_some(())
    });
    up.terminate();
}

#[test]
fn route_check_lists_every_row_that_cannot_be_served() {
    let url = database();
    good(&["migrate", "--mysql", &url]);
    assert_eq!(
        good(&["route", "check", "--mysql", &url]),
        "0 rows, all can be served\n"
    );
    wait(mariadb::run(
        &url,
        "INSERT INTO RouteData (id, modid, cmdid, serverip, serverport) VALUES
         (3, 1, 1, 167772161, 80), (4, 1, 1, 167772161, 0), (5, 1, 1, 0, 80), (6, 1, 1, 167772161, 80)",
    ));
    let (code, rows) = run_json(&["route", "check", "--json", "--mysql", &url]);
    let ids: Vec<_> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["id"].as_u64())
        .collect();
    assert_eq!((code, ids), (1, vec![Some(4), Some(5), Some(6)]), "{rows}");
    let (code, stdout, _) = run(&["route", "check", "--mysql", &url]);
    assert!(
        code == 1 && stdout.contains("already") && stdout.contains("serverport 0"),
        "{stdout}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, stderr) = run(&["route", "check", "--data", path(folder.path())]);
    assert!(code == 2 && stderr.contains("--mysql"), "{stderr}");
}

#[test]
fn wrong_url_is_told_and_the_password_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let (code, _, stderr) = run(&[
        "up",
        "--port",
        "0",
        "--data",
        data,
        "--mysql",
        "mysql://lars:secret@localhost",
    ]);
    assert!(
        code == 2 && stderr.contains("mysql_url") && stderr.contains("USER:PASSWORD"),
        "{stderr}"
    );
    assert!(!stderr.contains("secret"), "{stderr}");
    let (code, _, stderr) = run(&["migrate", "--mysql", "mysql://lars:secret@127.0.0.1:1/lars"]);
    assert!(
        code == 5 && stderr.contains("127.0.0.1:1/lars") && !stderr.contains("secret"),
        "{stderr}"
    );
}

#[test]
fn server_that_is_not_there_ends_up_as_unreachable_and_a_refused_start_leaves_no_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let up = |url: &str| run(&["up", "--port", "0", "--data", path(&data), "--mysql", url]);
    let (code, _, stderr) = up(&database());
    assert!(code == 2 && stderr.contains("lars migrate"), "{code}: {stderr}");
    assert!(!data.exists(), "nothing is left of it");
    let (code, _, stderr) = up("mysql://lars@127.0.0.1:1/lars");
    assert!(
        code == 5 && stderr.contains("refused") && stderr.contains("127.0.0.1:1"),
        "{code}: {stderr}"
    );
}
