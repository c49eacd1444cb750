//! The adaptive policy, rule by rule: what happens to a node goes in, what the agent is told comes out.

use crate::adaptive_bench::Told::{Grant, Publish};
use crate::adaptive_bench::{Bench, Told};
use lars_shard::PolicyConfig;
use lars_wire::caller::NodeView::{Idle, Overloaded, Probing};
use lars_wire::caller::Outcome::{Cancelled, Failed, Ok, TimedOut};

fn exact() -> PolicyConfig {
    PolicyConfig {
        back_off_jitter: Some(0.0),
        // A node of a hundred calls a second misses enough of them in a second.
        probe_share: Some(0.01),
        ..PolicyConfig::default()
    }
}

/// Without what only changes costs.
fn standing(told: Vec<Told>) -> Vec<Told> {
    told.into_iter().filter(|told| *told != Told::Refresh).collect()
}

/// Four nodes of which each answered for two seconds, 100 calls a second each.
fn four() -> Bench {
    let mut bench = Bench::new(4, exact());
    assert_eq!(standing(bench.answer(&[1, 2, 3, 4], 10, 200)), []);
    bench
}

#[test]
fn fifth_failure_in_a_row_ejects_and_a_success_before_it_begins_anew() {
    let mut bench = four();
    bench.end(1, Failed, 1, 4);
    bench.end(1, Ok, 10, 1);
    bench.end(1, Failed, 1, 4);
    bench.end(1, Cancelled, 1, 9);
    assert_eq!(standing(bench.pass(10)), []);
    bench.end(1, Failed, 1, 1);
    assert_eq!(standing(bench.due()), [Publish], "at once, not at the next look");
    assert_eq!(bench.views(), [Overloaded, Idle, Idle, Idle]);
    let line = bench.explain(1);
    assert_eq!(line.reason, "5 failures in a row (limit 5), 0 of them time-outs");
    assert_eq!((line.since_ms, line.next_probe_ms), (0, Some(4_000)));
    let order: Vec<_> = bench.entry().iter().map(|node| node.view).collect();
    assert_eq!(order, [Idle, Idle, Idle, Overloaded]);
}

#[test]
fn longer_run_is_needed_where_the_others_fail_too() {
    let mut bench = four();
    for round in 0..1_200 {
        for node in 1..=4 {
            let outcome = if round % 4 == 3 { Failed } else { Ok };
            bench.end(node, outcome, 10, 1);
        }
        assert_eq!(standing(bench.pass(10)), [], "all fail alike");
    }
    // One in four by chance: ten in a row are one in a million.
    for node in 1..=4 {
        bench.end(node, Ok, 10, 1);
    }
    bench.end(1, Failed, 10, 8);
    assert_eq!(standing(bench.pass(10)), []);
    bench.end(1, Failed, 10, 3);
    assert_eq!(standing(bench.pass(10)), [Publish]);
}

#[test]
fn node_that_fails_half_is_ejected_by_its_rate_and_noise_is_not() {
    let mut bench = four();
    let mut after = 0;
    while bench.views()[0] == Idle {
        bench.end(1, if after % 2 == 0 { Failed } else { Ok }, 1, 1);
        bench.end(2, if after % 20 == 0 { Failed } else { Ok }, 10, 1);
        bench.answer(&[3, 4], 10, 1);
        after += 1;
        assert!(after < 400, "half of all calls fail");
    }
    assert!(bench.explain(1).reason.contains("calls failed: surely more than"));
    for round in 0..2_000 {
        bench.end(2, if round % 20 == 0 { Failed } else { Ok }, 10, 1);
        bench.answer(&[3, 4], 10, 1);
    }
    assert_eq!(bench.views()[1..], [Idle, Idle, Idle]);
}

#[test]
fn fast_failures_make_a_node_dearer_and_never_cheaper() {
    let mut bench = four();
    let before = bench.explain(1).cost_us;
    for _ in 0..20 {
        bench.end(1, Failed, 0, 1);
        bench.end(1, Ok, 10, 9);
        bench.answer(&[2, 3, 4], 10, 1);
    }
    let after = bench.explain(1).cost_us;
    assert_eq!(bench.views()[0], Idle);
    assert!(
        f64::from(after) > 1.4 * f64::from(before),
        "{after} from {before}"
    );
}

