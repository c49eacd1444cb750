//! When a node is bad and when it is good again.

use serde::{Deserialize, Serialize};

/// `[policy]` of the configuration, and the overrides of a `[[module]]`. What is not given takes the preset's value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {}
