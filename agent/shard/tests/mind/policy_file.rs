//! `[policy]` as it stands in a configuration file: what is read, and what is refused with a reason.

use lars_shard::{PolicyConfig, PolicyName, Preset};

fn read(text: &str) -> Result<PolicyConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn every_key_is_read_and_written_back() {
    let config = PolicyConfig {
        name: Some(PolicyName::Classic),
        preset: Some(Preset::Elb),
        probe_num: Some(11),
        err_rate: Some(0.15),
        contin_err_limit: Some(16),
        init_succ_cnt: Some(181),
        init_err_cnt: Some(6),
        succ_rate: Some(0.55),
        contin_succ_limit: Some(17),
        overload_timeout_ms: Some(16_000),
        idle_timeout_ms: Some(17_000),
        window_err_rate: Some(0.75),
        window_err_limit: Some(3),
    };
    let text = toml::to_string(&config).expect("it is plain");
    assert_eq!(text.lines().count(), 13, "{text}");
    assert_eq!(read(&text), Ok(config));
    assert_eq!(read(""), Ok(PolicyConfig::default()));
    assert_eq!(toml::to_string(&PolicyConfig::default()), Ok(String::new()));
}

#[test]
fn unknown_keys_policies_and_presets_are_refused_with_those_there_are() {
    for (text, parts) in [
        ("name = \"adaptive\"", ["adaptive", "classic"]),
        ("preset = \"nginx\"", ["nginx", "elb"]),
        ("err_rat = 0.1", ["err_rat", "err_rate"]),
        (
            "overload_timeout = 15",
            ["overload_timeout", "overload_timeout_ms"],
        ),
        ("probe_num = 65536", ["65536", "u16"]),
    ] {
        let error = read(text).expect_err(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}