#[test]
fn node_much_slower_than_the_others_is_ejected_and_one_somewhat_slower_is_not() {
    let mut bench = four();
    for _ in 0..200 {
        bench.end(1, Ok, 300, 1);
        bench.end(2, Ok, 40, 1);
        bench.answer(&[3, 4], 10, 10);
    }
    assert_eq!(bench.views(), [Overloaded, Idle, Idle, Idle]);
    let reason = bench.explain(1).reason;
    assert!(reason.contains("times slower than usual"), "{reason}");
}

#[test]
fn calls_that_do_not_come_back_eject_long_before_they_time_out() {
    let mut bench = four();
    bench.in_flight[0] = 3;
    let mut waited = 0;
    while bench.views()[0] == Idle {
        bench.answer(&[2, 3, 4], 10, 1);
        waited += 10;
        assert!(waited < 500, "{:?}", bench.explain(1));
    }
    assert!(bench.explain(1).reason.starts_with("3 calls not answered"));
    // What it answers now is what it was ejected for.
    bench.end(1, Ok, waited, 3);
    assert_eq!(standing(bench.answer(&[2, 3, 4], 10, 5)), []);
    assert_eq!(bench.views()[0], Overloaded);
}

#[test]
fn node_stands_back_while_it_is_silent_and_before_that_is_sure() {
    let mut bench = four();
    let warmth = |bench: &mut Bench| {
        let lowest = bench.entry().iter().map(|node| node.hot.warmth).min();
        lowest.expect("nodes")
    };
    bench.in_flight[0] = 1;
    bench.answer(&[2, 3, 4], 10, 5);
    assert_eq!((warmth(&mut bench), bench.views()[0]), (1, Idle));
    bench.in_flight[0] = 0;
    bench.answer(&[1, 2, 3, 4], 10, 1);
    assert_eq!(warmth(&mut bench), 255);
}

#[test]
fn reports_that_get_lost_neither_hide_nor_kill_a_node() {
    let mut bench = Bench::new(4, exact());
    // One report in ten is lost: after some seconds each node holds calls that never end.
    for round in 0..3_000_u32 {
        for node in 0..4 {
            bench.in_flight[node] = 12.min(round / 100) + u32::from((round + node as u32).is_multiple_of(7));
        }
        assert_eq!(standing(bench.answer(&[1, 2, 3, 4], 10, 1)), []);
    }
    // A node that is dead all the same is found.
    for _ in 0..100 {
        bench.in_flight[0] += 1;
        bench.answer(&[2, 3, 4], 10, 1);
    }
    assert_eq!(bench.views(), [Overloaded, Idle, Idle, Idle]);
}

#[test]
fn ejected_node_is_probed_once_in_each_wait_and_waits_longer_after_each_failure() {
    let mut bench = four();
    bench.answer(&[2, 3, 4], 10, 110);
    bench.end(1, TimedOut, 1_000, 5);
    bench.due();
    let mut grants = Vec::new();
    let ejected = bench.now;
    while grants.len() < 4 {
        for told in bench.answer(&[2, 3, 4], 10, 1) {
            if let Grant(node) = told {
                assert_eq!((node, bench.views()[0]), (1, Probing));
                grants.push((bench.now - ejected).as_millis());
                bench.end_probe(1, TimedOut, 1_000);
            }
        }
    }
    let waits: Vec<_> = grants.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((4_000..4_030).contains(&grants[0]), "{grants:?}");
    for (wait, wanted) in waits.iter().zip([5_560, 7_728, 10_742]) {
        assert!((wanted..wanted + 30).contains(wait), "{waits:?}");
    }
}

