//! `lars report-call`: tells the agent how calls went, as a caller would.

use super::print;
use crate::find::Find;
use crate::outcome::Failure;
use clap::Args;
use lars_wire::caller::{Outcome, Report};
use lars_wire::{ModuleId, NodeAddr, bounds};

#[derive(Args, Debug)]
pub(super) struct ReportCall {
    /// The business
    modid: u32,
    /// The service in the business
    cmdid: u32,
    /// The node that was called, such as 10.0.0.1:7777
    #[arg(value_name = "IP:PORT")]
    node: NodeAddr,
    /// The calls failed
    #[arg(long)]
    failed: bool,
    /// How long each call took, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=4_000_000))]
    ms: u32,
    /// So many calls that ended alike
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    #[command(flatten)]
    find: Find,
}

impl ReportCall {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.find.client("lars report-call")?;
        let report = Report {
            module: ModuleId::new(self.modid, self.cmdid),
            node: self.node,
            token: 0,
            outcome: if self.failed { Outcome::Failed } else { Outcome::Ok },
            retcode: i32::from(self.failed),
            latency_us: self.ms * 1_000,
        };
        let mut left = self.count as usize;
        while left > 0 {
            let reports = vec![report; left.min(bounds::REPORTS_MAX)];
            left -= reports.len();
            client.report_many(&reports)?;
        }
        client.flush()?;
        let calls = if self.count == 1 { "call" } else { "calls" };
        print(&format!("{} {calls} to {} reported\n", self.count, self.node))
    }
}
