//! Programs of the C++ Lars against ours: written in Python from docs/COMPAT.md alone, they know nothing of our code.

use crate::lars::{PATIENCE, Running, addresses, eventually, good, path, run, run_json};
use crate::mysql::{database, run_on};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Random datagrams of the short form; `LARS_GARBAGE=1000000` for the long one.
const GARBAGE: u32 = 20_000;

/// One of those programs, ended with the test.
struct Old {
    child: Child,
    lines: Receiver<String>,
    /// Held so that it does not see its end.
    _stdin: Option<ChildStdin>,
}

impl Old {
    fn start(args: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old/old_programs.py");
        let mut child = Command::new("python3")
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed (./test.sh does that)");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            _stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Reads lines until this one.
    fn says(&self, line: &str) {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(said) if said == line => return,
                Ok(said) => before.push(said),
                Err(error) => panic!("'{line}' was not said: {error}; before: {before:?}"),
            }
        }
    }

    /// Waits for its good end; what it said.
    fn ends_well(mut self) -> Vec<String> {
        let said = self.lines.iter().collect();
        let status = self.child.wait().expect("it runs");
        assert!(status.success(), "{status}: {said:?}");
        said
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `lars up --compat` with free ports.
fn up(folder: &Path, more: &[&str]) -> Running {
    let config = folder.join("lars.toml");
    std::fs::write(&config, "[compat]\nudp_base = 0\n[policy]\nname = \"classic\"\n").expect("written");
    let mut args = vec![
        "up",
        "--port",
        "0",
        "--data",
        path(folder),
        "--compat",
        "--config",
        path(&config),
    ];
    args.extend(more);
    let up = Running::start(&args);
    assert!(up.first_line.starts_with("ready"), "{:?}", up.first_line);
    up
}

/// The port of an address in addresses.json.
fn port(addr: &serde_json::Value) -> String {
    let addr = addr.as_str().expect("an address");
    addr.rsplit(':').next().unwrap_or_default().to_owned()
}

/// A port that nobody has.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

#[test]
fn old_caller_finds_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let _up = up(folder.path(), &[]);
    let front = addresses(folder.path())["compat"].clone();
    let ports: Vec<String> = front.as_array().expect("a list").iter().map(port).collect();
    let garbage = std::env::var("LARS_GARBAGE").unwrap_or_else(|_| GARBAGE.to_string());
    let mut args = vec![
        "caller",
        env!("CARGO_BIN_EXE_lars"),
        path(folder.path()),
        &garbage,
    ];
    args.extend(ports.iter().map(String::as_str));
    let said = Old::start(&args).ends_well();
    let scenarios = [
        "registration",
        "round_robin",
        "overload_and_recovery",
        "removal",
        "ten_thousand_nodes",
        "wrong_seq",
        "random_datagrams",
    ];
    assert_eq!(said, scenarios.map(|name| format!("came true: {name}")));
}

/// The old page's writes, each statement by itself and in its order.
fn old_page(url: &str, row: &str, cmdid: u32) {
    run_on(url, row);
    run_on(
        url,
        &format!("INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, {cmdid}, UNIX_TIMESTAMP())"),
    );
    run_on(
        url,
        "UPDATE RouteVersion SET version = UNIX_TIMESTAMP() WHERE id = 1",
    );
}

fn insert(cmdid: u32, last: u32) -> String {
    format!(
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, {cmdid}, {}, 80)",
        0x0a00_0000 + last
    )
}

#[test]
fn writes_of_the_old_page_reach_old_and_new_agents() {
    let (url, folder) = (database(), tempfile::tempdir().expect("a folder"));
    run_on(&url, include_str!("../../../store/schema/mysql-base.sql"));
    run_on(
        &url,
        "INSERT INTO RouteVersion (id, version) VALUES (1, UNIX_TIMESTAMP())",
    );
    run_on(&url, &insert(9, 9));
    let _up = up(folder.path(), &["--mysql", &url]);
    let data = path(folder.path());
    let dns = port(&addresses(folder.path())["dns"]);
    let old = ["1", "2"].map(|cmdid| Old::start(&["agent", &dns, "1", cmdid]));
    old[0].says("1.1");
    old[1].says("1.2");
    let picks = |cmdid: &str, expected: &str| {
        eventually("the new agent has it", || {
            let (code, node, _) = run(&["pick", "1", cmdid, "--data", data]);
            (node.trim() == expected && code == if expected.is_empty() { 3 } else { 0 }).then_some(())
        });
    };
    // A node, and another one.
    old_page(&url, &insert(1, 1), 1);
    old[0].says("1.1 10.0.0.1:80");
    picks("1", "10.0.0.1:80");
    old_page(&url, &insert(1, 2), 1);
    old[0].says("1.1 10.0.0.1:80 10.0.0.2:80");
    // A row is edited: its port, then its module, of which only the new one gets a change row.
    old_page(
        &url,
        "UPDATE RouteData SET serverport = 81 WHERE modid = 1 AND cmdid = 1 AND serverip = 167772161",
        1,
    );
    old[0].says("1.1 10.0.0.1:81 10.0.0.2:80");
    old_page(
        &url,
        "UPDATE RouteData SET cmdid = 2 WHERE modid = 1 AND serverip = 167772161",
        2,
    );
    old[1].says("1.2 10.0.0.1:81");
    old[0].says("1.1 10.0.0.2:80");
    picks("1", "10.0.0.2:80");
    picks("2", "10.0.0.1:81");
    // A bare DELETE: neither change nor version.
    run_on(&url, "DELETE FROM RouteData WHERE modid = 1 AND cmdid = 1");
    old[0].says("1.1");
    picks("1", "");
    picks("2", "10.0.0.1:81");
}