#[test]
fn answered_probe_takes_a_node_back_slowly_and_two_failures_at_once_send_it_away_again() {
    let mut bench = four();
    bench.end(1, Failed, 1, 5);
    bench.due();
    while !bench.answer(&[2, 3, 4], 10, 1).contains(&Grant(1)) {}
    bench.end_probe(1, Ok, 10);
    assert_eq!(standing(bench.due()), [Publish]);
    assert_eq!(bench.explain(1).reason, "a probe was answered");
    let warmth = |bench: &mut Bench| bench.entry()[0].hot.warmth;
    assert_eq!(warmth(&mut bench), 127, "a half");
    bench.answer(&[1, 2, 3, 4], 10, 50);
    assert!((185..197).contains(&warmth(&mut bench)));
    bench.answer(&[1, 2, 3, 4], 10, 60);
    assert_eq!(warmth(&mut bench), 255);
    // Long after its probation two failures are nothing.
    bench.end(1, Failed, 1, 2);
    assert_eq!(standing(bench.pass(10)), []);

    let mut bench = four();
    bench.end(1, Failed, 1, 5);
    bench.due();
    while !bench.answer(&[2, 3, 4], 10, 1).contains(&Grant(1)) {}
    bench.end_probe(1, Ok, 10);
    bench.pass(10);
    bench.end(1, Failed, 1, 2);
    assert_eq!(standing(bench.due()), [Publish]);
    let line = bench.explain(1);
    assert_eq!(
        line.reason,
        "taken back, and failed at once (2 failed or slow calls)"
    );
    assert_eq!(line.next_probe_ms, Some(20_000));
}

#[test]
fn half_of_the_nodes_at_most_are_out_for_failures_while_they_answer_at_all() {
    let mut bench = Bench::new(10, exact());
    let all: Vec<u32> = (1..=10).collect();
    bench.answer(&all, 10, 100);
    for round in 0..1_000 {
        for node in 1..=6 {
            bench.end(node, if round % 2 == 0 { Failed } else { Ok }, 10, 1);
        }
        bench.answer(&[7, 8, 9, 10], 10, 1);
        let out = bench.views().iter().filter(|view| **view != Idle).count();
        assert!(out <= 5, "{:?}", bench.views());
    }
    let kept = (1..=6).filter(|&node| bench.explain(node).reason.ends_with("too many others are out"));
    assert!(kept.count() >= 1);
}

#[test]
fn nodes_that_only_time_out_are_out_however_many_and_all_are_used_where_none_answers() {
    let mut bench = Bench::new(10, exact());
    let all: Vec<u32> = (1..=10).collect();
    bench.answer(&all, 10, 100);
    bench.answer(&[1], 10, 110);
    for node in 2..=10 {
        bench.end(node, TimedOut, 1_000, 6);
        bench.answer(&[1], 10, 1);
    }
    assert_eq!(bench.views()[1..], [Overloaded; 9]);
    assert_eq!(bench.views()[0], Idle);
    bench.pass(1_100);
    bench.end(1, TimedOut, 1_000, 6);
    assert_eq!(standing(bench.due()), [Publish]);
    assert_eq!(bench.views(), [Idle; 10]);
    assert!(bench.explain(5).reason.starts_with("used for want of others"));
    // One answers: the others are judged by what comes from now on.
    bench.pass(1_100);
    for node in 2..=10 {
        bench.end(node, TimedOut, 1_000, 6);
    }
    assert_eq!(standing(bench.pass(10)), []);
    bench.end(1, Ok, 10, 1);
    assert_eq!(standing(bench.pass(10)), []);
    bench.answer(&[1], 10, 110);
    for node in 2..=10 {
        bench.end(node, TimedOut, 1_000, 6);
    }
    bench.answer(&[1], 10, 1);
    assert_eq!(bench.views()[1..], [Overloaded; 9]);
}

#[test]
fn node_whose_grants_nobody_takes_is_left_ajar_and_taken_back_by_an_answer() {
    let mut bench = four();
    bench.end(1, Failed, 1, 5);
    bench.due();
    while !bench.answer(&[2, 3, 4], 10, 1).contains(&Grant(1)) {}
    assert_eq!(standing(bench.answer(&[2, 3, 4], 10, 499)), []);
    assert_eq!(standing(bench.answer(&[2, 3, 4], 10, 2)), [Publish]);
    let first = bench.entry()[0];
    assert_eq!((first.view, first.hot.warmth), (Idle, 1));
    bench.end(1, Failed, 1, 1);
    assert_eq!(bench.views()[0], Overloaded, "it counts as the probe");
}
