//! When a node is bad and when it is good again: the configuration, and the seam behind which every policy stands.
//!
//! A policy is a module beside `policy/classic.rs`, one variant of [`Policy`] (what a module is judged by) and one of
//! `NodeMind` (what is remembered of one node). Enums and no trait objects: a report costs no indirect call.

pub mod classic;
mod mind;

use classic::Rule;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub(crate) use mind::NodeMind;

/// The policies there are. An unknown name is refused where the configuration is read, with the list of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyName {
    /// The rule of the C++ system, exactly.
    #[default]
    Classic,
}

/// The sets of thresholds of `classic`, named after the two C++ systems that they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The C++ Lars.
    #[default]
    Lars,
    /// Its ancestor ELB: slower to forgive, and a failure weighs as much as it cost.
    Elb,
}

/// `[policy]` of the configuration, and the overrides of a `[[module]]`. What is not given takes the global value,
/// and what is not given there either the preset's. A module's own preset changes only what neither place gives.
///
/// The thresholds are those of the C++ systems under their names; where two defaults stand, they are those of the
/// presets `lars` and `elb`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The policy: `classic` (default, the only one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<PolicyName>,
    /// `lars` (default) or `elb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Picks between two probes while some node is overloaded. Default 10, 1 to 65,535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_num: Option<u16>,
    /// An idle node is overloaded above this share of failures, assumed successes counted in. Default 0.1, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub err_rate: Option<f64>,
    /// An idle node is overloaded after this many failures in a row. Default 15, 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contin_err_limit: Option<u32>,
    /// Successes that an idle node is assumed to start with. Default 180, 0 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_succ_cnt: Option<u32>,
    /// Failures that an overloaded node is assumed to start with. Default 5, 0 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_err_cnt: Option<u32>,
    /// An overloaded node is idle above this share of successes, assumed failures counted in. Default 0.5 or 0.95,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succ_rate: Option<f64>,
    /// An overloaded node is idle after this many successes in a row. Default 15, 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contin_succ_limit: Option<u32>,
    /// An overloaded node is idle after this long, in milliseconds. Default 15,000 or 180,000, 100 to 86,400,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overload_timeout_ms: Option<u32>,
    /// Length of an idle node's window and of its status window, in milliseconds. Default 15,000, 100 to 3,600,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u32>,
    /// A window is bad from this share of failures on, nothing assumed. Default 0.7, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_err_rate: Option<f64>,
    /// An idle node is overloaded after this many bad windows running. Default 1 or 2, 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_err_limit: Option<u32>,
}

/// Counts that a threshold may be given as.
const COUNT_RANGE: RangeInclusive<u32> = 1..=1_000_000;
/// Counts that may be assumed.
const ASSUMED_RANGE: RangeInclusive<u32> = 0..=1_000_000;
/// How long a node may stay overloaded: up to a day.
const OVERLOAD_TIMEOUT_MS_RANGE: RangeInclusive<u32> = 100..=86_400_000;
/// How long a window may be: up to an hour.
const IDLE_TIMEOUT_MS_RANGE: RangeInclusive<u32> = 100..=3_600_000;
/// Bad windows running.
const WINDOWS_RANGE: RangeInclusive<u32> = 1..=1_000;

impl PolicyConfig {
    /// Judges every value that is given; the error names the key, the value and the range.
    pub fn check(&self) -> Result<(), String> {
        if self.probe_num == Some(0) {
            return Err("probe_num = 0 is out of range: 1 to 65535".to_owned());
        }
        check_rate("err_rate", self.err_rate)?;
        check_rate("succ_rate", self.succ_rate)?;
        check_rate("window_err_rate", self.window_err_rate)?;
        check_count("contin_err_limit", self.contin_err_limit, &COUNT_RANGE)?;
        check_count("contin_succ_limit", self.contin_succ_limit, &COUNT_RANGE)?;
        check_count("init_succ_cnt", self.init_succ_cnt, &ASSUMED_RANGE)?;
        check_count("init_err_cnt", self.init_err_cnt, &ASSUMED_RANGE)?;
        check_count(
            "overload_timeout_ms",
            self.overload_timeout_ms,
            &OVERLOAD_TIMEOUT_MS_RANGE,
        )?;
        check_count("idle_timeout_ms", self.idle_timeout_ms, &IDLE_TIMEOUT_MS_RANGE)?;
        check_count("window_err_limit", self.window_err_limit, &WINDOWS_RANGE)
    }

