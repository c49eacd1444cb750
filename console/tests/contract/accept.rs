//! `lars route accept`: what dns holds back is shown, and released by a person's word.

use crate::lars::{Running, eventually, good, path, run, run_json};
use serde_json::json;

#[test]
fn what_vanished_at_once_is_shown_by_status_and_released_by_accept() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    for cmdid in 1..=25 {
        good(&[
            "route",
            "add",
            "1",
            &cmdid.to_string(),
            "10.0.0.1:80",
            "--data",
            data,
        ]);
    }
    good(&["name", "set", "modid", "1", "shop", "--data", data]);
    let (code, _, stderr) = run(&["route", "accept", "--data", data]);
    assert!(
        code == 3 && stderr.contains("nothing is held back"),
        "{code} {stderr}"
    );
    let (code, nothing) = run_json(&["route", "accept", "--json", "--data", data]);
    assert_eq!(
        (code, nothing),
        (
            3,
            json!({ "waits": false, "held": [], "released": null, "changed": null })
        )
    );

    let foreign = rusqlite::Connection::open(folder.path().join("lars.sqlite")).expect("the file");
    foreign
        .execute("DELETE FROM RouteData WHERE cmdid < 25", ())
        .expect("rows go");
    let status = eventually("status names the command", || {
        let status = good(&["status", "--data", data]);
        (status.contains("lars route accept") && status.contains("24 modules")).then_some(status)
    });
    assert!(status.contains("lars route accept"), "{status}");
    assert_eq!(
        good(&["pick", "1", "3", "--data", data]),
        "10.0.0.1:80\n",
        "it is served as it was"
    );
    let plan = good(&["route", "accept", "--dry-run", "--data", data]);
    assert!(
        plan.contains("shop") && plan.contains("4 modules more") && plan.contains("wait"),
        "{plan}"
    );
    let (code, plan) = run_json(&["route", "accept", "--dry-run", "--json", "--data", data]);
    assert_eq!(
        (code, &plan["waits"], &plan["released"]),
        (0, &json!(true), &json!(null))
    );
    let row = json!({
        "modid": 1, "modid_name": "shop", "cmdid": 24, "cmdid_name": null, "nodes": 1, "vanished": true,
    });
    assert_eq!(
        (plan["held"].as_array().map(Vec::len), &plan["held"][23]),
        (Some(24), &row)
    );

    let done = good(&["route", "accept", "--data", data]);
    assert!(
        done.ends_with("24 modules released, 24 of them changed\n"),
        "{done}"
    );
    eventually("it is gone", || {
        (run(&["pick", "1", "3", "--data", data]).0 == 3).then_some(())
    });
    assert_eq!(good(&["pick", "1", "25", "--data", data]), "10.0.0.1:80\n");
    assert!(!good(&["status", "--data", data]).contains("lars route accept"));
    assert_eq!(run(&["route", "accept", "--data", data]).0, 3);
}
