//! A run drawn as SVG into `target/bench/`: every row as a bar with its extremes, every ratio beside one, times over
//! percentiles, and what grows with the size of a catalog.

mod bars;
mod curves;

use crate::error::{BenchError, Doing};
use crate::results::{Results, Row, Unit, target};
use bars::Bar;
use curves::Curve;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Parts of a name that stand for a share of answers.
const PERCENTILES: [&str; 3] = ["p50", "p99", "p999"];

/// Draws a run; returns the files that were written.
///
/// # Errors
/// A file cannot be written.
pub fn write(results: &Results) -> Result<Vec<PathBuf>, BenchError> {
    let mut written = Vec::new();
    for (name, text) in drawings(results) {
        let path = target(name)?;
        fs::write(&path, text).doing(&path.display().to_string())?;
        written.push(path);
    }
    Ok(written)
}

/// The drawings for which there is something to draw, by their files' names.
fn drawings(results: &Results) -> Vec<(&'static str, String)> {
    let rates = bars_of(results, |row| {
        scale(row.unit, 1.0).is_none() && row.unit == Unit::PerS
    });
    let times = bars_of(results, |row| scale(row.unit, 1.0).is_some());
    let ratios = results.ratios().into_iter().map(|ratio| {
        let value = ratio.value;
        Bar::new(ratio.name, [value; 3], format!("{value:.2}x"))
    });
    let all = [
        ("rates.svg", bars::draw("Answers, in a second", None, &rates)),
        ("times.svg", bars::draw("Times, in nanoseconds", None, &times)),
        (
            "ratios.svg",
            bars::draw(
                "Beside the row that it is compared with",
                Some(1.0),
                &ratios.collect::<Vec<_>>(),
            ),
        ),
        (
            "percentiles.svg",
            curves::draw(
                "Times of answers, in nanoseconds",
                &PERCENTILES,
                &percentiles(results),
            ),
        ),
        ("catalog.svg", catalog(results)),
    ];
    all.into_iter()
        .filter_map(|(name, drawing)| Some((name, drawing?)))
        .collect()
}

/// A value in nanoseconds, where it is a time.
fn scale(unit: Unit, value: f64) -> Option<f64> {
    let factor = match unit {
        Unit::Ns => 1.0,
        Unit::Us => 1e3,
        Unit::Ms => 1e6,
        Unit::S => 1e9,
        Unit::PerS | Unit::Bytes | Unit::Ratio | Unit::Count => return None,
    };
    Some(value * factor)
}

fn bars_of(results: &Results, wanted: impl Fn(&Row) -> bool) -> Vec<Bar> {
    let rows = results.rows().iter().filter(|row| wanted(row));
    let bar = |row: &Row| {
        let in_ns = |value| scale(row.unit, value).unwrap_or(value);
        let values = [row.spread.low, row.spread.median, row.spread.high].map(in_ns);
        let beside = row.beside.as_deref().zip(results.ratio(row));
        let words = beside.map_or_else(String::new, |(beside, ratio)| format!("{ratio:.2}x {beside}"));
        Bar::new(row.name.clone(), values, words)
    };
    rows.map(bar).collect()
}

/// Rows that differ only in the share of answers they stand for, as one curve each.
fn percentiles(results: &Results) -> Vec<Curve> {
    let mut curves: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for row in results.rows() {
        let Some((name, end)) = row.name.rsplit_once('.') else {
            continue;
        };
        let place = PERCENTILES.iter().position(|percentile| *percentile == end);
        if let Some((place, ns)) = place.zip(scale(row.unit, row.spread.median)) {
            curves
                .entry(name.to_owned())
                .or_insert_with(|| vec![None; PERCENTILES.len()])[place] = Some(ns);
        }
    }
    let whole = curves
        .into_iter()
        .filter(|(_, values)| values.iter().flatten().count() > 1);
    whole.map(|(name, values)| Curve { name, values }).collect()
}

/// `catalog.SIZE.WHAT`: a curve for each kind of time over the sizes.
fn catalog(results: &Results) -> Option<String> {
    let mut sizes: Vec<u64> = Vec::new();
    let mut found = Vec::new();
    for row in results.rows() {
        let mut parts = row.name.splitn(3, '.');
        let (Some("catalog"), Some(size), Some(what)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if let (Ok(size), Some(ns)) = (size.parse(), scale(row.unit, row.spread.median)) {
            sizes.push(size);
            found.push((what, size, ns));
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    let mut curves: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for (what, size, ns) in found {
        let place = sizes.binary_search(&size).ok()?;
        curves.entry(what).or_insert_with(|| vec![None; sizes.len()])[place] = Some(ns);
    }
    let curves: Vec<Curve> = curves
        .into_iter()
        .map(|(name, values)| Curve {
            name: name.to_owned(),
            values,
        })
        .collect();
    let names: Vec<String> = sizes.iter().map(u64::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    curves::draw("Over the number of modules, in nanoseconds", &names, &curves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::Spread;

    fn row(name: &str, unit: Unit, value: f64, beside: Option<&str>) -> Row {
        Row {
            name: name.to_owned(),
            unit,
            spread: Spread::of([value * 0.9, value, value * 1.2]).expect("three runs"),
            beside: beside.map(str::to_owned),
        }
    }

    #[test]
    fn every_row_is_drawn_where_it_belongs() {
        let mut results = Results::default();
        results.push(row("echo.p50", Unit::Us, 40.0, None));
        results.push(row("echo.p99", Unit::Us, 90.0, None));
        results.push(row("pick.p50", Unit::Us, 44.0, Some("echo.p50")));
        results.push(row("pick.per_s", Unit::PerS, 4e5, None));
        results.push(row("catalog.10.pick", Unit::Ns, 20.0, None));
        results.push(row("catalog.1000.pick", Unit::Ns, 25.0, None));
        results.push(row("agent.rss", Unit::Bytes, 1e7, None));
        let drawn: BTreeMap<_, _> = drawings(&results).into_iter().collect();
        let names: Vec<&str> = drawn.keys().copied().collect();
        assert_eq!(
            names,
            [
                "catalog.svg",
                "percentiles.svg",
                "rates.svg",
                "ratios.svg",
                "times.svg"
            ]
        );
        assert!(drawn["times.svg"].contains("pick.p50") && drawn["times.svg"].contains("1.10x echo.p50"));
        assert!(drawn["rates.svg"].contains("pick.per_s") && !drawn["rates.svg"].contains("agent.rss"));
        assert!(drawn["ratios.svg"].contains("1.10x") && !drawn["ratios.svg"].contains(">echo.p50<"));
        assert!(drawn["percentiles.svg"].contains(">echo<") && !drawn["percentiles.svg"].contains(">pick<"));
        assert!(drawn["catalog.svg"].contains(">1000<"));
        for text in drawn.values() {
            assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
            assert!(!text.contains("NaN") && !text.contains("inf"), "a number is none");
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(drawings(&Results::default()).is_empty());
    }
}
