//! Configuration files: what is wrong is told by file, key and reason; the examples are whole and true.

use crate::lars::{good, path, run};
use lars_console::Config;
use lars_shard::{Policy, PolicyConfig, PolicyName};
use std::path::{Path, PathBuf};

fn check(text: &str) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lars.toml");
    std::fs::write(&file, text).expect("written");
    let (code, _, stderr) = run(&["check", path(&file)]);
    assert!(
        code == 0 || stderr.contains("lars.toml"),
        "the file is not named: {stderr}"
    );
    (code, stderr)
}

#[test]
fn wrong_files_are_refused_by_key_and_reason() {
    for (text, words) in [
        ("[agent]\ncolour = 1\n", &["colour", "line 2"][..]),
        ("[kitchen]\n", &["kitchen"]),
        ("[agent]\ncores = \"many\"\n", &["cores", "line 2"]),
        ("[agent]\nmodules_max = 1\n", &["[agent]", "modules_max"]),
        (
            "[dns]\nlisten = \"0.0.0.0:7778\"\n",
            &["[dns]", "listen", "insecure"],
        ),
        ("[compat]\nudp_base = 65534\n", &["[compat]", "udp_base"]),
        (
            "[compat]\naddress = \"0.0.0.0\"\n",
            &["[compat]", "address", "insecure"],
        ),
        ("[report]\nlisten = \"nowhere\"\n", &["listen", "line 2"]),
        ("[policy]\nname = \"best\"\n", &["best", "classic"]),
        ("[policy]\nerr_rate = 7.0\n", &["[policy]", "err_rate"]),
        ("[[module]]\nmodid = 1\n", &["cmdid"]),
        (
            "[[module]]\nmodid = 1\ncmdid = 1\noverrides = { probe_num = 0 }\n",
            &["1.1", "probe_num"],
        ),
        (
            "[[module]]\nmodid = 1\ncmdid = 1\n[[module]]\nmodid = 1\ncmdid = 1\n",
            &["1.1", "twice"],
        ),
        ("[agent\n", &["line 1"]),
    ] {
        let (code, stderr) = check(text);
        assert_eq!(code, 2, "{text}: {stderr}");
        for word in words {
            assert!(
                stderr.contains(word),
                "{text:?}: '{word}' is missing in: {stderr}"
            );
        }
    }
    assert_eq!(check("").0, 0);
    assert_eq!(
        check("[[module]]\nmodid = 1\ncmdid = 1\npolicy = \"classic\"\noverrides = { preset = \"elb\" }\n").0,
        0
    );
}

#[test]
fn service_with_a_wrong_file_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lars.toml");
    std::fs::write(&file, "[agent]\ncolour = 1\n").expect("written");
    for service in ["agent", "dns", "report"] {
        let (code, _, stderr) = run(&[service, "--config", path(&file)]);
        assert!(code == 2 && stderr.contains("colour"), "{service}: {stderr}");
    }
    let (code, _, stderr) = run(&["dns", "--config", path(&folder.path().join("none.toml"))]);
    assert!(code == 2 && stderr.contains("none.toml"), "{stderr}");
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker")
}

/// Every key of a value, with the table it stands in.
fn keys(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => keys(&format!("{prefix}{key}."), inner, found),
            _ => found.push(format!("{prefix}{key}")),
        }
    }
}

#[test]
fn examples_are_taken_and_have_every_key_with_its_default() {
    let defaults = toml::Table::try_from(Config::default()).expect("a configuration is a table");
    for (name, sections) in [
        ("all", &["agent", "compat", "dns", "report", "store"][..]),
        ("agent", &["agent", "compat"]),
        ("dns", &["dns", "store"]),
        ("report", &["report", "store"]),
    ] {
        let file = examples().join(format!("{name}.toml"));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        good(&["check", path(&file)]);
        assert_eq!(
            Config::parse(&text),
            Ok(Config::default()),
            "{name}.toml shows defaults"
        );
        let shown: toml::Table = text.parse().expect("TOML");
        for section in sections {
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            keys(
                "",
                defaults[*section].as_table().expect("a section"),
                &mut expected,
            );
            keys("", shown[*section].as_table().expect("a section"), &mut found);
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{name}.toml [{section}]");
        }
    }
}

#[test]
fn policy_of_the_examples_names_every_key_with_its_default() {
    // What serde says of an unknown key lists those that there are.
    let error = toml::from_str::<PolicyConfig>("colour = 1").expect_err("no such key");
    let all: Vec<String> = error
        .message()
        .split('`')
        .skip(3)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(all.contains(&"probe_share".to_owned()), "{error}");
    for name in ["all", "agent"] {
        let text = std::fs::read_to_string(examples().join(format!("{name}.toml"))).expect("an example");
        let (_, section) = text.split_once("[policy]").expect("a section");
        let (section, _) = section.split_once("[[module]]").expect("the next one");
        let lines = section.lines().filter_map(|line| line.strip_prefix("# "));
        let is_key = |line: &&str| {
            line.split_once(" = ")
                .is_some_and(|(key, _)| all.contains(&key.to_owned()))
        };
        let shown: Vec<&str> = lines.filter(is_key).collect();
        let keys: Vec<&str> = shown
            .iter()
            .filter_map(|line| Some(line.split_once(" = ")?.0))
            .collect();
        assert_eq!(keys, all, "{name}.toml");
        let shown: PolicyConfig = toml::from_str(&shown.join("\n")).expect("a policy");
        for policy in [PolicyName::Adaptive, PolicyName::Classic] {
            let named = |config: &PolicyConfig| PolicyConfig {
                name: Some(policy),
                ..config.clone()
            };
            let default = Policy::new(&named(&PolicyConfig::default()));
            assert_eq!(Policy::new(&named(&shown)), default, "{name}.toml");
        }
    }
}

#[test]
fn whole_configuration_can_be_printed_and_read_back() {
    let printed = good(&["check", path(&examples().join("all.toml")), "--print"]);
    assert_eq!(Config::parse(&printed), Ok(Config::default()));
}
