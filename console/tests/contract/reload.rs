//! SIGHUP: the agent's policies are read again; a file that is not good is refused and changes nothing.

use crate::lars::{Running, eventually, good, path, run_json};
use std::path::Path;
use std::process::Stdio;

/// `[policy]` and `[[module]]` as the tests write them.
fn configuration(contin_err_limit: &str, rest: &str) -> String {
    format!("[policy]\nname = \"classic\"\ncontin_err_limit = {contin_err_limit}\n{rest}")
}

/// Reports one failed call of 1.1 to the node until it is refused; how many that took, at most `calls_max`.
fn failures_until_overloaded(data: &str, module: &str, calls_max: u32) -> u32 {
    for calls in 1..=calls_max {
        good(&[
            "report-call",
            "1",
            module,
            "10.0.0.1:7777",
            "--failed",
            "--data",
            data,
        ]);
        // The next command comes over another connection: the report may still be on its way to the module's core.
        let (_, explained) = run_json(&["explain", "1", module, "--json", "--data", data]);
        if explained["nodes"][0]["state"] == "overloaded" {
            return calls;
        }
    }
    calls_max
}

fn log_says(log: &Path, words: &[&str]) {
    eventually(&format!("the log says {words:?}"), || {
        let text = std::fs::read_to_string(log).expect("the log");
        words.iter().all(|word| text.contains(word)).then_some(())
    });
}

#[test]
fn hangup_reads_policies_again_and_a_bad_file_is_refused_with_file_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, log, data) = (
        folder.path().join("lars.toml"),
        folder.path().join("log"),
        folder.path().join("data"),
    );
    std::fs::write(&file, configuration("1000", "")).expect("written");
    let stderr = Stdio::from(std::fs::File::create(&log).expect("a log"));
    let args = [
        "up",
        "--port",
        "0",
        "--data",
        path(&data),
        "--config",
        path(&file),
        "--io",
        "epoll",
    ];
    let up = Running::start_logging(&args, stderr);
    let data = path(&data);
    for module in ["1", "2", "3"] {
        good(&["route", "add", "1", module, "10.0.0.1:7777", "--data", data]);
        good(&["pick", "1", module, "--data", data]);
    }
    assert_eq!(
        failures_until_overloaded(data, "1", 8),
        8,
        "a thousand are allowed"
    );

    // A file with a mistake: told with its place, and nothing changes.
    std::fs::write(&file, configuration("0", "")).expect("written");
    up.hear("HUP");
    log_says(&log, &["refused", "lars.toml", "contin_err_limit = 0"]);
    assert_eq!(failures_until_overloaded(data, "2", 8), 8);
    std::fs::write(&file, "[policy]\nno_such_key = 1\n").expect("written");
    up.hear("HUP");
    log_says(&log, &["no_such_key"]);

    // A good one: in force without a restart, and what else it changed is named.
    let module = "[[module]]\nmodid = 1\ncmdid = 3\n[module.overrides]\ncontin_err_limit = 1000\n[dns]\nlisten = \"127.0.0.1:1\"\n";
    std::fs::write(&file, configuration("2", module)).expect("written");
    up.hear("HUP");
    log_says(&log, &["[dns]", "restart"]);
    let told = std::fs::read_to_string(&log).expect("the log");
    assert!(
        !told.contains("[agent]"),
        "what the command line says is no change of the file: {told}"
    );
    assert_eq!(
        failures_until_overloaded(data, "1", 8),
        1,
        "eight were counted before"
    );
    assert_eq!(failures_until_overloaded(data, "3", 8), 8);
    up.terminate();
}
