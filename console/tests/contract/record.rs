//! `lars explain`, `lars changes`, `lars record` and `lars simulate --recorded`, as scripts use them.

use crate::lars::{Running, command, eventually, good, path, run, run_json};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

/// A running Lars with two nodes of 1.1 judged by the classic rule; its data folder.
fn up(folder: &std::path::Path) -> (Running, String) {
    let (file, data) = (folder.join("lars.toml"), folder.join("data"));
    std::fs::write(&file, "[policy]\nname = \"classic\"\n").expect("written");
    let args = [
        "up",
        "--port",
        "0",
        "--data",
        path(&data),
        "--config",
        path(&file),
    ];
    let up = Running::start(&args);
    let data = path(&data).to_owned();
    for node in ["10.0.0.1:80", "10.0.0.2:80"] {
        good(&[
            "route", "add", "1", "1", node, "--weight", "50", "--zone", "east", "--data", &data,
        ]);
    }
    good(&["pick", "1", "1", "--data", &data]);
    (up, data)
}

fn report(data: &str, node: &str, count: &str, more: &[&str]) {
    let args = ["report-call", "1", "1", node, "--count", count, "--data", data];
    good(&[&args, more].concat());
}

#[test]
fn explain_and_changes_tell_states_with_their_rules_and_the_store_keeps_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (up, data) = up(folder.path());
    report(&data, "10.0.0.2:80", "15", &["--failed"]);
    let explained = eventually("the node is out", || {
        let (code, value) = run_json(&["explain", "1", "1", "--json", "--data", &data]);
        assert_eq!(code, 0);
        (value["nodes"][1]["state"] == "overloaded").then_some(value)
    });
    let node = &explained["nodes"][1];
    assert_eq!(
        (&node["node"], &node["weight"], &node["zone"]),
        (&"10.0.0.2:80".into(), &50.into(), &"east".into())
    );
    assert!(
        node["why"]
            .as_str()
            .is_some_and(|why| why.contains("15 failures")),
        "{node}"
    );
    assert!(node["since_ms"].is_u64());
    let change = eventually("the change is listed", || {
        let (_, value) = run_json(&["changes", "1", "1", "--json", "--data", &data]);
        value["changes"].get(0).cloned()
    });
    assert_eq!(
        (&change["node"], &change["from"], &change["to"]),
        (&"10.0.0.2:80".into(), &"idle".into(), &"overloaded".into())
    );
    for text in [
        good(&["explain", "1", "1", "--data", &data]),
        good(&["changes", "--data", &data]),
    ] {
        assert!(
            text.contains("10.0.0.2:80") && text.contains("15 failures"),
            "{text}"
        );
    }
    eventually("report has stored it", || {
        let store = rusqlite::Connection::open(format!("{data}/lars.sqlite")).expect("the store");
        let count: i64 = store
            .query_row(
                "SELECT COUNT(*) FROM lars_change WHERE state_to = 'overloaded'",
                [],
                |row| row.get(0),
            )
            .expect("counted");
        (count == 1).then_some(())
    });
    let (code, _, error) = run(&["explain", "7", "7", "--data", &data]);
    assert_eq!(code, 3, "{error}");
    up.terminate();
    let (code, _, _) = run(&["explain", "1", "1", "--data", &data]);
    assert_eq!(code, 5);
}

#[test]
fn recorded_calls_are_lines_that_can_be_replayed_with_any_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let (up, data) = up(folder.path());
    let recorder = command(&["record", "--seconds", "2", "1", "1", "--data", &data])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Reported until the recording is over: some of it falls into it, whenever it begins.
    let (file, over) = (folder.path().join("calls.jsonl"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reporter = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                report(&data, "10.0.0.1:80", "40", &["--ms", "5"]);
                report(&data, "10.0.0.2:80", "10", &["--failed", "--ms", "3"]);
            }
        });
        let output = recorder.wait_with_output();
        over.store(true, Ordering::SeqCst);
        let output = output.expect("it ends");
        assert_eq!(output.status.code(), Some(0));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("calls recorded, 0 lost"), "{told}");
        std::fs::write(&file, &output.stdout).expect("written");
        reporter.join().expect("no panic");
    });
    let text = std::fs::read_to_string(&file).expect("read");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    let mut keys: Vec<&String> = first.as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["cmdid", "latency_us", "modid", "node", "outcome", "t_us"]);
    for policy in ["classic", "round-robin"] {
        let arguments = [
            "simulate",
            "--recorded",
            path(&file),
            "--policy",
            policy,
            "--seeds",
            "3",
        ];
        let (code, value) = run_json(&[&arguments[..], &["--json"]].concat());
        assert_eq!((code, &value["policy"]), (0, &policy.into()));
        assert_eq!(value["calls"], text.lines().count());
        assert!(
            value["recorded"]["errors_share"]
                .as_f64()
                .is_some_and(|share| share > 0.1)
        );
        assert!(value["metrics"]["errors_share"]["mean"].is_number());
        assert!(
            value["cannot_tell"]
                .as_array()
                .is_some_and(|limits| limits.len() >= 5)
        );
        assert!(good(&arguments).contains("cannot tell"));
    }
    std::fs::write(&file, text + "{\"t_us\": 1}\n").expect("written");
    let (code, _, error) = run(&["simulate", "--recorded", path(&file)]);
    assert_eq!(code, 2);
    assert!(
        error.contains("calls.jsonl:") && error.contains("missing field"),
        "{error}"
    );
    up.terminate();
}
