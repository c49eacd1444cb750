//! The committed scenarios, all of them under our default policy and under those that it is compared with: which gate
//! holds, and whether any other rule does better. Virtual time: nothing here depends on the machine.

mod gates;
mod real;
mod table;

use crate::error::{BenchError, Doing};
use crate::results::target;
use gates::GATES;
use lars_shard::PolicyConfig;
use lars_simulator::{Compared, Estimate, Metrics, Policy, Report, Scenario, simulate};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Runs of each scenario, and of a quick look.
const SEEDS: u64 = 30;
const SEEDS_QUICK: u64 = 4;
/// Threads of callers at each agent: as the files say, and very many.
const READERS_MANY: u32 = 128;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    quick: bool,
    /// On real nodes, in real time.
    real: bool,
    only: Option<String>,
}

/// A scenario under one number of readers, with every policy.
#[derive(Debug)]
pub struct Row {
    /// The file's name without its end.
    pub scenario: String,
    /// Readers of each agent.
    pub readers: u32,
    /// Whether reports are late or get lost: only rules that live on reports can be compared then.
    pub reports_suffer: bool,
    /// Ours first.
    pub reports: Vec<Report>,
}

/// Whether ours does what it must in one respect.
#[derive(Debug)]
pub struct Verdict {
    /// What is judged.
    pub figure: &'static str,
    /// What it must be, in words.
    pub must: String,
    /// Whether it is.
    pub holds: bool,
}

/// Runs what the arguments (without the program's name) ask for.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let done = match parse(arguments) {
        Some(options) if options.real => real::measure(options.quick, options.only.as_deref()).map(|()| true),
        Some(options) => measure(&options),
        None => {
            println!("scenarios: nothing to test; `cargo bench -p lars-benches --bench scenarios` measures");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scenarios: {error}");
            ExitCode::FAILURE
        }
    }
}

/// None for cargo's test run, which says no `--bench`.
fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let (mut options, mut bench) = (Options::default(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => bench = true,
            "--quick" => options.quick = true,
            "--real" => options.real = true,
            "--only" => options.only = arguments.next(),
            // As the other harness: what cargo adds for another one is nothing to us.
            _ => {}
        }
    }
    bench.then_some(options)
}

/// Runs every scenario, prints the table and writes `target/bench/scenarios.json`. Says whether every gate holds.
fn measure(options: &Options) -> Result<bool, BenchError> {
    let seeds = if options.quick { SEEDS_QUICK } else { SEEDS };
    let mut values = Vec::new();
    let mut all_hold = true;
    for (name, scenario) in committed()? {
        if options
            .only
            .as_ref()
            .is_some_and(|only| !name.starts_with(only.as_str()))
        {
            continue;
        }
        for readers in [scenario.readers, READERS_MANY] {
            let row = measure_row(&name, &scenario, readers, seeds)?;
            let verdicts = judge(&row);
            print!("{}", table::text(&row, &verdicts));
            all_hold &= verdicts.iter().all(|verdict| verdict.holds);
            values.push(as_json(&row, &verdicts)?);
        }
    }
    let path = target("scenarios.json")?;
    let text = format!("{:#}\n", json!({ "seeds": seeds, "rows": values }));
    fs::write(&path, text).doing(&format!("writing {}", path.display()))?;
    println!(
        "{}: {}",
        path.display(),
        if all_hold {
            "every gate holds"
        } else {
            "a gate does not hold"
        }
    );
    Ok(all_hold)
}

/// Every committed scenario by its file's name.
pub fn committed() -> Result<BTreeMap<String, Scenario>, BenchError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut scenarios = BTreeMap::new();
    let entries = fs::read_dir(&folder).doing(&format!("reading {}", folder.display()))?;
    for entry in entries {
        let path: PathBuf = entry.doing("reading the scenarios")?.path();
        let text = fs::read_to_string(&path).doing(&format!("reading {}", path.display()))?;
        let scenario = Scenario::parse(&text)
            .map_err(|error| BenchError::Answer(format!("{}: {error}", path.display())))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        scenarios.insert(name.into_owned(), scenario);
    }
    Ok(scenarios)
}

/// One scenario with every policy, ours first.
fn measure_row(name: &str, scenario: &Scenario, readers: u32, seeds: u64) -> Result<Row, BenchError> {
    let mut scenario = scenario.clone();
    scenario.readers = readers;
    let ours = Policy::Lars(Box::default());
    let classic = Policy::named("classic", &PolicyConfig::default()).map_err(BenchError::Answer)?;
    let compared = Compared::ALL.map(Policy::Compared);
    let mut policies = vec![ours];
    if policies.iter().all(|policy| policy.name() != classic.name()) {
        policies.push(classic);
    }
    policies.extend(compared);
    let mut reports = Vec::new();
    for policy in &policies {
        reports.push(report(&scenario, policy, seeds)?);
    }
    Ok(Row {
        scenario: name.to_owned(),
        readers,
        reports_suffer: scenario.report_delay > 0 || scenario.report_loss > 0.0,
        reports,
    })
}

