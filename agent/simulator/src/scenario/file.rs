//! A scenario as the file spells it: keys, defaults, and where each stood.

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) duration_s: Spanned<f64>,
    pub(super) warmup_s: Spanned<f64>,
    pub(super) agents: Option<Spanned<u32>>,
    pub(super) readers: Option<Spanned<u32>>,
    pub(super) agent_zones: Option<Spanned<Vec<String>>>,
    pub(super) publish_ms: Option<Spanned<f64>>,
    pub(super) rate_per_s: Spanned<f64>,
    pub(super) timeout_ms: Spanned<f64>,
    pub(super) report_delay_ms: Option<Spanned<f64>>,
    pub(super) report_loss: Option<Spanned<f64>>,
    pub(super) nodes: Spanned<Vec<Spanned<Group>>>,
    #[serde(default)]
    pub(super) events: Vec<Spanned<Happening>>,
}

/// A group of equal nodes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) count: Spanned<u32>,
    pub(super) workers: Spanned<u32>,
    pub(super) service_ms: Spanned<Distribution>,
    pub(super) weight: Option<Spanned<u16>>,
    pub(super) zone: Option<Spanned<String>>,
}

/// How long a call is served.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Distribution {
    pub(super) kind: Kind,
    pub(super) mean: f64,
    pub(super) sigma: Option<f64>,
}

/// The distributions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Exponential,
    Constant,
    Lognormal,
}

/// One event: flat, because each kind says which of the keys it needs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Happening {
    pub(super) at_s: Spanned<f64>,
    pub(super) nodes: Spanned<Vec<u32>>,
    #[serde(rename = "do")]
    pub(super) what: Spanned<What>,
    pub(super) factor: Option<Spanned<f64>>,
    pub(super) share: Option<Spanned<f64>>,
    pub(super) in_ms: Option<Spanned<f64>>,
    pub(super) up_s: Option<Spanned<f64>>,
    pub(super) down_s: Option<Spanned<f64>>,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    BlackHole,
    Slow,
    Fail,
    Noise,
    Heal,
    Add,
    Remove,
    Flap,
    Drain,
}
