//! Waiting for the end: SIGTERM and SIGINT, or a deadline.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Hears the signals that end a service. A second one ends the process at once, should the drain hang.
pub struct EndSignals {
    heard: Receiver<i32>,
}

impl EndSignals {
    /// Starts listening; from here on the signals no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (tell, heard) = channel();
        std::thread::Builder::new()
            .name("lars-signals".into())
            .spawn(move || {
                for (count, signal) in signals.forever().enumerate() {
                    if count > 0 {
                        std::process::exit(128 + signal);
                    }
                    // The receiver is gone only when the process is ending already.
                    let _ = tell.send(signal);
                }
            })?;
        Ok(Self { heard })
    }

    /// Waits for a signal until `deadline` (none: for ever). Returns whether one came.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        match deadline {
            None => self.heard.recv().is_ok(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                !matches!(self.heard.recv_timeout(left), Err(RecvTimeoutError::Timeout))
            }
        }
    }

    /// Sleeps for `time`, or less when a signal comes. Returns whether one came.
    pub fn sleep(&self, time: Duration) -> bool {
        self.wait(Some(Instant::now() + time))
    }
}
