//! The accounts of a shard, one for each module and node, whether the node is still in a route or not: what was reported is
//! counted, whatever happened to the node since.
//!
//! The account of a node in a route stands under the number that readers know the node by, and a report brings that number
//! along: so it is found without a search. A number is lent again only after a rest, so that the last calls of one node
//! are not counted as in flight at the next.

use super::account::{Account, Clock, Holder, Tick};
use super::accounts::Accounts;
use super::run::CallRun;
use super::timers::{Timer, Timers};
use hashbrown::HashMap;
use lars_board::NodeSlot;
use lars_wire::record::Tally;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Accounts of nodes that are in no route held here: a caller can name any node, so they are bounded. 16,384 is a
/// whole module of the largest size whose route was taken away under its callers.
pub(crate) const STRAYS_MAX: usize = 16_384;
/// How long a number rests. A call counts as in flight for 15 s by default and for 15 minutes at most; a report that
/// comes later still bends the next node's count by one until it is forgotten, and does no other harm.
const REST: Duration = Duration::from_mins(1);

/// Numbers come from the ledger alone, and no account goes away.
const GIVEN: &str = "the ledger has an account for each number that it has given";

/// Where an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccountNumber(u32);

impl AccountNumber {
    /// Some number, for tests.
    #[cfg(test)]
    pub(super) const FIRST: Self = Self(0);

    /// The number under which readers know the node; [`NodeSlot::NONE`] where it is too large.
    pub(super) fn slot(self) -> NodeSlot {
        NodeSlot::new(self.0)
    }
}

/// The accounts of one shard.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    clock: Clock,
    accounts: Accounts,
    /// Numbers that may be lent again once they have rested, and since when they rest.
    resting: VecDeque<(Instant, AccountNumber)>,
    /// Numbers that no reader knows, and that may be lent at once.
    free: Vec<AccountNumber>,
    /// The accounts of nodes that are in no route held here.
    loose: HashMap<(ModuleId, NodeAddr), AccountNumber>,
    /// Accounts with something to give out, in the order in which they got it. One that has nothing is stale.
    dirty: VecDeque<AccountNumber>,
    /// Tallies whose counts reached what fits: given out as they are.
    full: Vec<Tally>,
    strays: usize,
    refused: u64,
}

/// Of nodes in routes.
impl Ledger {
    /// An account for a node that comes into a route: the one it has already, if its calls are still being counted.
    pub(super) fn lend(&mut self, now: Instant, module: ModuleId, node: NodeAddr) -> AccountNumber {
        if let Some(number) = self.loose.remove(&(module, node)) {
            let account = self.at_mut(number);
            let before = std::mem::replace(&mut account.holder, Holder::Node);
            self.strays -= usize::from(before == Holder::Stray);
            return number;
        }
        self.open(now, Account::new(module, node, Holder::Node))
    }

    /// The node is in no route any more. What was counted is given out all the same, and an open status window goes on.
    pub(super) fn give_back(&mut self, timers: &mut Timers, now: Instant, number: AccountNumber) {
        let at = self.clock.tick(now);
        let account = self.at_mut(number);
        account.holder = Holder::Left;
        (account.overloaded, account.may_wait, account.is_watched) = (false, false, false);
        account.take_noted().for_each(drop);
        let (key, closes_at) = (account.key(), account.open_until(at));
        if !account.is_dirty && closes_at.is_none() {
            return self.release(now, number);
        }
        self.loose.insert(key, number);
        self.arm(timers, number, closes_at);
    }

    /// The account of this node under the number that a report brought along, if it is in a route held here.
    #[inline]
    pub(super) fn find(&self, slot: NodeSlot, module: ModuleId, node: NodeAddr) -> Option<AccountNumber> {
        let number = slot.number()?;
        let account = self.accounts.get(number)?;
        account.is_of(module, node).then_some(AccountNumber(number))
    }

    /// The account under the number that a report brought along, whoever holds it.
    pub(super) fn behind(&self, slot: NodeSlot) -> Option<&Account> {
        self.accounts.get(slot.number()?)
    }

    #[inline]
    pub(super) fn at(&self, number: AccountNumber) -> &Account {
        self.accounts.get(number.0).expect(GIVEN)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, number: AccountNumber) -> &mut Account {
        self.accounts.get_mut(number.0).expect(GIVEN)
    }

    /// The node stands as its account says now: an open status window says so when next given out.
    pub(super) fn restate(&mut self, now: Instant, number: AccountNumber) {
        let at = self.clock.tick(now);
        if self.at_mut(number).restate(at) {
            self.touch(number);
        }
    }

    /// Counts calls to a node of a route held here.
    #[inline]
    pub(super) fn count(&mut self, at: Tick, run: &CallRun, status_window: Duration, number: AccountNumber) {
        self.touch(number);
        let full = self.at_mut(number).enter(at, run, status_window);
        self.full.extend(full);
    }
}

