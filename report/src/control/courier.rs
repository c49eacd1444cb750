//! Brings answers to the cores that hold the connections: one mail a core for all answers of a transaction. A core
//! whose queue is full gets its mail a moment later.

use crate::mail::{Answer, Mail};
use lars_pool::mail::Mailer;
use std::time::Duration;
use tokio::time::Instant;

/// How soon a full queue is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// Answers on their way.
pub(super) struct Courier {
    routes: Vec<(Mailer<Mail>, Vec<Answer>)>,
}

impl Courier {
    pub(super) fn new(mailers: Vec<Mailer<Mail>>) -> Self {
        Self {
            routes: mailers.into_iter().map(|mailer| (mailer, Vec::new())).collect(),
        }
    }

    /// Puts an answer with those for the same core.
    pub(super) fn put(&mut self, answer: Answer) {
        let core = usize::from(answer.asker.core.0);
        self.routes[core].1.push(answer);
    }

    /// Sends all that fits.
    pub(super) fn send(&mut self) {
        for (mailer, answers) in &mut self.routes {
            if answers.is_empty() {
                continue;
            }
            if let Err(Mail::Answers(kept)) = mailer.send(Mail::Answers(std::mem::take(answers))) {
                *answers = kept;
            }
        }
    }

    /// When to send what did not fit.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let waits = self.routes.iter().any(|(_, answers)| !answers.is_empty());
        waits.then(|| Instant::now() + RETRY)
    }
}
