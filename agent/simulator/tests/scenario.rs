//! What a scenario file may say: every key with its default, every mistake with its line.

use lars_simulator::{Change, Scenario, Service};

const SMALL: &str = "\
name = 'small'
duration_s = 60
warmup_s = 5
rate_per_s = 100
timeout_ms = 500
[[nodes]]
count = 3
workers = 8
service_ms = { kind = 'exponential', mean = 10.0 }
";

const WHOLE: &str = "\
name = 'whole'
duration_s = 60
warmup_s = 5
agents = 2
readers = 3
publish_ms = 20
rate_per_s = 100
timeout_ms = 500
report_delay_ms = 7
report_loss = 0.25

[[nodes]]
count = 1
workers = 4
service_ms = { kind = 'constant', mean = 2 }
weight = 50
zone = 'b'

[[nodes]]
count = 2
workers = 8
service_ms = { kind = 'lognormal', mean = 10.0, sigma = 1.5 }

[[events]]
at_s = 30
nodes = [0, 2]
do = 'flap'
up_s = 3
down_s = 0.5

[[events]]
at_s = 10
nodes = [1]
do = 'fail'
share = 0.5
in_ms = 1

[[events]]
at_s = 40
nodes = [2]
do = 'add'
";

const MS: u64 = 1_000_000;

#[test]
fn defaults_are_those_of_the_format() {
    let scenario = Scenario::parse(SMALL).expect("a scenario");
    assert_eq!(
        (scenario.agents, scenario.readers, scenario.publish),
        (1, 4, 10 * MS)
    );
    assert_eq!((scenario.report_delay, scenario.report_loss), (0, 0.0));
    assert_eq!(scenario.nodes.len(), 3);
    assert_eq!(
        (scenario.nodes[2].weight, scenario.nodes[2].zone.as_str()),
        (100, "a")
    );
    assert_eq!(scenario.events, []);
}

#[test]
fn every_key_is_read_and_events_stand_in_order_of_time() {
    let scenario = Scenario::parse(WHOLE).expect("a scenario");
    assert_eq!(
        (scenario.name.as_str(), scenario.agents, scenario.readers),
        ("whole", 2, 3)
    );
    assert_eq!((scenario.duration, scenario.warmup), (60_000 * MS, 5_000 * MS));
    assert_eq!((scenario.publish, scenario.timeout), (20 * MS, 500 * MS));
    assert_eq!((scenario.report_delay, scenario.report_loss), (7 * MS, 0.25));
    assert_eq!(scenario.rate_per_s, 100.0);
    let [first, second, third] = scenario.nodes.as_slice() else {
        panic!("three nodes");
    };
    assert_eq!((first.workers, first.weight, first.zone.as_str()), (4, 50, "b"));
    assert_eq!(first.service, Service::Constant { mean: 2e6 });
    let lognormal = Service::Lognormal {
        mean: 1e7,
        sigma: 1.5,
    };
    assert_eq!((second.service, third.service), (lognormal, lognormal));
    assert_eq!([first.routed, second.routed, third.routed], [true, true, false]);
    let changes: Vec<(u64, &[u32], Change)> = scenario
        .events
        .iter()
        .map(|event| (event.at / (1_000 * MS), event.nodes.as_slice(), event.change))
        .collect();
    let fail = Change::Fail {
        share: 0.5,
        after: MS,
    };
    let flap = Change::Flap {
        up: 3_000 * MS,
        down: 500 * MS,
    };
    assert_eq!(
        changes,
        [
            (10, &[1][..], fail),
            (30, &[0, 2][..], flap),
            (40, &[2][..], Change::Add)
        ]
    );
}

#[test]
fn mistakes_are_told_with_their_line_and_what_would_be_right() {
    let event = |text: &str| format!("{SMALL}[[events]]\n{text}");
    let cases = [
        (
            SMALL.replace("readers", "x").replace("timeout_ms", "timout_ms"),
            5,
            "timout_ms",
        ),
        (SMALL.replace("warmup_s = 5\n", ""), 1, "warmup_s"),
        (
            SMALL.replace("warmup_s = 5", "warmup_s = 60"),
            3,
            "less than duration_s",
        ),
        (
            SMALL.replace("count = 3", "count = 0"),
            7,
            "count = 0 is out of range: 1 to 16384",
        ),
        (
            SMALL.replace("workers = 8", "workers = 0"),
            8,
            "workers = 0 is out of range",
        ),
        (SMALL.replace("'exponential'", "'uniform'"), 9, "uniform"),
        (
            SMALL.replace("mean = 10.0", "mean = 0"),
            9,
            "mean = 0 is out of range",
        ),
        (
            SMALL.replace("'exponential'", "'lognormal'"),
            9,
            "lognormal needs sigma",
        ),
        (
            SMALL.replace("10.0 }", "10.0, sigma = 1 }"),
            9,
            "sigma belongs to lognormal",
        ),
        (
            SMALL.replace("rate_per_s = 100", "rate_per_s = 1e6"),
            4,
            "20000000 at most",
        ),
        (
            SMALL.replace("rate_per_s = 100", "rate_per_s = nan"),
            4,
            "out of range",
        ),
        (SMALL.replace("rate_per_s = 100", "rate_per_s = 'x'"), 4, "string"),
        (
            SMALL
                .replace("60\n", "86400\n")
                .replace("count = 3", "count = 12"),
            2,
            "1000000 at most",
        ),
        (SMALL.replace("[[nodes]]", "[[nods]]"), 6, "nods"),
        (
            event("at_s = 60\nnodes = [0]\ndo = 'heal'"),
            11,
            "not before the end",
        ),
        (event("at_s = -1\nnodes = [0]\ndo = 'heal'"), 11, "out of range"),
        (
            event("at_s = 6\nnodes = [0, 3]\ndo = 'heal'"),
            12,
            "no node 3: they are numbered 0 to 2",
        ),
        (event("at_s = 6\nnodes = []\ndo = 'heal'"), 12, "empty"),
        (event("at_s = 6\nnodes = [1, 1]\ndo = 'heal'"), 12, "twice"),
        (event("at_s = 6\nnodes = [0]\ndo = 'explode'"), 13, "explode"),
        (event("at_s = 6\nnodes = [0]\ndo = 'slow'"), 13, "needs factor"),
        (
            event("at_s = 6\nnodes = [0]\ndo = 'fail'\nshare = 0.5"),
            13,
            "needs in_ms",
        ),
        (
            event("at_s = 6\nnodes = [0]\ndo = 'heal'\nshare = 0.5"),
            14,
            "share does not belong",
        ),
        (
            event("at_s = 6\nnodes = [0]\ndo = 'noise'\nshare = 1.5"),
            14,
            "share = 1.5 is out of range: 0 to 1",
        ),
        (
            event("at_s = 6\nnodes = [0]\ndo = 'flap'\nup_s = 1\ndown_s = 0"),
            15,
            "down_s = 0 is out of range",
        ),
        (event("at_s = 6\nnodes = [0]\ndo = 'heal'\nwhy = 'x'"), 14, "why"),
    ];
    for (text, line, words) in cases {
        let error = Scenario::parse(&text).expect_err(words);
        assert!(error.text.contains(words), "{error} lacks '{words}'");
        assert_eq!(error.line, Some(line), "{error}");
    }
}

#[test]
fn every_committed_scenario_is_one() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        names.push(scenario.name);
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert!(count >= 20, "{count} scenarios");
    assert_eq!(names.len(), count, "each has a name of its own");
}
