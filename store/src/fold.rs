//! Folds the records of many batches into the fewest rows, sorted by key. Its own file because every database shares
//! it: what is summed here is written once.

use crate::calls::{CallBatch, CallRecord, CallStatus, HistoryRow};

/// What one transaction writes beside the acknowledgements: gathered as it comes, sorted once when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    history: Vec<HistoryRow>,
    status: Vec<CallStatus>,
}

impl Fold {
    pub(crate) fn add(&mut self, batch: &CallBatch) {
        self.history.extend(batch.records.iter().filter_map(history));
        self.status
            .extend(batch.records.iter().filter_map(|record| status(record, batch)));
    }

    /// Rows to be added to what history has, in order of (minute, module, node).
    pub(crate) fn history(&mut self) -> &[HistoryRow] {
        self.history.sort_by_key(|row| (row.minute, row.module, row.node));
        self.history.dedup_by(|next, sum| {
            let is_same = (next.minute, next.module, next.node) == (sum.minute, sum.module, sum.node);
            if is_same {
                add_to(sum, next);
            }
            is_same
        });
        &self.history
    }

    /// Windows to be written over older or equal ones, in order of (module, node, caller).
    pub(crate) fn status(&mut self) -> &[CallStatus] {
        // Stable: of two with one time stamp the later is kept.
        self.status.sort_by_key(|row| (row.module, row.node, row.caller));
        self.status.dedup_by(|next, newest| {
            let is_same =
                (next.module, next.node, next.caller) == (newest.module, newest.node, newest.caller);
            if is_same && next.ts >= newest.ts {
                *newest = *next;
            }
            is_same
        });
        &self.status
    }
}

fn history(record: &CallRecord) -> Option<HistoryRow> {
    if (record.ok, record.failed, record.timed_out, record.cancelled) == (0, 0, 0, 0) {
        return None;
    }
    Some(HistoryRow {
        module: record.module,
        node: record.node,
        minute: record.minute,
        ok: record.ok,
        failed: record.failed,
        timed_out: record.timed_out,
        cancelled: record.cancelled,
        latency_sum_us: record.latency_sum_us,
        latency_max_us: record.latency_max_us,
    })
}

fn add_to(sum: &mut HistoryRow, row: &HistoryRow) {
    sum.ok = sum.ok.saturating_add(row.ok);
    sum.failed = sum.failed.saturating_add(row.failed);
    sum.timed_out = sum.timed_out.saturating_add(row.timed_out);
    sum.cancelled = sum.cancelled.saturating_add(row.cancelled);
    sum.latency_sum_us = sum.latency_sum_us.saturating_add(row.latency_sum_us);
    sum.latency_max_us = sum.latency_max_us.max(row.latency_max_us);
}

fn status(record: &CallRecord, batch: &CallBatch) -> Option<CallStatus> {
    let (window, caller) = (record.window, batch.caller);
    // Windows alone say what their agent means them to say: also that nothing was called.
    if (window.succ, window.err) == (0, 0) && !batch.is_unnumbered() {
        return None;
    }
    Some(CallStatus {
        module: record.module,
        node: record.node,
        caller,
        succ: u64::from(window.succ),
        err: u64::from(window.err),
        ts: record.window_ts,
        overloaded: window.overloaded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::record::Window;
    use lars_wire::{ModuleId, NodeAddr};

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
        let mut fold = fold(&[record(1, 5, 3, 20), record(1, 5, 4, 19), record(1, 6, 1, 18)]);
        let history: Vec<_> = fold
            .history()
            .iter()
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
        let status: Vec<_> = fold
            .status()
            .iter()
            .map(|row| (row.succ, row.ts, row.caller))
            .collect();
        assert_eq!(status, [(3, 20, 7)]);
    }

    #[test]
    fn later_of_two_windows_with_one_ts_is_kept() {
        let mut fold = fold(&[record(1, 5, 3, 20), record(1, 5, 4, 20)]);
        assert_eq!(fold.status().iter().map(|row| row.succ).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn rows_come_in_order_of_key_whatever_the_order_of_records() {
        let mut fold = fold(&[
            record(9, 6, 1, 1),
            record(2, 5, 1, 1),
            record(9, 5, 1, 1),
            record(1, 6, 1, 1),
        ]);
        let history: Vec<_> = fold.history().iter().map(|row| (row.minute, row.node)).collect();
        assert!(history.is_sorted() && history.len() == 4, "{history:?}");
        let nodes: Vec<_> = fold.status().iter().map(|row| row.node).collect();
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
        let status: Vec<_> = fold
            .status()
            .iter()
            .map(|row| (row.succ, row.overloaded))
            .collect();
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
        let mut only_window = fold(&[silent]);
        assert_eq!((only_window.history().len(), only_window.status().len()), (0, 1));
        let closed = CallRecord {
            window: Window {
                succ: 0,
                err: 0,
                overloaded: true,
            },
            ..record(1, 5, 3, 20)
        };
        let mut only_counts = fold(&[closed]);
        assert_eq!((only_counts.history().len(), only_counts.status().len()), (1, 0));
    }
}
