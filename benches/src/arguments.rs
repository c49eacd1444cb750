//! How the harness is called: by cargo, with options for a run, or by itself, to be one of the processes of a run.

use crate::error::BenchError;
use crate::peer::Peer;

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Measure.
    Bench(Options),
    /// Be a process of a run.
    Role(RoleCall),
    /// `cargo test` calls a bench without `--bench`: there is nothing to test.
    Idle,
}

/// What to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Fewer and shorter runs: the whole table within a minute.
    pub quick: bool,
    /// Only results whose names begin so.
    pub only: Option<String>,
    /// Others that are asked in the same run.
    pub peers: Vec<Peer>,
    /// Whether a ratio that is far worse than the one written down fails the run.
    pub check: bool,
    /// Whether the ratios of this run are written down, to be compared with later.
    pub save: bool,
}

/// Which process to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleCall {
    /// Its part, one of [`crate::role`].
    pub role: String,
    /// The processor to run on.
    pub processor: usize,
    /// What to do, as JSON.
    pub task: String,
}

/// The hidden argument by which the harness calls itself.
pub const ROLE: &str = "--role";

impl Invocation {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// In a bench, by which cargo adds `--bench`: anything that is not understood. What a test is told (`--nocapture`,
    /// a filter) is nothing to us.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BenchError> {
        let (mut options, mut bench, mut unknown) = (Options::default(), false, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                ROLE => return RoleCall::parse(arguments).map(Self::Role),
                "--bench" => bench = true,
                "--quick" => options.quick = true,
                "--check" => options.check = true,
                "--save" => options.save = true,
                "--only" => {
                    let prefix = arguments.next();
                    options.only = Some(prefix.ok_or_else(|| usage("--only wants the beginning of a name"))?);
                }
                "--peer" => {
                    let text = arguments.next().unwrap_or_default();
                    options.peers.push(text.parse()?);
                }
                _ => unknown = unknown.or(Some(argument)),
            }
        }
        match unknown {
            _ if !bench => Ok(Self::Idle),
            Some(argument) => Err(usage(&format!("'{argument}' is not understood"))),
            None => Ok(Self::Bench(options)),
        }
    }
}

impl RoleCall {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BenchError> {
        let (role, processor, task) = (arguments.next(), arguments.next(), arguments.next());
        match (role, processor.and_then(|text| text.parse().ok()), task) {
            (Some(role), Some(processor), Some(task)) => Ok(Self {
                role,
                processor,
                task,
            }),
            _ => Err(usage("--role wants a role, a processor and a task")),
        }
    }
}

fn usage(text: &str) -> BenchError {
    BenchError::Usage(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Invocation, BenchError> {
        Invocation::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_stand_in_any_order_around_what_cargo_adds() {
        let quick = Options {
            quick: true,
            only: Some("pick.".to_owned()),
            ..Options::default()
        };
        for text in ["--quick --only pick. --bench", "--bench --only pick. --quick"] {
            assert_eq!(parse(text).ok(), Some(Invocation::Bench(quick.clone())));
        }
    }

    #[test]
    fn others_are_named_as_often_as_there_are_some() {
        let parsed = parse("--bench --peer old=udp:127.0.0.1:8888 --check --peer srv=dns:[::1]:53 --save");
        let Ok(Invocation::Bench(options)) = parsed else {
            panic!("{parsed:?}");
        };
        let names: Vec<&str> = options.peers.iter().map(|peer| peer.name.as_str()).collect();
        assert_eq!(
            (names, options.check, options.save),
            (vec!["old", "srv"], true, true)
        );
    }

    #[test]
    fn call_without_the_word_bench_is_a_test_and_does_nothing() {
        assert_eq!(parse("").ok(), Some(Invocation::Idle));
        assert_eq!(parse("--quick").ok(), Some(Invocation::Idle));
        assert_eq!(parse("--nocapture a_filter").ok(), Some(Invocation::Idle));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, named) in [
            ("--bench --fast", "--fast"),
            ("--bench --only", "--only"),
            ("--bench --peer", "--peer"),
            ("--bench --peer old=tcp:127.0.0.1:1", "--peer"),
            ("--role x", "--role"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
