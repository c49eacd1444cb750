//! One change and many who subscribed: until the last of them has it, and what each costs dns in memory.

use super::Table;
use crate::child::Child;
use crate::error::BenchError;
use crate::harness::Harness;
use crate::load::fanout::{Fanout, FanoutTask};
use crate::results::Unit;
use crate::role;
use crate::services::Services;
use std::time::Duration;

/// A change until the last has it.
pub(super) const TABLE: Table = Table {
    what: "a change until the last of many subscribers has it",
    names: &["dns.push.fanout.", "dns.subscriber.bytes"],
    quick: false,
    measure,
};

/// How many subscribe.
const SUBSCRIBERS: [u32; 2] = [1_000, 10_000];
/// Changes of one run of a quick round.
const CHANGES: usize = 7;
/// How long the many may take to connect and to be told, in all.
const RUN_WITHIN: Duration = Duration::from_mins(1);

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    for subscribers in SUBSCRIBERS {
        let name = format!("dns.push.fanout.{subscribers}");
        let memory = subscribers == SUBSCRIBERS[1] && harness.wants("dns.subscriber.bytes");
        if !harness.wants(&name) && !memory {
            continue;
        }
        let services = Services::start_with_dns_on(harness, harness.processors.serving)?;
        let task = FanoutTask {
            target: services.dns_target(),
            subscribers,
            changes: harness.rounds(CHANGES) as u32,
        };
        let seen: Fanout = Child::start_under(
            &role::with_all_descriptors(),
            role::LOAD_FANOUT,
            harness.processors.asking,
            &task,
        )?
        .report(RUN_WITHIN)?;
        harness.push(name, Unit::Ms, seen.times_ms, None)?;
        if memory {
            let [before, after] = seen.resident_bytes;
            let each = (after - before) / f64::from(subscribers);
            harness.push("dns.subscriber.bytes", Unit::Bytes, [each], None)?;
        }
    }
    Ok(())
}
