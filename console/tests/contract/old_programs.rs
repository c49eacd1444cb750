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
pub(crate) struct Old {
    child: Child,
    lines: Receiver<String>,
    /// Held so that it does not see its end.
    _stdin: Option<ChildStdin>,
}

impl Old {
    pub(crate) fn start(args: &[&str]) -> Self {
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
    pub(crate) fn says(&self, line: &str) {
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
pub(crate) fn free_port() -> u16 {
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

/// The old page: what it writes, as it was recorded. Each statement stands by itself, an edit writes the whole row, and
/// only the module that a row has after it gets a change row.
struct OldPage<'a>(&'a str);

impl OldPage<'_> {
    fn add(&self, cmdid: u32, last: u32) {
        self.write(&format!(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, {cmdid}, {}, 80)",
            0x0a00_0000 + last
        ));
        self.announce(cmdid);
    }

    fn edit(&self, id: u32, cmdid: u32, last: u32, port: u16) {
        self.write(&format!(
            "UPDATE RouteData SET cmdid = {cmdid}, modid = 1, serverip = {}, serverport = {port} WHERE (id = {id})",
            0x0a00_0000 + last
        ));
        self.announce(cmdid);
    }

    /// Announced to nobody.
    fn delete(&self, id: u32) {
        self.write(&format!("DELETE FROM RouteData WHERE (id = {id})"));
    }

    fn announce(&self, cmdid: u32) {
        self.write(&format!(
            "INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, {cmdid}, UNIX_TIMESTAMP())"
        ));
        self.write("UPDATE RouteVersion SET version = UNIX_TIMESTAMP() WHERE (id = 1)");
    }

    fn write(&self, statement: &str) {
        run_on(self.0, statement);
    }
}

#[test]
fn writes_of_the_old_page_reach_old_and_new_agents() {
    let (url, folder) = (database(), tempfile::tempdir().expect("a folder"));
    run_on(&url, include_str!("../../../store/schema/mysql-base.sql"));
    run_on(&url, "INSERT INTO RouteVersion (id, version) VALUES (1, 0)");
    let page = OldPage(&url);
    page.add(9, 9);
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
    // A node, which is row 2, and another one, which is row 3.
    page.add(1, 1);
    old[0].says("1.1 10.0.0.1:80");
    picks("1", "10.0.0.1:80");
    page.add(1, 2);
    old[0].says("1.1 10.0.0.1:80 10.0.0.2:80");
    // A row is edited: its port, then its module, of which only the new one gets a change row.
    page.edit(2, 1, 1, 81);
    old[0].says("1.1 10.0.0.1:81 10.0.0.2:80");
    page.edit(2, 2, 1, 81);
    old[1].says("1.2 10.0.0.1:81");
    old[0].says("1.1 10.0.0.2:80");
    picks("1", "10.0.0.2:80");
    picks("2", "10.0.0.1:81");
    // Many writes of one second, whose version is the same.
    for last in 3..=9 {
        page.add(2, last);
    }
    page.edit(2, 1, 1, 82);
    let nodes: Vec<String> = (3..=9).map(|last| format!("10.0.0.{last}:80")).collect();
    old[1].says(&format!("1.2 {}", nodes.join(" ")));
    old[0].says("1.1 10.0.0.1:82 10.0.0.2:80");
    // Bare DELETEs: neither change nor version.
    page.delete(2);
    old[0].says("1.1 10.0.0.2:80");
    picks("1", "10.0.0.2:80");
    page.delete(3);
    old[0].says("1.1");
    picks("1", "");
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
