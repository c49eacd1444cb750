//! Counts the instructions of each piece of the data path with valgrind's callgrind: the same number on a busy machine
//! as on an idle one, so that a change of one percent can be seen.
//!
//! A piece is repeated N and then 2 N times in a process of its own; the difference is free of what starting and
//! setting up cost. Vector instructions are as valgrind's processor has them, which knows AVX2 and nothing newer.

mod service;

use crate::arguments::{Invocation, ROLE};
use crate::cases::{self, Case, NOTHING};
use crate::error::{BenchError, Doing};
use crate::role;
use std::process::{Command, ExitCode};

/// The hidden argument by which the program calls itself under callgrind.
const REPEAT: &str = "--repeat";
/// Repetitions between which the difference is taken.
const TIMES: u64 = 2_000;

/// Counts, or repeats one piece, as the arguments (without the program's name) ask for.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.collect();
    if arguments.iter().any(|word| word == ROLE)
        && let Ok(Invocation::Role(call)) = Invocation::parse(arguments.iter().cloned())
    {
        return role::run(&call);
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [REPEAT, name, times] => repeat(name, times),
        // `cargo test` calls a bench without this.
        words if !words.contains(&"--bench") => return ExitCode::SUCCESS,
        words => table(words.iter().find(|word| !word.starts_with("--")).copied()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Under callgrind: sets a piece up and does it so often.
fn repeat(name: &str, times: &str) -> Result<(), BenchError> {
    let case = cases::find(name).ok_or_else(|| BenchError::Usage(format!("there is no piece '{name}'")))?;
    let times: u64 = times
        .parse()
        .map_err(|_| BenchError::Usage(format!("'{times}' is no number")))?;
    let mut operation = (case.make)();
    (0..times).for_each(|_| operation());
    Ok(())
}

/// Prints the table of the pieces whose names hold `filter`.
fn table(filter: Option<&str>) -> Result<(), BenchError> {
    let floor = count(NOTHING)?;
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let tell = |name: &str, count: f64| println!("{name:<36} {count:>12.1}");
    println!("{:<36} {:>12}", "piece of the data path", "instructions");
    for case in cases::all().into_iter().filter(|case| wanted(case.name)) {
        tell(case.name, count(case)? - floor);
    }
    for crowd in service::CROWDS.iter().filter(|crowd| wanted(crowd.name)) {
        tell(crowd.name, crowd.count()?);
    }
    Ok(())
}

/// Instructions of doing it once.
fn count(case: Case) -> Result<f64, BenchError> {
    let (once, twice) = (collected(case.name, TIMES)?, collected(case.name, 2 * TIMES)?);
    Ok((twice - once) / TIMES as f64)
}

/// Instructions of a whole process that repeats a piece so often.
fn collected(name: &str, times: u64) -> Result<f64, BenchError> {
    let program = std::env::current_exe().doing("find this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([REPEAT, name, &times.to_string()])
        .output()
        .doing("run valgrind, which must be installed")?;
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, number)| number.trim().parse().ok())
        .filter(|_| output.status.success())
        .ok_or_else(|| BenchError::Answer(format!("callgrind did not count {name}:\n{told}")))
}