#[test]
fn shadow_tells_what_an_old_agent_would_hear_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let _up = up(folder.path(), &[]);
    let data = path(folder.path());
    for (cmdid, node) in [
        ("1", "10.0.0.1:80"),
        ("1", "10.0.0.2:80"),
        ("2", "192.168.0.3:80"),
    ] {
        good(&["route", "add", "1", cmdid, node, "--data", data]);
    }
    let serve = |routes: &[&str]| {
        let port = free_port();
        let mut args = vec!["dns".to_owned(), port.to_string()];
        args.extend(routes.iter().map(|&route| route.to_owned()));
        let old = Old::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        old.says("listening");
        (old, format!("127.0.0.1:{port}"))
    };
    let (_same, addr) = serve(&["1.1=10.0.0.2:80,10.0.0.1:80", "1.2=192.168.0.3:80"]);
    assert_eq!(
        good(&["shadow", &addr, "--data", data, "--settle-s", "0"]),
        "2 modules compared, 0 differ\n"
    );
    let (_other, addr) = serve(&[
        "1.1=10.0.0.2:80,10.0.0.7:80",
        "1.2=192.168.0.3:80",
        "4.4=10.0.0.9:80",
    ]);
    let shadow = [
        "shadow",
        &addr,
        "--data",
        data,
        "--settle-s",
        "1",
        "--module",
        "4.4",
    ];
    let (code, told, _) = run(&shadow);
    assert_eq!(
        (code, told.as_str()),
        (
            1,
            "1.1  ours alone: 10.0.0.1:80\n1.1  theirs alone: 10.0.0.7:80\n4.4  theirs alone: 10.0.0.9:80\n\
             3 modules compared, 2 differ\n"
        )
    );
    let (code, told) = run_json(&[&shadow[..], &["--json"]].concat());
    assert_eq!((code, told["modules"].as_u64()), (1, Some(3)));
    assert_eq!(told["differences"][0]["theirs_alone"][0], "10.0.0.7:80");
    let nobody = format!("127.0.0.1:{}", free_port());
    let (code, _, stderr) = run(&["shadow", &nobody, "--data", data]);
    assert!(code == 5 && stderr.contains(&nobody), "{code}: {stderr}");
}

#[test]
fn import_writes_a_file_that_every_service_takes_and_keeps_the_password_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    std::fs::write(
        place("lars_lb_agent.conf"),
        "[reporter]\nip = 127.0.0.1\nport = 7779\n[dnsserver]\nip = 127.0.0.1\nport = 7778\n\
         [loadbalance]\nprobe_num=7\ncontin_err_limit=20\nidle_timeout=15\n",
    )
    .expect("written");
    std::fs::write(
        place("lars_dns.conf"),
        "[reactor]\nmaxConn = 1024\nthreadNum = 5\nip = 127.0.0.1\nport = 7778\n\
         [mysql]\ndb_host = 127.0.0.1\ndb_port = 3306\ndb_user = lars\ndb_passwd = se?cret\ndb_name = lars_dns\n",
    )
    .expect("written");
    let (agent, dns, out) = (
        place("lars_lb_agent.conf"),
        place("lars_dns.conf"),
        place("lars.toml"),
    );
    let import = ["import", path(&agent), path(&dns), "--out", path(&out)];
    let (code, stdout, told) = run(&import);
    assert_eq!((code, stdout.as_str()), (0, ""), "{told}");
    assert!(
        told.contains("[loadbalance] probe_num = 7") && told.contains("[policy] probe_num = 7"),
        "{told}"
    );
    assert!(!told.contains("se?cret"), "{told}");
    let shown = good(&["check", path(&out), "--print"]);
    for line in [
        "probe_num = 7",
        "contin_err_limit = 20",
        "name = \"classic\"",
        "enabled = true",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let password = place("lars.toml.mysql-password");
    assert_eq!(std::fs::read_to_string(&password).expect("written"), "se?cret\n");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&password)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, _, stderr) = run(&import);
    assert!(code == 2 && stderr.contains("is there already"), "{stderr}");
    // Without a file it is printed, and says how to give the password.
    let (code, stdout, stderr) = run(&["import", path(&dns)]);
    assert!(
        code == 0 && stdout.contains("mysql://lars@127.0.0.1:3306/lars_dns"),
        "{stdout}"
    );
    assert!(stderr.contains("LARS_MYSQL_PASSWORD") && !format!("{stdout}{stderr}").contains("se?cret"));
    let (code, told) = run_json(&["import", path(&agent), "--json"]);
    assert_eq!((code, told["keys"].as_array().map(Vec::len)), (0, Some(7)));
}

