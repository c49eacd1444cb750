//! Batches divided into two halves, each stored by a transaction of its own over a connection of its own. Its own file
//! because it is pure. A database does the statements of one connection one after the other, on one processor, and they
//! are what takes the time; a batch and its acknowledgement still stand in one transaction.

use crate::calls::{CallBatch, Stored};
use std::collections::HashMap;

/// Fewer records are stored together: a second transaction costs more than it gains.
const RECORDS_MIN: usize = 4_096;

/// Two halves of some batches, in which those of one incarnation stay together and in order: each is known only behind
/// the one before.
#[derive(Debug, Default)]
pub(super) struct Halves<'a> {
    pub(super) batches: [Vec<&'a CallBatch>; 2],
    /// The half of each batch, in the order in which they came.
    half_of: Vec<usize>,
}

impl<'a> Halves<'a> {
    /// Divides batches; few records, or those of a single incarnation, stay in the first half.
    pub(super) fn of(batches: &'a [CallBatch]) -> Self {
        let mut halves = Self::default();
        let count = batches.iter().map(|batch| batch.records.len()).sum::<usize>();
        let (mut known, mut records) = (HashMap::new(), [0, 0]);
        for batch in batches {
            let lighter = usize::from(count >= RECORDS_MIN && records[1] < records[0]);
            let half = *known.entry(batch.incarnation).or_insert(lighter);
            records[half] += batch.records.len();
            halves.batches[half].push(batch);
            halves.half_of.push(half);
        }
        halves
    }

    /// What became of each batch, in the order in which they came.
    pub(super) fn in_order(&self, stored: [Vec<Stored>; 2]) -> Vec<Stored> {
        let mut stored = stored.map(Vec::into_iter);
        self.half_of
            .iter()
            .filter_map(|half| stored[*half].next())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::CallRecord;
    use lars_wire::record::Window;
    use lars_wire::{ModuleId, NodeAddr};

    fn batch(who: u8, sequence: u64, records: usize) -> CallBatch {
        let record = CallRecord {
            module: ModuleId::new(1, 1),
            node: NodeAddr::from_ipv4_number(1, 80),
            minute: 1,
            ok: 1,
            failed: 0,
            timed_out: 0,
            cancelled: 0,
            latency_sum_us: 0,
            latency_max_us: 0,
            window: Window::default(),
            window_ts: 1,
        };
        CallBatch {
            incarnation: [who; 16],
            sequence,
            caller: 1,
            records: vec![record; records],
        }
    }

    fn sequences(halves: &Halves<'_>) -> [Vec<(u8, u64)>; 2] {
        let of_half = |batches: &Vec<&CallBatch>| {
            let key = |batch: &&CallBatch| (batch.incarnation[0], batch.sequence);
            batches.iter().map(key).collect()
        };
        [of_half(&halves.batches[0]), of_half(&halves.batches[1])]
    }

    #[test]
    fn halves_are_of_one_weight_and_an_incarnation_stays_in_order_in_one() {
        let batches = [
            (1, 7, 3_000),
            (2, 1, 1_000),
            (1, 8, 100),
            (3, 5, 1_900),
            (2, 2, 10),
            (4, 1, 150),
        ];
        let batches = batches.map(|(who, sequence, records)| batch(who, sequence, records));
        let halves = Halves::of(&batches);
        let expected = [vec![(1, 7), (1, 8)], vec![(2, 1), (3, 5), (2, 2), (4, 1)]];
        assert_eq!(sequences(&halves), expected);
        let stored = expected.map(|half| {
            half.into_iter()
                .map(|(_, sequence)| Stored::Now(sequence))
                .collect()
        });
        assert_eq!(
            halves.in_order(stored),
            [7, 1, 8, 5, 2, 1].map(Stored::Now),
            "told as they came"
        );
    }

    #[test]
    fn few_records_stay_together() {
        let batches: Vec<CallBatch> = (0..8).map(|who| batch(who, 1, RECORDS_MIN / 8 - 1)).collect();
        assert_eq!(Halves::of(&batches).batches.map(|half| half.len()), [8, 0]);
        let batches: Vec<CallBatch> = (0..8).map(|who| batch(who, 1, RECORDS_MIN / 8)).collect();
        assert_eq!(Halves::of(&batches).batches.map(|half| half.len()), [4, 4]);
    }
}
