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
    // How many of them are held depends on where the sweep stood: what it confirmed before is published.
    eventually("status names the command", || {
        good(&["status", "--data", data])
            .contains("lars route accept")
            .then_some(())
    });
    let (code, plan) = run_json(&["route", "accept", "--dry-run", "--json", "--data", data]);
    assert_eq!(
        (code, &plan["waits"], &plan["released"]),
        (0, &json!(true), &json!(null))
    );
    assert!(plan["held"].as_array().map(Vec::len) >= Some(10), "{plan}");
    let done = good(&["route", "accept", "--data", data]);
    assert!(done.contains("modules released"), "{done}");
    eventually("it is gone", || {
        (run(&["pick", "1", "3", "--data", data]).0 == 3).then_some(())
    });
    assert_eq!(good(&["pick", "1", "25", "--data", data]), "10.0.0.1:80\n");
}
