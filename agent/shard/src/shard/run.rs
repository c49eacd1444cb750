//! Calls that came folded: what the owner is told of callers that report in rings, and what a single report is, too.

use super::ledger::AccountNumber;
use super::timers::{Timer, arm};
use super::{Command, Shard, publish};
use crate::policy::GroupMind;
use crate::policy::adaptive::Ended;
use lars_board::{NodeSlot, Token};
use lars_wire::caller::{Outcome, Report};
use lars_wire::{ModuleId, NodeAddr};
use std::time::Instant;

/// Calls to one node that ended alike, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRun {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// Its slot, as the caller says: where it is looked for first.
    pub slot: NodeSlot,
    /// How they ended.
    pub outcome: Outcome,
    /// Whether the picks were probes.
    pub probe: bool,
    /// How many, at least one.
    pub calls: u32,
    /// The sum of what they took, in microseconds.
    pub latency_sum_us: u64,
    /// What the longest took.
    pub latency_max_us: u32,
}

impl CallRun {
    /// Adds `next`, calls of the same module and node, where they ended like these; whether they did.
    pub fn extend(&mut self, next: &Self) -> bool {
        debug_assert_eq!((self.module, self.node), (next.module, next.node));
        let alike = (self.outcome, self.probe) == (next.outcome, next.probe);
        let Some(calls) = self.calls.checked_add(next.calls).filter(|_| alike) else {
            return false;
        };
        self.calls = calls;
        self.latency_sum_us = self.latency_sum_us.saturating_add(next.latency_sum_us);
        self.latency_max_us = self.latency_max_us.max(next.latency_max_us);
        true
    }

    /// What each took, on average.
    fn latency_mean_us(&self) -> u32 {
        u32::try_from(self.latency_sum_us / u64::from(self.calls.max(1))).unwrap_or(u32::MAX)
    }
}

impl From<&Report> for CallRun {
    fn from(report: &Report) -> Self {
        Self {
            module: report.module,
            node: report.node,
            slot: Token(report.token).slot(),
            outcome: report.outcome,
            probe: Token(report.token).is_probe(),
            calls: 1,
            latency_sum_us: u64::from(report.latency_us),
            latency_max_us: report.latency_us,
        }
    }
}

impl Shard {
    /// A call ended. Counted exactly, whether its node is in a route held here or not.
    pub fn report(&mut self, now: Instant, report: &Report, commands: &mut Vec<Command>) {
        let counted = Token(report.token).is_counted();
        self.count(now, &CallRun::from(report), counted, commands);
    }

    /// Calls ended whose picks nobody in this process has seen.
    pub fn ended(&mut self, now: Instant, run: &CallRun, commands: &mut Vec<Command>) {
        self.count(now, run, false, commands);
    }

    /// `counted`: whether the picks counted as in flight in this process.
    fn count(&mut self, now: Instant, run: &CallRun, counted: bool, commands: &mut Vec<Command>) {
        if !run.node.is_callable() || run.calls == 0 {
            return self.ledger.refuse();
        }
        let found = self.ledger.find(run.slot, run.module, run.node);
        let Some(number) = found.or_else(|| self.search(run)) else {
            let window = self.policies.of(run.module).status_window();
            return self.ledger.count_stray(&mut self.timers, now, run, window);
        };
        let at = self.ledger.tick(now);
        let account = self.ledger.at_mut(number);
        let waits = run.outcome == Outcome::Ok && account.note(at, run.calls, run.latency_mean_us(), counted);
        if waits {
            let (policy, is_watched) = (self.policies.at(account.policy), account.is_watched);
            self.ledger.count(at, run, policy.status_window(), number);
            if !is_watched {
                self.begin_watch(now, run.module);
            }
        } else {
            self.judge(now, run, counted, number, commands);
        }
    }

    /// The account of a node whose number the report does not bring along.
    #[cold]
    fn search(&self, run: &CallRun) -> Option<AccountNumber> {
        let known = self.modules.known(run.module)?;
        let place = known.find(run.node)?;
        Some(known.nodes[place].account)
    }

    /// The first call since the last look: the module is in use, and its nodes are to be looked at soon.
    #[cold]
    fn begin_watch(&mut self, now: Instant, module: ModuleId) {
        let Some(held) = self.modules.get_mut(module) else {
            return;
        };
        held.last_used = now;
        let Some(known) = held.known_mut() else { return };
        for node in &known.nodes {
            self.ledger.at_mut(node.account).is_watched = true;
        }
        if let GroupMind::Adaptive(group) = &known.group {
            self.watch.begin(&mut known.watched, known.nodes.len());
            let look_at = self.watch.gather(&mut self.ledger, group.look_after(now));
            arm(
                &mut self.timers,
                &mut known.armed,
                Some(look_at),
                Timer::Look(module),
            );
            self.sweep_timers();
        }
    }

    /// Calls ended that may change at once how their node stands.
    fn judge(
        &mut self,
        now: Instant,
        run: &CallRun,
        counted: bool,
        number: AccountNumber,
        commands: &mut Vec<Command>,
    ) {
        let module = run.module;
        let Some(held) = self.modules.get_mut(module) else {
            return;
        };
        held.last_used = now;
        let Some(known) = held.known_mut() else { return };
        let policy = self.policies.at(known.policy);
        let node = &mut known.nodes[usize::from(self.ledger.at(number).place)];
        let before = node.view();
        node.catch_up(policy, &mut known.group, &mut self.ledger);
        let ended = Ended {
            outcome: run.outcome,
            calls: run.calls,
            latency_us: run.latency_mean_us(),
            probe: run.probe,
            counted,
        };
        let look_at = node.mind.record(policy, &mut known.group, now, &ended);
        node.tell(self.ledger.at_mut(number));
        let at = self.ledger.tick(now);
        self.ledger.count(at, run, policy.status_window(), number);
        let deadline = node.mind.deadline(policy);
        arm(
            &mut self.timers,
            &mut node.armed,
            deadline,
            Timer::Node(module, node.addr),
        );
        if node.view() != before {
            publish(known, module, commands);
        }
        if look_at.is_some() {
            self.watch.begin(&mut known.watched, known.nodes.len());
        }
        arm(&mut self.timers, &mut known.armed, look_at, Timer::Look(module));
        self.sweep_timers();
    }
}
