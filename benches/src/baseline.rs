//! Ratios written down in `benches/baselines.json`, beside which `--check` holds a run: ratios, since a time of one
//! machine says nothing about another.

use crate::error::{BenchError, Doing};
use crate::results::{Ratio, Results};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A ratio may be worse by this share before the run fails: half as much again as what the machines that we know vary
/// from run to run.
const WORSE_MAX: f64 = 0.2;
/// The slowest of a hundred answers tell about the machine's other work; they are shown and not held.
const NOT_HELD: [&str; 2] = [".p99", ".p999"];

/// The ratios that are written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline(BTreeMap<String, f64>);

/// One ratio beside what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The row.
    pub name: String,
    /// What is written down.
    pub was: f64,
    /// What it is now.
    pub is: f64,
    /// How much worse that is: 0.1 for a tenth, negative where it is better.
    pub worse: f64,
}

impl Baseline {
    /// Where they are written down.
    pub fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines.json")
    }

    /// Reads them.
    ///
    /// # Errors
    /// There is no such file, or something else stands in it.
    pub fn read() -> Result<Self, BenchError> {
        let path = Self::path();
        let text = fs::read_to_string(&path).doing(&path.display().to_string())?;
        serde_json::from_str(&text)
            .map(Self)
            .map_err(|error| BenchError::Answer(format!("{}: {error}", path.display())))
    }

    /// Takes over the ratios of a run; those that it did not measure stay.
    pub fn take(&mut self, results: &Results) {
        let held = results.ratios().into_iter().filter(is_held);
        self.0
            .extend(held.map(|ratio| (ratio.name, (ratio.value * 1e3).round() / 1e3)));
    }

    /// Writes them down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self) -> Result<(), BenchError> {
        let path = Self::path();
        let text =
            serde_json::to_string_pretty(&self.0).map_err(|error| BenchError::Answer(error.to_string()))?;
        fs::write(&path, text + "\n").doing(&path.display().to_string())
    }

    /// Ratios of a run that could be held and are not, since none is written down.
    pub fn unknown(&self, results: &Results) -> Vec<Ratio> {
        let held = results.ratios().into_iter().filter(is_held);
        held.filter(|ratio| !self.0.contains_key(&ratio.name)).collect()
    }

    /// Each ratio of a run that is written down, beside what it was.
    pub fn judge(&self, results: &Results) -> Vec<Verdict> {
        let judged = results.ratios().into_iter().filter_map(|ratio| {
            let was = *self.0.get(&ratio.name)?;
            let share = if ratio.more_is_better {
                ratio.value / was
            } else {
                was / ratio.value
            };
            Some(Verdict {
                name: ratio.name,
                was,
                is: ratio.value,
                worse: 1.0 - share,
            })
        });
        judged.collect()
    }
}

impl Verdict {
    /// Whether it fails the run.
    pub fn is_too_bad(&self) -> bool {
        self.worse > WORSE_MAX
    }
}

/// Beside a flood the slowest of a hundred are what is promised, and the median has two speeds: whether a caller's answer is
/// there before it sleeps.
fn is_held(ratio: &Ratio) -> bool {
    if ratio.name.starts_with("flood.") {
        let [p99, _] = NOT_HELD;
        return ratio.name.ends_with(p99);
    }
    !NOT_HELD.iter().any(|end| ratio.name.ends_with(end))
}

/// Prints how a run stands beside what is written down.
///
/// # Errors
/// Nothing is written down, or a ratio is too much worse.
pub fn check(results: &Results) -> Result<(), BenchError> {
    let baseline = Baseline::read()?;
    for Ratio { name, value, .. } in baseline.unknown(results) {
        println!("{name:<36} {value:>8.3} is written down nowhere: --save does that");
    }
    let verdicts = baseline.judge(results);
    for Verdict { name, was, is, worse } in &verdicts {
        let word = if *worse > 0.0 { "worse" } else { "better" };
        println!(
            "{name:<36} {is:>8.3} was {was:>8.3}: {:>4.0}% {word}",
            worse.abs() * 100.0
        );
    }
    let bad = verdicts.iter().filter(|verdict| verdict.is_too_bad());
    let names: Vec<String> = bad
        .map(|verdict| format!("{} ({:.0}%)", verdict.name, verdict.worse * 100.0))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(BenchError::Worse {
        place: Baseline::path().display().to_string(),
        names: names.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Row, Unit};
    use crate::spread::Spread;

    fn row(name: &str, unit: Unit, value: f64, beside: Option<&str>) -> Row {
        Row {
            name: name.to_owned(),
            unit,
            spread: Spread::of([value]).expect("one run"),
            beside: beside.map(str::to_owned),
        }
    }

    fn run(rate: f64, time: f64) -> Results {
        let mut results = Results::default();
        results.push(row("echo.per_core_s", Unit::PerS, 100.0, None));
        results.push(row("pick.per_core_s", Unit::PerS, rate, Some("echo.per_core_s")));
        results.push(row("echo.p50", Unit::Us, 10.0, None));
        results.push(row("pick.p50", Unit::Us, time, Some("echo.p50")));
        results.push(row("pick.p99", Unit::Us, time, Some("echo.p50")));
        results.push(row("flood.p50", Unit::Us, time, Some("echo.p50")));
        results.push(row("flood.p99", Unit::Us, 10.0, Some("echo.p50")));
        results
    }

    #[test]
    fn rate_that_falls_and_time_that_grows_by_more_than_a_fifth_fail() {
        let mut baseline = Baseline::default();
        baseline.take(&run(100.0, 10.0));
        assert_eq!(
            baseline.0.len(),
            3,
            "floors have no ratio, and p99 is held beside a flood alone"
        );
        let bad = |rate, time| -> Vec<String> {
            let judged = baseline.judge(&run(rate, time)).into_iter();
            judged
                .filter(Verdict::is_too_bad)
                .map(|verdict| verdict.name)
                .collect()
        };
        assert_eq!(bad(81.0, 12.4), [""; 0]);
        assert_eq!(bad(200.0, 5.0), [""; 0]);
        assert_eq!(bad(79.0, 12.4), ["pick.per_core_s"]);
        assert_eq!(bad(81.0, 12.6), ["pick.p50"]);
    }

    #[test]
    fn ratio_that_is_written_down_nowhere_is_told() {
        let mut baseline = Baseline::default();
        let unknown = |baseline: &Baseline| -> Vec<String> {
            let ratios = baseline.unknown(&run(100.0, 10.0)).into_iter();
            ratios.map(|ratio| ratio.name).collect()
        };
        assert_eq!(unknown(&baseline), ["pick.per_core_s", "pick.p50", "flood.p99"]);
        baseline.take(&run(90.0, 11.0));
        assert_eq!(unknown(&baseline), [""; 0]);
    }

    #[test]
    fn what_is_written_down_can_be_read() {
        let baseline = Baseline::read().expect("it is committed");
        assert!(baseline.0.values().all(|ratio| *ratio > 0.0));
    }
}
