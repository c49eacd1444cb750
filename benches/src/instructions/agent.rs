//! What one request costs a whole agent outside the kernel: frames cut, decoded, picked, counted, encoded, and the turn
//! of the core around them. On epoll, since valgrind follows every system call and a ring makes hardly any.

use crate::arguments::Options;
use crate::echo::Io;
use crate::error::{BenchError, Doing};
use crate::exchange::Ask;
use crate::harness::Harness;
use crate::load::Target;
use crate::load::rate::Carousel;
use crate::services::Services;
use std::fs;

/// How many callers ask what.
#[derive(Debug)]
pub(super) struct Crowd {
    /// The name in the table.
    pub(super) name: &'static str,
    connections: u32,
    outstanding: u32,
    ask: Ask,
}

pub(super) const CROWDS: [Crowd; 4] = [
    Crowd::new("agent.pick.1", 1, 1, Ask::Pick),
    Crowd::new("agent.pair.1", 1, 1, Ask::Pair),
    Crowd::new("agent.pick.64x32", 64, 32, Ask::Pick),
    Crowd::new("agent.pair.64x32", 64, 32, Ask::Pair),
];

/// Answers between whose counts the difference is taken.
const ANSWERS: u64 = 20_480;

impl Crowd {
    const fn new(name: &'static str, connections: u32, outstanding: u32, ask: Ask) -> Self {
        Self {
            name,
            connections,
            outstanding,
            ask,
        }
    }

    /// Instructions of one answer.
    pub(super) fn count(&self) -> Result<f64, BenchError> {
        let (once, twice) = (self.collected(ANSWERS)?, self.collected(2 * ANSWERS)?);
        Ok((twice - once) / ANSWERS as f64)
    }

    /// Instructions of an agent that gives so many answers and ends.
    fn collected(&self, answers: u64) -> Result<f64, BenchError> {
        let mut harness = Harness::new(Options::default())?;
        let services = Services::start(&mut harness)?;
        let file = harness.folder().join("callgrind.out");
        let words = [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            "--log-file=/dev/null".to_owned(),
            format!("--callgrind-out-file={}", file.display()),
        ];
        let agent = services.agent_under(&words, &mut harness, Io::Epoll)?;
        let target = Target {
            ask: self.ask,
            ..agent.target
        };
        let mut carousel = Carousel::start(&target, self.connections, self.outstanding)?;
        for _ in 0..answers / u64::from(self.connections * self.outstanding) {
            carousel.round()?;
        }
        drop(carousel);
        agent.child.end()?;
        let counts = fs::read_to_string(&file).doing("read what callgrind wrote")?;
        let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
        total
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| BenchError::Answer(format!("callgrind did not count {}", self.name)))
    }
}
