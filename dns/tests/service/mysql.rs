//! A dns on a MySQL database that other programs write as the old page does: one statement after the other, without a
//! transaction.

use crate::peer::{Peer, module, node, put, remove, unknown};
use crate::running::{DEADLINE, connect, wait_until};
use lars_dns::{Dns, DnsConfig};
use lars_store::StoreConfig;
use lars_store::mariadb::{self, MariaDb};
use lars_store::mysql::migrate::migrate;
use lars_wire::caller::Status;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One server for the whole program; it ends with it.
static SERVER: OnceLock<MariaDb> = OnceLock::new();

fn wait<T>(work: impl Future<Output = Result<T, String>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}

struct Database {
    url: String,
}

impl Database {
    /// The tables of the C++ system, with or without what Lars adds.
    fn new(server: &MariaDb, is_migrated: bool) -> Self {
        let database = Self {
            url: wait(server.database()),
        };
        if is_migrated {
            wait(async {
                migrate(&database.url, false)
                    .await
                    .map_err(|error| error.to_string())
            });
        } else {
            database.run(include_str!("../../../store/schema/mysql-base.sql"));
            database.run("INSERT INTO RouteVersion (id, version) VALUES (1, 0)");
        }
        database
    }

    /// Puts in rows that nobody asks about, so many that dns needs forty looks to pass over all of them.
    fn fill(&self) {
        self.run("INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (9, 0, 1, 1)");
        for half in (0..15).map(|bit| 1 << bit) {
            self.run(&format!(
                "INSERT INTO RouteData (modid, cmdid, serverip, serverport)
                 SELECT modid, cmdid + {half}, serverip, serverport FROM RouteData"
            ));
        }
    }

    /// One on the server of all tests, with so many rows that a change is hardly ever found by chance.
    fn shared(is_migrated: bool) -> Self {
        let server = SERVER.get_or_init(|| MariaDb::start().unwrap_or_else(|error| panic!("{error}")));
        let database = Self::new(server, is_migrated);
        database.fill();
        database
    }

    fn run(&self, statements: &str) {
        wait(mariadb::run(&self.url, statements));
    }

    /// What the old page does: the row, then the change, then the version, each by itself.
    fn old_page(&self, row: &str, cmdid: u32) {
        self.run(row);
        self.run(&format!(
            "INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, {cmdid}, UNIX_TIMESTAMP())"
        ));
        self.run("UPDATE RouteVersion SET version = UNIX_TIMESTAMP() WHERE id = 1");
    }

    fn dns(&self) -> Dns {
        let config = DnsConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            pin: false,
            ..DnsConfig::default()
        };
        let store = StoreConfig {
            mysql_url: Some(self.url.as_str().into()),
            ..StoreConfig::default()
        };
        let dns = Dns::start(&config, &store).expect("dns starts");
        wait_until("dns is ready", || dns.ready());
        dns
    }
}

fn insert(cmdid: u32, last: u32) -> String {
    format!(
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, {cmdid}, {}, 7777)",
        0x0a00_0000 + last
    )
}

fn edit_port(cmdid: u32, port: u16) -> String {
    format!("UPDATE RouteData SET serverport = {port} WHERE modid = 1 AND cmdid = {cmdid}")
}

/// Subscribed to a module, whatever it has.
fn subscriber(dns: &Dns, cmdid: u32) -> Peer {
    let mut agent = connect(dns);
    agent.subscribe(&[unknown(cmdid)]);
    agent.route();
    agent
}

/// Reads pushes until the module has so many nodes.
fn hear(agent: &mut Peer, nodes: usize) {
    let deadline = Instant::now() + DEADLINE;
    while agent.route().nodes().len() != nodes {
        assert!(Instant::now() < deadline, "{nodes} nodes were not pushed");
    }
}

/// Of so many changes dns came across hardly any by passing over the table: one may lie where the sweep is, between the
/// statement that makes it and the one that announces it.
fn assert_heard_of(dns: &Dns, changes: u64) {
    let found = dns.stats().value("changes_found").expect("it is counted");
    assert!(
        found * 4 <= changes,
        "{found} of {changes} changes were found by the sweep"
    );
}

/// Reads pushes until the module's first node has this port.
fn hear_port(agent: &mut Peer, port: u16) {
    let deadline = Instant::now() + DEADLINE;
    while agent.route().nodes()[0].port() != port {
        assert!(Instant::now() < deadline, "port {port} was not pushed");
    }
}

#[test]
fn every_change_of_the_old_page_reaches_a_subscriber_also_many_in_one_second() {
    for is_migrated in [true, false] {
        let database = Database::shared(is_migrated);
        let dns = database.dns();
        let (mut agent, mut other) = (subscriber(&dns, 1), subscriber(&dns, 2));
        database.old_page(&insert(1, 1), 1);
        hear(&mut agent, 1);
        database.old_page(&insert(2, 2), 2);
        hear(&mut other, 1);
        // An edit tells neither by the number of rows nor by their largest id.
        for port in 8_001..=8_010 {
            database.old_page(&edit_port(1, port), 1);
            hear_port(&mut agent, port);
        }
        // Both are written before anyone may have looked.
        database.old_page(&edit_port(1, 9_001), 1);
        database.old_page(&edit_port(2, 9_002), 2);
        hear_port(&mut agent, 9_001);
        hear_port(&mut other, 9_002);
        assert_heard_of(&dns, 14);
    }
}

