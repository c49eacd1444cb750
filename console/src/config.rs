//! One TOML format for every service: each reads its own section, unknown keys anywhere are refused.

use crate::outcome::Failure;
use lars_agent::{AgentConfig, CompatConfig};
use lars_dns::DnsConfig;
use lars_report::ReportConfig;
use lars_shard::PolicyConfig;
use lars_shard::policy::PolicyName;
use lars_store::StoreConfig;
use lars_store::mysql::url::hide_passwords;
use lars_wire::ModuleId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// A whole configuration file. What is not given has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[agent]`
    pub agent: AgentConfig,
    /// `[dns]`
    pub dns: DnsConfig,
    /// `[report]`
    pub report: ReportConfig,
    /// `[store]`, of dns and report.
    pub store: StoreConfig,
    /// `[compat]`, of the agent: callers of the C++ Lars.
    pub compat: CompatConfig,
    /// `[policy]`, of the agent: how nodes are judged where no module says otherwise.
    pub policy: PolicyConfig,
    /// `[[module]]`, of the agent: policies of single modules.
    #[serde(rename = "module", skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<ModuleConfig>,
}

/// One `[[module]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleConfig {
    /// The business.
    pub modid: u32,
    /// The service in the business.
    pub cmdid: u32,
    /// The policy's name; that of `[policy]` where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// Keys of `[policy]` that differ for this module.
    #[serde(default)]
    pub overrides: PolicyConfig,
}

impl Config {
    /// Reads and checks a file. The failure says file, place, key and reason.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let fail = |reason: String| Failure::usage(format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
        let config = Self::parse(&text).map_err(fail)?;
        Ok(config)
    }

    /// Reads and checks a text.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The error shows line, column, the line itself and the key; a password may stand in that line.
        let config: Self =
            toml::from_str(text).map_err(|error| hide_passwords(error.to_string().trim_end()))?;
        config.check()?;
        Ok(config)
    }

    /// Judges what the types cannot: ranges, and what must not stand together.
    pub fn check(&self) -> Result<(), String> {
        let section = |name: &'static str| move |reason: String| format!("[{name}] {reason}");
        self.agent.check().map_err(section("agent"))?;
        self.dns.check().map_err(section("dns"))?;
        self.report.check().map_err(section("report"))?;
        self.store.check().map_err(section("store"))?;
        self.compat.check().map_err(section("compat"))?;
        self.policy.check().map_err(section("policy"))?;
        self.module_policies().map(drop)
    }

    /// The policies of single modules, whole: what a module leaves open is that of `[policy]`.
    pub fn module_policies(&self) -> Result<HashMap<ModuleId, PolicyConfig>, String> {
        let mut policies = HashMap::new();
        for config in &self.modules {
            let module = ModuleId::new(config.modid, config.cmdid);
            let at = |reason: String| format!("[[module]] {module}: {reason}");
            let mut policy = config.overrides.clone();
            if let Some(name) = config.policy {
                if policy.name.is_some_and(|other| other != name) {
                    return Err(at("policy and overrides.name differ: give one of them".into()));
                }
                policy.name = Some(name);
            }
            let policy = policy.over(&self.policy);
            policy.check().map_err(at)?;
            if policies.insert(module, policy).is_some() {
                return Err(at("stands twice".into()));
            }
        }
        Ok(policies)
    }
}
