//! What others cost a caller: nobody, one that floods and reads, one that floods and never reads, and two hundred of
//! those, which leave the agent's buffers exhausted. Interleaved, each beside nobody.

use super::{Table, latency};
use crate::child::Child;
use crate::echo::Io;
use crate::error::BenchError;
use crate::harness::Harness;
use crate::load::Target;
use crate::load::flood::{FloodTask, Flooded};
use crate::load::latency::Latencies;
use crate::results::Unit;
use crate::role;
use crate::scrape;
use crate::services::Services;

/// Times of one caller beside others.
pub(super) const TABLE: Table = Table {
    what: "one caller beside others that flood",
    names: &["flood."],
    quick: true,
    measure,
};

/// How many flood, whether they read, and the row's name.
const FLOODS: [(&str, u32, bool); 4] = [
    ("flood.none", 0, false),
    ("flood.reads", 1, true),
    ("flood.deaf", 1, false),
    ("flood.exhausted", 200, false),
];
/// How often the agent had no buffer left.
const EXHAUSTED: &str = "lars_pool_buffers_exhausted_total";

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let services = Services::start(harness)?;
    let agent = services.agent(harness, Io::Uring)?;
    let mut times = FLOODS.map(|_| Vec::new());
    let mut exhausted = Vec::new();
    for _ in 0..harness.rounds(3) {
        for ((_, flooders, read), times) in FLOODS.into_iter().zip(&mut times) {
            let before = scrape::figures(&agent.admin, EXHAUSTED)?.iter().sum::<f64>();
            times.push(ask(harness, &agent.target, flooders, read)?);
            if flooders > 1 {
                exhausted.push(scrape::figures(&agent.admin, EXHAUSTED)?.iter().sum::<f64>() - before);
            }
        }
    }
    for ((name, flooders, _), times) in FLOODS.into_iter().zip(&times) {
        let beside = (flooders > 0).then_some("flood.none");
        let answers: Vec<Latencies> = times.iter().map(|flooded: &Flooded| flooded.times).collect();
        latency::push(harness, name, &answers, beside)?;
        let longest = times.iter().map(|flooded| flooded.longest_ns / 1e6);
        harness.push(format!("{name}.longest"), Unit::Ms, longest, None)?;
    }
    harness.push("flood.exhausted.times", Unit::Count, exhausted, None)
}

fn ask(harness: &Harness, target: &Target, flooders: u32, read: bool) -> Result<Flooded, BenchError> {
    let task = FloodTask {
        target: target.clone(),
        flooders,
        read,
        seconds: harness.seconds(),
    };
    Child::start(role::LOAD_FLOOD, harness.processors.asking, &task)?.report(harness.slice() * 2)
}
