//! A dns on a MySQL database that other programs write as the old page does: one statement after the other, without a
//! transaction.

use crate::peer::{Peer, module, node, put, unknown};
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

    fn shared(is_migrated: bool) -> Self {
        Self::new(
            SERVER.get_or_init(|| MariaDb::start().unwrap_or_else(|error| panic!("{error}"))),
            is_migrated,
        )
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

#[test]
fn every_change_of_the_old_page_reaches_a_subscriber_also_many_in_one_second() {
    for is_migrated in [true, false] {
        let database = Database::shared(is_migrated);
        let dns = database.dns();
        let mut agent = subscriber(&dns, 1);
        for last in 1..=10 {
            database.old_page(&insert(1, last), 1);
            hear(&mut agent, last as usize);
        }
        // Both are written before anyone may have looked.
        database.old_page(&insert(1, 11), 1);
        database.old_page(&insert(1, 12), 1);
        hear(&mut agent, 12);
    }
}

#[test]
fn change_row_that_another_dns_deleted_or_that_committed_late_is_not_missed() {
    for is_migrated in [true, false] {
        let database = Database::shared(is_migrated);
        let dns = database.dns();
        let (mut first, mut second) = (subscriber(&dns, 1), subscriber(&dns, 2));
        database.run("INSERT INTO RouteChange (id, modid, cmdid, version) VALUES (50, 1, 1, 1)");
        database.run(&insert(1, 1));
        hear(&mut first, 1);
        // An update, which neither number nor largest id of the rows tells, and a change row with a smaller id.
        database.run("UPDATE RouteData SET serverport = 8888 WHERE cmdid = 1");
        database.run("INSERT INTO RouteChange (id, modid, cmdid, version) VALUES (49, 1, 1, 1)");
        assert_eq!(first.route().nodes()[0].port(), 8888);
        // A C++ dns deletes the change row at once: the version alone is left to tell.
        database.old_page(&insert(2, 2), 2);
        database.run("DELETE FROM RouteChange");
        hear(&mut second, 1);
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
        let begun = Instant::now();
        database.run("DELETE FROM RouteData WHERE serverip = 167772161");
        hear(&mut first, 2);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        // Only the new module gets a change row.
        database.old_page("UPDATE RouteData SET cmdid = 2 WHERE serverip = 167772162", 2);
        hear(&mut second, 1);
        hear(&mut first, 1);
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
    let all: Vec<_> = (1..=20).map(node).collect();
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
