//! Counts of calls that were not given out yet, one account for each module and node, whether the node is still in a
//! route or not: what was reported is counted, whatever happened to the node since.

use super::run::CallRun;
use super::timers::{Timer, Timers};
use hashbrown::HashMap;
use lars_wire::caller::Outcome;
use lars_wire::record::{Tally, Window};
use lars_wire::{ModuleId, NodeAddr};
use std::time::{Duration, Instant};

/// Accounts of nodes that are in no route held here: a caller can name any node, so they are bounded. 16,384 is a
/// whole module of the largest size whose route was taken away under its callers.
pub(crate) const STRAYS_MAX: usize = 16_384;

/// Where an account stands; a guess that is checked, so a wrong one costs a search and no more.
pub(crate) type AccountHint = u32;
/// No guess.
pub(crate) const NO_ACCOUNT: AccountHint = AccountHint::MAX;

#[derive(Clone, Debug)]
struct Account {
    /// The counts so far, as they will be given out.
    tally: Tally,
    /// When the status window closes; none while none is open.
    closes_at: Option<Instant>,
    /// Whether it stands in the list of what is to be given out.
    dirty: bool,
    /// Whether it was opened for a node that is in no route held here.
    stray: bool,
}

/// The accounts of one shard.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: Vec<Account>,
    free: Vec<u32>,
    places: HashMap<(ModuleId, NodeAddr), u32>,
    /// Accounts with something to give out, in the order in which they got it.
    dirty: Vec<u32>,
    /// Tallies whose counts reached what fits: given out as they are.
    full: Vec<Tally>,
    strays: usize,
    refused: u64,
}

impl Ledger {
    /// Counts calls to a node of a route held here.
    pub(crate) fn count(
        &mut self,
        timers: &mut Timers,
        now: Instant,
        run: &CallRun,
        standing: Standing,
        hint: &mut AccountHint,
    ) {
        let place = self
            .find(run.module, run.node, *hint)
            .unwrap_or_else(|| self.open(run.module, run.node, false));
        *hint = place;
        self.enter(timers, now, run, standing, place);
    }

    /// Counts calls to a node that is in no route held here. One that would be the [`STRAYS_MAX`] + first of its
    /// kind is refused and counted.
    pub(crate) fn count_stray(
        &mut self,
        timers: &mut Timers,
        now: Instant,
        run: &CallRun,
        status_window: Duration,
    ) {
        let place = match self.find(run.module, run.node, NO_ACCOUNT) {
            Some(place) => place,
            None if self.strays < STRAYS_MAX => self.open(run.module, run.node, true),
            None => return self.refuse(),
        };
        let standing = Standing {
            overloaded: false,
            status_window,
        };
        self.enter(timers, now, run, standing, place);
    }

    /// Whether the account has something to give out.
    pub(crate) fn is_dirty(&self, hint: AccountHint) -> bool {
        self.accounts
            .get(hint as usize)
            .is_some_and(|account| account.dirty)
    }

    /// A report that names no node a call could be made to, or that there is no room for.
    pub(crate) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Reports refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// The node stands otherwise than before: an open status window says so when next given out.
    pub(crate) fn restate(&mut self, module: ModuleId, node: NodeAddr, overloaded: bool, hint: AccountHint) {
        let Some(place) = self.find(module, node, hint) else {
            return;
        };
        let account = &mut self.accounts[place as usize];
        if account.closes_at.is_some() && account.tally.window.overloaded != overloaded {
            account.tally.window.overloaded = overloaded;
            self.touch(place);
        }
    }

    /// The status window of an account closes, unless it is not the one that `at` was armed for.
    pub(crate) fn close_window(&mut self, place: u32, at: Instant) {
        if !self.is_open(place, at) {
            return;
        }
        let account = &mut self.accounts[place as usize];
        account.closes_at = None;
        if !account.dirty {
            self.release(place);
        }
    }

    /// Whether the account's status window closes at `at`.
    pub(crate) fn is_open(&self, place: u32, at: Instant) -> bool {
        let account = self.accounts.get(place as usize);
        account.is_some_and(|account| account.closes_at == Some(at))
    }

