//! How the policies other than `classic` judge: what a node costs, and whether it is to be called at all. Two separate
//! signals: the cost steers picks between nodes that are used, the evidence takes a node out of use.
//!
//! Read in this order: [`Rule`] (the thresholds), `mind` (one node), `group` (a module's nodes together, judged every
//! few milliseconds). Below those: `cost`, the evidence in `window` (failures, slowness) and `silence` (calls that do
//! not come back) over `latency` (what is usual), `lost` (calls that nobody reports), and `probes` (when an ejected node
//! may be tried).

mod cost;
mod group;
mod latency;
mod lost;
mod mind;
mod probes;
mod reason;
mod silence;
mod window;

use super::{PolicyConfig, PolicyName};
use lars_board::Retries;
use std::time::Duration;

pub(crate) use group::{Group, Judged};
pub(crate) use mind::Ended;
pub use mind::Mind;

/// How readers choose among the nodes that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `adaptive`: by what two nodes cost.
    Cost,
    /// `weighted-round-robin`: in turn.
    Turn,
    /// `consistent-hash`: by the caller's key.
    Key,
}

/// The thresholds, with every blank filled in; [`PolicyConfig`] says what each means, and where its default is from.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are documented under the same names in PolicyConfig"
)]
pub struct Rule {
    /// Follows from the policy's name.
    pub choice: Choice,
    pub cost_tau: Duration,
    pub cost_calls_min: f32,
    pub cost_forget: Duration,
    pub cost_base_us: f32,
    pub failure_charge: f32,
    pub failure_run: u32,
    pub failure_rate_max: f64,
    pub rate_calls_min: u32,
    pub rate_deviations: f64,
    pub rate_window: Duration,
    pub slow_factor: f32,
    pub slow_rate_max: f64,
    pub silence_errors_per_hour: f64,
    pub silence_stand_back: f64,
    pub back_off: Duration,
    pub back_off_factor: f64,
    pub back_off_max: Duration,
    pub back_off_jitter: f64,
    pub probe_share: f64,
    pub probe_wait_max: Duration,
    pub ejected_share_max: f64,
    pub panic_share: f64,
    pub slow_start: Duration,
    pub slow_start_recovered: Duration,
    pub slow_start_from: f64,
    pub retry_percent: u8,
    pub retry_floor: u8,
    pub load_max_percent: u16,
    pub status_window: Duration,
}

impl Rule {
    /// Fills the blanks of `config`.
    pub fn new(config: &PolicyConfig) -> Self {
        let ms = |ms: Option<u32>, default: u32| Duration::from_millis(ms.unwrap_or(default).into());
        Self {
            choice: match config.name.unwrap_or_default() {
                PolicyName::WeightedRoundRobin => Choice::Turn,
                PolicyName::ConsistentHash => Choice::Key,
                PolicyName::Adaptive | PolicyName::Classic => Choice::Cost,
            },
            cost_tau: ms(config.cost_tau_ms, 1_000),
            cost_calls_min: config.cost_calls_min.unwrap_or(16).max(1) as f32,
            cost_forget: ms(config.cost_forget_ms, 10_000),
            cost_base_us: config.cost_base_us.unwrap_or(500) as f32,
            failure_charge: config.failure_charge.unwrap_or(10.0) as f32,
            failure_run: config.failure_run.unwrap_or(5).max(1),
            failure_rate_max: config.failure_rate_max.unwrap_or(0.05),
            rate_calls_min: config.rate_calls_min.unwrap_or(20),
            rate_deviations: config.rate_deviations.unwrap_or(3.5),
            rate_window: ms(config.rate_window_ms, 10_000),
            slow_factor: config.slow_factor.unwrap_or(10.0) as f32,
            slow_rate_max: config.slow_rate_max.unwrap_or(0.5),
            silence_errors_per_hour: config.silence_errors_per_hour.unwrap_or(0.3),
            silence_stand_back: config.silence_stand_back.unwrap_or(0.05),
            back_off: ms(config.back_off_ms, 4_000),
            back_off_factor: config.back_off_factor.unwrap_or(1.39),
            back_off_max: ms(config.back_off_max_ms, 20_000),
            back_off_jitter: config.back_off_jitter.unwrap_or(0.1),
            probe_share: config.probe_share.unwrap_or(0.002_5),
            probe_wait_max: ms(config.probe_wait_max_ms, 60_000),
            ejected_share_max: config.ejected_share_max.unwrap_or(0.5),
            panic_share: config.panic_share.unwrap_or(0.2),
            slow_start: ms(config.slow_start_ms, 5_000),
            slow_start_recovered: ms(config.slow_start_recovered_ms, 1_000),
            slow_start_from: config.slow_start_from.unwrap_or(0.5),
            retry_percent: config.retry_percent.unwrap_or(20),
            retry_floor: config.retry_floor.unwrap_or(10),
            load_max_percent: config.load_max_percent.unwrap_or(125),
            status_window: ms(config.idle_timeout_ms, 15_000),
        }
    }

    /// The policy's name, as the configuration spells it.
    pub fn name(&self) -> &'static str {
        match self.choice {
            Choice::Cost => "adaptive",
            Choice::Turn => "weighted-round-robin",
            Choice::Key => "consistent-hash",
        }
    }

    /// How readers of the board are to choose.
    pub fn board_rule(&self) -> lars_board::Rule {
        let retries = Retries {
            percent: self.retry_percent,
            floor: self.retry_floor,
        };
        match self.choice {
            Choice::Cost => lars_board::Rule::Adaptive(retries),
            Choice::Turn => lars_board::Rule::WeightedRoundRobin(retries),
            Choice::Key => lars_board::Rule::ConsistentHash {
                retries,
                load_max_percent: self.load_max_percent,
            },
        }
    }
}
