//! `lars record`: the calls that callers report to the agent, one by one, as lines of JSON.

use super::OnlyModule;
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::{Outcome, Seen, SeenCall};
use std::io::{BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(
    after_help = "One line a call: {\"t_us\", \"modid\", \"cmdid\", \"node\", \"outcome\", \"latency_us\"}; `lars simulate --recorded FILE` \
                  replays them. t_us counts from the start of the recording to when the report reached the agent. \
                  How many calls were lost is told on standard error."
)]
pub(super) struct Record {
    #[command(flatten)]
    only: OnlyModule,
    /// For so long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    #[command(flatten)]
    find: Find,
}

impl Record {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.find.client("lars record")?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut calls, mut lost, mut written) = (0, 0, Ok(()));
        let length = Duration::from_secs(self.seconds.into());
        client.record(self.only.module(), length, |seen| {
            lost = seen.lost;
            calls += seen.calls.iter().map(|call| u64::from(call.calls)).sum::<u64>();
            written = write(&mut out, seen);
            if written.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(Failure::silent(Code::Ok)),
            Err(error) => return Err(Failure::other(format!("standard output: {error}"))),
            Ok(()) => {}
        }
        eprintln!("lars: {calls} calls recorded, {lost} lost");
        Ok(())
    }
}

fn write(out: &mut impl Write, seen: &Seen) -> std::io::Result<()> {
    for call in &seen.calls {
        // Calls that a caller had summed up are told one by one.
        for _ in 0..call.calls {
            write_line(out, call)?;
        }
    }
    Ok(())
}

fn write_line(out: &mut impl Write, call: &SeenCall) -> std::io::Result<()> {
    let outcome = match call.outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed_out",
        Outcome::Cancelled => "cancelled",
    };
    let (module, node) = (call.module, call.node);
    writeln!(
        out,
        "{{\"t_us\": {}, \"modid\": {}, \"cmdid\": {}, \"node\": \"{node}\", \"outcome\": \"{outcome}\", \"latency_us\": {}}}",
        call.t_us, module.modid, module.cmdid, call.latency_us
    )
}
