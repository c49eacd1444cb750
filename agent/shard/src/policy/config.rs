//! `[policy]` of the configuration: every threshold that a policy has, with its unit, range, default and source, and
//! how a module's own values lie over the global ones.

use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// The policies there are. An unknown name is refused where the configuration is read, with the list of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Of two nodes the one that promises to answer sooner; see [`super::adaptive`].
    #[default]
    Adaptive,
    /// The rule of the C++ system, exactly; see [`super::classic`].
    Classic,
    /// Nodes in turn, as often as their weights say; judged as by `adaptive`.
    WeightedRoundRobin,
    /// A caller's key decides, within a bound on each node's load; judged as by `adaptive`.
    ConsistentHash,
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

/// Declares the keys once: the fields, their ranges, and how two sets of them are laid over each other.
macro_rules! policy_keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $kind:ty $(= $range:expr)?;)+) => {
        /// `[policy]` of the configuration, and the overrides of a `[[module]]`. What is not given takes the global
        /// value, and what is not given there either its default. A module's own preset changes only what neither
        /// place gives.
        ///
        /// The thresholds of `classic` are those of the C++ systems under their names; where two defaults stand, they
        /// are those of the presets `lars` and `elb`. All others belong to the other three policies.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct PolicyConfig {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $key: Option<$kind>,
            )+
        }

        impl PolicyConfig {
            /// Judges every value that is given; the error names the key, the value and the range.
            pub fn check(&self) -> Result<(), String> {
                $($(check(stringify!($key), self.$key, &$range)?;)?)+
                Ok(())
            }

            /// What this gives, completed by what `global` gives: module over global.
            #[must_use]
            pub fn over(&self, global: &Self) -> Self {
                Self {
                    $($key: self.$key.or(global.$key),)+
                }
            }
        }
    };
}

