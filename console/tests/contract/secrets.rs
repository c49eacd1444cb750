//! A password is used and never shown: planted in every way in which it can come, and looked for in everything that
//! the programs say and in what other users of the machine see of them.

use crate::lars::{PATIENCE, addresses, command, eventually, http, path, run};
use crate::mysql::{database, run_on};
use lars_store::mysql::migrate::migrate;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

/// Nothing else says this.
const PLANTED: &str = "hunter2planted";

/// An account of its own with the planted password, and its URL with and without it.
fn account() -> (String, String) {
    let url = database();
    crate::mysql::wait(async { migrate(&url, false).await.map_err(|error| error.to_string()) });
    let name = url
        .split('/')
        .nth(3)
        .and_then(|rest| rest.split('?').next())
        .expect("a name");
    run_on(
        &url,
        &format!(
            "CREATE OR REPLACE USER '{name}'@'%' IDENTIFIED BY '{PLANTED}'; GRANT ALL ON {name}.* TO '{name}'@'%'"
        ),
    );
    let authority = url.split('/').nth(2).expect("an account and a host");
    let host = authority.rsplit('@').next().expect("a host");
    let with = url.replacen(authority, &format!("{name}:{PLANTED}@{host}"), 1);
    let without = url.replacen(authority, &format!("{name}@{host}"), 1);
    (with, without)
}

fn assert_hidden(what: &str, text: &str) {
    assert!(!text.contains(PLANTED), "{what} shows the password: {text}");
}

/// Ended with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // Ended already where the test came so far.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn running_lars_shows_its_password_to_nobody() {
    let ((with, without), folder) = (account(), tempfile::tempdir().expect("a folder"));
    let log = std::fs::File::create(folder.path().join("log")).expect("a log");
    let data = folder.path().join("data");
    let child = command(&["up", "--port", "0", "--data", path(&data), "--mysql", &with])
        .env("LARS_LOG", "trace")
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut up = Started(child);
    eventually("it is ready", || {
        data.join("addresses.json").exists().then_some(())
    });
    let seen = std::fs::read_to_string(format!("/proc/{}/cmdline", up.0.id())).expect("its arguments");
    assert_hidden("the list of processes", &seen);
    assert!(
        seen.contains(&without) && seen.contains("--port"),
        "all else is there: {seen}"
    );
    let program = std::fs::read_to_string(format!("/proc/{}/comm", up.0.id())).expect("its name");
    assert_eq!(program, "lars\n", "it is found by its name");
    let (code, status, _) = run(&["status", "--data", path(&data)]);
    assert_eq!(code, 0, "{status}");
    assert_hidden("status", &status);
    let admin = addresses(&data)["admin"].as_str().expect("an address").to_owned();
    assert_hidden("metrics", &http(&admin, "/metrics"));
    up.0.kill().expect("killed");
    up.0.wait().expect("ended");
    assert_hidden(
        "the log",
        &std::fs::read_to_string(folder.path().join("log")).expect("a log"),
    );
}

#[test]
fn no_text_about_a_database_shows_its_password() {
    let (with, _) = account();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
    let good = file("good.toml", &format!("[store]\nmysql_url = \"{with}\"\n"));
    let misspelt = file("misspelt.toml", &format!("[store]\nmysql_ur = \"{with}\"\n"));
    let wrong_key = file("key.toml", &format!("[store]\nmysql_password = \"{PLANTED}\"\n"));
    let no_url = file(
        "url.toml",
        &format!("[store]\nmysql_url = \"mysql://lars:{PLANTED}/x@h\"\n"),
    );
    let wrong_password = with.replace(PLANTED, &format!("{PLANTED}not"));
    let away = format!("mysql://lars:{PLANTED}@127.0.0.1:1/lars");
    let parameter = format!("mysql://lars:x?{PLANTED}@h/d");
    for (code, args) in [
        (0, vec!["check", &text(&good), "--print"]),
        (2, vec!["check", &text(&misspelt)]),
        (2, vec!["check", &text(&wrong_key)]),
        (2, vec!["check", &text(&no_url)]),
        (2, vec!["dns", "--config", &text(&no_url)]),
        (2, vec!["migrate", "--mysql", &wrong_password]),
        (
            2,
            vec![
                "up",
                "--port",
                "0",
                "--data",
                &text(folder.path()),
                "--mysql",
                &wrong_password,
            ],
        ),
        (5, vec!["migrate", "--mysql", &away]),
        (5, vec!["route", "check", "--mysql", &away]),
        (2, vec!["migrate", "--mysql", &parameter]),
        (2, vec!["migrate", &with]),
        (2, vec!["migrate", "--mysql", &with, "--colour"]),
    ] {
        let (found, stdout, stderr) = run(&args);
        assert_eq!(found, code, "{stdout}{stderr}");
        assert_hidden(args[0], &format!("{stdout}{stderr}"));
        assert!(
            !stdout.is_empty() || !stderr.is_empty(),
            "{args:?} says something"
        );
    }
}

#[test]
fn password_comes_from_the_environment_or_a_file_and_a_service_takes_both() {
    let (with, without) = account();
    let done = |command: &mut std::process::Command| {
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = done(command(&["migrate"]).env("LARS_MYSQL", &with));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = done(command(&["migrate", "--mysql", &without]).env("LARS_MYSQL_PASSWORD", PLANTED));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = done(command(&["migrate", "--mysql", &without]).env("LARS_MYSQL_PASSWORD", ""));
    assert!(code == Some(2) && text.contains("denied"), "{code:?} {text}");
    let (code, text) = done(&mut command(&["migrate"]));
    assert!(code == Some(2) && text.contains("LARS_MYSQL"), "{code:?} {text}");

    let folder = tempfile::tempdir().expect("a folder");
    let (secret, config) = (folder.path().join("secret"), folder.path().join("dns.toml"));
    std::fs::write(&secret, format!("{PLANTED}\n")).expect("written");
    let local = "[dns]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\npin = false\n";
    let store = format!(
        "[store]\nmysql_url = \"{without}\"\nmysql_password_path = \"{}\"\n",
        path(&secret)
    );
    std::fs::write(&config, format!("{local}{store}")).expect("written");
    let starts = |command: &mut std::process::Command| {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let mut dns = Started(child);
        let begun = Instant::now();
        let mut line = String::new();
        let stdout = dns.0.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
        assert!(
            line.starts_with("listening") && begun.elapsed() < PATIENCE,
            "{line:?}"
        );
        let admin = line.trim().rsplit(' ').next().expect("an address").to_owned();
        eventually("it has read the store", || {
            http(&admin, "/readyz").contains("200 OK").then_some(())
        });
    };
    starts(&mut command(&["dns", "--config", path(&config)]));
    let embedded = folder.path().join("embedded.sqlite");
    let store = format!("[store]\nsqlite_path = \"{}\"\n", path(&embedded));
    std::fs::write(&config, format!("{local}{store}")).expect("written");
    starts(
        command(&["dns", "--config", path(&config)])
            .env("LARS_MYSQL", &without)
            .env("LARS_MYSQL_PASSWORD", PLANTED),
    );
    assert!(!embedded.exists(), "the environment names another store");
}
