//! `lars simulate` as scripts use it: JSON with fixed keys, refusals with file and line, the same bytes each time.

use crate::lars::{good, path, run, run_json};
use serde_json::Value;
use std::fs;

const SCENARIO: &str = "\
name = 'small'
duration_s = 30
warmup_s = 2
rate_per_s = 200
timeout_ms = 500
[[nodes]]
count = 4
workers = 4
service_ms = { kind = 'exponential', mean = 10.0 }
[[events]]
at_s = 5
nodes = [0]
do = 'black_hole'
";

#[test]
fn scenario_is_run_with_any_policy_and_the_same_seeds_give_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("small.toml");
    fs::write(&file, SCENARIO).expect("a file");
    for policy in [
        "adaptive",
        "classic",
        "weighted-round-robin",
        "consistent-hash",
        "round-robin",
        "least-request-outlier",
        "peak-ewma-breaker",
    ] {
        let arguments = [
            "simulate",
            path(&file),
            "--policy",
            policy,
            "--seeds",
            "3",
            "--json",
        ];
        let text = good(&arguments);
        assert_eq!(text, good(&arguments));
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&value["scenario"], &value["policy"]),
            (&"small".into(), &policy.into())
        );
        assert_eq!(value["seeds"], 3);
        assert!(
            value["metrics"]["share_after_fault"]["0"]["mean"].is_number(),
            "{value}"
        );
        assert_eq!(value["metrics"]["readmission_s"], serde_json::json!({}));
    }
    let drawing = folder.path().join("small.svg");
    let text = good(&["simulate", path(&file), "--seeds", "2", "--svg", path(&drawing)]);
    let drawn = fs::read_to_string(&drawing).expect("a drawing");
    assert!(drawn.starts_with("<svg ") && drawn.contains("latency, ms"));
    for words in ["small", "errors", "p99", "black_hole"] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn scenario_that_cannot_be_run_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    fs::write(&file, SCENARIO.replace("nodes = [0]", "nodes = [4]")).expect("a file");
    let (code, _, error) = run(&["simulate", path(&file)]);
    assert_eq!(code, 2);
    assert!(error.contains("wrong.toml:12: there is no node 4"), "{error}");
    let (code, _, error) = run(&["simulate", path(&folder.path().join("none.toml"))]);
    assert!(code == 2 && error.contains("none.toml"), "{error}");
    fs::write(&file, SCENARIO).expect("a file");
    let (code, _, error) = run(&["simulate", path(&file), "--policy", "clasic"]);
    assert!(code == 2 && error.contains("peak-ewma-breaker"), "{error}");
}

#[test]
fn thresholds_come_from_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, config) = (folder.path().join("small.toml"), folder.path().join("agent.toml"));
    fs::write(&file, SCENARIO).expect("a file");
    fs::write(&config, "[policy]\nname = 'classic'\nprobe_num = 100\n").expect("a file");
    let share = |more: &[&str]| {
        let arguments = [&["simulate", path(&file), "--seeds", "2", "--json"], more].concat();
        let (code, value) = run_json(&arguments);
        assert_eq!(code, 0, "{value}");
        value["metrics"]["share_after_fault"]["0"]["mean"]
            .as_f64()
            .expect("a share")
    };
    let (usual, seldom) = (
        share(&["--policy", "classic"]),
        share(&["--config", path(&config)]),
    );
    assert!(usual > 0.08 && seldom < 0.06, "{usual} and {seldom}");
}
