//! What chooses the nodes in a run: a policy of ours, or one that it is compared with.

use lars_shard::{PolicyConfig, PolicyName};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

/// What chooses the nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// The agent's own shard and board, with this configuration.
    Lars(Box<PolicyConfig>),
    /// Another system's rule, written from its public description.
    Compared(Compared),
}

/// The rules that ours are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// One node after the other.
    RoundRobin,
    /// Two choices by calls in flight, and ejection of outliers, as in Envoy.
    LeastRequestOutlier,
    /// Two choices by peak latency and calls in flight, and a breaker, as in Finagle and Linkerd.
    PeakEwmaBreaker,
}

impl Compared {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::LeastRequestOutlier, Self::PeakEwmaBreaker];

    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastRequestOutlier => "least-request-outlier",
            Self::PeakEwmaBreaker => "peak-ewma-breaker",
        }
    }
}

impl Policy {
    /// The policy of this name; one of ours takes its thresholds from `config`. The error lists the names.
    pub fn named(name: &str, config: &PolicyConfig) -> Result<Self, String> {
        if let Some(compared) = Compared::ALL.into_iter().find(|compared| compared.name() == name) {
            return Ok(Self::Compared(compared));
        }
        let deserializer: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        match PolicyName::deserialize(deserializer) {
            Ok(ours) => Ok(Self::Lars(Box::new(PolicyConfig {
                name: Some(ours),
                ..config.clone()
            }))),
            Err(error) => {
                let compared = Compared::ALL.map(|compared| format!("`{}`", compared.name()));
                Err(format!("{error}, or {}", compared.join(", ")))
            }
        }
    }

    /// Its name, as the command line spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lars(config) => lars_shard::Policy::new(config).name(),
            Self::Compared(compared) => compared.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_its_policy_and_an_unknown_one_is_told_the_names() {
        let named = |name| Policy::named(name, &PolicyConfig::default());
        for compared in Compared::ALL {
            assert_eq!(named(compared.name()), Ok(Policy::Compared(compared)));
        }
        assert_eq!(named("classic").map(|policy| policy.name()), Ok("classic"));
        let error = named("clasic").expect_err("a misspelt name");
        for name in ["clasic", "classic", "round-robin", "peak-ewma-breaker"] {
            assert!(error.contains(name), "{error}");
        }
    }
}
