//! What leaves a core at the end of its turn for the control thread, gathered during the turn so that it is bothered
//! once, and how far the core is with stopping.

use crate::mail::{Mail, Memo, Order};
use lars_pool::{CoreIndex, Turn};
use lars_shard::NodeChange;
use lars_shard::changes::CHANGES_KEPT_MAX;
use lars_wire::record::Tally;
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Orders in one memo.
const ORDERS_MAX: usize = 4_096;

/// How far this core is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// Not asked to.
    No,
    /// Takes no more reports; its last ones go out at the end of this turn.
    Asked,
    /// Every other core was told; waits until all have said the same.
    Told,
    /// The last counts are given.
    Done,
}

/// One core's outgoing trays.
pub(crate) struct Desk {
    me: CoreIndex,
    memos: mpsc::Sender<Memo>,
    held: VecDeque<Memo>,
    drain: Drain,
    /// Others that post reports here and have not yet said that they drained.
    undrained: u16,
}

impl Desk {
    /// Empty trays; so many others post reports here.
    pub(crate) fn new(me: CoreIndex, posters: u16, memos: mpsc::Sender<Memo>) -> Self {
        Self {
            me,
            memos,
            held: VecDeque::new(),
            drain: Drain::No,
            undrained: posters,
        }
    }

    /// Whether reports are taken.
    pub(crate) fn takes_reports(&self) -> bool {
        self.drain == Drain::No
    }

    /// The agent stops.
    pub(crate) fn drain(&mut self) {
        if self.drain == Drain::No {
            self.drain = Drain::Asked;
        }
    }

    /// Another one has posted its last report.
    pub(crate) fn drained(&mut self) {
        self.undrained = self.undrained.saturating_sub(1);
    }

    /// Once it was asked to stop: tells the other cores, behind the last report for each of them, that it was the last.
    pub(crate) fn tell_drained(&mut self, turn: &mut Turn<'_, Mail>) {
        if self.drain == Drain::Asked {
            self.drain = Drain::Told;
            for core in (0..turn.cores()).map(CoreIndex).filter(|&core| core != self.me) {
                turn.post(core, Mail::Drained);
            }
        }
    }

    /// Whether every report of every core has arrived where it is counted.
    pub(crate) fn is_last_flush_due(&self) -> bool {
        self.drain == Drain::Told && self.undrained == 0
    }

    /// The last counts were put on the desk.
    pub(crate) fn last_flush_done(&mut self) {
        self.drain = Drain::Done;
        self.held.push_back(Memo::Drained);
    }

    /// For dns; takes all of `orders`.
    pub(crate) fn orders(&mut self, orders: &mut Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        // While the control thread is busy, orders are put together instead of piling up memo by memo.
        match self.held.back_mut() {
            Some(Memo::Orders(held)) if held.len() < ORDERS_MAX => held.append(orders),
            _ => self.held.push_back(Memo::Orders(std::mem::take(orders))),
        }
    }

    /// For report, and for whoever asks; takes all of `changes`.
    pub(crate) fn changes(&mut self, changes: &mut Vec<NodeChange>) {
        if changes.is_empty() {
            return;
        }
        // While the control thread is busy, as many are put together as it will keep.
        match self.held.back_mut() {
            Some(Memo::Changes(held)) if held.len() < CHANGES_KEPT_MAX => held.append(changes),
            _ => self.held.push_back(Memo::Changes(std::mem::take(changes))),
        }
    }

    /// Whether the tallies taken before have left: if not, the shard goes on merging.
    pub(crate) fn has_room_for_tallies(&self) -> bool {
        !self.held.iter().any(|memo| matches!(memo, Memo::Tallies(_)))
    }

    /// For report.
    pub(crate) fn tallies(&mut self, tallies: Vec<Tally>) {
        if !tallies.is_empty() {
            self.held.push_back(Memo::Tallies(tallies));
        }
    }

    /// Sends the memos; returns whether all have left.
    pub(crate) fn send(&mut self) -> bool {
        while let Some(memo) = self.held.pop_front() {
            match self.memos.try_send(memo) {
                Ok(()) => {}
                Err(TrySendError::Full(memo)) => {
                    self.held.push_front(memo);
                    return false;
                }
                // The control thread has ended: the agent stops, and nobody is left to tell.
                Err(TrySendError::Closed(_)) => self.held.clear(),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::ModuleId;

    #[test]
    fn memos_for_which_there_is_no_room_are_kept_in_their_order() {
        let (memos, mut control) = mpsc::channel(1);
        let mut desk = Desk::new(CoreIndex(0), 1, memos);
        let order = |cmdid| Order::Subscribe(ModuleId::new(1, cmdid));
        desk.tallies(vec![Tally::default()]);
        desk.orders(&mut vec![order(1)]);
        assert!(!desk.send());
        assert!(desk.has_room_for_tallies());
        desk.orders(&mut vec![order(2)]);
        assert!(matches!(control.try_recv(), Ok(Memo::Tallies(_))));
        assert!(desk.send());
        match control.try_recv() {
            Ok(Memo::Orders(orders)) => assert_eq!(orders, [order(1), order(2)]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn last_counts_are_given_only_after_every_other_core_has_drained() {
        let (memos, _control) = mpsc::channel(1);
        let mut desk = Desk::new(CoreIndex(0), 2, memos);
        desk.drained();
        desk.drain();
        assert!(!desk.takes_reports());
        desk.drain = Drain::Told;
        assert!(!desk.is_last_flush_due());
        desk.drained();
        assert!(desk.is_last_flush_due());
    }
}
