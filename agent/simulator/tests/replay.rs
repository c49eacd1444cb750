//! Replays of recordings that are made here, so that what must come out is known.

use fastrand::Rng;
use lars_shard::{PolicyConfig, PolicyName};
use lars_simulator::{Policy, Recorded, ReplayReport, replay};
use lars_wire::ModuleId;
use std::fmt::Write;
use std::time::Instant;

/// 1,000 calls a second for 20 s, one node after the other; `answer` says how node n answers at a time in seconds.
fn recording(nodes: u32, answer: impl Fn(u32, f64, &mut Rng) -> (&'static str, u32)) -> String {
    let (mut text, mut random) = (String::new(), Rng::with_seed(7));
    for call in 0..20_000_u32 {
        let node = call % nodes;
        let (outcome, latency_us) = answer(node, f64::from(call) / 1_000.0, &mut random);
        let t_us = call * 1_000 + latency_us;
        writeln!(
            text,
            "{{\"t_us\": {t_us}, \"modid\": 1, \"cmdid\": 2, \"node\": \"10.0.0.{}:80\", \"outcome\": \"{outcome}\", \"latency_us\": {latency_us}}}",
            node + 1
        )
        .expect("a string takes it");
    }
    text
}

fn replayed(text: &str, policy: &str, seeds: u64) -> ReplayReport {
    let recorded = Recorded::parse(text, None).expect("a good recording");
    let policy = Policy::named(policy, &PolicyConfig::default()).expect("a policy");
    replay(&recorded, &policy, seeds, Instant::now()).expect("it runs")
}

/// Node 1 answers nothing from second 5 on; the others take 5 to 15 ms.
fn one_dies(node: u32, at_s: f64, random: &mut Rng) -> (&'static str, u32) {
    if node == 0 && at_s >= 5.0 {
        ("timed_out", 1_000_000)
    } else {
        ("ok", random.u32(5_000..15_000))
    }
}

#[test]
fn same_choices_meet_the_same_answers() {
    let text = recording(10, |_, _, random| {
        if random.f64() < 0.02 {
            ("failed", 1_000)
        } else {
            ("ok", random.u32(5_000..15_000))
        }
    });
    let report = replayed(&text, "round-robin", 5);
    let mean = |estimate: Option<lars_simulator::Estimate>| estimate.expect("it applies").mean;
    let (metrics, before) = (&report.metrics, &report.recorded);
    assert!((mean(metrics.errors_share) - before.errors_share).abs() < 0.004);
    for (replayed, recorded) in [(metrics.p50_ms, before.p50_ms), (metrics.p99_ms, before.p99_ms)] {
        let recorded = recorded.expect("it applies");
        assert!(
            (mean(replayed) / recorded - 1.0).abs() < 0.03,
            "{replayed:?} {recorded}"
        );
    }
    assert!((before.p50_ms.expect("it applies") - 10.0).abs() < 0.5);
    for share in metrics.share_of_calls.values() {
        assert!((mean(*share) - 0.1).abs() < 0.005);
    }
    assert!(mean(metrics.borrowed_share) < 0.001);
    assert!(mean(metrics.beyond_load_share) < 0.02);
}

#[test]
fn policy_that_takes_a_dead_node_out_would_have_spared_its_calls_and_the_limits_are_told() {
    let text = recording(10, one_dies);
    let as_before = replayed(&text, "round-robin", 2);
    assert!((as_before.recorded.errors_share - 0.075).abs() < 0.001);
    let spared = replayed(&text, "least-request-outlier", 2);
    let errors = |report: &ReplayReport| report.metrics.errors_share.expect("it applies").mean;
    assert!(
        (errors(&as_before) - 0.075).abs() < 0.005,
        "{}",
        errors(&as_before)
    );
    assert!(errors(&spared) < 0.02, "{}", errors(&spared));
    assert!(spared.metrics.ejections.expect("it applies").mean >= 1.0);
    let told = spared.cannot_tell.join("\n");
    for word in [
        "load: ",
        "nobody saw",
        "callers: ",
        "the route",
        "report was lost",
    ] {
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn default_policy_replays_and_calls_that_nobody_saw_are_counted() {
    // Node 1 has calls in the first second alone.
    let text: String = recording(10, one_dies)
        .lines()
        .filter(|line| {
            let t_us: u64 = line[9..]
                .split(',')
                .next()
                .expect("a time")
                .parse()
                .expect("a number");
            !line.contains("10.0.0.1:80") || t_us < 1_000_000
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let recorded = Recorded::parse(&text, None).expect("a good recording");
    let policy = Policy::Lars(Box::new(PolicyConfig {
        name: Some(PolicyName::Classic),
        ..PolicyConfig::default()
    }));
    let report = replay(&recorded, &policy, 2, Instant::now()).expect("it runs");
    let borrowed = report.metrics.borrowed_share.expect("it applies").mean;
    assert!((0.08..0.11).contains(&borrowed), "{borrowed}");
    let beyond = report.metrics.beyond_load_share.expect("it applies").mean;
    assert!((0.08..0.11).contains(&beyond), "{beyond}");
    let again = replay(&recorded, &policy, 2, Instant::now()).expect("it runs");
    assert_eq!(report, again, "the same seeds, the same figures");
}

#[test]
fn bad_line_is_told_with_its_number_and_what_is_wrong() {
    let good = "{\"t_us\": 1, \"modid\": 1, \"cmdid\": 2, \"node\": \"10.0.0.1:80\", \"outcome\": \"ok\", \"latency_us\": 1}";
    let error = |line: &str| {
        let text = format!("{good}\n{line}\n");
        let error = Recorded::parse(&text, None).expect_err("it is refused");
        (error.line, error.to_string())
    };
    for (line, word) in [
        ("", "EOF"),
        ("not json", "expected"),
        (&good.replace("10.0.0.1:80", "10.0.0.1"), "is no IP:PORT"),
        (&good.replace("\"ok\"", "\"fine\""), "unknown variant `fine`"),
        (&good.replace("t_us", "t_s"), "unknown field `t_s`"),
        (
            &good.replace(", \"latency_us\": 1", ""),
            "missing field `latency_us`",
        ),
        (&good.replace("\"t_us\": 1", "\"t_us\": -1"), "invalid value"),
    ] {
        let (number, text) = error(line);
        assert_eq!(number, Some(2), "{text}");
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(Recorded::parse("", None).is_err_and(|error| error.line.is_none()));
    let other = good.replace("\"cmdid\": 2", "\"cmdid\": 3");
    let two = format!("{good}\n{other}\n");
    let text = Recorded::parse(&two, None).expect_err("which?").to_string();
    assert!(text.contains("1.2") && text.contains("1.3"), "{text}");
    let one = Recorded::parse(&two, Some(ModuleId::new(1, 3))).expect("it is named");
    assert_eq!((one.calls(), one.module), (1, ModuleId::new(1, 3)));
    assert!(Recorded::parse(&two, Some(ModuleId::new(9, 9))).is_err());
}