    /// Gives out everything counted since the last call, appended to `tallies`.
    pub(crate) fn take(&mut self, tallies: &mut Vec<Tally>) {
        tallies.append(&mut self.full);
        // With many strays their windows are closed early, so that new ones find room: the counts stay exact.
        let crowded = self.strays > STRAYS_MAX / 2;
        let mut dirty = std::mem::take(&mut self.dirty);
        for place in dirty.drain(..) {
            let account = &mut self.accounts[place as usize];
            account.dirty = false;
            tallies.push(account.tally);
            account.tally = fresh(&account.tally);
            if crowded && account.stray {
                account.closes_at = None;
            }
            if account.closes_at.is_none() {
                self.release(place);
            }
        }
        self.dirty = dirty;
    }

    /// Accounts there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    fn find(&self, module: ModuleId, node: NodeAddr, hint: AccountHint) -> Option<u32> {
        if let Some(account) = self.accounts.get(hint as usize)
            && (account.tally.module, account.tally.node) == (module, node)
        {
            return Some(hint);
        }
        self.places.get(&(module, node)).copied()
    }

    fn open(&mut self, module: ModuleId, node: NodeAddr, stray: bool) -> u32 {
        let tally = Tally {
            module,
            node,
            ..Tally::default()
        };
        let account = Account {
            tally,
            closes_at: None,
            dirty: false,
            stray,
        };
        let place = if let Some(place) = self.free.pop() {
            self.accounts[place as usize] = account;
            place
        } else {
            self.accounts.push(account);
            self.accounts.len() as u32 - 1
        };
        self.places.insert((module, node), place);
        self.strays += usize::from(stray);
        place
    }

    /// The account's place may be used again. Its key is wiped, so that no hint takes it for what it was.
    fn release(&mut self, place: u32) {
        let account = &mut self.accounts[place as usize];
        self.places.remove(&(account.tally.module, account.tally.node));
        self.strays -= usize::from(account.stray);
        account.tally = Tally::default();
        self.free.push(place);
    }

    fn touch(&mut self, place: u32) {
        let account = &mut self.accounts[place as usize];
        if !account.dirty {
            account.dirty = true;
            self.dirty.push(place);
        }
    }

    fn enter(&mut self, timers: &mut Timers, now: Instant, run: &CallRun, standing: Standing, place: u32) {
        self.touch(place);
        let account = &mut self.accounts[place as usize];
        if is_full(&account.tally, run) {
            self.full.push(account.tally);
            account.tally = fresh(&account.tally);
        }
        let tally = &mut account.tally;
        match run.outcome {
            Outcome::Ok => {
                tally.ok += run.calls;
                tally.latency_sum_us = tally.latency_sum_us.saturating_add(run.latency_sum_us);
                tally.latency_max_us = tally.latency_max_us.max(run.latency_max_us);
            }
            Outcome::Failed => tally.failed += run.calls,
            Outcome::TimedOut => tally.timed_out += run.calls,
            Outcome::Cancelled => {
                // A call that the caller gave up opens no window: the window counts successes and failures alone.
                tally.cancelled += run.calls;
                tally.window.overloaded = standing.overloaded;
                return;
            }
        }
        if account.closes_at.is_none_or(|at| at <= now) {
            let closes_at = now + standing.status_window;
            account.closes_at = Some(closes_at);
            tally.window = Window::default();
            timers.push(closes_at, Timer::Window(place));
        }
        let window = &mut tally.window;
        let count = if run.outcome == Outcome::Ok {
            &mut window.succ
        } else {
            &mut window.err
        };
        *count = count.saturating_add(run.calls);
        window.overloaded = standing.overloaded;
    }
}

/// How a node stands after the call that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Whether it is overloaded.
    pub(crate) overloaded: bool,
    /// How long a status window of its module stays open.
    pub(crate) status_window: Duration,
}

/// The same account with nothing counted; the window goes on.
fn fresh(tally: &Tally) -> Tally {
    Tally {
        module: tally.module,
        node: tally.node,
        window: tally.window,
        ..Tally::default()
    }
}

/// Whether the calls of this run do not fit the tally.
fn is_full(tally: &Tally, run: &CallRun) -> bool {
    let count = match run.outcome {
        Outcome::Ok => tally.ok,
        Outcome::Failed => tally.failed,
        Outcome::TimedOut => tally.timed_out,
        Outcome::Cancelled => tally.cancelled,
    };
    // The sum of latencies cannot overflow before the count does: (2^32 - 1)^2 < 2^64.
    count.checked_add(run.calls).is_none()
}
