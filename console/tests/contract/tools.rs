//! The tools against a running Lars: what they print, and with which code they end.

use crate::lars::{Running, addresses, command, eventually, good, path, run, run_json};
use rusqlite::Connection;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

fn stored(data: &Path, sql: &str) -> Vec<i64> {
    let connection = Connection::open(data.join("lars.sqlite")).expect("the embedded store");
    let mut statement = connection.prepare(sql).expect("a statement");
    let columns = statement.column_count();
    statement
        .query_row([], |row| (0..columns).map(|place| row.get(place)).collect())
        .unwrap_or_else(|_| vec![0; columns])
}

#[test]
fn added_route_is_picked_at_once_and_a_removed_one_never_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    for round in 1..=10 {
        let node = format!("10.0.0.{round}:7777");
        // Somebody asks first, so that the agent remembers that there is no such module.
        let (code, answer) = run_json(&["pick", "1", "1", "--json", "--data", data]);
        assert_eq!((code, &answer["status"]), (3, &json!("not_found")));
        good(&["route", "add", "1", "1", &node, "--data", data]);
        let (code, answer) = run_json(&["pick", "1", "1", "--json", "--data", data]);
        assert_eq!(
            (code, &answer["status"], &answer["node"]),
            (0, &json!("ok"), &json!(node))
        );
        assert!(answer["version"].is_u64());
        good(&["route", "remove", "1", "1", &node, "--data", data]);
    }
}

#[test]
fn ipv6_nodes_work_on_every_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    let node = "[2001:db8::7]:7777";
    good(&[
        "route", "add", "6", "6", node, "--weight", "7", "--zone", "a", "--data", data,
    ]);
    assert_eq!(good(&["pick", "6", "6", "--data", data]), format!("{node}\n"));
    let listed: serde_json::Value =
        serde_json::from_str(&good(&["route", "list", "--json", "--data", data])).expect("JSON");
    let row = json!({"modid": 6, "cmdid": 6, "node": node, "weight": 7, "zone": "a", "state": "serving",
            "modid_name": null, "cmdid_name": null});
    assert_eq!(listed, json!([row]));
    good(&[
        "report-call",
        "6",
        "6",
        node,
        "--ms",
        "3",
        "--count",
        "4",
        "--data",
        data,
    ]);
    eventually("the calls are stored", || {
        let sums = stored(
            folder.path(),
            "SELECT SUM(ok), SUM(latency_sum_us) FROM lars_history",
        );
        (sums == [4, 12_000]).then_some(())
    });
    good(&["route", "remove", "6", "6", node, "--data", data]);
    assert_eq!(run(&["pick", "6", "6", "--data", data]).0, 3);
}

#[test]
fn reported_calls_arrive_with_exact_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let up = Running::up(folder.path());
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--data", data]);
    good(&["pick", "1", "1", "--data", data]);
    for (failed, count) in [(false, 3_000), (true, 1), (false, 41), (true, 2)] {
        let count = count.to_string();
        let mut args = vec![
            "report-call",
            "1",
            "1",
            "10.0.0.1:7777",
            "--count",
            &count,
            "--data",
            data,
        ];
        args.extend(failed.then_some("--failed"));
        good(&args);
    }
    // What is still on its way is stored before the services end.
    up.terminate();
    let history = stored(
        folder.path(),
        "SELECT SUM(ok), SUM(failed), SUM(timed_out), SUM(cancelled) FROM lars_history",
    );
    assert_eq!(history, [3_041, 3, 0, 0]);
    let status = stored(
        folder.path(),
        "SELECT succ_cnt, err_cnt, CAST(overload AS INTEGER) FROM ServerCallStatus WHERE modid = 1 AND cmdid = 1 AND ip = 167772161 \
         AND port = 7777",
    );
    assert_eq!(status, [3_041, 3, 0]);
}

#[test]
fn overloaded_module_is_told_with_a_code_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    // The default policy sends each call somewhere; the classic one refuses.
    let config = folder.path().join("classic.toml");
    std::fs::write(&config, "[policy]\nname = \"classic\"\n").expect("written");
    let _up = Running::start(&["up", "--port", "0", "--data", data, "--config", path(&config)]);
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--data", data]);
    good(&["pick", "1", "1", "--data", data]);
    good(&[
        "report-call",
        "1",
        "1",
        "10.0.0.1:7777",
        "--failed",
        "--count",
        "15",
        "--data",
        data,
    ]);
    eventually("a pick is refused", || {
        let (code, answer) = run_json(&["pick", "1", "1", "--json", "--data", data]);
        (code == 4 && answer["status"] == "overloaded" && answer["node"].is_null()).then_some(())
    });
}

