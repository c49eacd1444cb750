//! What one request costs a whole agent, or a whole dns, outside the kernel: frames cut, decoded, answered, counted,
//! encoded, and the turn of the core around them. On epoll, since valgrind follows every system call and a ring makes hardly any.

use crate::arguments::Options;
use crate::echo::Io;
use crate::error::{BenchError, Doing};
use crate::exchange::Ask;
use crate::greeting::ANSWER_WITHIN;
use crate::harness::Harness;
use crate::load::place::Place;
use crate::load::rate::Carousel;
use crate::load::{ServerKind, Target};
use crate::services::{self, Services};
use std::fs;
use std::time::{Duration, Instant};

/// How many callers ask what.
#[derive(Debug)]
pub(super) struct Crowd {
    /// The name in the table.
    pub(super) name: &'static str,
    connections: u32,
    outstanding: u32,
    ask: Ask,
}

pub(super) const CROWDS: [Crowd; 6] = [
    Crowd::new("agent.pick.1", 1, 1, Ask::Pick),
    Crowd::new("agent.pair.1", 1, 1, Ask::Pair),
    Crowd::new("agent.pick.64x32", 64, 32, Ask::Pick),
    Crowd::new("agent.pair.64x32", 64, 32, Ask::Pair),
    Crowd::new("dns.get.1", 1, 1, Ask::Route),
    Crowd::new("dns.get.64x32", 64, 32, Ask::Route),
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

    /// Instructions of a service that gives so many answers and ends.
    fn collected(&self, answers: u64) -> Result<f64, BenchError> {
        let mut harness = Harness::new(Options::default())?;
        let file = harness.folder().join("callgrind.out");
        let words = [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            "--log-file=/dev/null".to_owned(),
            format!("--callgrind-out-file={}", file.display()),
        ];
        if self.ask == Ask::Route {
            let store = format!("sqlite_path = '{}'", harness.folder().join("store").display());
            let processor = harness.processors.serving;
            let (process, dns) =
                services::start_dns_under(&words, &harness, processor, &store, Io::Epoll.name())?;
            // It listens before it has read its store, and refuses until then.
            let started = Instant::now();
            while let Err(error) = services::edit(&dns, services::routes_of_loads()) {
                if started.elapsed() > ANSWER_WITHIN {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let target = Target {
                place: Place::Tcp(dns),
                process: process.id(),
                kind: ServerKind::Dns,
                ask: Ask::Route,
            };
            self.ask(&target, answers)?;
            process.end()?;
        } else {
            let services = Services::start(&mut harness)?;
            let agent = services.agent_under(&words, &mut harness, Io::Epoll)?;
            self.ask(&agent.target, answers)?;
            agent.child.end()?;
        }
        let counts = fs::read_to_string(&file).doing("read what callgrind wrote")?;
        let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
        total
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| BenchError::Answer(format!("callgrind did not count {}", self.name)))
    }

    fn ask(&self, target: &Target, answers: u64) -> Result<(), BenchError> {
        let target = Target {
            ask: self.ask,
            ..target.clone()
        };
        let mut carousel = Carousel::start(&target, self.connections, self.outstanding)?;
        for _ in 0..answers / u64::from(self.connections * self.outstanding) {
            carousel.round()?;
        }
        Ok(())
    }
}
