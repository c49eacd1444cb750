//! What only the embedded store must do: its file, its locks, its plans, and what is left when its process dies.

use lars_store::{AnyStore, CallBatch, CallRecord, CallStore, RouteStore, StoreConfig, StoreError, Stored};
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::record::Window;
use lars_wire::{ModuleId, NodeAddr, NodeState};
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const M1: ModuleId = ModuleId::new(1, 1);
/// Tallies of each batch of the process that is killed.
const KILLED_TALLIES: u64 = 40;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn open(path: &Path) -> Result<AnyStore, StoreError> {
    wait(AnyStore::open(&StoreConfig {
        sqlite_path: path.to_owned(),
        ..StoreConfig::default()
    }))
}

fn unfit(path: &Path) -> String {
    match open(path) {
        Err(StoreError::Unfit(text)) => text,
        other => panic!("not unfit: {:?}", other.map(|store| store.describe())),
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for one test");
    let path = folder.path().join("lars.sqlite");
    (folder, path)
}

fn batch(sequence: u64) -> CallBatch {
    let record = |last: u64| CallRecord {
        module: M1,
        node: NodeAddr::from_ipv4_number(0x0a00_0000 + last as u32, 80),
        minute: 1_000,
        ok: 1,
        failed: 0,
        timed_out: 0,
        cancelled: 0,
        latency_sum_us: 5,
        latency_max_us: 5,
        window: Window {
            succ: sequence as u32,
            err: 0,
            overloaded: false,
        },
        window_ts: 60_000 + sequence,
    };
    CallBatch {
        incarnation: [1; 16],
        sequence,
        caller: 1,
        records: (1..=KILLED_TALLIES).map(record).collect(),
    }
}

fn put(last: u8) -> RouteEdit {
    RouteEdit::Put(RouteRow {
        module: M1,
        node: NodeAddr::from_ipv4_number(u32::from(last), 80),
        weight: 100,
        state: NodeState::Serving,
        zone: String::new(),
    })
}

#[test]
fn file_and_folders_are_made_and_found_again() {
    let (folder, _) = folder();
    let path = folder.path().join("a/b/lars.sqlite");
    let mut store = open(&path).expect("it opens");
    wait(store.edit(&[put(1)])).expect("edit");
    assert_eq!(store.describe(), format!("sqlite {}, schema 2", path.display()));
    drop(store);
    let mut again = open(&path).expect("it opens again");
    assert_eq!(wait(again.observe(0)).expect("observe").rows, Some(1));
}

#[test]
fn file_that_cannot_serve_is_refused_in_words() {
    let (folder, path) = folder();
    assert!(unfit(Path::new("")).contains("names no file"));
    assert!(unfit(folder.path()).contains(folder.path().to_str().expect("a path in UTF-8")));
    std::fs::write(
        &path,
        "this is no database, and long enough to be told apart from an empty one",
    )
    .expect("a file");
    assert!(unfit(&path).contains("not a database"), "{}", unfit(&path));
    let inside = path.join("lars.sqlite");
    assert!(unfit(&inside).contains("folder"), "{}", unfit(&inside));
}

#[test]
fn newer_schema_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    drop(open(&path).expect("it opens"));
    let raw = Connection::open(&path).expect("raw");
    raw.execute_batch("UPDATE lars_schema SET version = 12")
        .expect("a newer program was here");
    let text = unfit(&path);
    assert!(
        text.contains("version 12") && text.contains("newer lars"),
        "{text}"
    );
    let version: u64 = raw
        .query_row("SELECT version FROM lars_schema", [], |row| row.get(0))
        .expect("version");
    assert_eq!(version, 12);
}

#[test]
fn tables_of_another_program_stop_the_schema_whole() {
    let (_folder, path) = folder();
    Connection::open(&path)
        .expect("raw")
        .execute_batch("CREATE TABLE lars_history (x)")
        .expect("a table");
    assert!(unfit(&path).contains("lars_history"));
    let raw = Connection::open(&path).expect("raw");
    let tables: u64 = raw
        .query_row(
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            [],
            |row| row.get(0),
        )
        .expect("tables");
    assert_eq!(tables, 1, "a schema is made whole or not at all");
}

#[test]
fn many_may_open_a_new_file_at_once() {
    for _ in 0..20 {
        let (_folder, path) = folder();
        let openers: Vec<_> = (0..6)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || open(&path).map(drop))
            })
            .collect();
        for opener in openers {
            opener.join().expect("no panic").expect("each of them opens it");
        }
    }
}

