//! Calls that came folded: what the owner is told of callers that report in rings, and what a single report is, too.

use super::ledger::Standing;
use super::timers::{Timer, arm};
use super::{Command, Shard, publish};
use crate::policy::adaptive::Ended;
use lars_board::{NodeSlot, Token};
use lars_wire::caller::{Outcome, Report};
use lars_wire::{ModuleId, NodeAddr};
use std::hint::black_box;
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

/// How the shard came to know that calls ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// By a report; the pick counted as in flight in this process, or did not.
    Report { counted: bool },
    /// By a ring: the pick was made in another process.
    Elsewhere,
}

impl Shard {
    /// A call ended. Counted exactly, whether its node is in a route held here or not.
    pub fn report(&mut self, now: Instant, report: &Report, commands: &mut Vec<Command>) {
        let told = Told::Report {
            counted: Token(report.token).is_counted(),
        };
        self.count(now, &CallRun::from(report), told, commands);
    }

    /// Looks at what [`Self::ended`] needs of each of some runs, one of which says nothing about where the next one leads: so
    /// the processor waits for the memory of several at a time, and not for each by itself.
    pub fn look_ahead(&self, runs: &[CallRun]) {
        for run in runs {
            let place = self.slots.place(run.slot);
            let known = self.modules.known(run.module);
            if let Some(node) = place.and_then(|place| known?.nodes.get(place)) {
                black_box((node.addr.port(), self.ledger.is_dirty(node.account)));
            }
        }
    }

    /// Calls ended whose picks nobody here has seen, so their module is in use.
    pub fn ended(&mut self, now: Instant, run: &CallRun, commands: &mut Vec<Command>) {
        self.count(now, run, Told::Elsewhere, commands);
    }

    fn count(&mut self, now: Instant, run: &CallRun, told: Told, commands: &mut Vec<Command>) {
        if !run.node.is_callable() || run.calls == 0 {
            return self.ledger.refuse();
        }
        let module = run.module;
        let hint = self.slots.place(run.slot);
        let held = self.modules.get_mut(module);
        let known = held.and_then(|held| {
            if told == Told::Elsewhere {
                held.last_used = now;
            }
            held.known_mut()
        });
        let Some((known, place)) = known.and_then(|known| {
            let place = known.find(run.node, hint)?;
            Some((known, place))
        }) else {
            let window = self.policies.of(module).status_window();
            return self.ledger.count_stray(&mut self.timers, now, run, window);
        };
        let policy = self.policies.at(known.policy);
        let node = &mut known.nodes[place];
        let before = node.view();
        let ended = Ended {
            outcome: run.outcome,
            calls: run.calls,
            latency_us: run.latency_mean_us(),
            probe: run.probe,
            counted: told == Told::Report { counted: true },
        };
        let look_at = node.mind.record(policy, &mut known.group, now, &ended);
        let standing = Standing {
            overloaded: node.mind.is_overloaded(),
            status_window: policy.status_window(),
        };
        self.ledger
            .count(&mut self.timers, now, run, standing, &mut node.account);
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