policy_keys! {
    /// The policy: `adaptive` (default), `classic`, `weighted-round-robin` or `consistent-hash`.
    name: PolicyName;

    /// How long the mean that is a node's cost remembers, in milliseconds. Default 1,000, 10 to 600,000. Measured:
    /// shorter follows chance, longer lags behind a node that slows down.
    cost_tau_ms: u32 = 10..=600_000;
    /// Calls as long as the module's mean that are assumed of each node besides its own, and its own that are not
    /// forgotten so soon. Default 16, 1 to 1,000. Measured: where calls are few, less makes an outcast of a node that was
    /// slow by chance, more hides one that became slow.
    cost_calls_min: u32 = 1..=1_000;
    /// Added to each node's cost when nodes are compared, in microseconds: differences that are small against it are those
    /// of the network and of schedulers, and decide little. Default 500, 0 to 1,000,000. Measured: calls of 0.1 ms.
    cost_base_us: u32 = 0..=1_000_000;
    /// How long those are remembered, in milliseconds: so the cost of a node without calls becomes that of the others
    /// again. Default 10,000, 100 to 3,600,000: Finagle's decay of peak EWMA.
    cost_forget_ms: u32 = 100..=3_600_000;
    /// A failed call is charged as one of so many times the module's mean latency at least, so that a fast failure
    /// is never attractive. Default 10, 1 to 1,000.
    failure_charge: f64 = 1.0..=1_000.0;
    /// A node is ejected after this many failures in a row; after more where the others fail, too. Default 5, 1 to
    /// 1,000: Envoy's `consecutive_5xx`.
    failure_run: u32 = 1..=1_000;
    /// A node is ejected when its failure rate is surely above this, and above three times that of the better half of the
    /// nodes. Default 0.05, 0 to 1. Measured: one that fails a tenth of its calls costs fewer errors out than in.
    failure_rate_max: f64 = 0.0..=1.0;
    /// Calls of its window from which on a node's rates are judged at all. Default 20, 1 to 1,000,000.
    rate_calls_min: u32 = 1..=1_000_000;
    /// How sure a rate must be, in standard deviations of Wilson's lower bound. Default 3.5, 0 to 10: one in 4,000 by
    /// chance, since each node is judged many times an hour.
    rate_deviations: f64 = 0.0..=10.0;
    /// Over how long rates are taken, in milliseconds: this at most, half of it at least. Default 10,000, 100 to
    /// 3,600,000: Envoy's `interval`.
    rate_window_ms: u32 = 100..=3_600_000;
    /// A call is slow when it took so many times the module's mean latency. Default 10, 1 to 10,000.
    slow_factor: f64 = 1.0..=10_000.0;
    /// A node is ejected when its share of slow calls is surely above this. Default 0.5, 0 to 1.
    slow_rate_max: f64 = 0.0..=1.0;
    /// A node is ejected when it has not answered for so long that this would happen to a healthy one no more often
    /// than so many times an hour, by the latencies that were seen. Default 0.3, 0.000001 to 1,000.
    silence_errors_per_hour: f64 = 0.000_001..=1_000.0;
    /// A node stands back, until it answers, when a healthy one is silent for so long with at most this probability.
    /// Default 0.05, 0 (never) to 1.
    silence_stand_back: f64 = 0.0..=1.0;

    /// How long an ejected node waits for its first probe, in milliseconds. Default 4,000, 10 to 3,600,000. Measured: with
    /// the two keys below, errors of a node that stays away against the time until one that is back is used.
    back_off_ms: u32 = 10..=3_600_000;
    /// By what each failed probe lengthens that. Default 1.39, 1 to 10.
    back_off_factor: f64 = 1.0..=10.0;
    /// Up to this, in milliseconds. Default 20,000, 10 to 86,400,000.
    back_off_max_ms: u32 = 10..=86_400_000;
    /// Each wait is longer or shorter by up to this part of it, by chance, so that agents do not probe together.
    /// Default 0.1, 0 to 1.
    back_off_jitter: f64 = 0.0..=1.0;
    /// Probes for each call of the module at most; and a node waits until it has missed as many calls as make one
    /// probe. Default 0.0025, 0 (never) to 1.
    probe_share: f64 = 0.0..=1.0;
    /// Where calls are few, or a node comes and goes, it waits at most this long, in milliseconds. Default 60,000,
    /// 10 to 86,400,000.
    probe_wait_max_ms: u32 = 10..=86_400_000;
    /// Share of nodes that may be out at a time for failures or slowness; those that answer nothing are not bound by
    /// it while another answers. Default 0.5, 0 to 1.
    ejected_share_max: f64 = 0.0..=1.0;
    /// When fewer than this share of nodes are left, all that answer at all are used again. Default 0.2, 0 to 1.
    panic_share: f64 = 0.0..=1.0;

    /// How long a node that was added is on its way to its full share, in milliseconds. Default 5,000, 0 to 3,600,000.
    slow_start_ms: u32 = 0..=3_600_000;
    /// The same of a node that recovered. Default 1,000, 0 to 3,600,000.
    slow_start_recovered_ms: u32 = 0..=3_600_000;
    /// The part of its share with which it begins. Default 0.5, 0.01 to 1.
    slow_start_from: f64 = 0.01..=1.0;

    /// Retries for each hundred picks that are none; more are answered as overloaded. Default 20, 0 to 100: Finagle's
    /// and Linkerd's retry budget.
    retry_percent: u8 = 0..=100;
    /// Retries of each caller's thread that are allowed in any 5 s besides. Default 10, 0 to 255: Finagle's, of 10 s.
    retry_floor: u8 = 0..=255;
    /// `consistent-hash`: calls that a node may have in flight, in percent of the mean. Default 125, 100 to 355: the
    /// value with which bounded loads were published.
    load_max_percent: u16 = 100..=355;

    /// `classic`: its thresholds, `lars` (default) or `elb`.
    preset: Preset;
    /// `classic`: picks between two probes while some node is overloaded. Default 10, 1 to 65,535.
    probe_num: u16 = 1..=65_535;
    /// `classic`: an idle node is overloaded above this share of failures, assumed successes counted in. Default 0.1,
    /// 0 to 1.
    err_rate: f64 = 0.0..=1.0;
    /// `classic`: an idle node is overloaded after this many failures in a row. Default 15, 1 to 1,000,000.
    contin_err_limit: u32 = 1..=1_000_000;
    /// `classic`: successes that an idle node is assumed to start with. Default 180, 0 to 1,000,000.
    init_succ_cnt: u32 = 0..=1_000_000;
    /// `classic`: failures that an overloaded node is assumed to start with. Default 5, 0 to 1,000,000.
    init_err_cnt: u32 = 0..=1_000_000;
    /// `classic`: an overloaded node is idle above this share of successes, assumed failures counted in. Default 0.5
    /// or 0.95, 0 to 1.
    succ_rate: f64 = 0.0..=1.0;
    /// `classic`: an overloaded node is idle after this many successes in a row. Default 15, 1 to 1,000,000.
    contin_succ_limit: u32 = 1..=1_000_000;
    /// `classic`: an overloaded node is idle after this long, in milliseconds. Default 15,000 or 180,000, 100 to
    /// 86,400,000.
    overload_timeout_ms: u32 = 100..=86_400_000;
    /// Length of a node's status window (what the store's `ServerCallStatus` shows), and with `classic` of the window
    /// in which an idle node is judged, in milliseconds. Default 15,000, 100 to 3,600,000.
    idle_timeout_ms: u32 = 100..=3_600_000;
    /// `classic`: a window is bad from this share of failures on, nothing assumed. Default 0.7, 0 to 1.
    window_err_rate: f64 = 0.0..=1.0;
    /// `classic`: an idle node is overloaded after this many bad windows running. Default 1 or 2, 1 to 1,000.
    window_err_limit: u32 = 1..=1_000;
}

fn check<T: PartialOrd + Display>(
    key: &str,
    value: Option<T>,
    range: &RangeInclusive<T>,
) -> Result<(), String> {
    match value {
        Some(value) if !range.contains(&value) => {
            let (start, end) = (range.start(), range.end());
            Err(format!("{key} = {value} is out of range: {start} to {end}"))
        }
        _ => Ok(()),
    }
}
