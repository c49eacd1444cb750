//! Names for people: given, shown beside the numbers, taken away; on the embedded store and on an old database.

use crate::lars::{Running, good, path, run, run_json};
use crate::mysql::{database, run_on};
use serde_json::json;

#[test]
fn name_is_given_shown_beside_the_numbers_and_taken_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = path(folder.path());
    let _up = Running::up(folder.path());
    good(&["route", "add", "7", "8", "10.0.0.1:80", "--data", data]);
    good(&["route", "add", "9", "8", "10.0.0.1:80", "--data", data]);
    let bare = good(&["route", "list", "--data", data]);
    assert!(
        bare.starts_with("modid  cmdid  node"),
        "no names, no columns for them: {bare}"
    );
    assert_eq!(
        good(&["name", "set", "modid", "7", "größe & co", "--data", data]),
        "modid 7: größe & co\n"
    );
    let listed = good(&["route", "list", "--data", data]);
    assert!(
        listed.starts_with("modid  modid_name  cmdid  node") && listed.contains("größe & co"),
        "{listed}"
    );
    assert_eq!(
        good(&["name", "set", "cmdid", "8", "orders", "--data", data]),
        "cmdid 8: orders\n"
    );
    assert_eq!(
        good(&["name", "set", "cmdid", "8", "order", "--data", data]),
        "cmdid 8: order (was orders)\n"
    );
    let (_, rows) = run_json(&["route", "list", "7", "8", "--json", "--data", data]);
    let row = json!({
        "modid": 7, "cmdid": 8, "node": "10.0.0.1:80", "weight": 100, "zone": "", "state": "serving",
        "modid_name": "größe & co", "cmdid_name": "order",
    });
    assert_eq!(rows, json!([row]));
    let (_, rows) = run_json(&["route", "list", "9", "8", "--json", "--data", data]);
    assert_eq!(
        (&rows[0]["modid_name"], &rows[0]["cmdid_name"]),
        (&json!(null), &json!("order"))
    );
    let (code, names) = run_json(&["name", "list", "--json", "--data", data]);
    let of = |of: &str, number: u32, name: &str| json!({ "of": of, "number": number, "name": name });
    assert_eq!(
        (code, names),
        (0, json!([of("modid", 7, "größe & co"), of("cmdid", 8, "order")]))
    );
    let (code, names) = run_json(&["name", "list", "cmdid", "9", "--json", "--data", data]);
    assert_eq!((code, names), (3, json!([])));

    let file = folder.path().join("routes.json");
    std::fs::write(&file, good(&["route", "list", "--json", "--data", data])).expect("written");
    let imported = good(&["route", "import", path(&file), "--data", data]);
    assert!(
        imported.starts_with("0 put"),
        "what was listed is taken, and is there: {imported}"
    );

    let (code, done) = run_json(&["name", "remove", "modid", "7", "--json", "--data", data]);
    let removed = json!({ "of": "modid", "number": 7, "name": null, "before": "größe & co" });
    assert_eq!((code, done), (0, removed));
    let (code, _, stderr) = run(&["name", "remove", "modid", "7", "--data", data]);
    assert!(code == 3 && stderr.contains("has no name"), "{code} {stderr}");
    for bad in ["", " shop", "a\tb", &"x".repeat(256)] {
        let (code, _, stderr) = run(&["name", "set", "modid", "7", bad, "--data", data]);
        assert!(
            code == 2 && stderr.contains("a name has"),
            "{bad:?}: {code} {stderr}"
        );
    }
    assert_eq!(run(&["name", "set", "module", "7", "x", "--data", data]).0, 2);
}

#[test]
fn names_of_an_old_database_are_shown_and_an_edit_by_sql_is_seen_by_the_next_command() {
    let (url, folder) = (database(), tempfile::tempdir().expect("a folder"));
    let data = path(folder.path());
    run_on(&url, include_str!("../../../store/schema/mysql-base.sql"));
    run_on(
        &url,
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (7, 8, 167772161, 80);
         INSERT INTO ModIDConfig (modid, content) VALUES (7, 'shop')",
    );
    let up = Running::start(&["up", "--port", "0", "--data", data, "--mysql", &url]);
    assert!(up.first_line.starts_with("ready"), "{:?}", up.first_line);
    let listed = || good(&["route", "list", "--data", data]);
    assert!(listed().contains("shop"), "{}", listed());
    run_on(&url, "UPDATE ModIDConfig SET content = 'store' WHERE modid = 7");
    assert!(listed().contains("store"), "{}", listed());
    good(&["name", "set", "cmdid", "8", "名前", "--data", data]);
    assert!(listed().contains("名前"), "{}", listed());
    let (code, _, stderr) = run(&["name", "set", "cmdid", "8", "🚀", "--data", data]);
    assert!(
        code == 1 && stderr.contains("utf8mb4"),
        "utf8 of old has no room for it: {code} {stderr}"
    );
    // A listing is worth more than its names.
    run_on(&url, "ALTER TABLE ModIDConfig DROP COLUMN content");
    let (code, stdout, stderr) = run(&["route", "list", "--data", data]);
    assert!(
        code == 0 && stdout.contains("10.0.0.1:80") && stderr.contains("without names"),
        "{stdout}{stderr}"
    );
    up.terminate();
}