/// One scenario with one policy.
pub fn report(scenario: &Scenario, policy: &Policy, seeds: u64) -> Result<Report, BenchError> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let (report, _) = simulate(scenario, policy, seeds, threads, Instant::now(), false)
        .map_err(|error| BenchError::Answer(error.to_string()))?;
    Ok(report)
}

/// The scenario's own gates, and on errors, latency and goodput: no worse than the best of the others. On latency alone of those
/// that let no more calls fail: a call that fails within a millisecond is a fast one, and no merit.
fn judge(row: &Row) -> Vec<Verdict> {
    let Some((ours, others)) = row.reports.split_first() else {
        return Vec::new();
    };
    let own = GATES.iter().filter(|gate| gate.scenario == row.scenario);
    let mut verdicts: Vec<Verdict> = own.map(|gate| gate.judge(&ours.metrics)).collect();
    for (figure, of, sign) in COMPARED {
        // The compared ones sit in the process of the callers and see each call end.
        let fails_more = |other: &Report| match (ours.metrics.errors_share, other.metrics.errors_share) {
            (Some(ours), Some(other)) => other.mean - ours.mean > interval_of_difference(&ours, &other),
            _ => false,
        };
        let others = others
            .iter()
            .filter(|other| !row.reports_suffer || other.policy == "classic")
            .filter(|other| figure != "p99_ms" || !fails_more(other))
            .filter_map(|other| Some((of(&other.metrics)?, &other.policy)));
        let best = others.min_by(|(one, _), (other, _)| (sign * one.mean).total_cmp(&(sign * other.mean)));
        if let (Some(ours), Some((best, name))) = (of(&ours.metrics), best) {
            verdicts.push(Verdict {
                figure,
                must: format!("no worse than {name}"),
                holds: sign * (ours.mean - best.mean) <= interval_of_difference(&ours, &best),
            });
        }
    }
    verdicts
}

/// What is compared, and whether less (1) or more (-1) is better.
type Comparison = (&'static str, fn(&Metrics) -> Option<Estimate>, f64);
const COMPARED: [Comparison; 3] = [
    ("errors_share", |metrics| metrics.errors_share, 1.0),
    ("p99_ms", |metrics| metrics.p99_ms, 1.0),
    ("goodput_share", |metrics| metrics.goodput_share, -1.0),
];

/// Half the 95% interval of the difference of two means.
fn interval_of_difference(one: &Estimate, other: &Estimate) -> f64 {
    let half = |estimate: &Estimate| estimate.high.map_or(0.0, |high| high - estimate.mean);
    half(one).hypot(half(other))
}

fn as_json(row: &Row, verdicts: &[Verdict]) -> Result<Value, BenchError> {
    let mut policies = serde_json::Map::new();
    for report in &row.reports {
        let metrics =
            serde_json::to_value(&report.metrics).map_err(|error| BenchError::Answer(error.to_string()))?;
        policies.insert(report.policy.clone(), metrics);
    }
    let verdicts: Vec<Value> = verdicts
        .iter()
        .map(|verdict| json!({ "figure": verdict.figure, "must": verdict.must, "holds": verdict.holds }))
        .collect();
    Ok(json!({
        "scenario": row.scenario, "readers": row.readers, "ours": row.reports[0].policy,
        "verdicts": verdicts, "policies": policies,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report with this share of errors and this latency, each within a hundredth of it.
    fn report_of(policy: &str, errors: f64, p99_ms: f64) -> Report {
        let estimate = |mean: f64| {
            Some(Estimate {
                mean,
                low: Some(mean * 0.99),
                high: Some(mean * 1.01),
                seeds: 30,
            })
        };
        let mut report = report(
            &committed().expect("the scenarios")["one_dead_few_calls"],
            &Policy::Compared(Compared::RoundRobin),
            1,
        )
        .expect("a report");
        policy.clone_into(&mut report.policy);
        report.metrics.errors_share = estimate(errors);
        report.metrics.p99_ms = estimate(p99_ms);
        report.metrics.goodput_share = None;
        report
    }

    #[test]
    fn latency_is_compared_with_rules_that_fail_no_more_calls() {
        let row = |others: &[(f64, f64)]| Row {
            scenario: "none".to_owned(),
            readers: 4,
            reports_suffer: false,
            reports: std::iter::once(report_of("ours", 0.01, 50.0))
                .chain(
                    others
                        .iter()
                        .map(|&(errors, p99)| report_of("other", errors, p99)),
                )
                .collect(),
        };
        let misses = |others: &[(f64, f64)]| -> Vec<&str> {
            let verdicts = judge(&row(others));
            let missed = verdicts.iter().filter(|verdict| !verdict.holds);
            missed.map(|verdict| verdict.figure).collect()
        };
        assert!(misses(&[(0.01, 50.0), (0.02, 40.0)]).is_empty(), "it fails more");
        assert_eq!(misses(&[(0.01, 48.0)]), ["p99_ms"]);
        assert_eq!(misses(&[(0.009, 51.0)]), ["errors_share"]);
    }
}
