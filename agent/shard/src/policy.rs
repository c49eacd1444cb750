//! When a node is bad and when it is good again: the configuration, and the seam behind which every policy stands.
//!
//! Two ways of judging: that of the C++ system, one node at a time (`classic`), and that of all other policies, a
//! module's nodes together (`adaptive`); those differ only in how readers of the board choose among the nodes that are
//! in use. Enums and no trait objects: a report costs no indirect call.

pub mod adaptive;
pub mod classic;
mod config;
mod mind;

use lars_board::{BoardWriter, NodeSlot};
use std::time::{Duration, Instant};

pub use config::{PolicyConfig, PolicyName, Preset};
pub(crate) use mind::{GroupMind, NodeMind};

/// Calls that nodes have in flight, for all readers of the agent's process together: by the numbers under which readers know
/// the nodes.
pub trait InFlight {
    /// How many the node has; negative where more were forgiven than were lost.
    fn balance(&self, slot: NodeSlot) -> i32;

    /// So many of them will never be reported: they are to count no more.
    fn forgive(&self, slot: NodeSlot, lost: u32);
}

impl InFlight for BoardWriter {
    fn balance(&self, slot: NodeSlot) -> i32 {
        self.in_flight(slot)
    }

    fn forgive(&self, slot: NodeSlot, lost: u32) {
        BoardWriter::forgive(self, slot, lost);
    }
}

/// Where nobody counts, no call is in flight.
#[derive(Clone, Copy, Debug)]
pub struct Uncounted;

impl InFlight for Uncounted {
    fn balance(&self, _: NodeSlot) -> i32 {
        0
    }

    fn forgive(&self, _: NodeSlot, _: u32) {}
}

/// What a module is judged by: a configuration with every blank filled in.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// See [`adaptive`]: all policies but the classic one.
    Adaptive(adaptive::Rule),
    /// See [`classic`].
    Classic(classic::Rule),
}

impl Policy {
    /// Fills the blanks of `config`.
    pub fn new(config: &PolicyConfig) -> Self {
        match config.name.unwrap_or_default() {
            PolicyName::Classic => Self::Classic(classic::Rule::new(config)),
            PolicyName::Adaptive | PolicyName::WeightedRoundRobin | PolicyName::ConsistentHash => {
                Self::Adaptive(adaptive::Rule::new(config))
            }
        }
    }

