//! `[policy]` as it stands in a configuration file: what is read, and what is refused with a reason.

use lars_shard::{Policy, PolicyConfig, PolicyName, Preset};

fn read(text: &str) -> Result<PolicyConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn every_key_is_read_and_written_back() {
    let text = r#"
        name = "consistent-hash"
        cost_tau_ms = 1001
        cost_calls_min = 9
        cost_forget_ms = 10001
        failure_charge = 11.0
        failure_run = 6
        failure_rate_max = 0.11
        rate_calls_min = 21
        rate_deviations = 3.6
        rate_window_ms = 10001
        slow_factor = 11.0
        slow_rate_max = 0.51
        silence_errors_per_hour = 0.11
        silence_stand_back = 0.011
        back_off_ms = 4001
        back_off_factor = 1.41
        back_off_max_ms = 15001
        back_off_jitter = 0.11
        probe_share = 0.0026
        probe_wait_max_ms = 60001
        ejected_share_max = 0.51
        panic_share = 0.21
        slow_start_ms = 5001
        slow_start_recovered_ms = 1001
        slow_start_from = 0.31
        retry_percent = 21
        retry_floor = 11
        load_max_percent = 126
        preset = "elb"
        probe_num = 11
        err_rate = 0.15
        contin_err_limit = 16
        init_succ_cnt = 181
        init_err_cnt = 6
        succ_rate = 0.55
        contin_succ_limit = 17
        overload_timeout_ms = 16000
        idle_timeout_ms = 17000
        window_err_rate = 0.75
        window_err_limit = 3
    "#;
    let config = read(text).expect("every key is known");
    assert_eq!(
        (config.name, config.preset),
        (Some(PolicyName::ConsistentHash), Some(Preset::Elb))
    );
    let written = toml::to_string(&config).expect("it is plain");
    let table = |text: &str| text.parse::<toml::Table>().expect("TOML");
    assert_eq!(table(&written), table(text));
    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.over(&PolicyConfig::default()), config);
    assert_eq!(PolicyConfig::default().over(&config), config);
    assert_eq!(read(""), Ok(PolicyConfig::default()));
    assert_eq!(toml::to_string(&PolicyConfig::default()), Ok(String::new()));
    // Every one of them changes what a module is judged by, under the one or the other way of judging.
    for (key, value) in table(text).iter().filter(|(key, _)| *key != "name") {
        let changed = |name: &str| {
            let one = format!(
                "name = \"{name}\"\n{}",
                toml::Table::from_iter([(key.clone(), value.clone())])
            );
            let rule = |text: &str| Policy::new(&read(text).expect("one key"));
            rule(&one) != rule(&format!("name = \"{name}\""))
        };
        assert!(changed("adaptive") || changed("classic"), "{key}");
    }
}

#[test]
fn unknown_keys_policies_and_presets_are_refused_with_those_there_are() {
    for (text, parts) in [
        ("name = \"adaptiv\"", ["adaptiv`", "consistent-hash"]),
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
