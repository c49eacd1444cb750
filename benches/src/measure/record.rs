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
use std::time::Instant;

/// Tallies a second into the embedded store.
pub(super) const TABLE: Table = Table {
    what: "tallies stored in the embedded store",
    names: &["report.rows.sqlite"],
    measure,
};

/// Agents that send at a time.
const AGENTS: u8 = 8;

/// One agent's link to report.
struct Sender {
    stream: TcpStream,
    batch: TallyBatch,
}

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let mut senders = Vec::new();
    for number in 0..AGENTS {
        senders.push(Sender::connect(&services.report, number)?);
    }
    let mut rates = Vec::new();
    for _ in 0..harness.rounds(3) {
        for sender in &mut senders {
            sender.send()?;
        }
        let (started, mut stored) = (Instant::now(), 0);
        while started.elapsed() < harness.slice() * 2 {
            for sender in &mut senders {
                sender.acknowledged()?;
                stored += TALLIES_MAX;
                sender.send()?;
            }
        }
        rates.push(stored as f64 / started.elapsed().as_secs_f64());
        for sender in &mut senders {
            sender.acknowledged()?;
        }
    }
    harness.push("report.rows.sqlite", Unit::PerS, rates, None)
}

impl Sender {
    fn connect(report: &str, number: u8) -> Result<Self, BenchError> {
        let mut stream = TcpStream::connect(report).doing("connect to report")?;
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .doing("set a time-out")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        greet(&mut stream)?;
        let tally = |place: usize| Tally {
            module: load::module(place as u32),
            node: node(place as u32),
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
        let batch = TallyBatch {
            incarnation,
            sequence: 0,
            caller: 0x0a01_0000 + u32::from(number),
            age_ms: 0,
            tallies: (0..TALLIES_MAX).map(tally).collect(),
        };
        Ok(Self { stream, batch })
    }

    fn send(&mut self) -> Result<(), BenchError> {
        self.batch.sequence += 1;
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
