//! What one pass over the rings found, folded: calls to one node that ended alike are one run, in the order in which
//! they ended. So an owner does as much for a thousand calls as for one.

use lars_board::CallRecord;
use lars_shard::CallRun;
use lars_wire::{ModuleId, NodeAddr};

/// Nodes of a core of which it is remembered where their last run stands: as many as a pass finds at a million reports a
/// second, and few enough to stay in a processor's nearest caches. What two of them want, the later one gets: the former
/// has one run more.
const REMEMBERED: usize = 1 << 13;

/// The runs of one pass, by the core that owns their module.
pub(crate) struct Fold {
    cores: Vec<Runs>,
}

/// Those of one core.
struct Runs {
    runs: Vec<CallRun>,
    /// Where the last run of a node may stand, by its slot.
    last: Vec<u32>,
}

impl Fold {
    /// For so many cores.
    pub(crate) fn new(cores: u16) -> Self {
        let runs = || Runs {
            runs: Vec::new(),
            last: vec![0; REMEMBERED],
        };
        Self {
            cores: (0..cores).map(|_| runs()).collect(),
        }
    }

    /// Adds what a ring held.
    pub(crate) fn add(&mut self, record: &CallRecord) {
        let owner = usize::from(record.module.shard(self.cores.len() as u16));
        let Runs { runs, last } = &mut self.cores[owner];
        let last = &mut last[remembered(record)];
        let run = CallRun {
            module: record.module,
            node: record.node,
            slot: record.slot,
            outcome: record.outcome,
            probe: record.probe,
            calls: record.calls,
            latency_sum_us: u64::from(record.calls) * u64::from(record.latency_us),
            latency_max_us: record.latency_us,
        };
        // What is remembered of another node, or of the pass before, is seen by the node's name.
        let before = runs.get_mut(*last as usize);
        let before = before.filter(|before| (before.module, before.node) == (run.module, run.node));
        if !before.is_some_and(|before| before.extend(&run)) {
            *last = runs.len() as u32;
            runs.push(run);
        }
    }

    /// Takes the runs of this pass, for each core.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Vec<CallRun>> {
        // The next pass finds about as much: its runs are not moved as they grow in number.
        self.cores.iter_mut().map(|core| {
            let room = Vec::with_capacity(core.runs.len());
            std::mem::replace(&mut core.runs, room)
        })
    }
}

/// Where it is remembered of a node where its last run stands.
fn remembered(record: &CallRecord) -> usize {
    let key = match record.slot.number() {
        Some(slot) => slot,
        None => name(record.module, record.node),
    };
    key as usize % REMEMBERED
}

/// A number for a node that has none.
fn name(module: ModuleId, node: NodeAddr) -> u32 {
    let octets = node.octets();
    let words = octets.as_chunks::<4>().0.iter();
    let words = words.map(|word| u32::from_le_bytes(*word));
    let sum = words.fold(u32::from(node.port()), |sum, word| sum.rotate_left(5) ^ word);
    // All bits of it are to count, and the lowest alone are taken.
    let mixed = (module.hash64() as u32 ^ sum).wrapping_mul(0x9e37_79b1);
    mixed.rotate_left(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_board::NodeSlot;
    use lars_wire::caller::Outcome;

    fn record(node: u32, outcome: Outcome, latency_us: u32) -> CallRecord {
        CallRecord {
            module: ModuleId::new(1, 1),
            node: NodeAddr::from_ipv4_number(0x0a00_0001 + node, 80),
            slot: NodeSlot::NONE,
            outcome,
            probe: false,
            calls: 2,
            latency_us,
        }
    }

    #[test]
    fn calls_of_a_node_that_end_alike_are_one_run_until_one_ends_otherwise() {
        let mut fold = Fold::new(1);
        for latency in [10, 30] {
            fold.add(&record(1, Outcome::Ok, latency));
            fold.add(&record(2, Outcome::Ok, 5));
        }
        fold.add(&record(1, Outcome::Failed, 7));
        fold.add(&record(1, Outcome::Ok, 1));
        let runs: Vec<CallRun> = fold.take().flatten().collect();
        let seen: Vec<_> = runs
            .iter()
            .map(|run| {
                (
                    run.node.octets()[15],
                    run.outcome,
                    run.calls,
                    run.latency_sum_us,
                    run.latency_max_us,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (2, Outcome::Ok, 4, 80, 30),
                (3, Outcome::Ok, 4, 20, 5),
                (2, Outcome::Failed, 2, 14, 7),
                (2, Outcome::Ok, 2, 2, 1)
            ]
        );
        assert_eq!(fold.take().flatten().count(), 0);
        fold.add(&record(1, Outcome::Ok, 1));
        assert_eq!(
            fold.take().flatten().count(),
            1,
            "nothing is left of the last pass"
        );
    }

    #[test]
    fn nodes_that_are_remembered_at_the_same_place_keep_their_runs_apart() {
        let mut fold = Fold::new(1);
        let slot = |number| CallRecord {
            slot: NodeSlot::new(number),
            ..record(number, Outcome::Ok, 1)
        };
        let (one, other) = (slot(3), slot(3 + REMEMBERED as u32));
        for record in [one, one, other, one, other, other] {
            fold.add(&record);
        }
        let runs: Vec<_> = fold.take().flatten().map(|run| (run.node, run.calls)).collect();
        assert_eq!(
            runs,
            [(one.node, 4), (other.node, 2), (one.node, 2), (other.node, 4)]
        );
    }

    #[test]
    fn run_goes_to_the_core_that_owns_its_module() {
        let mut fold = Fold::new(3);
        for cmdid in 0..30 {
            let module = ModuleId::new(9, cmdid);
            fold.add(&CallRecord {
                module,
                ..record(1, Outcome::Ok, 1)
            });
        }
        for (core, runs) in (0..).zip(fold.take()) {
            assert!(!runs.is_empty() && runs.iter().all(|run| run.module.shard(3) == core));
        }
    }
}
