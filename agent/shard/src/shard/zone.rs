//! Own zone first: whether the nodes of the agent's zone are enough, or those of the others are used as well.

use std::sync::Arc;

/// Share of the own zone's weight that must be usable where nothing else is said: what Envoy's over-provisioning factor
/// of 1.4 comes to, so that the nodes left get at most 1.4 times their calls before others help.
pub const ZONE_USABLE_PERCENT_DEFAULT: u8 = 70;

/// Which zone's nodes are preferred, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonePreference {
    /// The agent's zone; empty for no preference.
    pub zone: Arc<str>,
    /// While at least so much of the weight of the zone's serving nodes is usable, in percent, they alone are used.
    pub usable_percent: u8,
}

impl Default for ZonePreference {
    fn default() -> Self {
        Self {
            zone: Arc::from(""),
            usable_percent: ZONE_USABLE_PERCENT_DEFAULT,
        }
    }
}

/// One node as the preference looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) is_near: bool,
    pub(super) weight: u16,
    /// Whether its operator wants it used.
    pub(super) serves: bool,
    /// Whether it is used.
    pub(super) idle: bool,
}

impl ZonePreference {
    /// Whether a node of this zone is near.
    pub(super) fn is_near(&self, zone: &str) -> bool {
        !self.zone.is_empty() && *self.zone == *zone
    }

    /// Whether the near nodes alone are used. Not where there are none, or none but draining ones.
    pub(super) fn suffices(&self, nodes: impl Iterator<Item = Seen>) -> bool {
        let (mut usable, mut serving) = (0, 0);
        for node in nodes.filter(|node| node.is_near && node.serves) {
            serving += u64::from(node.weight);
            usable += if node.idle { u64::from(node.weight) } else { 0 };
        }
        usable > 0 && usable * 100 >= serving * u64::from(self.usable_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(is_near: bool, weight: u16, idle: bool) -> Seen {
        Seen {
            is_near,
            weight,
            serves: true,
            idle,
        }
    }

    #[test]
    fn near_nodes_suffice_while_enough_of_their_weight_is_usable() {
        let preference = ZonePreference {
            zone: Arc::from("a"),
            usable_percent: 70,
        };
        let suffices = |nodes: &[Seen]| preference.suffices(nodes.iter().copied());
        let far = node(false, 1_000, true);
        assert!(suffices(&[node(true, 70, true), node(true, 30, false), far]));
        assert!(!suffices(&[node(true, 69, true), node(true, 31, false), far]));
        assert!(!suffices(&[far]), "none is near");
        let draining = Seen {
            serves: false,
            ..node(true, 1_000, false)
        };
        assert!(
            suffices(&[node(true, 1, true), draining]),
            "who leaves is not missed"
        );
        assert!(!suffices(&[draining]));
        assert!(preference.is_near("a") && !preference.is_near("b"));
        assert!(!ZonePreference::default().is_near(""), "no zone is no preference");
    }
}
