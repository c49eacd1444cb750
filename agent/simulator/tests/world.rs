//! The world against what is known of it: queues, faults, the route, losses, and that the same seed is the same run.

use lars_simulator::{Compared, Estimate, Figures, Policy, Report, Scenario, run, simulate};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

const ROUND_ROBIN: Policy = Policy::Compared(Compared::RoundRobin);

fn classic() -> Policy {
    Policy::named("classic", &lars_shard::PolicyConfig::default()).expect("a policy")
}

fn scenario(head: &str, nodes: &str, events: &str) -> Scenario {
    let text = format!("name = 't'\ntimeout_ms = 1000\n{head}\n[[nodes]]\n{nodes}\n{events}");
    Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn event(at: f64, nodes: &str, what: &str) -> String {
    format!("[[events]]\nat_s = {at}\nnodes = {nodes}\ndo = {what}\n")
}

fn once(scenario: &Scenario, policy: &Policy) -> Figures {
    run(scenario, policy, 1, Instant::now(), false)
        .expect("a run")
        .figures
}

fn report(scenario: &Scenario, policy: &Policy, seeds: u64, threads: usize) -> Report {
    let threads = NonZeroUsize::new(threads).expect("a thread");
    let (report, _) = simulate(scenario, policy, seeds, threads, Instant::now(), false).expect("runs");
    report
}

const TEN: &str = "count = 10\nworkers = 8\nservice_ms = { kind = 'exponential', mean = 10 }";
const HEAD: &str = "duration_s = 60\nwarmup_s = 10\nrate_per_s = 500";

#[test]
fn one_worker_queues_as_queueing_theory_says() {
    // M/M/1 at 50%: the time in the system is exponential with mean 1 / (mu - lambda) = 20 ms.
    let head = "duration_s = 4000\nwarmup_s = 100\nrate_per_s = 50\nreaders = 1";
    let nodes = "count = 1\nworkers = 1\nservice_ms = { kind = 'exponential', mean = 10 }";
    let figures = once(&scenario(head, nodes, ""), &ROUND_ROBIN);
    let quantile = |share: f64| -20.0 * (1.0_f64 - share).ln();
    for (value, share) in [(figures.p50_ms, 0.5), (figures.p99_ms, 0.99)] {
        let ratio = value.expect("a latency") / quantile(share);
        assert!((0.95..1.05).contains(&ratio), "{value:?} for {}", quantile(share));
    }
    assert_eq!(figures.errors_share, Some(0.0));
    assert!(
        (figures.calls as f64 / (3_900.0 * 50.0) - 1.0).abs() < 0.01,
        "{}",
        figures.calls
    );
}

#[test]
fn timed_out_call_keeps_its_worker_until_it_is_done() {
    // One worker, a call takes 1.5 s and is given up after 1 s: nothing ever succeeds, and the worker is never early.
    let head = "duration_s = 100\nwarmup_s = 0\nrate_per_s = 2";
    let nodes = "count = 1\nworkers = 1\nservice_ms = { kind = 'constant', mean = 1500 }";
    let figures = once(&scenario(head, nodes, ""), &ROUND_ROBIN);
    assert_eq!((figures.errors_share, figures.p50_ms), (Some(1.0), Some(1_000.0)));
    // With the slowness gone the queue that was left behind is worked off first: 60 s x 2 calls wait for 10 ms each.
    let events = event(0.0, "[0]", "'slow'\nfactor = 150") + &event(60.0, "[0]", "'heal'");
    let nodes = "count = 1\nworkers = 1\nservice_ms = { kind = 'constant', mean = 10 }";
    let figures = once(&scenario(head, nodes, &events), &ROUND_ROBIN);
    let errors = figures.errors_share.expect("errors");
    assert!((0.58..0.64).contains(&errors), "{errors}");
}

#[test]
fn round_robin_gives_a_dead_node_its_share_and_every_such_call_times_out() {
    let figures = once(
        &scenario(HEAD, TEN, &event(20.0, "[3]", "'black_hole'")),
        &ROUND_ROBIN,
    );
    let share = figures.share_after_fault[3].expect("a share");
    assert!((share - 0.1).abs() < 1e-3, "{share}");
    assert!((figures.errors_share.expect("errors") - 0.08).abs() < 2e-3);
    assert_eq!((figures.p99_ms, figures.refused), (Some(1_000.0), 0));
}

#[test]
fn flapping_node_is_away_for_its_part_of_the_time() {
    let events = event(10.0, "[0]", "'flap'\nup_s = 3\ndown_s = 1");
    let figures = once(&scenario(HEAD, TEN, &events), &ROUND_ROBIN);
    // A tenth of calls, a quarter of the time, and what was under way when it went down.
    let errors = figures.errors_share.expect("errors");
    assert!((0.024..0.028).contains(&errors), "{errors}");
    assert!((figures.goodput_share.expect("goodput") - (1.0 - errors)).abs() < 1e-9);
}

#[test]
fn fast_failures_and_noise_fail_their_share() {
    let events =
        event(0.0, "[0]", "'fail'\nshare = 0.5\nin_ms = 1") + &event(0.0, "[1]", "'noise'\nshare = 0.2");
    let figures = once(&scenario(HEAD, TEN, &events), &ROUND_ROBIN);
    let errors = figures.errors_share.expect("errors");
    assert!((errors - 0.07).abs() < 0.005, "{errors}");
}

#[test]
fn node_outside_of_the_route_gets_no_calls_and_one_that_leaves_serves_what_it_has() {
    let events =
        event(20.0, "[0]", "'add'") + &event(40.0, "[1]", "'remove'") + &event(30.0, "[2]", "'drain'");
    for policy in [
        ROUND_ROBIN,
        classic(),
        Policy::Compared(Compared::LeastRequestOutlier),
        Policy::Compared(Compared::PeakEwmaBreaker),
    ] {
        let figures = once(&scenario(HEAD, TEN, &events), &policy);
        let share = |node: usize| figures.share_of_calls[node].expect("a share");
        let name = policy.name();
        assert!((share(0) - 0.8 / 9.5).abs() < 0.02, "{name}: {}", share(0));
        assert!((share(1) - 0.6 / 9.3).abs() < 0.02, "{name}: {}", share(1));
        assert!((share(2) - 0.4 / 9.3).abs() < 0.02, "{name}: {}", share(2));
        assert!(
            figures.share_after_fault[1].expect("after it left") < 1e-3,
            "{name}"
        );
        assert_eq!(figures.errors_share, Some(0.0), "{name}");
    }
}

#[test]
fn module_whose_last_node_leaves_refuses_until_one_comes() {
    let nodes = "count = 1\nworkers = 800\nservice_ms = { kind = 'constant', mean = 1 }";
    let events = event(20.0, "[0]", "'remove'") + &event(50.0, "[0]", "'add'");
    for policy in [
        ROUND_ROBIN,
        classic(),
        Policy::Compared(Compared::LeastRequestOutlier),
        Policy::Compared(Compared::PeakEwmaBreaker),
    ] {
        let figures = once(&scenario(HEAD, nodes, &events), &policy);
        let refused = figures.refused as f64 / figures.calls as f64;
        assert!((refused - 0.6).abs() < 0.01, "{}: {refused}", policy.name());
        assert_eq!(figures.errors_share, Some(refused));
    }
}

#[test]
fn lost_reports_hide_a_dead_node_and_late_ones_make_it_found_later() {
    let dead = event(20.0, "[0]", "'black_hole'");
    let ejected =
        |more: &str| once(&scenario(&format!("{HEAD}\n{more}"), TEN, &dead), &classic()).first_ejection_s[0];
    let soon = ejected("").expect("ejected");
    let late = ejected("report_delay_ms = 5000").expect("ejected late");
    assert!((late - soon - 5.0).abs() < 0.5, "{soon} and {late}");
    assert_eq!(ejected("report_loss = 1"), None);
}

#[test]
fn classic_sends_every_eleventh_call_to_the_dead_as_the_original_does() {
    let figures = once(
        &scenario(HEAD, TEN, &event(20.0, "[0]", "'black_hole'")),
        &classic(),
    );
    let share = figures.share_after_fault[0].expect("a share");
    assert!((share - 1.0 / 11.0).abs() < 2e-3, "{share}");
    assert_eq!(figures.false_ejections_per_hour, Some(0.0));
}

#[test]
fn compared_policies_do_what_their_papers_promise() {
    let dead = scenario(HEAD, TEN, &event(20.0, "[0]", "'black_hole'"));
    let slow = scenario(HEAD, TEN, &event(20.0, "[0]", "'slow'\nfactor = 10"));
    for compared in [Compared::LeastRequestOutlier, Compared::PeakEwmaBreaker] {
        let policy = Policy::Compared(compared);
        let share = once(&dead, &policy).share_after_fault[0].expect("a share");
        assert!(share < 0.01, "{}: {share} to the dead node", compared.name());
        let share = once(&slow, &policy).share_after_fault[0].expect("a share");
        assert!(share < 0.06, "{}: {share} to the slow node", compared.name());
    }
}

#[test]
fn same_seed_is_the_same_run_whatever_the_threads_and_whenever_it_is_run() {
    let scenario = scenario(
        &format!("{HEAD}\nagents = 3\nreport_loss = 0.1"),
        "count = 5\nworkers = 2\nservice_ms = { kind = 'lognormal', mean = 5, sigma = 1 }",
        &(event(15.0, "[0]", "'black_hole'") + &event(40.0, "[0]", "'heal'")),
    );
    for policy in [classic(), Policy::Compared(Compared::PeakEwmaBreaker)] {
        let once = report(&scenario, &policy, 4, 1);
        assert_eq!(once, report(&scenario, &policy, 4, 3));
        let later = Instant::now() + Duration::from_secs(12_345);
        let (other_origin, _) =
            simulate(&scenario, &policy, 4, NonZeroUsize::MIN, later, false).expect("runs");
        assert_eq!(once, other_origin);
    }
    let figures = |seed| {
        run(&scenario, &classic(), seed, Instant::now(), false)
            .expect("a run")
            .figures
    };
    assert_ne!(figures(1), figures(2));
}

#[test]
fn run_is_the_same_on_every_machine() {
    let scenario = scenario(
        HEAD,
        "count = 4\nworkers = 2\nservice_ms = { kind = 'lognormal', mean = 10, sigma = 0.7 }",
        &event(20.0, "[2]", "'black_hole'"),
    );
    let report = report(&scenario, &Policy::Compared(Compared::PeakEwmaBreaker), 2, 2);
    let text = serde_json::to_string(&report).expect("JSON");
    // Whoever changes the world on purpose changes this file with it.
    assert_eq!(text, include_str!("pinned.json").trim_end(), "the world changed");
}

#[test]
fn json_has_the_keys_that_readers_rely_on() {
    let events = event(20.0, "[0]", "'black_hole'") + &event(40.0, "[0]", "'heal'");
    let value = serde_json::to_value(report(&scenario(HEAD, TEN, &events), &classic(), 2, 2)).expect("JSON");
    assert_eq!(
        (&value["scenario"], &value["policy"], &value["seeds"]),
        (&"t".into(), &"classic".into(), &2.into())
    );
    let metrics = &value["metrics"];
    for key in [
        "errors_share",
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "goodput_share",
        "false_ejections_per_hour",
        "peak_load_over_mean",
    ] {
        for part in ["mean", "low", "high"] {
            assert!(metrics[key][part].is_number(), "{key}.{part}: {metrics}");
        }
    }
    assert_eq!(
        metrics["share_of_calls"].as_object().map(serde_json::Map::len),
        Some(10)
    );
    for key in [
        "share_after_fault",
        "first_ejection_s",
        "readmission_s",
        "peak_share_10s",
    ] {
        assert!(metrics[key]["0"]["mean"].is_number(), "{key}: {metrics}");
        assert_eq!(
            metrics[key].as_object().map(serde_json::Map::len),
            Some(1),
            "{key}"
        );
    }
}

#[test]
fn one_run_has_no_interval() {
    let metrics = report(&scenario(HEAD, TEN, ""), &ROUND_ROBIN, 1, 1).metrics;
    let Some(Estimate {
        mean,
        low,
        high,
        seeds,
    }) = metrics.p50_ms
    else {
        panic!("a median");
    };
    assert!(mean > 5.0);
    assert_eq!((low, high, seeds), (None, None, 1));
}
