//! Others in the same run: each peer that was named, one caller and sixteen, beside our agent asked over its socket by
//! as many, in interleaved rounds.
//!
//! `peer.NAME.p50`, `.p99` and `.p999` are times of one caller's answers, `peer.NAME.16.per_s` what sixteen get in a
//! second, and `peer.NAME.16.per_core_s` the same in a second of the peer's processor time, where its process is one
//! that we may look at. `peer.beside.*` are our agent's rows of these rounds.

use super::Table;
use super::latency;
use super::rates::{self, Crowd};
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::Harness;
use crate::load::datagram::Answers;
use crate::load::latency::Latencies;
use crate::load::old_callers::{OldAsk, OldCallersTask};
use crate::load::rate::Rate;
use crate::load::srv::SrvTask;
use crate::peer::{Peer, Speaks};
use crate::results::Unit;
use crate::role;
use crate::services::Services;

/// Rows of others.
pub(super) const TABLE: Table = Table {
    what: "peers beside our agent",
    names: &["peer."],
    quick: true,
    measure,
};

/// Callers where there are many.
const CALLERS: u32 = 16;
/// Rounds in a quick run.
const ROUNDS: usize = 5;

/// What one side answered, round by round.
#[derive(Default)]
struct Sides {
    ours: Vec<(Latencies, Rate)>,
    theirs: Vec<(Answers, Answers)>,
}

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let peers = harness.peers();
    if peers.is_empty() {
        return Ok(());
    }
    let services = Services::start(harness)?;
    let agent = services.agent(harness, Io::Uring)?;
    for peer in &peers {
        let mut sides = Sides::default();
        for _ in 0..harness.rounds(ROUNDS) {
            let one = latency::ask(harness, &agent)?;
            let many = rates::ask(harness, Crowd::new(CALLERS, 1), &agent.target)?;
            sides.ours.push((one, many));
            sides
                .theirs
                .push((ask(harness, peer, 1)?, ask(harness, peer, CALLERS)?));
        }
        sides.push(harness, &peer.name)?;
    }
    Ok(())
}

impl Sides {
    fn push(&self, harness: &mut Harness, name: &str) -> Result<(), BenchError> {
        let beside = format!("peer.{name}.beside");
        let ours: Vec<Latencies> = self.ours.iter().map(|(one, _)| *one).collect();
        latency::push(harness, &beside, &ours, None)?;
        let theirs: Vec<Latencies> = self.theirs.iter().map(|(one, _)| one.times).collect();
        latency::push(harness, &format!("peer.{name}"), &theirs, Some(&beside))?;
        let many = || self.theirs.iter().map(|(_, many)| many.rate);
        let per_s = many().map(|rate| rate.answers as f64 / rate.seconds);
        harness.push(format!("peer.{name}.{CALLERS}.per_s"), Unit::PerS, per_s, None)?;
        if many().any(|rate| rate.server_seconds == 0.0) {
            return Ok(());
        }
        let beside = format!("peer.{name}.beside.{CALLERS}.per_core_s");
        let ours = self.ours.iter().map(|(_, many)| many.per_core_s());
        harness.push(beside.clone(), Unit::PerS, ours, None)?;
        harness.push(
            format!("peer.{name}.{CALLERS}.per_core_s"),
            Unit::PerS,
            many().map(|rate| rate.per_core_s()),
            Some(&beside),
        )
    }
}

fn ask(harness: &Harness, peer: &Peer, callers: u32) -> Result<Answers, BenchError> {
    let (addr, process, seconds) = (peer.addr, peer.process(), harness.seconds());
    let asking = harness.processors.asking;
    let mut load = match peer.speaks {
        Speaks::Lars => {
            let task = OldCallersTask {
                addr,
                process,
                has_routes: true,
                ask: OldAsk::Host,
                callers,
                seconds,
            };
            Child::start(role::LOAD_OLD_CALLERS, asking, &task)?
        }
        Speaks::Srv => {
            let task = SrvTask {
                addr,
                process,
                callers,
                seconds,
            };
            Child::start(role::LOAD_SRV, asking, &task)?
        }
    };
    load.report(harness.slice() * 2)
}
