//! What only a database behind a network has: older tables, rights, steps of a migration, a server that goes away.

use crate::calls::{batch, ok_sum, record};
use crate::mysql::{MysqlPlace, empty_database, open, run};
use crate::mysql_unfit::{as_user, name_of, unfit};
use crate::place::{M1, Place, put, remove, row, v4, v6};
use lars_store::mariadb::MariaDb;
use lars_store::mysql::migrate::migrate;
use lars_store::{AnyStore, CallBatch, CallStore, RouteStore, StoreError, Stored};
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::{ModuleId, NodeAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The tables of the C++ system as it makes them: nothing of ours, and some columns with a sign.
const OLD_TABLES: &str = "
    CREATE TABLE RouteData (id int(10) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, modid int(10) unsigned NOT NULL,
        cmdid int(10) unsigned NOT NULL, serverip int(11) NOT NULL, serverport int(10) unsigned NOT NULL)
        ENGINE=InnoDB DEFAULT CHARSET=utf8;
    CREATE TABLE RouteVersion (id int(10) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
        version int(10) unsigned NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8;
    INSERT INTO RouteVersion (version) VALUES (0);
    CREATE TABLE RouteChange (id int(10) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, modid int(10) unsigned NOT NULL,
        cmdid int(10) unsigned NOT NULL, version bigint(20) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8;
    CREATE TABLE ServerCallStatus (modid int(11) NOT NULL, cmdid int(11) NOT NULL, ip int(11) NOT NULL,
        port int(11) NOT NULL, caller int(11) NOT NULL, succ_cnt int(11) NOT NULL, err_cnt int(11) NOT NULL,
        ts bigint(20) NOT NULL, overload char(1) NOT NULL, PRIMARY KEY (modid, cmdid, ip, port, caller))
        ENGINE=InnoDB DEFAULT CHARSET=utf8;";

/// 192.168.0.1:80, negative in a column of 32 bits with a sign.
fn high() -> NodeAddr {
    NodeAddr::from_ipv4_number(0xc0a8_0001, 80)
}

async fn old_database() -> String {
    let url = empty_database().await;
    run(&url, OLD_TABLES).await;
    url
}

async fn nodes_of(store: &mut AnyStore, module: ModuleId) -> Vec<NodeAddr> {
    let rows = store.rows_of(&[module]).await.expect("rows");
    rows.good.iter().map(|row| row.node).collect()
}

#[test]
fn unmigrated_database_is_served_with_what_it_has() {
    crate::block_on(async {
        let url = old_database().await;
        let mut store = open(&url).await.expect("it opens");
        assert!(store.describe().contains("lars migrate"), "{}", store.describe());
        let done = store
            .edit(&[put(M1, v4(1)), put(M1, high())])
            .await
            .expect("edit");
        assert_eq!((done.put, done.removed), (2, 0));
        assert_eq!(
            store.edit(&[put(M1, high())]).await.expect("edit").put,
            0,
            "it stands so already"
        );
        assert_eq!(nodes_of(&mut store, M1).await, [v4(1), high()]);
        assert_eq!(store.rows_after(0, 10).await.expect("page").good.len(), 2);
        assert_eq!(store.edit(&[remove(M1, high())]).await.expect("edit").removed, 1);
        assert_eq!(nodes_of(&mut store, M1).await, [v4(1)]);
        let weighted = RouteEdit::Put(RouteRow {
            weight: 7,
            ..row(M1, v4(1))
        });
        for refused in [weighted, put(M1, v6(1))] {
            let result = store.edit(&[refused]).await;
            assert!(
                matches!(&result, Err(StoreError::Refused(text)) if text.contains("lars migrate")),
                "{result:?}"
            );
        }
        // Nothing can be told apart without a table for it: each is taken, and a window stays the same window.
        for _ in 0..2 {
            let stored = store
                .store(&[batch(1, 5, vec![record(M1, v4(1))])])
                .await
                .expect("store");
            assert_eq!(stored, [Stored::Now(5)]);
        }
        assert_eq!(store.call_status(None).await.expect("status").len(), 1);
        assert!(store.history(None, 0).await.expect("history").is_empty());
        assert_eq!(store.prune(1, 0).await.expect("prune"), 0);
    });
}

#[test]
fn many_modules_of_an_unmigrated_database_are_read_as_few_are() {
    crate::block_on(async {
        let url = old_database().await;
        let rows: Vec<String> = (0..900)
            .map(|row| format!("({}, {}, {}, 80)", row % 3, row % 300, 0x0a00_0001 + row))
            .collect();
        let insert = format!(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES {}, (1, 1, 0, 80), (1, 1, 167772161, 70000)",
            rows.join(", ")
        );
        run(&url, &insert).await;
        let mut store = open(&url).await.expect("it opens");
        let modules: Vec<ModuleId> = (0..299).map(|cmdid| ModuleId::new(cmdid % 3, cmdid)).collect();
        let all = store.rows_of(&modules).await.expect("rows");
        assert_eq!((all.good.len(), all.bad.len()), (897, 2));
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for few in modules.chunks(100) {
            let some = store.rows_of(few).await.expect("rows");
            good.extend(some.good);
            bad.extend(some.bad);
        }
        good.sort_by_key(|row| row.id);
        assert!(store.passes_over_all(), "it has no index by module");
        for modules in [&modules[..], &modules[..100]] {
            let expected = store.rows_of(modules).await.expect("rows").good;
            let middle = expected[expected.len() / 2].id;
            let mut parts = store.rows_between(modules, 0, middle).await.expect("rows");
            assert_eq!(parts.len(), expected.len() / 2 + 1);
            parts.extend(store.rows_between(modules, middle, u64::MAX).await.expect("rows"));
            assert_eq!(parts, expected);
        }
        assert_eq!((all.good, all.bad), (good, bad));
    });
}

#[test]
fn columns_with_a_sign_hold_the_same_addresses_and_what_they_cannot_hold_keeps_nobody_waiting() {
    crate::block_on(async {
        let mut store = open(&old_database().await).await.expect("it opens");
        let beyond = ModuleId::new(u32::MAX, 1);
        let records = vec![record(M1, high()), record(beyond, v4(1))];
        let caller = 0xf000_0001;
        let all = CallBatch {
            caller,
            ..batch(1, 1, records)
        };
        store.store(&[all]).await.expect("store");
        let status = store.call_status(None).await.expect("status");
        let found: Vec<_> = status
            .iter()
            .map(|row| (row.module, row.node, row.caller))
            .collect();
        assert_eq!(found, [(M1, high(), caller)]);
    });
}

#[test]
fn migration_is_done_once_and_says_before_what_it_will_do() {
    crate::block_on(async {
        let url = old_database().await;
        run(
            &url,
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, 167772161, 80)",
        )
        .await;
        let planned = migrate(&url, true).await.expect("a plan");
        assert_eq!((planned.from, planned.to), (0, 2));
        assert!(
            planned
                .statements
                .iter()
                .any(|text| text.starts_with("ALTER TABLE RouteData")),
            "{planned:?}"
        );
        assert!(
            open(&url)
                .await
                .expect("it opens")
                .describe()
                .contains("not migrated"),
            "a plan changes nothing"
        );
        assert_eq!(migrate(&url, false).await.expect("it migrates"), planned);
        let again = migrate(&url, false).await.expect("it migrates");
        assert_eq!((again.from, again.statements.len()), (2, 0), "{again:?}");
        let mut store = open(&url).await.expect("it opens");
        assert_eq!(
            nodes_of(&mut store, M1).await,
            [v4(1)],
            "what was there is served"
        );
        store
            .edit(&[put(M1, v6(1))])
            .await
            .expect("now it has room for IPv6");
    });
}

#[test]
fn half_done_migration_goes_on_where_it_ended() {
    crate::block_on(async {
        let url = old_database().await;
        let statements = migrate(&url, true).await.expect("a plan").statements;
        for done in 1..statements.len() {
            let url = old_database().await;
            for statement in &statements[..done] {
                run(&url, statement).await;
            }
            let rest = migrate(&url, false).await.expect("it goes on");
            assert_eq!(rest.statements, statements[done..], "after {done} statements");
            assert!(
                open(&url)
                    .await
                    .expect("it opens")
                    .describe()
                    .contains("schema 2")
            );
        }
    });
}

#[test]
fn newer_schema_is_refused() {
    crate::block_on(async {
        let place = MysqlPlace::fresh().await;
        place.foreign("UPDATE lars_schema SET version = 99").await;
        assert!(unfit(open(&place.url).await).contains("newer lars"));
    });
}

#[test]
fn migration_without_the_right_to_it_names_the_statement() {
    crate::block_on(async {
        let url = old_database().await;
        let (name, user) = (name_of(&url), format!("u_{}", name_of(&url)));
        let account = format!("CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'p'");
        run(
            &url,
            &format!("{account}; GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}`.* TO '{user}'@'%'"),
        )
        .await;
        let text = unfit(migrate(&as_user(&url, &user), false).await);
        assert!(
            text.contains("CREATE TABLE IF NOT EXISTS ModIDConfig") && text.contains("denied"),
            "{text}"
        );
        assert!(open(&as_user(&url, &user)).await.is_ok(), "it is served as it is");
        run(&url, &format!("DROP USER '{user}'@'%'")).await;
    });
}

#[test]
fn server_that_was_stopped_or_killed_is_used_again_and_nothing_is_stored_twice() {
    let server = MariaDb::start_own().unwrap_or_else(|error| panic!("{error}"));
    crate::block_on(async {
        let url = server.database().await.expect("a database");
        migrate(&url, false).await.expect("the tables are made");
        let mut store = open(&url).await.expect("it opens");
        store
            .store(&[batch(1, 1, vec![record(M1, v4(1))])])
            .await
            .expect("store");
        for (turn, end) in [MariaDb::stop, MariaDb::kill].into_iter().enumerate() {
            end(&server).expect("it ends");
            let begun = Instant::now();
            let away = store.observe(0).await;
            assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
            assert!(
                begun.elapsed() < Duration::from_secs(3),
                "a service must be able to stop meanwhile"
            );
            assert!(matches!(open(&url).await.map(drop), Err(StoreError::Away(_))));
            server.resume().expect("it starts again");
            let sequence = turn as u64 + 2;
            let next = [batch(1, sequence, vec![record(M1, v4(1))])];
            // The same again, as after an answer that was lost.
            assert_eq!(store.store(&next).await.expect("store"), [Stored::Now(sequence)]);
            assert_eq!(
                store.store(&next).await.expect("store"),
                [Stored::Before(sequence)]
            );
        }
        assert_eq!(ok_sum(&mut store).await, 9);
    });
}

#[test]
fn call_dropped_in_its_middle_leaves_no_transaction_behind() {
    crate::block_on(async {
        let place = MysqlPlace::fresh().await;
        let mut store = place.open().await;
        store
            .store(&[batch(1, 1, vec![record(M1, v4(1))])])
            .await
            .expect("store");
        let held = place.hold().await;
        let next = [batch(1, 2, vec![record(M1, v4(1))])];
        let waited = tokio::time::timeout(Duration::from_millis(50), store.store(&next)).await;
        assert!(waited.is_err(), "the row is held");
        drop(held);
        let mut other = place.open().await;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match other.store(&next).await {
                Ok(stored) => break assert_eq!(stored, [Stored::Now(2)]),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
        assert_eq!(ok_sum(&mut store).await, 6);
    });
}

#[test]
fn every_call_is_counted_once_while_the_server_is_killed_again_and_again() {
    const KILLS: u32 = 5;
    let server = MariaDb::start_own().unwrap_or_else(|error| panic!("{error}"));
    let url = crate::block_on(async {
        let url = server.database().await.expect("a database");
        migrate(&url, false).await.expect("the tables are made");
        url
    });
    let is_over = AtomicBool::new(false);
    let stored = std::thread::scope(|scope| {
        // One with a call at a time, and one with so many that two transactions store them.
        let writers: Vec<_> = [(1..=2_u8, 1), (3..=12, 450)]
            .into_iter()
            .map(|(agents, tallies)| {
                let (url, is_over) = (&url, &is_over);
                scope.spawn(move || crate::block_on(store_until(url, agents, tallies, is_over)))
            })
            .collect();
        for _ in 0..KILLS {
            // Long enough for many transactions; when exactly it happens is chance.
            std::thread::sleep(Duration::from_millis(150));
            server.kill().expect("it ends");
            server.resume().expect("it starts again");
        }
        is_over.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().expect("it ends"))
            .sum::<u64>()
    });
    let counted = crate::block_on(async { ok_sum(&mut open(&url).await.expect("it opens")).await });
    assert!(stored > u64::from(KILLS), "there was a load: {stored}");
    assert_eq!(counted, 3 * stored);
}

/// Stores a batch of each agent and then the next, as report does: the same again until it is acknowledged. Returns how
/// many tallies.
async fn store_until(url: &str, agents: RangeInclusive<u8>, tallies: u32, is_over: &AtomicBool) -> u64 {
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut store = loop {
        // The server may have been killed before this thread came to run.
        match open(url).await {
            Ok(store) => break store,
            Err(StoreError::Away(_)) if Instant::now() < deadline => {}
            Err(error) => panic!("{error}"),
        }
    };
    for sequence in 1.. {
        let next = agents.clone().map(|who| {
            let node = |number: u32| NodeAddr::from_ipv4_number(0x0a00_0000 + number, 80);
            let records = (0..tallies).map(|number| record(M1, node(number)));
            batch(who, sequence, records.collect())
        });
        let next: Vec<CallBatch> = next.collect();
        loop {
            match store.store(&next).await {
                Ok(stored) => {
                    let is_stored = |stored: &Stored| matches!(stored, Stored::Now(done) | Stored::Before(done) if *done == sequence);
                    assert!(
                        stored.len() == next.len() && stored.iter().all(is_stored),
                        "{stored:?}"
                    );
                    break;
                }
                Err(StoreError::Away(text)) => assert!(Instant::now() < deadline, "{text}"),
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if is_over.load(Ordering::Relaxed) {
            return sequence * next.len() as u64 * u64::from(tallies);
        }
    }
    0
}

#[test]
fn account_of_a_single_connection_stores_as_much() {
    crate::block_on(async {
        let url = MysqlPlace::fresh().await.url;
        let (name, user) = (name_of(&url), format!("u_{}", name_of(&url)));
        run(
            &url,
            &format!(
                "CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'p' WITH MAX_USER_CONNECTIONS 1;
                 GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}`.* TO '{user}'@'%'"
            ),
        )
        .await;
        let mut store = open(&as_user(&url, &user)).await.expect("it opens");
        for sequence in 1..=2 {
            let batches = (1..=10).map(|who| batch(who, sequence, vec![record(M1, v4(who)); 500]));
            let stored = store.store(&batches.collect::<Vec<_>>()).await.expect("store");
            assert_eq!(stored, [Stored::Now(sequence); 10]);
        }
        assert_eq!(ok_sum(&mut store).await, 3 * 10_000);
        run(&url, &format!("DROP USER '{user}'@'%'")).await;
    });
}
