//! The changes of nodes' states: numbered, the last of them kept for whoever asks, and brought to report once. Pure.

use lars_wire::bounds::{CHANGE_REASON_BYTES_MAX, CHANGES_MAX};
use lars_wire::caller::NodeView;
use lars_wire::event::{ChangeAck, ChangeBatch, ChangeRows, StateChange};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::VecDeque;
use std::time::Instant;

/// Changes kept: half a megabyte at most with long reasons, and hours of a mesh in which something is always wrong.
pub const CHANGES_KEPT_MAX: usize = 2_048;

/// A node of a module held here stands otherwise than it was last published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// When.
    pub at: Instant,
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// How it stood.
    pub from: NodeView,
    /// How it stands.
    pub to: NodeView,
    /// Which rule says so, with its numbers.
    pub reason: String,
}

/// The last changes of an agent, and how far report has them.
///
/// While report is away, the last [`CHANGES_KEPT_MAX`] wait; those before are forgotten and counted. What an agent that
/// is killed had not brought to report is lost with it.
#[derive(Debug)]
pub struct ChangeLog {
    incarnation: [u8; 16],
    caller: u32,
    /// In order of their numbers, without a gap.
    kept: VecDeque<(u64, NodeChange)>,
    /// Changes so far: the number of the last.
    total: u64,
    /// The number up to which report has stored them, or they are lost.
    settled: u64,
    lost: u64,
    /// Whether a batch is on its way on this connection.
    in_flight: bool,
}

impl ChangeLog {
    /// Of an agent of this identity; `caller` as in [`lars_wire::record::TallyBatch`].
    pub fn new(incarnation: [u8; 16], caller: u32) -> Self {
        Self {
            incarnation,
            caller,
            kept: VecDeque::new(),
            total: 0,
            settled: 0,
            lost: 0,
            in_flight: false,
        }
    }

    /// Adds one.
    pub fn add(&mut self, change: NodeChange) {
        self.total += 1;
        if self.kept.len() >= CHANGES_KEPT_MAX
            && let Some((number, _)) = self.kept.pop_front()
            && number > self.settled
        {
            self.settled = number;
            self.lost += 1;
        }
        self.kept.push_back((self.total, change));
    }

    /// The batch to send now; none where nothing waits, or one is on its way on this connection.
    pub fn next(&mut self, now: Instant) -> Option<ChangeBatch> {
        if self.in_flight || self.waiting() == 0 {
            return None;
        }
        self.in_flight = true;
        let waiting = self.kept.iter().filter(|(number, _)| *number > self.settled);
        Some(ChangeBatch {
            incarnation: self.incarnation,
            caller: self.caller,
            changes: waiting.take(CHANGES_MAX).map(|kept| line(now, kept)).collect(),
        })
    }

    /// Report stored a batch.
    pub fn acknowledged(&mut self, ack: &ChangeAck) {
        if ack.incarnation == self.incarnation {
            self.in_flight = false;
            self.settled = self.settled.max(ack.number.min(self.total));
        }
    }

    /// What is on its way is to be sent again: the connection ended, or no answer came.
    pub fn reconnected(&mut self) {
        self.in_flight = false;
    }

    /// Whether a batch is on its way.
    pub fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// Changes that report does not have yet.
    pub fn waiting(&self) -> u64 {
        self.total - self.settled
    }

    /// The last changes, of one module or all, the newest first.
    pub fn rows(&self, now: Instant, module: Option<ModuleId>) -> ChangeRows {
        let of_it = |(_, change): &&(u64, NodeChange)| module.is_none_or(|module| change.module == module);
        let newest = self.kept.iter().rev().filter(of_it);
        ChangeRows {
            total: self.total,
            lost: self.lost,
            changes: newest.take(CHANGES_MAX).map(|kept| line(now, kept)).collect(),
        }
    }
}

fn line(now: Instant, (number, change): &(u64, NodeChange)) -> StateChange {
    let reason = &change.reason;
    StateChange {
        number: *number,
        module: change.module,
        node: change.node,
        age_ms: now.saturating_duration_since(change.at).as_millis() as u64,
        from: change.from,
        to: change.to,
        reason: reason[..reason.floor_char_boundary(CHANGE_REASON_BYTES_MAX)].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn change(at: Instant, cmdid: u32) -> NodeChange {
        NodeChange {
            at,
            module: ModuleId::new(1, cmdid),
            node: NodeAddr::from_ipv4_number(0x0a00_0001, 80),
            from: NodeView::Idle,
            to: NodeView::Overloaded,
            reason: "é".repeat(CHANGE_REASON_BYTES_MAX),
        }
    }

    fn numbers(changes: &[StateChange]) -> Vec<u64> {
        changes.iter().map(|change| change.number).collect()
    }

    #[test]
    fn batch_is_sent_again_until_it_is_acknowledged_and_then_the_next() {
        let (start, mut log) = (Instant::now(), ChangeLog::new([7; 16], 9));
        assert_eq!(log.next(start), None);
        for cmdid in 0..200 {
            log.add(change(start, cmdid));
        }
        let later = start + Duration::from_millis(30);
        let batch = log.next(later).expect("something waits");
        assert_eq!((batch.incarnation, batch.caller), ([7; 16], 9));
        assert_eq!(numbers(&batch.changes), (1..=128).collect::<Vec<_>>());
        assert_eq!(batch.changes[0].age_ms, 30);
        assert_eq!(batch.changes[0].reason.len(), CHANGE_REASON_BYTES_MAX);
        assert_eq!(log.next(later), None, "one at a time");
        log.reconnected();
        assert_eq!(log.next(later), Some(batch));
        let ack = |incarnation, number| ChangeAck { incarnation, number };
        log.acknowledged(&ack([8; 16], 128));
        assert_eq!(log.next(later), None, "that was for another agent");
        log.acknowledged(&ack([7; 16], 128));
        let rest = log.next(later).expect("the rest");
        assert_eq!(numbers(&rest.changes), (129..=200).collect::<Vec<_>>());
        log.acknowledged(&ack([7; 16], u64::MAX));
        assert_eq!((log.waiting(), log.next(later)), (0, None));
        assert_eq!(log.rows(later, None).changes.len(), CHANGES_MAX, "they are kept");
    }

    #[test]
    fn oldest_gives_way_and_counts_as_lost_only_where_report_has_it_not() {
        let (start, mut log) = (Instant::now(), ChangeLog::new([7; 16], 9));
        for cmdid in 0..10 {
            log.add(change(start, cmdid));
        }
        log.acknowledged(&ChangeAck {
            incarnation: [7; 16],
            number: 4,
        });
        for cmdid in 10..(CHANGES_KEPT_MAX as u32 + 10) {
            log.add(change(start, cmdid));
        }
        let rows = log.rows(start, None);
        assert_eq!((rows.total, rows.lost), (CHANGES_KEPT_MAX as u64 + 10, 6));
        assert_eq!(log.waiting(), CHANGES_KEPT_MAX as u64);
        assert_eq!(log.next(start).expect("the oldest kept").changes[0].number, 11);
    }

    #[test]
    fn listing_of_one_module_has_its_changes_alone_the_newest_first() {
        let (start, mut log) = (Instant::now(), ChangeLog::new([7; 16], 9));
        for cmdid in [1, 2, 1, 3] {
            log.add(change(start, cmdid));
        }
        assert_eq!(
            numbers(&log.rows(start, Some(ModuleId::new(1, 1))).changes),
            [3, 1]
        );
        assert_eq!(numbers(&log.rows(start, None).changes), [4, 3, 2, 1]);
    }
}
