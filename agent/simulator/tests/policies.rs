//! Whether our policies do what they are there for, in small: the committed scenarios' shapes, shorter and with fewer calls,
//! against bounds that a policy which works keeps easily and a broken one does not. The exact gates are measured by
//! `cargo bench -p lars-benches --bench scenarios`.

use lars_shard::PolicyConfig;
use lars_simulator::{Estimate, Metrics, Policy, Scenario, simulate};
use std::num::NonZeroUsize;
use std::time::Instant;

const SEEDS: u64 = 2;
/// The policies that are judged by evidence.
const JUDGED: [&str; 3] = ["adaptive", "weighted-round-robin", "consistent-hash"];

/// Ten nodes of eight workers and 10 ms, 300 calls a second, and what happens to them.
fn metrics(policy: &str, head: &str, events: &str) -> Metrics {
    let text = format!(
        "name = 't'\nduration_s = 60\nwarmup_s = 5\nrate_per_s = 300\ntimeout_ms = 1000\n{head}\n[[nodes]]\ncount = 10\n\
         workers = 8\nservice_ms = {{ kind = 'exponential', mean = 10.0 }}\n{events}"
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let policy = Policy::named(policy, &PolicyConfig::default()).expect("a policy");
    let threads = NonZeroUsize::new(2).expect("threads");
    let (report, _) = simulate(&scenario, &policy, SEEDS, threads, Instant::now(), false).expect("runs");
    report.metrics
}

fn event(at: u32, nodes: &str, what: &str) -> String {
    format!("[[events]]\nat_s = {at}\nnodes = {nodes}\ndo = {what}\n")
}

fn mean(estimate: Option<Estimate>) -> f64 {
    estimate.expect("it applies").mean
}

#[test]
fn dead_node_is_found_at_once_and_used_again_when_it_is_back() {
    let events = event(10, "[0]", "'black_hole'") + &event(30, "[0]", "'heal'");
    for policy in JUDGED {
        let metrics = metrics(policy, "", &events);
        let share = mean(metrics.share_after_fault[&0]);
        assert!(share < 0.005, "{policy}: {share} of calls went to it");
        let ejected = mean(metrics.first_ejection_s[&0]);
        assert!(ejected < 2.5, "{policy}: ejected after {ejected} s");
        let readmitted = mean(metrics.readmission_s[&0]);
        assert!(readmitted < 20.0, "{policy}: back after {readmitted} s");
        let errors = mean(metrics.errors_share);
        assert!(errors < 0.002, "{policy}: {errors} of calls failed");
        assert_eq!(mean(metrics.false_ejections_per_hour), 0.0, "{policy}");
    }
}

#[test]
fn node_that_fails_fast_never_looks_attractive() {
    let events = event(10, "[0]", "'fail'\nshare = 0.5\nin_ms = 1");
    for policy in JUDGED {
        let errors = mean(metrics(policy, "", &events).errors_share);
        assert!(errors < 0.006, "{policy}: {errors} of calls failed");
    }
}

#[test]
fn slow_node_is_avoided() {
    let events = event(10, "[0]", "'slow'\nfactor = 30");
    let metrics = metrics("adaptive", "", &events);
    assert!(mean(metrics.p99_ms) < 70.0, "{:?}", metrics.p99_ms);
    assert!(mean(metrics.errors_share) < 0.001, "{:?}", metrics.errors_share);
}

#[test]
fn noise_and_lost_reports_eject_nobody() {
    let all = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let noise = metrics("adaptive", "", &event(0, all, "'noise'\nshare = 0.05"));
    assert_eq!(mean(noise.false_ejections_per_hour), 0.0);
    let lost = metrics("adaptive", "report_loss = 0.1\nreport_delay_ms = 200", "");
    assert_eq!(mean(lost.false_ejections_per_hour), 0.0);
    assert_eq!(mean(lost.errors_share), 0.0);
}

#[test]
fn while_one_node_lives_calls_are_answered_and_when_all_are_back_all_are_used() {
    let most = event(10, "[0, 1, 2, 3, 4, 5, 6, 7, 8]", "'black_hole'");
    let metrics_of = |events: &str| metrics("adaptive", "", events);
    let one_left = metrics_of(&most);
    assert!(
        mean(one_left.goodput_share) > 0.98,
        "{:?}",
        one_left.goodput_share
    );
    assert_eq!(mean(one_left.refused), 0.0);
    let all = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let none_left = metrics_of(&(event(10, all, "'black_hole'") + &event(30, all, "'heal'")));
    assert!(
        mean(none_left.goodput_share) > 0.98,
        "{:?}",
        none_left.goodput_share
    );
    assert_eq!(mean(none_left.refused), 0.0);
}
