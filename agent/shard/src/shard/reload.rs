//! Other thresholds while the shard runs: what is known of modules and nodes stays.

use super::policies::Policies;
use super::timers::{Timer, arm};
use super::{Command, Shard, publish};
use crate::policy::PolicyConfig;
use lars_wire::ModuleId;
use std::collections::HashMap;
use std::time::Instant;

impl Shard {
    /// Judges by these policies from here on. Routes, counts and slots stay. Nodes keep what is thought of them where
    /// their module is judged by a rule of the same kind as before; where it is judged by another kind, which looks at
    /// other evidence, they begin anew. Every module whose policy changed is published again.
    pub fn set_policies(
        &mut self,
        now: Instant,
        policy: &PolicyConfig,
        module_policies: HashMap<ModuleId, PolicyConfig>,
        commands: &mut Vec<Command>,
    ) {
        let before = std::mem::replace(&mut self.policies, Policies::new(policy, module_policies));
        for module in self.modules.known_ids() {
            let place = self.policies.place(module);
            let policy = self.policies.at(place);
            let Some(known) = self.modules.known_mut(module) else {
                continue;
            };
            let older = before.at(known.policy);
            known.catch_up(older, &mut self.ledger);
            known.policy = place;
            known.keep_accounts(&mut self.ledger);
            if older == policy {
                continue;
            }
            let is_alike = std::mem::discriminant(older) == std::mem::discriminant(policy);
            if !is_alike {
                known.group = policy.new_group(now);
            }
            for node in &mut known.nodes {
                if is_alike {
                    node.mind.settle(policy, now);
                } else {
                    node.mind = policy.new_mind(now, false);
                }
                node.tell(self.ledger.at_mut(node.account));
                self.ledger.restate(now, node.account);
                let deadline = node.mind.deadline(policy);
                arm(
                    &mut self.timers,
                    &mut node.armed,
                    deadline,
                    Timer::Node(module, node.addr),
                );
            }
            publish(known, module, commands);
        }
        self.sweep_timers();
    }
}
