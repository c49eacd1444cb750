//! `lars up`: one process, one folder, one line when it is ready.

use crate::lars::{
    Running, addresses, assert_all_on_epoll, command, eventually, good, http, path, run, run_json,
};
use std::time::Duration;

#[test]
fn up_is_ready_in_time_says_where_it_is_and_ends_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("made/by/lars");
    let up = Running::up(&data);
    assert!(up.ready_after < Duration::from_secs(2), "{:?}", up.ready_after);
    let found = addresses(&data);
    for service in ["dns", "report", "admin"] {
        let addr = found[service].as_str().expect("an address");
        assert!(addr.starts_with("127.0.0.1:"), "{service}: {addr}");
    }
    assert!(found["console"].is_null());
    let agent = std::path::Path::new(found["agent"].as_str().expect("a path"));
    assert!(agent.is_absolute() && agent.exists());
    let took = up.terminate();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(
        !agent.exists() && !data.join("addresses.json").exists(),
        "nothing is left that points to nobody"
    );
}

#[test]
fn second_up_on_the_same_folder_is_refused_and_hurts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let first = Running::up(folder.path());
    let (code, _, stderr) = run(&["up", "--port", "0", "--data", data]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("already runs") && stderr.contains("--data"),
        "{stderr}"
    );
    good(&["status", "--data", data]);
    first.terminate();
    Running::up(folder.path()).terminate();
}

#[test]
fn up_starts_again_after_it_was_killed_and_knows_its_routes() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let up = Running::up(folder.path());
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--data", data]);
    up.kill();
    let _up = Running::up(folder.path());
    assert_eq!(good(&["pick", "1", "1", "--data", data]), "10.0.0.1:7777\n");
}

#[test]
fn metrics_health_and_readiness_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    let admin = addresses(folder.path())["admin"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert!(http(&admin, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(http(&admin, "/readyz").starts_with("HTTP/1.1 200"));
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--data", data]);
    good(&["pick", "1", "1", "--data", data]);
    good(&["report-call", "1", "1", "10.0.0.1:7777", "--data", data]);
    eventually("the counts of every service are there", || {
        let metrics = http(&admin, "/metrics");
        let has = |line: &str| metrics.lines().any(|found| found == line);
        (has("lars_agent_picks_total{status=\"ok\"} 1")
            && has("lars_dns_nodes 1")
            && metrics.contains("lars_report_"))
        .then_some(())
    });
    let metrics = http(&admin, "/metrics");
    let mut types: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(
        types.len(),
        count,
        "a metric of several services stands under one heading"
    );
    assert!(http(&admin, "/nothing").starts_with("HTTP/1.1 404"));
}

#[test]
fn up_moves_bytes_as_the_command_line_says_and_metrics_tell_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::start(&["up", "--io", "epoll", "--port", "0", "--data", data]);
    let (code, status) = run_json(&["status", "--json", "--data", data]);
    assert_eq!(code, 0, "{status}");
    let admin = addresses(folder.path())["admin"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_all_on_epoll(&status);
    let metrics = http(&admin, "/metrics");
    for service in ["agent", "dns", "report"] {
        let gauge = format!("lars_pool_io{{service=\"{service}\",kind=\"epoll\",reason=\"asked for\"}} ");
        assert!(metrics.contains(&gauge), "{gauge} is not in:\n{metrics}");
    }
}

#[test]
fn port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().min(u16::MAX - 3);
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, stderr) = run(&["up", "--port", &port.to_string(), "--data", path(folder.path())]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("127.0.0.1:{port}")), "{stderr}");
}

#[test]
fn folder_with_too_long_a_path_is_refused_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("x".repeat(100));
    let (code, _, stderr) = run(&["up", "--port", "0", "--data", path(&long)]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("too long") && stderr.contains("--data"),
        "{stderr}"
    );
}

#[test]
fn wrong_port_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (code, _, stderr) = run(&["up", "--port", "65534", "--data", path(&data)]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--port 65534") && !data.exists(), "{stderr}");
}

#[test]
fn up_that_cannot_say_ready_leaves_no_addresses_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("a full device");
    let status = command(&["up", "--port", "0", "--data", path(folder.path())])
        .stdout(full)
        .status()
        .expect("runs");
    assert_eq!(status.code(), Some(1));
    assert!(!folder.path().join("addresses.json").exists());
    assert!(!folder.path().join("agent.sock").exists());
}

#[test]
fn demo_tells_a_story_that_comes_true() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, story, stderr) = run(&[
        "up",
        "--demo",
        "--seconds",
        "12",
        "--port",
        "0",
        "--data",
        path(folder.path()),
    ]);
    assert_eq!(code, 0, "{story}{stderr}");
    assert!(story.lines().skip(1).all(|line| line.starts_with(' ')), "{story}");
    for event in [
        "noticed as overloaded",
        "share of calls",
        "healed",
        "back in use",
        "report stored",
    ] {
        assert!(story.contains(event), "'{event}' is missing in {story}");
    }
    // On a machine that has much else to do an acknowledgement may take its second, which is told.
    let told = stderr
        .lines()
        .filter(|line| !line.contains("report does not acknowledge: counts are written to disk"));
    assert_eq!(told.count(), 0, "a good end is a quiet one: {stderr}");
}

#[test]
fn compat_serves_callers_of_the_old_kind_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let config = folder.path().join("lars.toml");
    std::fs::write(&config, "[compat]\nudp_base = 0\n").expect("written");
    let _up = Running::start(&[
        "up",
        "--port",
        "0",
        "--data",
        data,
        "--compat",
        "--config",
        path(&config),
    ]);
    good(&["route", "add", "1", "2", "10.0.0.1:7777", "--data", data]);
    let front = addresses(folder.path())["compat"].clone();
    let front: Vec<&str> = front
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|addr| addr.as_str())
        .collect();
    assert_eq!(front.len(), 3);
    let caller = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    caller
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out");
    // Get host, sequence 7, module 1.2; the answer is found once the route has come.
    let ask = [4, 0, 0, 0, 6, 0, 0, 0, 0x08, 7, 0x10, 1, 0x18, 2];
    eventually("the node is told", || {
        let mut answer = [0; 64];
        caller.send_to(&ask, front[2]).expect("the kernel takes it");
        let bytes = caller.recv(&mut answer).expect("an answer");
        // Sequence, module, and the host 10.0.0.1:7777.
        let host = [
            0x08, 7, 0x10, 1, 0x18, 2, 0x2a, 8, 0x08, 0x81, 0x80, 0x80, 0x50, 0x10, 0xe1, 0x3c,
        ];
        (answer[..bytes] == *[&[5, 0, 0, 0, 16, 0, 0, 0], &host[..]].concat()).then_some(())
    });
}
