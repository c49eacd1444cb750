//! The harness as several processes: it starts its own program again, with a hidden argument that says what to be.
//!
//! A child ends when its standard input does, so that none outlives a harness that was killed.

use crate::arguments::ROLE;
use crate::error::{BenchError, Doing};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a child may take for its next line, beyond the time that its task takes.
const LINE_WITHIN: Duration = Duration::from_secs(15);

/// What a child is sent that shall tell how often it has allocated.
const TELL: u8 = b'a';

/// A running process; ended when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    role: String,
    lines: Receiver<String>,
}

impl Child {
    /// Starts a process as `role`, on one processor.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start(role: &str, processor: usize, task: &impl Serialize) -> Result<Self, BenchError> {
        Self::start_under(&[], role, processor, task)
    }

    /// The same by another program, which takes what to run behind its own words.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start_under(
        words: &[String],
        role: &str,
        processor: usize,
        task: &impl Serialize,
    ) -> Result<Self, BenchError> {
        let task = serde_json::to_string(task).map_err(|error| BenchError::Answer(error.to_string()))?;
        let program = std::env::current_exe().doing("find this program")?;
        let mut command = match words {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let mut process = command
            .args([ROLE, role, &processor.to_string(), &task])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env(
                "LARS_LOG",
                std::env::var("LARS_LOG").unwrap_or_else(|_| "error".to_owned()),
            )
            .spawn()
            .doing("start a process")?;
        let (tell, lines) = channel();
        if let Some(output) = process.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if tell.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self {
            process,
            role: role.to_owned(),
            lines,
        })
    }

    /// Its number, for the system's accounts.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it prints; it may take `work` and some time more.
    ///
    /// # Errors
    /// It says nothing, or has ended.
    pub fn line(&mut self, work: Duration) -> Result<String, BenchError> {
        self.lines.recv_timeout(work + LINE_WITHIN).map_err(|_| {
            let what = match self.process.try_wait() {
                Ok(Some(status)) => format!("ended ({status}) without the line that was waited for"),
                _ => "does not print the line that is waited for".to_owned(),
            };
            self.failed(what)
        })
    }

    /// Its next line, as JSON.
    ///
    /// # Errors
    /// As [`Self::line`]; or it is something else.
    pub fn report<T: DeserializeOwned>(&mut self, work: Duration) -> Result<T, BenchError> {
        let line = self.line(work)?;
        serde_json::from_str(&line).map_err(|error| self.failed(format!("printed '{line}': {error}")))
    }

    /// How often it has allocated memory so far.
    ///
    /// # Errors
    /// It does not say.
    pub fn allocations(&mut self) -> Result<u64, BenchError> {
        if let Some(input) = &mut self.process.stdin {
            input.write_all(&[TELL]).doing("ask a process")?;
        }
        self.report(Duration::ZERO)
    }

    /// Lets it end by itself, as it does when the harness is gone, and waits for that.
    ///
    /// # Errors
    /// The system refuses.
    pub fn end(mut self) -> Result<(), BenchError> {
        drop(self.process.stdin.take());
        self.process.wait().doing("wait for a process").map(drop)
    }

    fn failed(&self, what: String) -> BenchError {
        BenchError::Child {
            role: self.role.clone(),
            what,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and waiting takes it off the system's list.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: ends the process when the harness is gone, and until then tells how often it has allocated when asked.
/// A program counts that where its allocator is [`stats_alloc::INSTRUMENTED_SYSTEM`].
pub fn end_with_the_harness() {
    thread::spawn(|| {
        let mut byte = [0];
        while !matches!(std::io::stdin().read(&mut byte), Ok(0) | Err(_)) {
            let counts = stats_alloc::INSTRUMENTED_SYSTEM.stats();
            println!("{}", counts.allocations + counts.reallocations);
        }
        std::process::exit(3);
    });
}
