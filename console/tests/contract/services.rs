//! Each service as a process of its own, by its own configuration file, and what happens when one is gone.

use crate::lars::{Running, assert_all_on_epoll, eventually, good, http, path, run, run_json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}

/// Configuration files of three services that know each other.
struct Mesh {
    folder: tempfile::TempDir,
    dns: u16,
    report: u16,
    admin: [u16; 3],
}

impl Mesh {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mesh = Self {
            folder,
            dns: free_port(),
            report: free_port(),
            admin: [free_port(), free_port(), free_port()],
        };
        let at = |name: &str| mesh.path(name).display().to_string();
        let store = format!("[store]\nsqlite_path = \"{}\"\n", at("lars.sqlite"));
        let [agent, dns, report] = mesh.admin;
        mesh.write(
            "agent",
            &format!(
                "[agent]\nsocket = \"{}\"\nroutes_path = \"{}\"\nspool_path = \"{}\"\nadmin_listen = \"127.0.0.1:{agent}\"\n\
             dns = [\"127.0.0.1:{}\"]\nreport = [\"127.0.0.1:{}\"]\n",
                at("agent.sock"),
                at("routes"),
                at("spool"),
                mesh.dns,
                mesh.report
            ),
        );
        mesh.write(
            "dns",
            &format!(
                "{store}[dns]\nlisten = \"127.0.0.1:{}\"\nadmin_listen = \"127.0.0.1:{dns}\"\n",
                mesh.dns
            ),
        );
        mesh.write(
            "report",
            &format!(
                "{store}[report]\nlisten = \"127.0.0.1:{}\"\nadmin_listen = \"127.0.0.1:{report}\"\n",
                mesh.report
            ),
        );
        mesh
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, service: &str, text: &str) {
        std::fs::write(self.path(&format!("{service}.toml")), text).expect("written");
    }

    fn start(&self, service: &str) -> Running {
        let running = Running::start(&[service, "--config", path(&self.path(&format!("{service}.toml")))]);
        assert!(
            running.first_line.starts_with("listening"),
            "{}",
            running.first_line
        );
        running
    }

    fn wait_ready(&self, place: usize) {
        let admin = format!("127.0.0.1:{}", self.admin[place]);
        eventually("it is ready", || {
            http(&admin, "/readyz").starts_with("HTTP/1.1 200").then_some(())
        });
    }

    fn pick(&self) -> (i32, serde_json::Value) {
        run_json(&[
            "pick",
            "1",
            "1",
            "--json",
            "--agent",
            path(&self.path("agent.sock")),
        ])
    }
}

fn sum_of_calls(store: &Path) -> i64 {
    let connection = rusqlite::Connection::open(store).expect("the store");
    connection
        .query_row("SELECT SUM(ok) FROM lars_history", [], |row| row.get(0))
        .unwrap_or(0)
}

#[test]
fn services_run_as_separate_processes_and_agent_outlives_dns() {
    let mesh = Mesh::new();
    let dns = mesh.start("dns");
    let report = mesh.start("report");
    let agent = mesh.start("agent");
    for place in 0..3 {
        mesh.wait_ready(place);
    }
    let dns_addr = format!("127.0.0.1:{}", mesh.dns);
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--dns", &dns_addr]);
    assert_eq!(mesh.pick().1["node"], "10.0.0.1:7777");
    let socket = mesh.path("agent.sock");
    good(&[
        "report-call",
        "1",
        "1",
        "10.0.0.1:7777",
        "--count",
        "500",
        "--agent",
        path(&socket),
    ]);
    eventually("the calls are stored", || {
        (sum_of_calls(&mesh.path("lars.sqlite")) == 500).then_some(())
    });

    // The agent is restarted with nobody to ask: it answers from the routes on disk.
    dns.terminate();
    agent.terminate();
    let agent = mesh.start("agent");
    let (code, answer) = mesh.pick();
    assert_eq!((code, answer["node"].as_str()), (0, Some("10.0.0.1:7777")));
    agent.kill();
    let agent = mesh.start("agent");
    assert_eq!(mesh.pick().0, 0, "a killed agent's routes are as good");

    // dns comes back, and what changed meanwhile reaches the agent.
    let dns = mesh.start("dns");
    mesh.wait_ready(1);
    good(&["route", "add", "1", "1", "10.0.0.2:7777", "--dns", &dns_addr]);
    good(&["route", "remove", "1", "1", "10.0.0.1:7777", "--dns", &dns_addr]);
    eventually("the new route arrives", || {
        (mesh.pick().1["node"] == "10.0.0.2:7777").then_some(())
    });
    for service in [agent, report, dns] {
        service.terminate();
    }
}

#[test]
fn counts_wait_for_a_report_that_is_gone() {
    let mesh = Mesh::new();
    let _dns = mesh.start("dns");
    let _agent = mesh.start("agent");
    let socket = mesh.path("agent.sock");
    good(&[
        "report-call",
        "1",
        "1",
        "10.0.0.1:7777",
        "--count",
        "7",
        "--agent",
        path(&socket),
    ]);
    let report = mesh.start("report");
    eventually("the calls are stored", || {
        (sum_of_calls(&mesh.path("lars.sqlite")) == 7).then_some(())
    });
    report.kill();
    good(&[
        "report-call",
        "1",
        "1",
        "10.0.0.1:7777",
        "--count",
        "5",
        "--agent",
        path(&socket),
    ]);
    let _report = mesh.start("report");
    eventually("the later calls are stored too", || {
        (sum_of_calls(&mesh.path("lars.sqlite")) == 12).then_some(())
    });
}

#[test]
fn way_to_move_bytes_on_the_command_line_stands_above_the_file() {
    let mesh = Mesh::new();
    let mut running = Vec::new();
    for service in ["dns", "report", "agent"] {
        let file = mesh.path(&format!("{service}.toml"));
        let of_file = std::fs::read_to_string(&file).expect("the file");
        mesh.write(service, &format!("{of_file}io = \"uring\"\n"));
        running.push(Running::start(&[
            service,
            "--config",
            path(&file),
            "--io",
            "epoll",
        ]));
    }
    let (code, status) = run_json(&[
        "status",
        "--json",
        "--agent",
        path(&mesh.path("agent.sock")),
        "--dns",
        &format!("127.0.0.1:{}", mesh.dns),
        "--report",
        &format!("127.0.0.1:{}", mesh.report),
    ]);
    assert_eq!(code, 0, "{status}");
    assert_all_on_epoll(&status);
}

#[test]
fn unknown_way_to_move_bytes_is_refused_with_those_there_are() {
    for command in ["agent", "dns", "report", "up"] {
        let (code, _, stderr) = run(&[command, "--io", "aio"]);
        assert_eq!(code, 2, "{command}: {stderr}");
        for word in ["'aio'", "--io", "auto, uring, epoll"] {
            assert!(stderr.contains(word), "{command}: '{word}' is not in {stderr}");
        }
    }
}
