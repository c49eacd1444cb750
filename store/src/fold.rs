//! Folds the records of many batches into the fewest rows, sorted by key. Its own file because every database shares
//! it: what is summed here is written once.

use crate::calls::{CallBatch, CallRecord, CallStatus, HistoryRow};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeMap;

/// What one transaction writes beside the acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    history: BTreeMap<(u64, ModuleId, NodeAddr), HistoryRow>,
    status: BTreeMap<(ModuleId, NodeAddr, u32), CallStatus>,
}

impl Fold {
    pub(crate) fn add(&mut self, batch: &CallBatch) {
        for record in &batch.records {
            self.add_history(record);
            self.add_status(record, batch);
        }
    }

    /// Rows to be added to what history has, in order of (minute, module, node).
    pub(crate) fn history(&self) -> impl Iterator<Item = &HistoryRow> {
        self.history.values()
    }

    /// Windows to be written over older or equal ones, in order of (module, node, caller).
    pub(crate) fn status(&self) -> impl Iterator<Item = &CallStatus> {
        self.status.values()
    }

    fn add_history(&mut self, record: &CallRecord) {
        if (record.ok, record.failed, record.timed_out, record.cancelled) == (0, 0, 0, 0) {
            return;
        }
        let minute = record.minute;
        let row = self
            .history
            .entry((minute, record.module, record.node))
            .or_insert(HistoryRow {
                module: record.module,
                node: record.node,
                minute,
                ok: 0,
                failed: 0,
                timed_out: 0,
                cancelled: 0,
                latency_sum_us: 0,
                latency_max_us: 0,
            });
        row.ok = row.ok.saturating_add(record.ok);
        row.failed = row.failed.saturating_add(record.failed);
        row.timed_out = row.timed_out.saturating_add(record.timed_out);
        row.cancelled = row.cancelled.saturating_add(record.cancelled);
        row.latency_sum_us = row.latency_sum_us.saturating_add(record.latency_sum_us);
        row.latency_max_us = row.latency_max_us.max(record.latency_max_us);
    }

    fn add_status(&mut self, record: &CallRecord, batch: &CallBatch) {
        let (window, caller) = (record.window, batch.caller);
        // Windows alone say what their agent means them to say: also that nothing was called.
        if (window.succ, window.err) == (0, 0) && !batch.is_unnumbered() {
            return;
        }
        let row = CallStatus {
            module: record.module,
            node: record.node,
            caller,
            succ: u64::from(window.succ),
            err: u64::from(window.err),
            ts: record.window_ts,
            overloaded: window.overloaded,
        };
        let newest = self.status.entry((row.module, row.node, caller)).or_insert(row);
        if row.ts >= newest.ts {
            *newest = row;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::record::Window;

    fn record(last: u8, minute: u64, ok: u64, ts: u64) -> CallRecord {
        CallRecord {
            module: ModuleId::new(1, 1),
            node: NodeAddr::from_ipv4_number(u32::from(last), 80),
            minute,
            ok,
            failed: 1,
            timed_out: 0,
            cancelled: 0,
            latency_sum_us: ok * 10,
            latency_max_us: ok as u32,
            window: Window {
                succ: ok as u32,
                err: 1,
                overloaded: false,
            },
            window_ts: ts,
        }
    }

    fn fold(records: &[CallRecord]) -> Fold {
        let mut fold = Fold::default();
        fold.add(&CallBatch {
            incarnation: [1; 16],
            sequence: 1,
            caller: 7,
            records: records.to_vec(),
        });
        fold
    }

    #[test]
    fn records_of_one_minute_are_summed_and_the_newest_window_is_kept() {
        let fold = fold(&[record(1, 5, 3, 20), record(1, 5, 4, 19), record(1, 6, 1, 18)]);
        let history: Vec<_> = fold
            .history()
            .map(|row| {
                (
                    row.minute,
                    row.ok,
                    row.failed,
                    row.latency_sum_us,
                    row.latency_max_us,
                )
            })
            .collect();
        assert_eq!(history, [(5, 7, 2, 70, 4), (6, 1, 1, 10, 1)]);
        let status: Vec<_> = fold.status().map(|row| (row.succ, row.ts, row.caller)).collect();
        assert_eq!(status, [(3, 20, 7)]);
    }

    #[test]
    fn later_of_two_windows_with_one_ts_is_kept() {
        let fold = fold(&[record(1, 5, 3, 20), record(1, 5, 4, 20)]);
        assert_eq!(fold.status().map(|row| row.succ).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn rows_come_in_order_of_key_whatever_the_order_of_records() {
        let fold = fold(&[
            record(9, 6, 1, 1),
            record(2, 5, 1, 1),
            record(9, 5, 1, 1),
            record(1, 6, 1, 1),
        ]);
        let history: Vec<_> = fold.history().map(|row| (row.minute, row.node)).collect();
        assert!(history.is_sorted() && history.len() == 4, "{history:?}");
        let nodes: Vec<_> = fold.status().map(|row| row.node).collect();
        assert!(nodes.is_sorted() && nodes.len() == 3, "{nodes:?}");
    }

    #[test]
    fn window_without_calls_is_written_where_nobody_numbers_batches() {
        let closed = CallRecord {
            window: Window {
                succ: 0,
                err: 0,
                overloaded: true,
            },
            ..record(1, 5, 0, 20)
        };
        let mut fold = Fold::default();
        fold.add(&CallBatch {
            incarnation: [1; 16],
            sequence: CallBatch::UNNUMBERED,
            caller: 7,
            records: vec![closed],
        });
        let status: Vec<_> = fold.status().map(|row| (row.succ, row.overloaded)).collect();
        assert_eq!(status, [(0, true)]);
    }

    #[test]
    fn record_without_calls_writes_no_history_and_window_without_calls_no_status() {
        let silent = CallRecord {
            ok: 0,
            failed: 0,
            latency_sum_us: 0,
            latency_max_us: 0,
            ..record(1, 5, 3, 20)
        };
        let only_window = fold(&[silent]);
        assert_eq!(
            (only_window.history().count(), only_window.status().count()),
            (0, 1)
        );
        let closed = CallRecord {
            window: Window {
                succ: 0,
                err: 0,
                overloaded: true,
            },
            ..record(1, 5, 3, 20)
        };
        let only_counts = fold(&[closed]);
        assert_eq!(
            (only_counts.history().count(), only_counts.status().count()),
            (1, 0)
        );
    }
}