#[test]
fn change_row_that_committed_late_is_not_missed() {
    for is_migrated in [true, false] {
        let database = Database::shared(is_migrated);
        let dns = database.dns();
        let mut agent = subscriber(&dns, 1);
        database.run("INSERT INTO RouteChange (id, modid, cmdid, version) VALUES (50, 1, 1, 1)");
        database.run(&insert(1, 1));
        hear(&mut agent, 1);
        for (id, port) in [
            (49, 1),
            (48, 2),
            (30, 3),
            (40, 4),
            (47, 5),
            (35, 6),
            (31, 7),
            (45, 8),
        ] {
            database.run(&edit_port(1, port));
            database.run(&format!(
                "INSERT INTO RouteChange (id, modid, cmdid, version) VALUES ({id}, 1, 1, 1)"
            ));
            hear_port(&mut agent, port);
        }
        assert_heard_of(&dns, 8);
    }
}

#[test]
fn change_whose_row_another_dns_deleted_at_once_is_found_by_the_version_alone() {
    for is_migrated in [true, false] {
        let database = Database::shared(is_migrated);
        let dns = database.dns();
        let mut agent = subscriber(&dns, 1);
        database.old_page(&insert(1, 1), 1);
        hear(&mut agent, 1);
        // A look sees all of it or nothing.
        database.run(&format!(
            "START TRANSACTION; {}; UPDATE RouteVersion SET version = version + 1; COMMIT",
            edit_port(1, 8_888)
        ));
        hear_port(&mut agent, 8_888);
        wait_until("everything is compared", || {
            dns.stats().value("comparisons") >= Some(1)
        });
    }
}

#[test]
fn bare_delete_and_row_that_moves_to_another_module_are_seen_within_ten_seconds() {
    for is_migrated in [true, false] {
        let database = Database::shared(is_migrated);
        let dns = database.dns();
        for (cmdid, last) in [(1, 1), (1, 2), (1, 3)] {
            database.old_page(&insert(cmdid, last), cmdid);
        }
        let mut admin = connect(&dns);
        wait_until("all are known", || admin.get_route(1).nodes().len() == 3);
        let (mut first, mut second) = (subscriber(&dns, 1), subscriber(&dns, 2));
        // To and fro; only the new module gets a change row.
        for _ in 0..4 {
            database.old_page("UPDATE RouteData SET cmdid = 2 WHERE serverip = 167772162", 2);
            hear(&mut second, 1);
            hear(&mut first, 2);
            database.old_page("UPDATE RouteData SET cmdid = 1 WHERE serverip = 167772162", 1);
            hear(&mut first, 3);
            hear(&mut second, 0);
        }
        assert_heard_of(&dns, 8);
        let begun = Instant::now();
        database.run("DELETE FROM RouteData WHERE serverip = 167772161");
        hear(&mut first, 2);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn last_routes_are_served_while_the_database_is_gone_and_changes_are_heard_when_it_is_back() {
    let server = MariaDb::start_own().unwrap_or_else(|error| panic!("{error}"));
    let database = Database::new(&server, true);
    let dns = database.dns();
    let mut admin = connect(&dns);
    admin.edit(&[put(1, 1)]);
    let mut agent = subscriber(&dns, 1);
    for (turn, end) in [MariaDb::stop, MariaDb::kill].into_iter().enumerate() {
        end(&server).expect("it ends");
        wait_until("dns says that it is away", || {
            dns.stats().value("store_up") == Some(0)
        });
        assert_eq!(admin.get_route(1).status, Status::Ok);
        assert!(dns.ready(), "what it serves is as good as before");
        server.resume().expect("it starts again");
        let last = turn as u32 + 2;
        database.old_page(&insert(1, last), 1);
        hear(&mut agent, last as usize);
    }
    assert_eq!(admin.get_route(1).nodes(), [node(1), node(2), node(3)]);
}

#[test]
fn two_dns_on_one_database_tell_their_agents_the_same() {
    let database = Database::shared(true);
    let (one, two) = (database.dns(), database.dns());
    let (mut agent_one, mut agent_two) = (subscriber(&one, 1), subscriber(&two, 1));
    let (mut admin_one, mut admin_two) = (connect(&one), connect(&two));
    for last in 1..=20_u32 {
        let admin = if last % 2 == 0 {
            &mut admin_two
        } else {
            &mut admin_one
        };
        admin.edit(&[put(1, last)]);
    }
    hear(&mut agent_one, 20);
    hear(&mut agent_two, 20);
    // What is removed tells itself by no new row: only the change row of whoever removed it names the module.
    for last in 1..=8_u32 {
        let (admin, agent) = if last % 2 == 0 {
            (&mut admin_two, &mut agent_one)
        } else {
            (&mut admin_one, &mut agent_two)
        };
        admin.edit(&[remove(1, last)]);
        hear(agent, 20 - last as usize);
    }
    assert_heard_of(&one, 8);
    assert_heard_of(&two, 8);
    let all: Vec<_> = (9..=20).map(node).collect();
    assert_eq!(
        (admin_one.get_route(1).nodes(), admin_two.get_route(1).nodes()),
        (all.clone(), all)
    );
    assert_eq!(admin_one.get_route(1).module, module(1));
}

#[test]
fn stop_ends_in_time_also_while_the_database_does_not_answer() {
    let database = Database::shared(true);
    let dns = database.dns();
    let url = database.url.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| wait(mariadb::run(&url, "LOCK TABLES RouteData WRITE; SELECT SLEEP(5)")));
        let mut last = (dns.stats().value("looks"), Instant::now());
        wait_until("a look hangs", || {
            let looks = dns.stats().value("looks");
            if looks != last.0 {
                last = (looks, Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(500)
        });
        let begun = Instant::now();
        dns.stop();
        assert!(
            begun.elapsed() < Duration::from_millis(1_500),
            "{:?}",
            begun.elapsed()
        );
    });
}
