//! Windows from agents of the C++ Lars. Pure.
//!
//! Such an agent sends what it counts of a module's nodes again and again, each time whole, and waits for no answer.
//! While the store is away the newest window of each node is kept here for every agent, up to a bound: nothing older
//! would be seen in the store anyway.

use lars_compat::message::{HostCallResult, Status};
use lars_compat::{module_of, node_of};
use lars_store::{CallBatch, CallRecord};
use lars_wire::record::Window;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeMap;

/// Windows that wait on one core: some 10 MB.
const WAITING_MAX: usize = 65_536;

/// The windows of one core's agents that are not on their way to the store yet.
#[derive(Debug, Default)]
pub(crate) struct OldWindows {
    /// By what `ServerCallStatus` names the agent.
    by_caller: BTreeMap<u32, BTreeMap<(ModuleId, NodeAddr), CallRecord>>,
    waiting: usize,
    /// Batches made so far.
    batches: u64,
}

impl OldWindows {
    /// Keeps the windows of a status that arrived at `unix_s`; returns how many could not be kept, because they name
    /// no node or too much waits.
    pub(crate) fn add(&mut self, status: &Status, unix_s: u64) -> u64 {
        let module = module_of(status.modid, status.cmdid);
        // An agent whose clock is ahead would else keep its later, right windows out.
        let ts = u64::from(status.ts).min(unix_s);
        let mut dropped = 0;
        for result in &status.results {
            let Some(node) = node_of(result.ip, result.port) else {
                dropped += 1;
                continue;
            };
            let nodes = self.by_caller.entry(status.caller as u32).or_default();
            let key = (module, node);
            let known = nodes.get_mut(&key);
            match known {
                Some(known) if known.window_ts > ts => {}
                Some(known) => *known = record(key, result, ts),
                None if self.waiting < WAITING_MAX => {
                    nodes.insert(key, record(key, result, ts));
                    self.waiting += 1;
                }
                None => dropped += 1,
            }
        }
        dropped
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the windows of one agent, at most `records_max`. `core` keeps batches of different cores apart.
    pub(crate) fn take(&mut self, core: u16, records_max: usize) -> Option<CallBatch> {
        let (caller, mut nodes) = loop {
            let (caller, nodes) = self.by_caller.pop_first()?;
            if !nodes.is_empty() {
                break (caller, nodes);
            }
        };
        let mut records = Vec::with_capacity(nodes.len().min(records_max));
        while records.len() < records_max
            && let Some((_, record)) = nodes.pop_first()
        {
            records.push(record);
        }
        self.waiting -= records.len();
        if !nodes.is_empty() {
            self.by_caller.insert(caller, nodes);
        }
        self.batches += 1;
        let mut incarnation = [0; 16];
        incarnation[..2].copy_from_slice(&core.to_le_bytes());
        incarnation[8..].copy_from_slice(&self.batches.to_le_bytes());
        Some(CallBatch {
            incarnation,
            sequence: CallBatch::UNNUMBERED,
            caller,
            records,
        })
    }
}

/// A window alone: such an agent does not say what it counted since it last sent one, so that history, which is exact,
/// takes nothing of it.
fn record((module, node): (ModuleId, NodeAddr), result: &HostCallResult, ts: u64) -> CallRecord {
    CallRecord {
        module,
        node,
        minute: ts / 60,
        ok: 0,
        failed: 0,
        timed_out: 0,
        cancelled: 0,
        latency_sum_us: 0,
        latency_max_us: 0,
        window: Window {
            succ: result.succ,
            err: result.err,
            overloaded: result.overload,
        },
        window_ts: ts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn result(last: i32, succ: u32) -> HostCallResult {
        HostCallResult {
            ip: 0x0a00_0000 + last,
            port: 80,
            succ,
            err: 1,
            overload: succ == 0,
        }
    }

    fn status(caller: i32, ts: u64, results: Vec<HostCallResult>) -> Status {
        Status {
            modid: 1,
            cmdid: 2,
            caller,
            results,
            ts: ts as u32,
        }
    }

    fn taken(windows: &mut OldWindows) -> Vec<(u32, Vec<(u32, u64)>)> {
        let batches = std::iter::from_fn(|| windows.take(0, 100));
        batches
            .map(|batch| {
                let records = batch.records.iter();
                let seen = records.map(|record| (record.window.succ, record.window_ts));
                (batch.caller, seen.collect())
            })
            .collect()
    }

    #[test]
    fn newest_window_of_each_node_and_agent_is_kept() {
        let mut windows = OldWindows::default();
        assert_eq!(
            windows.add(&status(7, NOW_S, vec![result(1, 5), result(2, 6)]), NOW_S),
            0
        );
        windows.add(&status(7, NOW_S, vec![result(1, 9)]), NOW_S);
        windows.add(&status(7, NOW_S - 1, vec![result(2, 99)]), NOW_S);
        windows.add(&status(8, NOW_S, vec![result(1, 3)]), NOW_S);
        assert_eq!(
            taken(&mut windows),
            [(7, vec![(9, NOW_S), (6, NOW_S)]), (8, vec![(3, NOW_S)])]
        );
        assert!(windows.is_empty() && windows.take(0, 100).is_none());
    }

    #[test]
    fn clock_that_is_ahead_keeps_no_later_window_out() {
        let mut windows = OldWindows::default();
        windows.add(&status(7, u64::from(u32::MAX), vec![result(1, 5)]), NOW_S);
        windows.add(&status(7, NOW_S, vec![result(1, 6)]), NOW_S);
        assert_eq!(taken(&mut windows), [(7, vec![(6, NOW_S)])]);
    }

    #[test]
    fn what_names_no_node_or_is_too_much_is_dropped_and_told() {
        let mut windows = OldWindows::default();
        let nobody = HostCallResult {
            ip: 0,
            ..result(1, 1)
        };
        let no_port = HostCallResult {
            port: 65_536,
            ..result(1, 1)
        };
        assert_eq!(windows.add(&status(7, NOW_S, vec![nobody, no_port]), NOW_S), 2);
        assert!(windows.is_empty() && windows.take(0, 100).is_none());
        for caller in 0..WAITING_MAX as i32 {
            assert_eq!(windows.add(&status(caller, NOW_S, vec![result(1, 1)]), NOW_S), 0);
        }
        assert_eq!(windows.add(&status(-1, NOW_S, vec![result(1, 1)]), NOW_S), 1);
        assert_eq!(
            windows.add(&status(5, NOW_S, vec![result(1, 2)]), NOW_S),
            0,
            "a newer one takes the place of its elder"
        );
    }

    #[test]
    fn batches_are_bounded_and_each_is_another() {
        let mut windows = OldWindows::default();
        windows.add(
            &status(-1, NOW_S, (1..6).map(|last| result(last, 1)).collect()),
            NOW_S,
        );
        let batches: Vec<_> = std::iter::from_fn(|| windows.take(3, 2)).collect();
        let sizes: Vec<_> = batches.iter().map(|batch| batch.records.len()).collect();
        assert_eq!((sizes, windows.is_empty()), (vec![2, 2, 1], true));
        assert!(
            batches
                .iter()
                .all(|batch| batch.caller == u32::MAX && batch.is_unnumbered())
        );
        assert!(batches[0].incarnation != batches[1].incarnation);
        let again = OldWindows::default().take(4, 2);
        assert_eq!(again, None);
    }
}
