//! The figures of a simulation for people: what happened, how calls went, what became of each node that something
//! happened to.

use super::super::table::table;
use lars_simulator::{Change, Estimate, Event, Report, Scenario};

/// Rows of nodes that are shown one by one; beyond it they are summed up by what happened to them.
const NODES_SHOWN_MAX: usize = 20;

/// The whole text.
pub(super) fn text(scenario: &Scenario, report: &Report) -> String {
    let mut text = format!(
        "{}: {} nodes, {} calls/s, {} s; {} {} with {} {}; {}, {} seeds\n\n",
        scenario.name,
        scenario.nodes.len(),
        scenario.rate_per_s,
        scenario.seconds(),
        scenario.agents,
        plural("agent", scenario.agents),
        scenario.readers,
        plural("reader", scenario.readers),
        report.policy,
        report.seeds,
    );
    if !scenario.events.is_empty() {
        let rows: Vec<Vec<String>> = scenario.events.iter().map(event).collect();
        text.push_str(&table(&["at s", "event", "nodes"], &rows));
        text.push('\n');
    }
    text.push_str(&table(&["all calls", "mean", "± 95%", "unit"], &whole(report)));
    let nodes = by_node(report);
    if !nodes.is_empty() {
        text.push('\n');
        let heading = [
            "node",
            "calls %",
            "after fault %",
            "first ejection s",
            "readmission s",
            "peak of 10 s %",
        ];
        text.push_str(&table(&heading, &nodes[..nodes.len().min(NODES_SHOWN_MAX)]));
        if nodes.len() > NODES_SHOWN_MAX {
            let more = nodes.len() - NODES_SHOWN_MAX;
            text.extend(["and ", &more.to_string(), " more nodes; --json has them all\n"]);
        }
    }
    text
}

fn plural(noun: &str, count: u32) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

fn event(event: &Event) -> Vec<String> {
    let how = match event.change {
        Change::Slow { factor } => format!(" x {factor}"),
        Change::Fail { share, after } => format!(" {}% in {} ms", share * 100.0, after as f64 / 1e6),
        Change::Noise { share } => format!(" {}%", share * 100.0),
        Change::Flap { up, down } => format!(" {} s down, {} s up", down as f64 / 1e9, up as f64 / 1e9),
        Change::BlackHole | Change::Heal | Change::Add | Change::Remove | Change::Drain => String::new(),
    };
    vec![
        format!("{}", event.at as f64 / 1e9),
        format!("{}{how}", event.change.name()),
        numbers(&event.nodes),
    ]
}

/// Numbers with runs of them put together: "0-4, 7".
fn numbers(nodes: &[u32]) -> String {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    let runs = nodes.chunk_by(|one, next| one + 1 == *next);
    let texts = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run[0].to_string(),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn whole(report: &Report) -> Vec<Vec<String>> {
    let metrics = &report.metrics;
    let rows = [
        ("errors", metrics.errors_share, 100.0, "%"),
        ("refused a node", metrics.refused, 1.0, "calls"),
        ("goodput of what is possible", metrics.goodput_share, 100.0, "%"),
        ("latency p50", metrics.p50_ms, 1.0, "ms"),
        ("latency p99", metrics.p99_ms, 1.0, "ms"),
        ("latency p99.9", metrics.p999_ms, 1.0, "ms"),
        (
            "false ejections",
            metrics.false_ejections_per_hour,
            1.0,
            "an hour",
        ),
        (
            "peak load of a node",
            metrics.peak_load_over_mean,
            1.0,
            "x the mean",
        ),
    ];
    let row = |(name, estimate, scale, unit): (&str, Option<Estimate>, f64, &str)| {
        let (mean, half) = digits(estimate, scale);
        vec![name.to_owned(), mean, half, unit.to_owned()]
    };
    rows.map(row).to_vec()
}

fn by_node(report: &Report) -> Vec<Vec<String>> {
    let metrics = &report.metrics;
    let cell = |estimate: Option<&Option<Estimate>>, scale: f64| {
        let estimate = estimate.copied().flatten();
        let (mean, half) = digits(estimate, scale);
        let some = match estimate {
            Some(estimate) if estimate.seeds < report.seeds => {
                format!(" ({} of {} seeds)", estimate.seeds, report.seeds)
            }
            _ => String::new(),
        };
        if half.is_empty() {
            format!("{mean}{some}")
        } else {
            format!("{mean} ± {half}{some}")
        }
    };
    let touched = metrics.share_of_calls.keys().filter(|node| {
        metrics.share_after_fault.contains_key(node) || metrics.readmission_s.contains_key(node)
    });
    let row = |node: &u32| {
        vec![
            node.to_string(),
            cell(metrics.share_of_calls.get(node), 100.0),
            cell(metrics.share_after_fault.get(node), 100.0),
            cell(metrics.first_ejection_s.get(node), 1.0),
            cell(metrics.readmission_s.get(node), 1.0),
            cell(metrics.peak_share_10s.get(node), 100.0),
        ]
    };
    touched.map(row).collect()
}

/// A mean with as many digits as its interval makes meaningful, and half the interval.
fn digits(estimate: Option<Estimate>, scale: f64) -> (String, String) {
    let Some(Estimate { mean, high, .. }) = estimate else {
        return ("-".to_owned(), String::new());
    };
    let (mean, half) = (
        mean * scale,
        high.map(|high| (high - estimate_mean(estimate)) * scale),
    );
    let grain = half
        .filter(|half| *half > 0.0)
        .unwrap_or_else(|| mean.abs() / 100.0);
    // Two digits of the interval, at least as fine as a hundredth of the mean, and never more than six places.
    let places = if grain > 0.0 {
        (1.0 - grain.log10().floor()).clamp(0.0, 6.0) as usize
    } else {
        0
    };
    let text = |value: f64| format!("{value:.places$}");
    (text(mean), half.map(text).unwrap_or_default())
}

fn estimate_mean(estimate: Option<Estimate>) -> f64 {
    estimate.map_or(0.0, |estimate| estimate.mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_have_the_digits_that_their_interval_bears() {
        let estimate = |mean, half: Option<f64>| {
            Some(Estimate {
                mean,
                low: half.map(|half| mean - half),
                high: half.map(|half| mean + half),
                seeds: 30,
            })
        };
        let cases = [
            (
                digits(estimate(0.091_101, Some(0.000_012)), 100.0),
                "9.1101",
                "0.0012",
            ),
            (digits(estimate(1_000.0, Some(0.0)), 1.0), "1000", "0"),
            (digits(estimate(142.37, Some(2.1)), 1.0), "142.4", "2.1"),
            (digits(estimate(0.0, Some(0.0)), 1.0), "0", "0"),
            (digits(estimate(0.25, None), 1.0), "0.2500", ""),
            (digits(None, 1.0), "-", ""),
        ];
        for ((mean, half), wanted_mean, wanted_half) in cases {
            assert_eq!((mean.as_str(), half.as_str()), (wanted_mean, wanted_half));
        }
    }

    #[test]
    fn runs_of_numbers_are_put_together() {
        assert_eq!(numbers(&[0, 1, 2, 7]), "0-2, 7");
        assert_eq!(numbers(&[5]), "5");
        assert_eq!(numbers(&[9, 3, 4]), "3-4, 9");
    }
}