    /// What this gives, completed by what `global` gives: module over global.
    #[must_use]
    pub fn over(&self, global: &Self) -> Self {
        Self {
            name: self.name.or(global.name),
            preset: self.preset.or(global.preset),
            probe_num: self.probe_num.or(global.probe_num),
            err_rate: self.err_rate.or(global.err_rate),
            contin_err_limit: self.contin_err_limit.or(global.contin_err_limit),
            init_succ_cnt: self.init_succ_cnt.or(global.init_succ_cnt),
            init_err_cnt: self.init_err_cnt.or(global.init_err_cnt),
            succ_rate: self.succ_rate.or(global.succ_rate),
            contin_succ_limit: self.contin_succ_limit.or(global.contin_succ_limit),
            overload_timeout_ms: self.overload_timeout_ms.or(global.overload_timeout_ms),
            idle_timeout_ms: self.idle_timeout_ms.or(global.idle_timeout_ms),
            window_err_rate: self.window_err_rate.or(global.window_err_rate),
            window_err_limit: self.window_err_limit.or(global.window_err_limit),
        }
    }
}

fn check_rate(key: &str, rate: Option<f64>) -> Result<(), String> {
    match rate {
        Some(rate) if !(0.0..=1.0).contains(&rate) => Err(format!("{key} = {rate} is out of range: 0 to 1")),
        _ => Ok(()),
    }
}

fn check_count(key: &str, count: Option<u32>, range: &RangeInclusive<u32>) -> Result<(), String> {
    match count {
        Some(count) if !range.contains(&count) => {
            let (start, end) = (range.start(), range.end());
            Err(format!("{key} = {count} is out of range: {start} to {end}"))
        }
        _ => Ok(()),
    }
}

/// What a module is judged by: a configuration with every blank filled in.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// See [`classic`].
    Classic(Rule),
}

impl Policy {
    /// Fills the blanks of `config` from its preset.
    pub fn new(config: &PolicyConfig) -> Self {
        match config.name.unwrap_or_default() {
            PolicyName::Classic => Self::Classic(Rule::new(config)),
        }
    }

    /// Its name, as the configuration spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
        }
    }

    /// How readers of the board are to choose.
    pub fn board_rule(&self) -> lars_board::Rule {
        match self {
            Self::Classic(rule) => rule.board_rule(),
        }
    }

    /// How long a node's status window stays open after the call that opened it.
    pub fn status_window(&self) -> Duration {
        match self {
            Self::Classic(rule) => rule.idle_timeout,
        }
    }

    /// What is thought of a node that nothing is known of.
    pub(crate) fn new_mind(&self, now: Instant) -> NodeMind {
        match self {
            Self::Classic(rule) => NodeMind::Classic(classic::Mind::new(rule, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let Policy::Classic(rule) = Policy::new(&module.over(&global));
        assert_eq!((rule.probe_num, rule.err_rate, rule.succ_rate), (3, 0.2, 0.95));
    }

    #[test]
    fn presets_differ_where_the_two_systems_did() {
        let rule = |preset| {
            let Policy::Classic(rule) = Policy::new(&PolicyConfig {
                preset: Some(preset),
                ..PolicyConfig::default()
            });
            rule
        };
        let (lars, elb) = (rule(Preset::Lars), rule(Preset::Elb));
        assert_eq!(
            Policy::new(&PolicyConfig::default()),
            Policy::Classic(lars.clone())
        );
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
    fn value_out_of_range_is_named_with_its_range() {
        let config = |change: fn(&mut PolicyConfig)| {
            let mut config = PolicyConfig::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(config(|_| ()), Ok(()));
        type Change = fn(&mut PolicyConfig);
        let cases: [(&str, Change); 8] = [
            ("probe_num = 0", |c| c.probe_num = Some(0)),
            ("err_rate = 1.5", |c| c.err_rate = Some(1.5)),
            ("succ_rate = NaN", |c| c.succ_rate = Some(f64::NAN)),
            ("window_err_rate = -1", |c| c.window_err_rate = Some(-1.0)),
            ("contin_err_limit = 0", |c| c.contin_err_limit = Some(0)),
            ("idle_timeout_ms = 99", |c| c.idle_timeout_ms = Some(99)),
            ("overload_timeout_ms = 99", |c| c.overload_timeout_ms = Some(99)),
            ("window_err_limit = 1001", |c| c.window_err_limit = Some(1_001)),
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
