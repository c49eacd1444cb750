//! The commands of docs/MIGRATING.md, run as they stand there: the trial that changes nothing, and the steps.

use crate::lars::{PATIENCE, Running, eventually, path, run};
use crate::mysql::{database, run_on};
use crate::old_programs::{Old, free_port};
use std::net::UdpSocket;
use std::path::Path;

/// A section of the guide: the file that it shows, and its commands with what they print.
struct Guide {
    file: String,
    commands: Vec<(Vec<String>, Vec<String>)>,
}

/// What the guide names, and what a test puts in its place.
type Replaced = Vec<(&'static str, String)>;

impl Guide {
    /// Reads the section under `heading`.
    fn section(heading: &str, replaced: &Replaced) -> Self {
        let guide = include_str!("../../../docs/MIGRATING.md");
        let start = guide.find(heading).expect("the guide has this heading");
        let length = guide[start + 3..].find("\n## ").expect("another follows");
        let mut text = guide[start..start + 3 + length].to_owned();
        for (named, put) in replaced {
            assert!(text.contains(named), "the guide names {named}");
            text = text.replace(named, put);
        }
        let (mut file, mut commands) = (String::new(), Vec::<(Vec<String>, Vec<String>)>::new());
        for block in text.split("```").skip(1).step_by(2) {
            if let Some(toml) = block.strip_prefix("toml\n") {
                toml.clone_into(&mut file);
                continue;
            }
            for line in block.trim().lines() {
                match line.strip_prefix("$ lars ") {
                    Some(command) => {
                        let args = command.split(' ').map(str::to_owned).collect();
                        commands.push((args, Vec::new()));
                    }
                    None => commands
                        .last_mut()
                        .expect("a command first")
                        .1
                        .push(line.to_owned()),
                }
            }
        }
        Self { file, commands }
    }

    /// Runs the commands, each of which says what the guide says; `before` sees each before it runs. Returns what was
    /// run and the services among it, which go on.
    fn run(&self, mut before: impl FnMut(&[&str])) -> (Vec<&str>, Vec<Running>) {
        let (mut ran, mut running) = (Vec::new(), Vec::new());
        for (args, expected) in &self.commands {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            before(&args);
            ran.push(args[0]);
            if matches!(args[0], "dns" | "report" | "agent") {
                let service = Running::start(&args);
                assert_eq!(service.first_line.trim_end(), expected.join("\n"), "{args:?}");
                running.push(service);
                continue;
            }
            eventually("what the guide says", || {
                let (code, told, _) = run(&args);
                (code == 0 && (expected.is_empty() || told.trim_end() == expected.join("\n"))).then_some(())
            });
        }
        (ran, running)
    }
}

/// Three free UDP ports in a row.
fn free_udp_base() -> u16 {
    let bound = |port: u16| UdpSocket::bind(("127.0.0.1", port));
    (0..100)
        .map(|_| free_port().min(65_000))
        .find(|&base| (base..base + 3).map(bound).all(|socket| socket.is_ok()))
        .expect("three ports in a row are free")
}

/// The three ports as a service tells them.
fn told(base: u16) -> String {
    format!("{base}, {}, {}", base + 1, base + 2)
}

/// Fails where it is not so.
fn holds(url: &str, condition: &str) {
    run_on(
        url,
        &format!("SELECT IF({condition}, 1, (SELECT 1 UNION SELECT 2))"),
    );
}

/// An unmigrated database with two modules of one node each.
fn old_database() -> String {
    let url = database();
    run_on(&url, include_str!("../../../store/schema/mysql-base.sql"));
    run_on(&url, "INSERT INTO RouteVersion (id, version) VALUES (1, 1000)");
    // A change row that is long old.
    run_on(
        &url,
        "INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, 1000)",
    );
    for (cmdid, number) in [(1, 0x0a00_0001_u32), (2, 0xc0a8_0002)] {
        run_on(
            &url,
            &format!(
                "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, {cmdid}, {number}, 7777)"
            ),
        );
    }
    url
}

/// A caller of this host as before: it asks one of the three ports for module 1.1, and gets 10.0.0.1:7777.
fn old_caller_is_answered(port: u16) {
    let caller = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    caller.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let ask = [4, 0, 0, 0, 6, 0, 0, 0, 0x08, 7, 0x10, 1, 0x18, 1];
    caller
        .send_to(&ask, ("127.0.0.1", port))
        .expect("the kernel takes it");
    let mut answer = [0; 64];
    let bytes = caller.recv(&mut answer).expect("an answer");
    assert!(answer[..bytes].ends_with(&[0x08, 0x81, 0x80, 0x80, 0x50, 0x10, 0xe1, 0x3c]));
}

/// Back: the last that was started first. Its ports are free for the old agent at once.
fn go_back(mut running: Vec<Running>, base: u16) {
    running.pop().expect("the agent runs").terminate();
    for port in base..base + 3 {
        UdpSocket::bind(("127.0.0.1", port)).expect("the old agent can start");
    }
    for service in running {
        service.terminate();
    }
}

#[test]
fn trial_of_the_guide_goes_as_written_and_changes_nothing() {
    let (url, folder) = (old_database(), tempfile::tempdir().expect("a folder"));
    let old_port = free_port().to_string();
    let old = Old::start(&["dns", &old_port, "1.1=10.0.0.1:7777", "1.2=192.168.0.2:7777"]);
    old.says("listening");
    let base = free_udp_base();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let mut replaced = vec![
        ("127.0.0.1:7778", format!("127.0.0.1:{old_port}")),
        ("mysql://lars@127.0.0.1:3306/lars_dns", url.clone()),
        ("enabled = true", format!("enabled = true\nudp_base = {base}")),
        ("8888, 8889, 8890", told(base)),
        ("trial.toml", place("trial.toml")),
        ("trial.sock", place("trial.sock")),
        ("trial.routes", place("trial.routes")),
        ("trial.spool", place("trial.spool")),
    ];
    for port in ["17778", "17779", "17781", "17782", "17783"] {
        replaced.push((port, free_port().to_string()));
    }
    let trial = Guide::section("## A trial", &replaced);
    std::fs::write(place("trial.toml"), &trial.file).expect("written");
    let (ran, running) = trial.run(|_| {});
    assert_eq!(ran, ["dns", "report", "shadow", "agent", "pick", "status"]);
    old_caller_is_answered(base + 2);
    go_back(running, base);
    holds(&url, "(SELECT COUNT(*) FROM RouteChange) = 1");
    holds(&url, "(SELECT MAX(version) FROM RouteVersion) = 1000");
    holds(&url, "(SELECT COUNT(*) FROM RouteData) = 2");
    holds(
        &url,
        "(SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'lars%') = 0",
    );
}

/// The old configuration files of one host, with these ports of dns and report.
fn write_old_files(folder: &Path, dns: u16, report: u16) {
    let mysql = "[mysql]\ndb_host = 127.0.0.1\ndb_port = 3306\ndb_user = lars\ndb_passwd = se?cret\ndb_name = lars_dns\n";
    let service =
        |port| format!("[reactor]\nmaxConn = 1024\nthreadNum = 5\nip = 127.0.0.1\nport = {port}\n{mysql}");
    let agent = format!(
        "[reporter]\nip = 127.0.0.1\nport = {report}\n[dnsserver]\nip = 127.0.0.1\nport = {dns}\n\
         [loadbalance]\nprobe_num = 10\nidle_timeout = 15\n"
    );
    for (name, text) in [
        ("lars_dns.conf", service(dns)),
        (
            "lars_reporter.conf",
            service(report) + "[repoter]\ndb_thread_cnt = 3\n",
        ),
        ("lars_lb_agent.conf", agent),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

#[test]
fn steps_of_the_guide_go_as_written_from_the_old_files_on() {
    let (url, folder) = (old_database(), tempfile::tempdir().expect("a folder"));
    let (dns, report, base) = (free_port(), free_port(), free_udp_base());
    write_old_files(folder.path(), dns, report);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let admin: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut replaced: Replaced = vec![
        ("127.0.0.1:7778", format!("127.0.0.1:{dns}")),
        ("127.0.0.1:7779", format!("127.0.0.1:{report}")),
        ("127.0.0.1:7782", format!("127.0.0.1:{}", admin[0])),
        ("127.0.0.1:7783", format!("127.0.0.1:{}", admin[1])),
        ("127.0.0.1:7781", format!("127.0.0.1:{}", admin[2])),
        ("8888, 8889, 8890", told(base)),
    ];
    for name in [
        "lars_dns.conf",
        "lars_reporter.conf",
        "lars_lb_agent.conf",
        "dns.toml",
        "report.toml",
        "agent.toml",
        "agent.sock",
    ] {
        replaced.push((name, place(name)));
    }
    // What a host has where the guide's has its defaults.
    let own = |file: &str, section: &str, keys: &str| {
        let text = std::fs::read_to_string(file).expect("it was imported");
        assert!(text.contains(section), "{text}");
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("mysql_password_path"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let text = text.replace("mysql://lars@127.0.0.1:3306/lars_dns", &url);
        std::fs::write(file, text.replacen(section, &format!("{section}\n{keys}"), 1)).expect("written");
    };
    let steps = Guide::section("## The order of steps", &replaced);
    let (ran, running) = steps.run(|args| {
        if args[0] == "check" {
            let (file, more) = (args[1], |place: usize| {
                format!("admin_listen = \"127.0.0.1:{}\"", admin[place])
            });
            if file.ends_with("dns.toml") {
                own(file, "[dns]", &more(0));
            } else if file.ends_with("report.toml") {
                own(file, "[report]", &more(1));
            } else {
                let paths = format!(
                    "socket = \"{}\"\nroutes_path = \"{}\"\nspool_path = \"{}\"\n{}",
                    place("agent.sock"),
                    place("agent.routes"),
                    place("agent.spool"),
                    more(2)
                );
                own(file, "[agent]", &paths);
                own(file, "[compat]", &format!("udp_base = {base}"));
            }
        }
    });
    assert_eq!(
        ran,
        [
            "import", "import", "import", "check", "check", "check", "dns", "report", "agent", "pick"
        ]
    );
    old_caller_is_answered(base);
    // An old agent of another host.
    let old = Old::start(&["agent", &dns.to_string(), "1", "2"]);
    old.says("1.2 192.168.0.2:7777");
    drop(old);
    let shown = run(&["check", path(&folder.path().join("agent.toml")), "--print"]).1;
    assert!(shown.contains("name = \"classic\""), "{shown}");
    go_back(running, base);
}
