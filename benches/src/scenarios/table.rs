//! A scenario's figures for people: one line a figure, one column a policy, and the verdicts behind.

use super::{Row, Verdict};
use lars_simulator::{Estimate, Metrics};
use std::fmt::Write;

/// A figure of the table: its name, what it is multiplied by, its unit.
type Line = (&'static str, fn(&Metrics) -> Option<Estimate>, f64, &'static str);

const LINES: [Line; 10] = [
    ("errors", |metrics| metrics.errors_share, 100.0, "%"),
    ("p50", |metrics| metrics.p50_ms, 1.0, "ms"),
    ("p99", |metrics| metrics.p99_ms, 1.0, "ms"),
    ("goodput", |metrics| metrics.goodput_share, 100.0, "%"),
    (
        "share after fault",
        |metrics| metrics.share_after_fault.get(&0).copied()?,
        100.0,
        "%",
    ),
    (
        "first ejection",
        |metrics| metrics.first_ejection_s.get(&0).copied()?,
        1.0,
        "s",
    ),
    (
        "readmission",
        |metrics| metrics.readmission_s.get(&0).copied()?,
        1.0,
        "s",
    ),
    (
        "peak of 10 s",
        |metrics| metrics.peak_share_10s.get(&0).copied()?,
        100.0,
        "%",
    ),
    (
        "false ejections",
        |metrics| metrics.false_ejections_per_hour,
        1.0,
        "/h",
    ),
    ("peak load", |metrics| metrics.peak_load_over_mean, 1.0, "x"),
];

/// The whole text.
pub(super) fn text(row: &Row, verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write!(text, "\n{} ({} readers)\n{:<22}", row.scenario, row.readers, "");
    for report in &row.reports {
        let _ = write!(text, "{:>24}", report.policy);
    }
    text.push('\n');
    for (name, of, scale, unit) in LINES {
        let estimates: Vec<Option<Estimate>> = row.reports.iter().map(|report| of(&report.metrics)).collect();
        if estimates.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(text, "{:<22}", format!("{name}, {unit}"));
        for estimate in estimates {
            let cell = estimate.map_or("-".to_owned(), |estimate| {
                let half = estimate.high.map_or(0.0, |high| high - estimate.mean);
                format!("{:.4} ±{:.4}", estimate.mean * scale, half * scale)
            });
            let _ = write!(text, "{cell:>24}");
        }
        text.push('\n');
    }
    for verdict in verdicts {
        let word = if verdict.holds { "holds " } else { "MISSES" };
        let _ = writeln!(text, "  {word} {} {}", verdict.figure, verdict.must);
    }
    text
}