/// The connection that a transaction of ours would have, dropped before its commit: by an error in the middle.
#[test]
fn transaction_that_fails_in_the_middle_leaves_nothing() {
    let (_folder, path) = folder();
    let mut store = open(&path).expect("it opens");
    wait(store.store(&[batch(1)])).expect("store");
    let before = wait(store.call_status(None)).expect("status");
    Connection::open(&path)
        .expect("raw")
        .execute_batch(
            "CREATE TRIGGER boom BEFORE UPDATE ON ServerCallStatus WHEN NEW.ip = 167772190
             BEGIN SELECT RAISE(ABORT, 'boom'); END;
             CREATE TRIGGER bang BEFORE INSERT ON RouteChange BEGIN SELECT RAISE(ABORT, 'bang'); END;",
        )
        .expect("triggers");
    let failed = wait(store.store(&[batch(2)]));
    assert!(
        matches!(&failed, Err(StoreError::Unfit(text)) if text.contains("boom")),
        "{failed:?}"
    );
    let failed = wait(store.edit(&[put(1)]));
    assert!(
        matches!(&failed, Err(StoreError::Unfit(text)) if text.contains("bang")),
        "{failed:?}"
    );
    for mut store in [store, open(&path).expect("it opens")] {
        assert_eq!(wait(store.call_status(None)).expect("status"), before);
        assert_eq!(wait(store.history(None, 0)).expect("history")[0].ok, 1);
        let seen = wait(store.observe(0)).expect("observe");
        assert_eq!((seen.rows, seen.version), (Some(0), 0));
    }
    Connection::open(&path)
        .expect("raw")
        .execute_batch("DROP TRIGGER boom")
        .expect("mended");
    let mut store = open(&path).expect("it opens");
    assert_eq!(wait(store.store(&[batch(2)])).expect("store"), [Stored::Now(2)]);
}

/// A process that stores without end is killed at a random moment: what it was told to be stored is there, and
/// history is exactly what the acknowledgements say.
#[test]
fn killed_process_leaves_what_was_acknowledged_and_no_half_batch() {
    if let Some(path) = std::env::var_os("LARS_STORE_KILLED") {
        store_without_end(Path::new(&path));
    }
    let (_folder, path) = folder();
    let mut stored_before = 0;
    for acknowledged_min in [3, 17, 40] {
        let mut child = Command::new(std::env::current_exe().expect("this test's own program"))
            .args([
                "--exact",
                "killed_process_leaves_what_was_acknowledged_and_no_half_batch",
                "--nocapture",
            ])
            .env("LARS_STORE_KILLED", &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let told = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("stored ")?.parse::<u64>().ok());
        let last = told.take(acknowledged_min).last().expect("it stores");
        child.kill().expect("it is killed");
        child.wait().expect("it ends");

        let mut store = open(&path).expect("it opens");
        let history = wait(store.history(None, 0)).expect("history");
        let stored = history[0].ok;
        assert!(
            stored >= last && stored > stored_before,
            "{last} was acknowledged, {stored} is there"
        );
        assert!(history.len() as u64 == KILLED_TALLIES && history.iter().all(|row| row.ok == stored));
        let status = wait(store.call_status(None)).expect("status");
        assert!(
            status.iter().all(|row| row.succ == stored),
            "windows and history are of one batch"
        );
        assert_eq!(
            wait(store.store(&[batch(stored)])).expect("store"),
            [Stored::Before(stored)]
        );
        stored_before = stored;
    }
}

fn store_without_end(path: &Path) -> ! {
    let mut store = open(path).expect("it opens");
    let mut sequence = match wait(store.store(&[batch(1)])).expect("store")[0] {
        Stored::Now(newest) | Stored::Before(newest) | Stored::Gap(newest) => newest,
    };
    loop {
        sequence += 1;
        assert_eq!(
            wait(store.store(&[batch(sequence)])).expect("store"),
            [Stored::Now(sequence)]
        );
        println!("stored {sequence}");
    }
}

#[test]
fn module_node_page_and_minute_are_found_by_an_index() {
    let (_folder, path) = folder();
    drop(open(&path).expect("it opens"));
    let raw = Connection::open(&path).expect("raw");
    for (sql, plan) in [
        (
            "SELECT * FROM RouteData WHERE modid = 1 AND cmdid = 2",
            "INDEX RouteData_module (modid=? AND cmdid=?)",
        ),
        (
            "DELETE FROM RouteData WHERE modid = 1 AND cmdid = 2 AND serverip = 3 AND serverport = 4 AND serverip6 IS NULL",
            "(modid=? AND cmdid=? AND serverip=? AND serverport=? AND serverip6=?)",
        ),
        (
            "SELECT * FROM RouteData WHERE id > 5 ORDER BY id LIMIT 9",
            "INTEGER PRIMARY KEY (rowid>?)",
        ),
        (
            "SELECT * FROM ServerCallStatus WHERE (modid, cmdid) >= (1, 2) AND (modid, cmdid) <= (1, 2)",
            "PRIMARY KEY",
        ),
        (
            "SELECT min(minute) FROM lars_history WHERE minute > 5",
            "PRIMARY KEY (minute>?)",
        ),
        (
            "DELETE FROM lars_history WHERE (minute, modid, cmdid, ip, port) <= (1, 2, 3, x'04', 5)",
            "PRIMARY KEY ((minute,modid,cmdid,ip,port)<(?,?,?,?,?))",
        ),
        (
            "SELECT * FROM lars_history WHERE minute = 1 AND (modid, cmdid) >= (1, 2) AND (modid, cmdid) <= (1, 2)",
            "PRIMARY KEY (minute=? AND (modid,cmdid)>(?,?) AND (modid,cmdid)<(?,?))",
        ),
    ] {
        let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
        let steps: Vec<String> = statement
            .query_map([], |row| row.get(3))
            .expect("steps")
            .collect::<Result<_, _>>()
            .expect("steps");
        assert!(steps.iter().any(|step| step.contains(plan)), "{sql}: {steps:?}");
    }
}
