//! The table of a run: printed for people, and written as `target/bench/mesh.json` for programs.

use crate::error::{BenchError, Doing};
use crate::machine;
use crate::spread::Spread;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// In a second; with `per_core_s` in its name, in a second of processor time.
    PerS,
    /// Bytes.
    Bytes,
    /// A quotient.
    Ratio,
    /// A number of things.
    Count,
}

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its fixed name.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// The figure over all runs.
    pub spread: Spread,
    /// The row that it stands beside.
    pub beside: Option<String>,
}

/// What a row is in relation to the one that it stands beside, or to one where it is a quotient itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// The row's name.
    pub name: String,
    /// The quotient.
    pub value: f64,
    /// Whether a larger one is the better one: so it is with rates, and with nothing else.
    pub more_is_better: bool,
}

/// The results of a run, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    rows: Vec<Row>,
}

/// A file of this name in the workspace's `target/bench/`, which is made where it lacks.
///
/// # Errors
/// The folder cannot be made.
pub fn target(name: &str) -> Result<PathBuf, BenchError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder).doing(&folder.display().to_string())?;
    Ok(folder.join(name))
}

impl Unit {
    /// The word for it in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
            Self::PerS => "per_s",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Count => "count",
        }
    }
}

impl Results {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Keeps the rows whose names begin with `prefix`, and those that they stand beside.
    pub fn keep(&mut self, prefix: &str) {
        let named: Vec<String> = self.rows.iter().map(|row| row.name.clone()).collect();
        let beside: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.name.starts_with(prefix))
            .filter_map(|row| row.beside.clone())
            .collect();
        debug_assert!(
            beside.iter().all(|name| named.contains(name)),
            "a row stands beside one that there is"
        );
        self.rows
            .retain(|row| row.name.starts_with(prefix) || beside.contains(&row.name));
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the order in which they were measured.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// All quotients.
    pub fn ratios(&self) -> Vec<Ratio> {
        let of = |row: &Row| {
            let own = (row.unit == Unit::Ratio).then_some(row.spread.median);
            Some(Ratio {
                name: row.name.clone(),
                value: self.ratio(row).or(own)?,
                more_is_better: row.unit == Unit::PerS,
            })
        };
        self.rows.iter().filter_map(of).collect()
    }

    /// The value over that of the row that it stands beside.
    pub fn ratio(&self, row: &Row) -> Option<f64> {
        let beside = row.beside.as_ref()?;
        let other = self.rows.iter().find(|other| other.name == *beside)?;
        (other.spread.median != 0.0).then(|| row.spread.median / other.spread.median)
    }

    /// Everything, as the file has it.
    pub fn to_json(&self) -> Value {
        let results: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "value": row.spread.median,
                    "unit": row.unit.name(),
                    "low": row.spread.low,
                    "high": row.spread.high,
                    "beside": row.beside,
                    "ratio": self.ratio(row),
                })
            })
            .collect();
        json!({ "machine": machine::describe(), "results": results })
    }

    /// Writes the file into the workspace's `target/`; returns where it is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self) -> Result<PathBuf, BenchError> {
        let path = target("mesh.json")?;
        fs::write(&path, format!("{:#}\n", self.to_json())).doing(&path.display().to_string())?;
        Ok(path.canonicalize().unwrap_or(path))
    }

    /// The table for people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{:<36} {:>16} {:>25}   beside\n",
            "result", "median", "lowest .. highest"
        );
        for row in &self.rows {
            let value = format!("{} {}", rounded(row.spread.median), row.unit.name());
            let range = format!("{} .. {}", rounded(row.spread.low), rounded(row.spread.high));
            let beside = match (&row.beside, self.ratio(row)) {
                (Some(beside), Some(ratio)) => format!("{ratio:.3} x {beside}"),
                _ => String::new(),
            };
            text.push_str(format!("{:<36} {value:>16} {range:>25}   {beside}", row.name).trim_end());
            text.push('\n');
        }
        text
    }
}

/// Three significant figures, or all of a large number.
fn rounded(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 {
        grouped(value.round())
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// Thousands apart, for the eye.
fn grouped(whole: f64) -> String {
    let digits = format!("{:.0}", whole.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if whole < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: f64, beside: Option<&str>) -> Row {
        Row {
            name: name.to_owned(),
            unit: Unit::Us,
            spread: Spread::of([value]).expect("one run"),
            beside: beside.map(str::to_owned),
        }
    }

    fn results() -> Results {
        let mut results = Results::default();
        results.push(row("echo.p50", 40.0, None));
        results.push(row("pick.p50", 50.0, Some("echo.p50")));
        results.push(row("other", 123_456.7, None));
        results
    }

    #[test]
    fn ratio_is_taken_over_the_row_beside() {
        let file = results().to_json();
        assert_eq!(file["results"][1]["ratio"], json!(1.25));
        assert_eq!(file["results"][0]["ratio"], Value::Null);
        assert_eq!(file["results"][1]["beside"], json!("echo.p50"));
        assert!(results().to_text().contains("1.250 x echo.p50"));
    }

    #[test]
    fn rows_beside_those_asked_for_are_kept() {
        let mut results = results();
        results.keep("pick.");
        let names: Vec<&str> = results.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["echo.p50", "pick.p50"]);
    }

    #[test]
    fn figures_are_rounded_for_the_eye() {
        let shown = [0.1234, 1.234, 12.34, 123.4, 1_234_567.0, -1234.0].map(rounded);
        assert_eq!(shown, ["0.123", "1.23", "12.3", "123", "1,234,567", "-1,234"]);
    }
}