    /// Its name, as the configuration spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adaptive(rule) => rule.name(),
            Self::Classic(_) => "classic",
        }
    }

    /// How readers of the board are to choose.
    pub fn board_rule(&self) -> lars_board::Rule {
        match self {
            Self::Adaptive(rule) => rule.board_rule(),
            Self::Classic(rule) => rule.board_rule(),
        }
    }

    /// How long a node's status window stays open after the call that opened it.
    pub fn status_window(&self) -> Duration {
        match self {
            Self::Adaptive(rule) => rule.status_window,
            Self::Classic(rule) => rule.idle_timeout,
        }
    }

    /// What is thought of a node that nothing is known of; `warms` where it came into a route that was there before.
    pub(crate) fn new_mind(&self, now: Instant, warms: bool) -> NodeMind {
        match self {
            Self::Adaptive(rule) => NodeMind::Adaptive(Box::new(adaptive::Mind::new(rule, now, warms))),
            Self::Classic(rule) => NodeMind::Classic(classic::Mind::new(rule, now)),
        }
    }

    /// What is thought of a module's nodes together, before any call.
    pub(crate) fn new_group(&self, now: Instant) -> GroupMind {
        match self {
            Self::Adaptive(_) => GroupMind::Adaptive(Box::new(adaptive::Group::new(now))),
            Self::Classic(_) => GroupMind::Single,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(config: &PolicyConfig) -> classic::Rule {
        match Policy::new(&PolicyConfig {
            name: Some(PolicyName::Classic),
            ..config.clone()
        }) {
            Policy::Classic(rule) => rule,
            Policy::Adaptive(rule) => panic!("{rule:?}"),
        }
    }

    #[test]
    fn module_wins_over_global_and_global_over_preset() {
        let global = PolicyConfig {
            preset: Some(Preset::Elb),
            err_rate: Some(0.2),
            probe_num: Some(7),
            ..PolicyConfig::default()
        };
        let module = PolicyConfig {
            probe_num: Some(3),
            ..PolicyConfig::default()
        };
        let rule = rule(&module.over(&global));
        assert_eq!((rule.probe_num, rule.err_rate, rule.succ_rate), (3, 0.2, 0.95));
    }

    #[test]
    fn presets_differ_where_the_two_systems_did() {
        let rule = |preset| {
            rule(&PolicyConfig {
                preset: Some(preset),
                ..PolicyConfig::default()
            })
        };
        let (lars, elb) = (rule(Preset::Lars), rule(Preset::Elb));
        assert_eq!(self::rule(&PolicyConfig::default()), lars);
        assert_eq!((lars.succ_rate, elb.succ_rate), (0.5, 0.95));
        assert_eq!((lars.window_err_limit, elb.window_err_limit), (1, 2));
        assert_eq!(
            (lars.overload_timeout.as_secs(), elb.overload_timeout.as_secs()),
            (15, 180)
        );
        assert_eq!((lars.forget_probe_count, elb.forget_probe_count), (false, true));
        assert_eq!(
            (lars.failure_charge(9_999_999), elb.failure_charge(9_999_999)),
            (1, 50)
        );
        for rule in [lars, elb] {
            assert_eq!(
                (rule.probe_num, rule.err_rate, rule.window_err_rate),
                (10, 0.1, 0.7)
            );
            assert_eq!((rule.contin_err_limit, rule.contin_succ_limit), (15, 15));
            assert_eq!((rule.init_succ_cnt, rule.init_err_cnt), (180, 5));
            assert_eq!(rule.idle_timeout.as_secs(), 15);
        }
    }

    #[test]
    fn every_name_is_judged_and_chosen_by_its_rule() {
        let policy = |name| {
            Policy::new(&PolicyConfig {
                name: Some(name),
                ..PolicyConfig::default()
            })
        };
        assert_eq!(
            Policy::new(&PolicyConfig::default()),
            policy(PolicyName::Adaptive)
        );
        for (name, spelt) in [
            (PolicyName::Adaptive, "adaptive"),
            (PolicyName::Classic, "classic"),
            (PolicyName::WeightedRoundRobin, "weighted-round-robin"),
            (PolicyName::ConsistentHash, "consistent-hash"),
        ] {
            let board = policy(name).board_rule();
            let matches = match name {
                PolicyName::Adaptive => matches!(board, lars_board::Rule::Adaptive(_)),
                PolicyName::Classic => matches!(board, lars_board::Rule::Classic { .. }),
                PolicyName::WeightedRoundRobin => matches!(board, lars_board::Rule::WeightedRoundRobin(_)),
                PolicyName::ConsistentHash => matches!(
                    board,
                    lars_board::Rule::ConsistentHash {
                        load_max_percent: 125,
                        ..
                    }
                ),
            };
            assert!(matches, "{name:?} {board:?}");
            assert_eq!(policy(name).name(), spelt);
        }
    }

    #[test]
    fn value_out_of_range_is_named_with_its_range() {
        let config = |change: fn(&mut PolicyConfig)| {
            let mut config = PolicyConfig::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(config(|_| ()), Ok(()));
        type Change = fn(&mut PolicyConfig);
        let cases: [(&str, Change); 12] = [
            ("probe_num = 0", |c| c.probe_num = Some(0)),
            ("err_rate = 1.5", |c| c.err_rate = Some(1.5)),
            ("succ_rate = NaN", |c| c.succ_rate = Some(f64::NAN)),
            ("window_err_rate = -1", |c| c.window_err_rate = Some(-1.0)),
            ("contin_err_limit = 0", |c| c.contin_err_limit = Some(0)),
            ("idle_timeout_ms = 99", |c| c.idle_timeout_ms = Some(99)),
            ("overload_timeout_ms = 99", |c| c.overload_timeout_ms = Some(99)),
            ("window_err_limit = 1001", |c| c.window_err_limit = Some(1_001)),
            ("cost_tau_ms = 9", |c| c.cost_tau_ms = Some(9)),
            ("failure_run = 0", |c| c.failure_run = Some(0)),
            ("probe_share = 1.1", |c| c.probe_share = Some(1.1)),
            ("load_max_percent = 99", |c| c.load_max_percent = Some(99)),
        ];
        for (start, change) in cases {
            let error = config(change).expect_err(start);
            assert!(
                error.starts_with(start) && error.contains("out of range"),
                "{error}"
            );
        }
    }
}