#[test]
fn export_and_import_carry_every_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    good(&[
        "route",
        "add",
        "1",
        "2",
        "10.0.0.1:1",
        "--weight",
        "9",
        "--zone",
        "z",
        "--draining",
        "--data",
        data,
    ]);
    good(&["route", "add", "1", "1", "[::2]:2", "--data", data]);
    let file = folder.path().join("routes.json");
    good(&["route", "export", path(&file), "--data", data]);
    let exported = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(exported, good(&["route", "export", "--data", data]));
    good(&["route", "remove", "1", "2", "10.0.0.1:1", "--data", data]);
    good(&["route", "import", path(&file), "--data", data]);
    assert_eq!(exported, good(&["route", "export", "--data", data]));

    let mut child = command(&["route", "import", "-", "--data", data])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"[{\"modid\": 1}]")
        .expect("written");
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cmdid"));
}

#[test]
fn status_has_what_scripts_look_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    let (code, status) = run_json(&["status", "--json", "--data", data]);
    assert_eq!(code, 0);
    assert!(["uring", "epoll"].contains(&status["io"].as_str().expect("a word")));
    assert!(!status["io_reason"].as_str().expect("a reason").is_empty());
    assert!(status["modules"].is_u64() && status["connections"].is_u64());
    let found = addresses(folder.path());
    for service in ["dns", "report"] {
        assert_eq!(
            (&status[service][0]["addr"], &status[service][0]["state"]),
            (&found[service], &json!("up"))
        );
    }
}

#[test]
fn tools_find_lars_by_address_and_by_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let _up = Running::up(folder.path());
    let found = addresses(folder.path());
    let text = |service: &str| found[service].as_str().expect("an address").to_owned();
    good(&["route", "add", "1", "1", "10.0.0.1:7777", "--dns", &text("dns")]);
    assert_eq!(
        good(&["pick", "1", "1", "--agent", &text("agent")]),
        "10.0.0.1:7777\n"
    );
    let by_environment = |variable: &str, value: &str, args: &[&str]| {
        command(args).env(variable, value).status().expect("runs").code()
    };
    assert_eq!(
        by_environment("LARS_AGENT", &text("agent"), &["pick", "1", "1"]),
        Some(0)
    );
    assert_eq!(
        by_environment("LARS_DNS", &text("dns"), &["route", "list"]),
        Some(0)
    );
    assert_eq!(
        by_environment("LARS_DATA", path(folder.path()), &["status"]),
        Some(0)
    );
}

#[test]
fn empty_variables_are_as_good_as_unset_and_an_option_beats_them_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    let code = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = command(args);
        command.envs(variables.iter().copied());
        command.status().expect("runs").code()
    };
    let all = ["LARS_AGENT", "LARS_DATA", "LARS_DNS", "LARS_REPORT"];
    let status = ["status", "--data", data];
    assert_eq!(code(&all.map(|name| (name, "")), &status), Some(0));
    assert_eq!(code(&all.map(|name| (name, "/nowhere:1")), &status), Some(0));
    let beside = [("LARS_DATA", data), ("LARS_AGENT", ""), ("LARS_DNS", "")];
    assert_eq!(code(&beside, &["status"]), Some(0));
    assert_eq!(code(&[("LARS_AGENT", "/nowhere")], &["status"]), Some(5));
}

#[test]
fn nobody_there_is_unreachable_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let socket = folder.path().join("agent.sock");
    for args in [
        &["pick", "1", "1", "--data", data][..],
        &["pick", "1", "1", "--agent", path(&socket)],
        &["route", "list", "--dns", "127.0.0.1:1"],
        &["status", "--data", data],
    ] {
        let (code, _, stderr) = run(args);
        assert_eq!(code, 5, "{args:?}: {stderr}");
        assert!(stderr.contains("start"), "{args:?} gives no advice: {stderr}");
    }
    let (code, answer) = run_json(&["pick", "1", "1", "--json", "--data", data]);
    assert_eq!((code, &answer["status"]), (5, &json!("failed")));
    let (code, status) = run_json(&["status", "--json", "--data", data]);
    assert!(code == 5 && status["services"]["agent"]["error"].is_string());
}

#[test]
fn wrong_arguments_end_with_usage() {
    for args in [
        &["pick"][..],
        &["pick", "one", "1"],
        &["pick", "-1", "1"],
        &["route", "add", "1", "1", "10.0.0.1"],
        &["route", "add", "1", "1", "0.0.0.0:80"],
        &["route", "add", "1", "1", "10.0.0.1:80", "--weight", "0"],
        &[
            "route",
            "add",
            "1",
            "1",
            "10.0.0.1:80",
            "--zone",
            "a zone of more than thirty-two bytes",
        ],
        &["route", "list", "1"],
        &["up", "--seconds", "30"],
        &["up", "--demo", "--seconds", "1"],
        &["up", "--port", "65534"],
        &["fly"],
        &[],
    ] {
        let (code, _, stderr) = run(args);
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(!stderr.is_empty(), "{args:?}");
    }
    for args in [
        &["--help"][..],
        &["--version"],
        &["version"],
        &["up", "--help"],
        &["route", "add", "--help"],
    ] {
        assert!(!good(args).is_empty());
    }
    assert!(run_json(&["version", "--json"]).1["version"].is_string());
}
