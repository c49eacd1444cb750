//! What time alone brings about, and the timers that call for it.

use super::learning::HOLD_MAX;
use super::ledger::Ledger;
use super::modules::{Modules, State};
use super::timers::{Timer, arm};
use super::{Command, Shard, publish};
use crate::policy::{GroupMind, InFlight, Policy};
use lars_wire::caller::Status;
use lars_wire::{ModuleId, NodeAddr};
use std::time::Instant;

impl Shard {
    pub(super) fn module_due(&mut self, now: Instant, module: ModuleId, commands: &mut Vec<Command>) {
        let Some(held) = self.modules.get_mut(module) else {
            return;
        };
        held.armed = None;
        // Calls that wait in accounts were calls to it all the same.
        held.catch_up(&self.policies, &mut self.ledger);
        let is_idle = held.last_used + self.module_idle <= now;
        match &mut held.state {
            State::NotFound { until } if *until <= now => return self.forget(now, module, commands),
            State::Wanted if is_idle => {
                self.forget(now, module, commands);
                commands.push(Command::Answer(module, Status::Failed));
                return;
            }
            State::Known(_) if is_idle => {
                commands.push(Command::Withdraw(module));
                return self.forget(now, module, commands);
            }
            State::Known(known) if known.ask_at.is_some_and(|ask_at| ask_at <= now) => {
                known.ask_at = Some(now + HOLD_MAX);
                commands.push(Command::Subscribe(module));
            }
            _ => {}
        }
        self.arm_module(module);
    }

    pub(super) fn node_due(
        &mut self,
        now: Instant,
        module: ModuleId,
        addr: NodeAddr,
        commands: &mut Vec<Command>,
    ) {
        let Some(known) = self.modules.known_mut(module) else {
            return;
        };
        let Some(place) = known.find(addr) else {
            return;
        };
        let policy = self.policies.at(known.policy);
        let node = &mut known.nodes[place];
        node.armed = None;
        let before = node.view();
        node.mind.settle(policy, now);
        node.tell(self.ledger.at_mut(node.account));
        self.ledger.restate(now, node.account);
        let deadline = node.mind.deadline(policy);
        arm(
            &mut self.timers,
            &mut node.armed,
            deadline,
            Timer::Node(module, addr),
        );
        if node.view() != before {
            publish(known, module, commands);
        }
    }

    /// Looks at a module's nodes together.
    pub(super) fn look_due(
        &mut self,
        now: Instant,
        module: ModuleId,
        in_flight: &dyn InFlight,
        commands: &mut Vec<Command>,
    ) {
        let Some(held) = self.modules.get_mut(module) else {
            return;
        };
        held.catch_up(&self.policies, &mut self.ledger);
        let Some(known) = held.known_mut() else { return };
        known.armed = None;
        let policy = self.policies.at(known.policy);
        let (GroupMind::Adaptive(group), Policy::Adaptive(rule)) = (&mut known.group, policy) else {
            return self.watch.end(&mut known.watched);
        };
        let pause = self.watch.pause(&mut self.random);
        let turn = group.look(rule, now, pause, &mut known.nodes, in_flight, &mut self.random);
        if turn.next.is_none() {
            self.watch.end(&mut known.watched);
        }
        let next = turn.next.map(|at| self.watch.gather(&mut self.ledger, at));
        arm(&mut self.timers, &mut known.armed, next, Timer::Look(module));
        for node in &known.nodes {
            let account = self.ledger.at_mut(node.account);
            node.tell(account);
            account.is_watched = false;
            if turn.publish {
                self.ledger.restate(now, node.account);
            }
        }
        if turn.publish {
            publish(known, module, commands);
        } else if turn.refresh && !known.publish_due {
            commands.push(Command::Refresh(module));
        }
        commands.extend(turn.grant.map(|slot| Command::Grant(module, slot)));
    }

    pub(super) fn arm_module(&mut self, module: ModuleId) {
        if let Some(held) = self.modules.get_mut(module) {
            let deadline = held.deadline(self.module_idle);
            arm(
                &mut self.timers,
                &mut held.armed,
                Some(deadline),
                Timer::Module(module),
            );
        }
        self.sweep_timers();
    }

    pub(super) fn sweep_timers(&mut self) {
        if self.timers.wants_sweep() {
            let (modules, ledger) = (&self.modules, &self.ledger);
            self.timers.sweep(|at, timer| is_live(modules, ledger, at, timer));
        }
    }

    /// Does one thing that is due, if somebody still waits for it.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        at: Instant,
        timer: Timer,
        in_flight: &dyn InFlight,
        commands: &mut Vec<Command>,
    ) {
        if !is_live(&self.modules, &self.ledger, at, timer) {
            return self.timers.popped_stale();
        }
        match timer {
            Timer::Module(module) => self.module_due(now, module, commands),
            Timer::Node(module, node) => self.node_due(now, module, node, commands),
            Timer::Look(module) => self.look_due(now, module, in_flight, commands),
            Timer::Window(account) => self.ledger.close_window(account, now),
        }
    }
}

/// Whether somebody waits for this entry of the timers.
fn is_live(modules: &Modules, ledger: &Ledger, at: Instant, timer: Timer) -> bool {
    match timer {
        Timer::Module(module) => modules.get(module).is_some_and(|held| held.armed == Some(at)),
        Timer::Node(module, addr) => modules.known(module).is_some_and(|known| {
            let place = known.find(addr);
            place.is_some_and(|place| known.nodes[place].armed == Some(at))
        }),
        Timer::Look(module) => modules.known(module).is_some_and(|known| known.armed == Some(at)),
        Timer::Window(account) => ledger.is_armed(account, at),
    }
}
