//! Every figure on a history that is made by hand: ten seconds of warm-up, small numbers, and an answer that can be
//! worked out on paper.

use super::*;

const MS: u64 = SECOND / 1_000;

/// Four nodes of one worker that takes a second a call: 4 calls a second at most.
fn scenario(seconds: u64, events: &str) -> Scenario {
    let text = format!(
        "name = 't'\nduration_s = {seconds}\nwarmup_s = 10\nrate_per_s = 4\ntimeout_ms = 1000\n\
         [[nodes]]\ncount = 4\nworkers = 1\nservice_ms = {{ kind = 'constant', mean = 1000 }}\n{events}"
    );
    Scenario::parse(&text).expect("a scenario")
}

fn event(at: u64, node: u32, what: &str) -> String {
    format!("[[events]]\nat_s = {at}\nnodes = [{node}]\ndo = '{what}'\n")
}

/// `per_second[n]` calls to node n in each second of `from..to`, spread over the second; all succeed in 10 ms.
fn calls(history: &mut History, from: u64, to: u64, per_second: &[u64]) {
    for second in from..to {
        for (node, &count) in per_second.iter().enumerate() {
            for call in 0..count {
                let at = second * SECOND + call * SECOND / count;
                history.sent(at, node as u32);
                history.ended(at, at + 10 * MS, Outcome::Ok);
            }
        }
    }
}

fn near(value: Option<f64>, wanted: f64) {
    let value = value.expect("a value");
    assert!((value - wanted).abs() < 1e-9, "{value} for {wanted}");
}

#[test]
fn errors_are_failures_time_outs_and_refusals_of_measured_calls() {
    let mut history = History::new(&scenario(20, ""), false);
    for (at, outcome) in [
        (9, Outcome::Failed),
        (10, Outcome::Failed),
        (11, Outcome::TimedOut),
        (12, Outcome::Ok),
    ] {
        history.sent(at * SECOND, 0);
        history.ended(at * SECOND, at * SECOND + MS, outcome);
    }
    history.refused(9 * SECOND);
    history.refused(13 * SECOND);
    let (figures, _) = history.finish();
    assert_eq!((figures.calls, figures.refused), (4, 1));
    near(figures.errors_share, 0.75);
}

#[test]
fn run_without_measured_calls_has_no_shares_and_no_latencies() {
    let (figures, _) = History::new(&scenario(20, ""), false).finish();
    assert_eq!((figures.errors_share, figures.p99_ms), (None, None));
    assert_eq!((figures.goodput_share, figures.peak_load_over_mean), (None, None));
    assert_eq!(figures.share_of_calls, [None; 4]);
    assert_eq!(figures.false_ejections_per_hour, Some(0.0));
}

#[test]
fn quantile_is_the_smallest_latency_that_so_many_calls_do_not_exceed() {
    let mut history = History::new(&scenario(20, ""), false);
    for latency in (1..=1_000).rev() {
        history.sent(10 * SECOND, 0);
        history.ended(10 * SECOND, 10 * SECOND + latency * MS, Outcome::Ok);
    }
    // Neither a call of the warm-up nor one that got no node counts.
    history.sent(0, 0);
    history.ended(0, 9 * SECOND, Outcome::TimedOut);
    history.refused(11 * SECOND);
    let (figures, _) = history.finish();
    assert_eq!(
        (figures.p50_ms, figures.p99_ms, figures.p999_ms),
        (Some(500.0), Some(990.0), Some(999.0))
    );
    assert_eq!(quantiles_ms(&mut [7_000], [0.001, 1.0]), [Some(7.0), Some(7.0)]);
}

#[test]
fn share_after_fault_counts_from_the_first_event_to_the_heal() {
    let events = event(20, 1, "black_hole")
        + &event(25, 1, "drain")
        + &event(30, 1, "heal")
        + &event(35, 2, "noise\nshare = 1").replace("noise\nshare = 1'", "noise'\nshare = 1");
    let mut history = History::new(&scenario(40, &events), false);
    calls(&mut history, 0, 20, &[5, 5, 0, 0]);
    calls(&mut history, 20, 30, &[9, 1, 0, 0]);
    calls(&mut history, 30, 35, &[1, 1, 0, 0]);
    calls(&mut history, 35, 40, &[1, 1, 2, 0]);
    let (figures, _) = history.finish();
    assert_eq!(figures.share_after_fault[0], None, "nothing happened to it");
    near(figures.share_after_fault[1], 0.1);
    near(figures.share_after_fault[2], 0.5);
    // Seconds 10 to 40: 50 + 10 + 5 + 5 of 100 + 100 + 10 + 20.
    near(figures.share_of_calls[1], 70.0 / 230.0);
}

#[test]
fn share_after_a_fault_in_the_warm_up_counts_measured_calls() {
    let mut history = History::new(&scenario(20, &event(5, 0, "black_hole")), false);
    calls(&mut history, 5, 10, &[9, 1, 0, 0]);
    calls(&mut history, 10, 20, &[1, 3, 0, 0]);
    near(history.finish().0.share_after_fault[0], 0.25);
}

