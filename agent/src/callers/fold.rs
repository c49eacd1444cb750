//! What one pass over the rings found, folded: calls to one node that ended alike are one run, in the order in which
//! they ended. So an owner does as much for a thousand calls as for one.

use hashbrown::HashMap;
use lars_board::CallRecord;
use lars_shard::CallRun;
use lars_wire::{ModuleId, NodeAddr};

/// The runs of one pass, by the core that owns their module.
pub(crate) struct Fold {
    runs: Vec<Vec<CallRun>>,
    /// Where the last run of each node stands.
    last: HashMap<(ModuleId, NodeAddr), u32>,
}

impl Fold {
    /// For so many cores.
    pub(crate) fn new(cores: u16) -> Self {
        Self {
            runs: vec![Vec::new(); usize::from(cores)],
            last: HashMap::new(),
        }
    }

    /// Adds what a ring held.
    pub(crate) fn add(&mut self, record: CallRecord) {
        let owner = usize::from(record.module.shard(self.runs.len() as u16));
        let runs = &mut self.runs[owner];
        let last = self.last.entry((record.module, record.node)).or_insert(u32::MAX);
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
        if !runs.get_mut(*last as usize).is_some_and(|last| last.extend(&run)) {
            *last = runs.len() as u32;
            runs.push(run);
        }
    }

    /// Takes the runs of this pass, for each core.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Vec<CallRun>> {
        self.last.clear();
        // The next pass finds about as much: its runs are not moved as they grow in number.
        self.runs.iter_mut().map(|runs| {
            let room = Vec::with_capacity(runs.len());
            std::mem::replace(runs, room)
        })
    }
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
            fold.add(record(1, Outcome::Ok, latency));
            fold.add(record(2, Outcome::Ok, 5));
        }
        fold.add(record(1, Outcome::Failed, 7));
        fold.add(record(1, Outcome::Ok, 1));
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
        fold.add(record(1, Outcome::Ok, 1));
        assert_eq!(
            fold.take().flatten().count(),
            1,
            "nothing is left of the last pass"
        );
    }

    #[test]
    fn run_goes_to_the_core_that_owns_its_module() {
        let mut fold = Fold::new(3);
        for cmdid in 0..30 {
            let module = ModuleId::new(9, cmdid);
            fold.add(CallRecord {
                module,
                ..record(1, Outcome::Ok, 1)
            });
        }
        for (core, runs) in (0..).zip(fold.take()) {
            assert!(!runs.is_empty() && runs.iter().all(|run| run.module.shard(3) == core));
        }
    }
}