/// The trial of docs/MIGRATING.md: its file, and its commands with what they print.
struct Trial {
    file: String,
    commands: Vec<(Vec<String>, Vec<String>)>,
}

/// Reads the trial, with `replaced` put in place of what the guide names.
fn trial(replaced: &[(&str, String)]) -> Trial {
    let guide = include_str!("../../../docs/MIGRATING.md");
    let start = guide.find("## A trial").expect("the trial has a heading");
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
    Trial { file, commands }
}

/// Three free UDP ports in a row.
fn free_udp_base() -> u16 {
    let bound = |port: u16| std::net::UdpSocket::bind(("127.0.0.1", port));
    (0..100)
        .map(|_| free_port().min(65_000))
        .find(|&base| (base..base + 3).map(bound).all(|socket| socket.is_ok()))
        .expect("three ports in a row are free")
}

/// Fails where it is not so.
fn holds(url: &str, condition: &str) {
    run_on(
        url,
        &format!("SELECT IF({condition}, 1, (SELECT 1 UNION SELECT 2))"),
    );
}

#[test]
fn trial_of_the_guide_goes_as_written_and_changes_nothing() {
    let (url, folder) = (database(), tempfile::tempdir().expect("a folder"));
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
    let old_port = free_port().to_string();
    let old = Old::start(&["dns", &old_port, "1.1=10.0.0.1:7777", "1.2=192.168.0.2:7777"]);
    old.says("listening");
    let base = free_udp_base();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let mut replaced = vec![
        ("127.0.0.1:7778", format!("127.0.0.1:{old_port}")),
        ("mysql://lars@127.0.0.1:3306/lars_dns", url.clone()),
        ("enabled = true", format!("enabled = true\nudp_base = {base}")),
        ("8888, 8889, 8890", format!("{base}, {}, {}", base + 1, base + 2)),
        ("trial.toml", place("trial.toml")),
        ("trial.sock", place("trial.sock")),
        ("trial.routes", place("trial.routes")),
        ("trial.spool", place("trial.spool")),
    ];
    for port in ["17778", "17779", "17781", "17782", "17783"] {
        replaced.push((port, free_port().to_string()));
    }
    let trial = trial(&replaced);
    std::fs::write(place("trial.toml"), &trial.file).expect("written");
    let (mut running, mut ran) = (Vec::new(), Vec::new());
    for (args, expected) in &trial.commands {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        ran.push(args[0]);
        if matches!(args[0], "dns" | "report" | "agent") {
            let service = Running::start(&args);
            assert_eq!(service.first_line.trim_end(), expected.join("\n"), "{args:?}");
            running.push(service);
            continue;
        }
        let told = eventually("what the guide says", || {
            let (code, told, _) = run(&args);
            (code == 0 && (expected.is_empty() || told.trim_end() == expected.join("\n"))).then_some(told)
        });
        assert!(!told.is_empty(), "{args:?}");
    }
    assert_eq!(ran, ["dns", "report", "shadow", "agent", "pick", "status"]);
    // A caller of this host, as before.
    let caller = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    caller.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let ask = [4, 0, 0, 0, 6, 0, 0, 0, 0x08, 7, 0x10, 1, 0x18, 1];
    caller
        .send_to(&ask, ("127.0.0.1", base + 2))
        .expect("the kernel takes it");
    let mut answer = [0; 64];
    let bytes = caller.recv(&mut answer).expect("an answer");
    assert!(answer[..bytes].ends_with(&[0x08, 0x81, 0x80, 0x80, 0x50, 0x10, 0xe1, 0x3c]));
    // Back: the last that was started first. Its ports are free for the old agent at once.
    running.pop().expect("the agent runs").terminate();
    for port in base..base + 3 {
        std::net::UdpSocket::bind(("127.0.0.1", port)).expect("the old agent can start");
    }
    for service in running {
        service.terminate();
    }
    holds(&url, "(SELECT COUNT(*) FROM RouteChange) = 1");
    holds(&url, "(SELECT MAX(version) FROM RouteVersion) = 1000");
    holds(&url, "(SELECT COUNT(*) FROM RouteData) = 2");
    holds(
        &url,
        "(SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'lars%') = 0",
    );
}
