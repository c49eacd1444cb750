//! Which module is judged by which policy.

use crate::policy::{Policy, PolicyConfig};
use hashbrown::HashMap;
use lars_wire::ModuleId;

/// The place of a policy among a shard's policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicyPlace(u32);

/// Every policy of a shard.
#[derive(Debug)]
pub(super) struct Policies {
    /// The policy of modules that have none of their own, then the others.
    all: Vec<Policy>,
    own: HashMap<ModuleId, PolicyPlace>,
}

impl Policies {
    pub(super) fn new(
        global: &PolicyConfig,
        overrides: impl IntoIterator<Item = (ModuleId, PolicyConfig)>,
    ) -> Self {
        let mut policies = Self {
            all: vec![Policy::new(global)],
            own: HashMap::new(),
        };
        for (module, config) in overrides {
            let place = PolicyPlace(policies.all.len() as u32);
            policies.own.insert(module, place);
            policies.all.push(Policy::new(&config.over(global)));
        }
        policies
    }

    /// Where the module's policy stands: kept with a known module, so that a report needs no look-up.
    pub(super) fn place(&self, module: ModuleId) -> PolicyPlace {
        self.own.get(&module).copied().unwrap_or_default()
    }

    pub(super) fn at(&self, place: PolicyPlace) -> &Policy {
        &self.all[place.0 as usize]
    }

    pub(super) fn of(&self, module: ModuleId) -> &Policy {
        self.at(self.place(module))
    }
}
