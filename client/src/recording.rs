//! A recording: every call that is reported to the agent for a while, frame by frame.

use crate::client::Client;
use crate::error::ClientError;
use lars_wire::ModuleId;
use lars_wire::recording::{Record, Seen};
use std::ops::ControlFlow;
use std::time::Duration;

impl Client {
    /// Has the agent tell every call that is reported to it for `duration` (at most an hour), of one module or all, and
    /// gives them to `take` as they come, until that breaks off or the time is over. There is one recording at a time.
    ///
    /// A frame is lost where `take` is slower than callers report; [`Seen::lost`] counts the calls.
    pub fn record(
        &self,
        module: Option<ModuleId>,
        duration: Duration,
        mut take: impl FnMut(&Seen) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let deadline = self.deadline(duration);
        let duration_ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let mut connection = self.fresh_connection(deadline)?;
        let record = Record { module, duration_ms };
        let sequence = connection.send(&record, "to record", deadline)?;
        loop {
            let seen: Seen = connection.answer(sequence, "to record", deadline)?;
            if take(&seen).is_break() || seen.done {
                return Ok(());
            }
        }
    }
}
