//! Tallies stored by report and acknowledged, as agents send them: each has one batch on the way.

use super::Table;
use crate::error::{BenchError, Doing};
use crate::greeting::{ANSWER_WITHIN, greet, receive, send};
use crate::harness::Harness;
use crate::load;
use crate::results::Unit;
use crate::services::{Services, node};
use lars_wire::bounds::TALLIES_MAX;
use lars_wire::record::{Tally, TallyAck, TallyBatch, Window};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Tallies a second into the embedded store.
pub(super) const TABLE: Table = Table {
    what: "tallies stored in the embedded store",
    names: &["report.rows.sqlite"],
    quick: true,
    measure,
};

/// Agents that send at a time to the embedded store.
const AGENTS: u8 = 8;

/// One agent's link to report.
struct Sender {
    stream: TcpStream,
    batch: TallyBatch,
}

/// Which nodes the tallies of a batch name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nodes {
    /// All agents call the same.
    OfAll,
    /// Each agent calls its own.
    OfEach,
}

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let mut senders = Senders::connect(&services.report, AGENTS, Nodes::OfAll)?;
    let mut rates = Vec::new();
    for _ in 0..harness.rounds(3) {
        rates.push(senders.rate(harness.slice() * 2)?);
    }
    harness.push("report.rows.sqlite", Unit::PerS, rates, None)
}

/// Links to one report.
pub(super) struct Senders(Vec<Sender>);

impl Senders {
    /// Connects; each agent sends the same batch again and again.
    pub(super) fn connect(report: &str, agents: u8, nodes: Nodes) -> Result<Self, BenchError> {
        let senders = (0..agents).map(|number| Sender::connect(report, number, nodes));
        senders.collect::<Result<_, _>>().map(Self)
    }

    /// Every batch that is sent.
    pub(super) fn batches(&self) -> Vec<TallyBatch> {
        self.0.iter().map(|sender| sender.batch.clone()).collect()
    }

    /// Tallies acknowledged a second.
    pub(super) fn rate(&mut self, time: Duration) -> Result<f64, BenchError> {
        for sender in &mut self.0 {
            sender.send()?;
        }
        let (started, mut stored) = (Instant::now(), 0);
        while started.elapsed() < time {
            for sender in &mut self.0 {
                sender.acknowledged()?;
                stored += TALLIES_MAX;
                sender.send()?;
            }
        }
        let rate = stored as f64 / started.elapsed().as_secs_f64();
        for sender in &mut self.0 {
            sender.acknowledged()?;
        }
        Ok(rate)
    }
}

impl Sender {
    fn connect(report: &str, number: u8, nodes: Nodes) -> Result<Self, BenchError> {
        let mut stream = TcpStream::connect(report).doing("connect to report")?;
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .doing("set a time-out")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        greet(&mut stream)?;
        let tally = |place: u32| Tally {
            module: load::module(place),
            node: node(place),
            ok: 90,
            failed: 10,
            latency_sum_us: 90_000,
            latency_max_us: 2_000,
            window: Window {
                succ: 90,
                err: 10,
                overloaded: false,
            },
            ..Tally::default()
        };
        let mut incarnation = [number; 16];
        incarnation[..4].copy_from_slice(&std::process::id().to_le_bytes());
        // Each time another one, as of agents that were started anew.
        incarnation[4..8].copy_from_slice(
            &stream
                .local_addr()
                .doing("ask for an address")?
                .port()
                .to_le_bytes()
                .repeat(2),
        );
        let first = match nodes {
            Nodes::OfAll => 0,
            Nodes::OfEach => u32::from(number) * TALLIES_MAX as u32,
        };
        let batch = TallyBatch {
            incarnation,
            sequence: 0,
            caller: 0x0a01_0000 + u32::from(number),
            age_ms: 0,
            tallies: (first..first + TALLIES_MAX as u32).map(tally).collect(),
        };
        Ok(Self { stream, batch })
    }

    fn send(&mut self) -> Result<(), BenchError> {
        self.batch.sequence += 1;
        // What stands in the store already would cost it less.
        for tally in &mut self.batch.tallies {
            tally.window.succ += 1;
        }
        send(&mut self.stream, &self.batch)
    }

    fn acknowledged(&mut self) -> Result<(), BenchError> {
        let ack: TallyAck = receive(&mut self.stream)?;
        if (ack.incarnation, ack.sequence) == (self.batch.incarnation, self.batch.sequence) {
            Ok(())
        } else {
            Err(BenchError::Answer(format!(
                "batch {} is acknowledged as {}",
                self.batch.sequence, ack.sequence
            )))
        }
    }
}