#[test]
fn first_ejection_is_the_first_by_any_agent_after_the_nodes_first_event() {
    let events = event(20, 1, "black_hole") + &event(22, 2, "black_hole");
    let mut history = History::new(&scenario(40, &events), false);
    history.ejected(15 * SECOND, 0, 1, false);
    history.readmitted(16 * SECOND, 0, 1);
    history.ejected(23 * SECOND + SECOND / 2, 7, 1, true);
    history.ejected(24 * SECOND, 0, 1, true);
    let (figures, _) = history.finish();
    assert_eq!(figures.first_ejection_s, [None, Some(3.5), None, None]);
}

#[test]
fn ejection_is_false_where_it_was_not_deserved_and_counts_when_measured() {
    let mut history = History::new(&scenario(46, ""), false);
    history.ejected(9 * SECOND, 0, 1, false);
    history.ejected(10 * SECOND, 0, 1, false);
    history.ejected(20 * SECOND, 1, 1, false);
    history.ejected(21 * SECOND, 1, 2, true);
    history.ejected(46 * SECOND, 1, 3, false);
    // Two in 36 s.
    near(history.finish().0.false_ejections_per_hour, 200.0);
}

#[test]
fn readmission_ends_with_the_first_window_that_gives_half_the_fair_share() {
    // Fair is a quarter. Ten fair calls at 4 calls a second take 10 s.
    let events = event(20, 0, "black_hole") + &event(30, 0, "heal");
    let mut history = History::new(&scenario(80, &events), false);
    calls(&mut history, 10, 20, &[1, 1, 1, 1]);
    calls(&mut history, 20, 38, &[0, 1, 1, 2]);
    // From 38 s on two of six: 8 s of 4 and 2.5 s of 6 make an eighth at 43 s; slide it: the window that ends at
    // 42 s has 8 of 48.
    calls(&mut history, 38, 80, &[2, 1, 1, 2]);
    let readmission = history.finish().0.readmission_s[0].expect("it is taken back");
    // A window of 10 s with n calls of the node has them from its last n/2 seconds: 2n / (4 * 10 + n) >= 1/8 from 6 on.
    assert!((10.0..=11.0).contains(&readmission), "{readmission}");
}

#[test]
fn readmission_never_comes_where_the_node_gets_less_than_half() {
    let events = event(20, 0, "black_hole") + &event(30, 0, "heal");
    let mut history = History::new(&scenario(80, &events), false);
    calls(&mut history, 10, 80, &[1, 4, 4, 4]);
    assert_eq!(history.finish().0.readmission_s[0], None);
}

#[test]
fn peak_share_is_the_largest_of_any_ten_seconds_after_the_heal() {
    let events = event(20, 0, "black_hole") + &event(30, 0, "heal");
    let mut history = History::new(&scenario(80, &events), false);
    calls(&mut history, 10, 30, &[10, 0, 0, 0]);
    calls(&mut history, 30, 44, &[1, 1, 1, 1]);
    calls(&mut history, 44, 49, &[7, 1, 1, 1]);
    calls(&mut history, 49, 80, &[1, 1, 1, 1]);
    // Five seconds of 7 in 10 and five of 1 in 4.
    near(history.finish().0.peak_share_10s[0], 40.0 / 70.0);
}

#[test]
fn run_that_ends_within_ten_seconds_of_the_heal_has_no_peak_share() {
    let events = event(20, 0, "black_hole") + &event(30, 0, "heal");
    let mut history = History::new(&scenario(39, &events), false);
    calls(&mut history, 10, 39, &[1, 1, 1, 1]);
    assert_eq!(history.finish().0.peak_share_10s[0], None);
}

#[test]
fn peak_load_is_over_the_mean_of_the_nodes_that_serve_in_any_five_seconds() {
    let mut history = History::new(&scenario(40, &event(25, 3, "remove")), false);
    calls(&mut history, 0, 10, &[100, 0, 0, 0]);
    calls(&mut history, 10, 25, &[4, 4, 4, 4]);
    calls(&mut history, 25, 35, &[4, 4, 4, 0]);
    calls(&mut history, 35, 36, &[14, 4, 4, 0]);
    calls(&mut history, 36, 40, &[4, 4, 4, 0]);
    // Thirty calls in a window of seventy, three nodes.
    near(history.finish().0.peak_load_over_mean, 30.0 / (70.0 / 3.0));
}

#[test]
fn goodput_is_successes_over_the_lesser_of_what_began_and_what_the_living_could_do() {
    let mut history = History::new(&scenario(40, ""), false);
    history.capacity(0, 4.0);
    calls(&mut history, 0, 20, &[1, 1, 1, 0]);
    history.capacity(20 * SECOND, 2.0);
    // Three begin each second, two are possible, one succeeds.
    for second in 20..30 {
        let at = second * SECOND;
        for outcome in [Outcome::Ok, Outcome::TimedOut] {
            history.sent(at, 0);
            history.ended(at, at + 10 * MS, outcome);
        }
        history.refused(at);
    }
    history.capacity(30 * SECOND, 0.0);
    (30..40).for_each(|second| history.refused(second * SECOND));
    // 30 of 30, 10 of 20, nothing of nothing.
    near(history.finish().0.goodput_share, 40.0 / 50.0);
}