/// Of nodes in none.
impl Ledger {
    /// Counts calls to a node that is in no route held here. One that would be the [`STRAYS_MAX`] + first of its
    /// kind is refused and counted.
    pub(super) fn count_stray(
        &mut self,
        timers: &mut Timers,
        now: Instant,
        run: &CallRun,
        status_window: Duration,
    ) {
        let (module, node) = (run.module, run.node);
        let number = match self.loose.get(&(module, node)) {
            Some(&number) => number,
            None if self.strays < STRAYS_MAX => {
                let number = self.open(now, Account::new(module, node, Holder::Stray));
                self.loose.insert((module, node), number);
                self.strays += 1;
                number
            }
            None => return self.refuse(),
        };
        let at = self.clock.tick(now);
        let before = self.at(number).open_until(at);
        self.count(at, run, status_window, number);
        let after = self.at(number).open_until(at);
        if before != after {
            self.arm(timers, number, after);
        }
    }

    /// The status window of an account closes that [`Self::is_armed`] for now.
    pub(super) fn close_window(&mut self, number: AccountNumber, now: Instant) {
        if !self.at(number).is_dirty {
            self.release(now, number);
        }
    }

    /// Whether the account is one whose status window is waited for until `at`.
    pub(super) fn is_armed(&self, number: AccountNumber, at: Instant) -> bool {
        let account = self.at(number);
        let is_loose = matches!(account.holder, Holder::Left | Holder::Stray);
        is_loose && self.clock.instant(account.closes_at()) == Some(at)
    }

    /// Accounts of nodes that are in no route held here.
    pub(super) fn loose(&self) -> usize {
        self.loose.len()
    }

    /// A report that names no node a call could be made to, or that there is no room for.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Reports refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

/// Of all.
impl Ledger {
    /// Now, as accounts tell the time.
    #[inline]
    pub(super) fn tick(&mut self, now: Instant) -> Tick {
        self.clock.tick(now)
    }

    /// The next of the instants that are `step` apart.
    pub(super) fn round_up(&mut self, at: Instant, step: Duration) -> Instant {
        let tick = self.clock.tick(at).round_up(step);
        self.clock.instant(tick).unwrap_or(at)
    }

    /// When that was.
    pub(super) fn instant(&self, tick: Tick) -> Option<Instant> {
        self.clock.instant(tick)
    }

    /// Accounts that have something to give out, at most.
    pub(super) fn waiting(&self) -> usize {
        self.dirty.len() + self.full.len()
    }

    /// Gives out what was counted since the last call at `most` nodes, appended to `tallies`.
    pub(super) fn take(&mut self, timers: &mut Timers, now: Instant, most: usize, tallies: &mut Vec<Tally>) {
        tallies.append(&mut self.full);
        let at = self.clock.tick(now);
        // With many strays their windows are closed early, so that new ones find room: the counts stay exact.
        let crowded = self.strays > STRAYS_MAX / 2;
        for _ in 0..most {
            let Some(number) = self.dirty.pop_front() else {
                break;
            };
            let account = self.at_mut(number);
            if !std::mem::take(&mut account.is_dirty) {
                continue;
            }
            tallies.push(account.take());
            if crowded && account.holder == Holder::Stray && account.close(at) {
                timers.outdate(1);
            }
            let account = self.at(number);
            if account.holder != Holder::Node && account.open_until(at).is_none() {
                self.release(now, number);
            }
        }
    }

    fn open(&mut self, now: Instant, account: Account) -> AccountNumber {
        let rested = self
            .resting
            .pop_front_if(|(since, _)| now.saturating_duration_since(*since) >= REST);
        let number = rested.map(|(_, number)| number).or_else(|| self.free.pop());
        if let Some(number) = number {
            *self.at_mut(number) = account;
            return number;
        }
        AccountNumber(self.accounts.push(account))
    }

    /// The account's place may be used again. Its key is wiped, so that no report takes it for what it was.
    fn release(&mut self, now: Instant, number: AccountNumber) {
        let account = std::mem::take(self.at_mut(number));
        self.loose.remove(&account.key());
        if account.holder == Holder::Stray {
            self.strays -= 1;
            self.free.push(number);
        } else {
            self.resting.push_back((now, number));
        }
    }

    fn arm(&mut self, timers: &mut Timers, number: AccountNumber, closes_at: Option<Tick>) {
        if let Some(at) = closes_at.and_then(|at| self.clock.instant(at)) {
            timers.push(at, Timer::Window(number));
        }
    }

    #[inline]
    fn touch(&mut self, number: AccountNumber) {
        let account = self.at_mut(number);
        if !account.is_dirty {
            account.is_dirty = true;
            self.dirty.push_back(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ModuleId = ModuleId::new(1, 1);

    fn node(number: u32) -> NodeAddr {
        NodeAddr::from_ipv4_number(number, 80)
    }

    #[test]
    fn number_is_lent_again_after_its_rest_and_not_before() {
        let (start, mut ledger, mut timers) = (Instant::now(), Ledger::default(), Timers::new());
        let first = ledger.lend(start, A, node(3));
        assert_eq!(ledger.find(first.slot(), A, node(3)), Some(first));
        ledger.give_back(&mut timers, start, first);
        assert_eq!(ledger.find(first.slot(), A, node(3)), None);
        let second = ledger.lend(start + REST.mul_f32(0.999), A, node(4));
        assert_ne!(first, second);
        assert_eq!(ledger.lend(start + REST, A, node(5)), first);
        assert_eq!(ledger.find(first.slot(), A, node(5)), Some(first));
        assert_eq!(ledger.find(first.slot(), A, node(3)), None, "another node");
        assert_eq!(ledger.find(NodeSlot::NONE, A, node(5)), None);
    }
}
