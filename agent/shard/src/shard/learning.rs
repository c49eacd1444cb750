//! What a module's news come to: first routes, changed ones, shrunken ones that are held back, and none.

use super::known::Known;
use super::modules::State;
use super::{Command, Shard, publish};
use crate::book::RouteNews;
use lars_wire::ModuleId;
use std::time::{Duration, Instant};

/// How long a shrunken route is held back at most before dns is asked again. Agents are to ask apart from each other,
/// so up to a fifth of it is taken off by chance.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(10);

impl Shard {
    pub(super) fn learn_unasked(&mut self, now: Instant, news: &RouteNews, commands: &mut Vec<Command>) {
        let module = news.module;
        if !self.make_room(now, commands) {
            commands.push(Command::Unsubscribe(module));
            return;
        }
        // It may be a push that crossed our unsubscription: what is held is subscribed to, so say so.
        commands.push(Command::Subscribe(module));
        self.insert(now, module, State::Wanted);
        self.publish_first(now, news, commands);
    }

    pub(super) fn publish_first(&mut self, now: Instant, news: &RouteNews, commands: &mut Vec<Command>) {
        let place = self.policies.place(news.module);
        let mut known = Known::new(now, &self.policies, place, &mut self.ledger, news);
        publish(&mut known, news.module, commands);
        self.modules.set_state(news.module, State::Known(Box::new(known)));
        self.arm_module(news.module);
    }

    pub(super) fn learn_again(
        &mut self,
        now: Instant,
        news: &RouteNews,
        found: bool,
        commands: &mut Vec<Command>,
    ) {
        let module = news.module;
        let Some(known) = self.modules.known_mut(module) else {
            return;
        };
        let was_held = known.guard.holds();
        let believed = known.guard.passes(&known.route, &news.route, news.explained);
        let holds = known.guard.holds();
        if !believed {
            self.held_total += u64::from(!was_held);
            if known.ask_at.is_none() {
                let early = self.random.u64(..=HOLD_MAX.as_millis() as u64 / 5);
                known.ask_at = Some(now + HOLD_MAX.saturating_sub(Duration::from_millis(early)));
            }
        } else if found {
            known.ask_at = None;
            let policy = self.policies.at(known.policy);
            if known.replace(now, policy, &mut self.ledger, &mut self.timers, news) {
                publish(known, module, commands);
            }
        } else {
            self.set_not_found(now, module);
            commands.push(Command::Withdraw(module));
        }
        self.modules.count_held(was_held, holds);
        self.arm_module(module);
    }

    pub(super) fn set_not_found(&mut self, now: Instant, module: ModuleId) {
        self.give_back(now, module);
        let until = now + self.not_found_memory;
        self.modules.set_state(module, State::NotFound { until });
        self.arm_module(module);
    }
}
