//! The classic rule against its text, case by case: which call or instant moves a node, in either preset.

use lars_shard::policy::classic::{Mind, Rule};
use lars_shard::{PolicyConfig, Preset};
use std::time::{Duration, Instant};

/// What happens to a node.
#[derive(Clone, Copy, Debug)]
enum Step {
    Succeed(u32),
    Fail(u32),
    /// This many failures of this many milliseconds each.
    FailSlowly(u32, u32),
    /// This many milliseconds pass without a call.
    Wait(u64),
    /// So many times over: a success and a failure.
    Alternate(u32),
}

use Preset::{Elb, Lars};
use Step::{Alternate, Fail, FailSlowly, Succeed, Wait};

fn rule(preset: Preset) -> Rule {
    Rule::new(&PolicyConfig {
        preset: Some(preset),
        ..PolicyConfig::default()
    })
}

/// Whether the node is overloaded behind the steps, and why it stands so.
fn run(rule: &Rule, steps: &[Step]) -> (bool, String) {
    let mut now = Instant::now();
    let mut mind = Mind::new(rule, now);
    for &step in steps {
        match step {
            Succeed(count) => (0..count).for_each(|_| mind.succeed(rule, now)),
            Fail(count) => (0..count).for_each(|_| mind.fail(rule, now, 0)),
            FailSlowly(count, ms) => (0..count).for_each(|_| mind.fail(rule, now, ms * 1_000)),
            Wait(ms) => {
                now += Duration::from_millis(ms);
                mind.settle(rule, now);
            }
            Alternate(count) => (0..count).for_each(|_| {
                mind.succeed(rule, now);
                mind.fail(rule, now, 0);
            }),
        }
    }
    (mind.is_overloaded(), mind.reason(rule))
}

#[track_caller]
fn check(cases: &[(Preset, &[Step], bool, &str)]) {
    for (preset, steps, overloaded, reason) in cases {
        let (is, why) = run(&rule(*preset), steps);
        assert_eq!((is, why.as_str()), (*overloaded, *reason), "{preset:?} {steps:?}");
    }
}

#[test]
fn idle_node_is_overloaded_by_failure_rate_or_run() {
    let by_rate = |rate, calls| {
        format!("failure rate {rate} > err_rate 0.1 after {calls} calls, 180 of them assumed successes")
    };
    check(&[
        (Lars, &[], false, "new in the route"),
        (Lars, &[Fail(14)], false, "new in the route"),
        (Lars, &[Fail(15)], true, "15 failures in a row"),
        (Lars, &[Fail(14), Succeed(1), Fail(1)], false, "new in the route"),
        (Lars, &[Alternate(22)], false, "new in the route"),
        (Lars, &[Alternate(23)], true, &by_rate(0.1018, 226)),
        // 21 of 210 is no more than a tenth, 22 of 211 is.
        (
            Lars,
            &[Succeed(8), Fail(14), Succeed(1), Fail(7)],
            false,
            "new in the route",
        ),
        (
            Lars,
            &[Succeed(8), Fail(14), Succeed(1), Fail(8)],
            true,
            &by_rate(0.1043, 211),
        ),
        // A success alone overloads nothing, however bad the rate stands.
        (Elb, &[Fail(14), Succeed(3)], false, "new in the route"),
        (Elb, &[Fail(15)], true, "15 failures in a row"),
    ]);
}

#[test]
fn failure_of_elb_weighs_what_it_cost_in_rate_and_run() {
    check(&[
        (Lars, &[FailSlowly(14, 60_000)], false, "new in the route"),
        (Elb, &[FailSlowly(14, 199)], false, "new in the route"),
        (Elb, &[FailSlowly(7, 200)], false, "new in the route"),
        (Elb, &[FailSlowly(8, 200)], true, "16 failures in a row"),
        (Elb, &[FailSlowly(1, 1_500)], true, "15 failures in a row"),
        // 50 at most: 50 / 230.
        (
            Elb,
            &[FailSlowly(1, 4_000_000)],
            true,
            "failure rate 0.2174 > err_rate 0.1 after 230 calls, 180 of them assumed successes",
        ),
    ]);
    // A window is bad by what its failures cost: 7 of 10, though 1 call of 4 failed.
    let steps = [
        Succeed(3),
        FailSlowly(1, 700),
        Wait(15_000),
        Succeed(3),
        FailSlowly(1, 700),
        Wait(15_000),
    ];
    check(&[(
        Elb,
        &steps,
        true,
        "failure rate 0.7 >= window_err_rate 0.7 in 2 windows of 15 s running",
    )]);
}

