//! `lars pick`: one question to the agent, as a caller would ask it.

use super::{print, print_json};
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::{PickError, PickOptions};
use lars_wire::{ModuleId, NodeAddr};
use std::time::Duration;

#[derive(Args, Debug)]
pub(super) struct Pick {
    /// The business
    modid: u32,
    /// The service in the business
    cmdid: u32,
    /// Wait so long for a first route, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=600_000))]
    wait_ms: u32,
    /// Print one JSON object, whatever the outcome
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

/// What came of it.
struct Answer {
    status: &'static str,
    node: Option<(NodeAddr, u64)>,
    failure: Option<Failure>,
}

impl Pick {
    pub(super) fn run(self) -> Result<(), Failure> {
        let module = ModuleId::new(self.modid, self.cmdid);
        let answer = match self.ask(module) {
            Ok(answer) => answer,
            Err(failure) => Answer {
                status: "failed",
                node: None,
                failure: Some(failure),
            },
        };
        if self.json {
            let (node, version) = answer
                .node
                .map(|(node, version)| (node.to_string(), version))
                .unzip();
            let mut object = serde_json::json!({ "status": answer.status, "node": node, "version": version });
            if let Some(failure) = &answer.failure {
                object["error"] = failure.text.clone().into();
            }
            print_json(&object)?;
            return match answer.failure {
                Some(failure) => Err(Failure::silent(failure.code)),
                None => Ok(()),
            };
        }
        match (answer.node, answer.failure) {
            (Some((node, _)), _) => print(&format!("{node}\n")),
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(Failure::other("the agent answered with no node")),
        }
    }

    fn ask(&self, module: ModuleId) -> Result<Answer, Failure> {
        let wait = Duration::from_millis(self.wait_ms.into());
        let client = self.find.client("lars pick")?;
        let options = PickOptions {
            wait,
            ..PickOptions::default()
        };
        let error = match client.pick_with(module, options) {
            Ok(call) => {
                let version = call.version();
                // Whoever calls the node tells with `lars report-call` how it went: this command makes no call.
                return Ok(Answer {
                    status: "ok",
                    node: Some((call.into_node(), version)),
                    failure: None,
                });
            }
            Err(error) => error,
        };
        let (status, code) = match &error {
            PickError::Overloaded { .. } => ("overloaded", Code::Overloaded),
            PickError::NotFound { .. } => ("not_found", Code::NotFound),
            PickError::Pending { .. } => ("pending", Code::Unreachable),
            PickError::Failed { .. } => ("failed", Code::Other),
            PickError::Client(error) => return Err(error.clone().into()),
        };
        let text = match error {
            PickError::Pending { .. } => format!(
                "no route of module {module} came within {} ms: is dns up? `lars status` tells",
                self.wait_ms
            ),
            error => error.to_string(),
        };
        Ok(Answer {
            status,
            node: None,
            failure: Some(Failure::new(code, text)),
        })
    }
}