#[test]
fn overloaded_node_is_idle_by_success_rate_or_run_or_time() {
    check(&[
        (Lars, &[Fail(15), Succeed(5)], true, "15 failures in a row"),
        (
            Lars,
            &[Fail(15), Succeed(6)],
            false,
            "success rate 0.5455 > succ_rate 0.5 after 11 calls, 5 of them assumed failures",
        ),
        (
            Lars,
            &[Fail(15), Fail(20), Succeed(14)],
            true,
            "15 failures in a row",
        ),
        (
            Lars,
            &[Fail(15), Fail(20), Succeed(15)],
            false,
            "15 successes in a row",
        ),
        (Lars, &[Fail(15), Wait(14_999)], true, "15 failures in a row"),
        (
            Lars,
            &[Fail(15), Wait(15_000)],
            false,
            "15 s overloaded have passed",
        ),
        (Elb, &[Fail(15), Succeed(14)], true, "15 failures in a row"),
        (Elb, &[Fail(15), Succeed(15)], false, "15 successes in a row"),
        (Elb, &[Fail(15), Wait(179_999)], true, "15 failures in a row"),
        (
            Elb,
            &[Fail(15), Wait(180_000)],
            false,
            "180 s overloaded have passed",
        ),
        // Failures do not prolong it, and a new idle state starts with its assumed successes.
        (
            Lars,
            &[Fail(15), Wait(14_000), Fail(500), Wait(1_000), Fail(14)],
            false,
            "15 s overloaded have passed",
        ),
        (
            Lars,
            &[Fail(15), Wait(15_000), Fail(15)],
            true,
            "15 failures in a row",
        ),
    ]);
}

#[test]
fn success_rate_of_elb_is_above_nineteen_of_twenty() {
    let quick = PolicyConfig {
        preset: Some(Elb),
        contin_succ_limit: Some(1_000),
        ..PolicyConfig::default()
    };
    let rule = Rule::new(&quick);
    assert!(
        run(&rule, &[Fail(15), Succeed(95)]).0,
        "95 of 100 are not above 0.95"
    );
    assert!(!run(&rule, &[Fail(15), Succeed(96)]).0);
}

#[test]
fn window_is_judged_by_its_real_failures_when_it_closes() {
    let bad = "failure rate 0.75 >= window_err_rate 0.7 in 1 windows of 15 s running";
    check(&[
        (
            Lars,
            &[Succeed(1), Fail(3), Wait(14_999)],
            false,
            "new in the route",
        ),
        (Lars, &[Succeed(1), Fail(3), Wait(15_000)], true, bad),
        (
            Lars,
            &[Succeed(1), Fail(2), Wait(15_000)],
            false,
            "new in the route",
        ),
        // Counts start afresh with each window: the run of failures too.
        (
            Lars,
            &[Succeed(9), Fail(14), Wait(15_000), Fail(1)],
            false,
            "new in the route",
        ),
        (
            Lars,
            &[Wait(30_000), Succeed(1), Fail(3), Wait(14_999)],
            false,
            "new in the route",
        ),
        (Lars, &[Wait(44_000), Succeed(1), Fail(3), Wait(1_000)], true, bad),
    ]);
}

#[test]
fn elb_wants_two_bad_windows_running() {
    let bad = "failure rate 1 >= window_err_rate 0.7 in 2 windows of 15 s running";
    check(&[
        (Elb, &[Fail(1), Wait(15_000)], false, "new in the route"),
        (Elb, &[Fail(1), Wait(15_000), Fail(1), Wait(15_000)], true, bad),
        (
            Elb,
            &[
                Fail(1),
                Wait(15_000),
                Succeed(1),
                Wait(15_000),
                Fail(1),
                Wait(15_000),
            ],
            false,
            "new in the route",
        ),
        // A window without calls is not bad.
        (
            Elb,
            &[Fail(1), Wait(15_000), Wait(15_000), Fail(1), Wait(15_000)],
            false,
            "new in the route",
        ),
        (
            Elb,
            &[Fail(1), Wait(30_000), Fail(1), Wait(15_000)],
            false,
            "new in the route",
        ),
        // Being overloaded in between forgets them.
        (
            Elb,
            &[
                Fail(1),
                Wait(15_000),
                Fail(15),
                Succeed(15),
                Fail(1),
                Wait(15_000),
            ],
            false,
            "15 successes in a row",
        ),
    ]);
}

#[test]
fn time_alone_does_each_step_at_its_instant_however_late_it_is_noticed() {
    let rule = rule(Lars);
    let start = Instant::now();
    let second = |count| start + Duration::from_secs(count);
    let mut mind = Mind::new(&rule, start);
    mind.fail(&rule, start, 0);
    assert_eq!(mind.deadline(&rule), Some(second(15)));
    mind.settle(&rule, second(20));
    assert_eq!(
        (mind.is_overloaded(), mind.since()),
        (true, second(15)),
        "the window was bad"
    );
    assert_eq!(mind.deadline(&rule), Some(second(30)));
    mind.settle(&rule, second(100));
    assert_eq!((mind.is_overloaded(), mind.since()), (false, second(30)));
    assert_eq!(
        mind.deadline(&rule),
        None,
        "a window without calls needs no timer"
    );
    // Windows go on from the instant at which the node became idle: 90 to 105 is one of them.
    mind.fail(&rule, second(100), 0);
    assert_eq!(mind.deadline(&rule), Some(second(105)));
}
