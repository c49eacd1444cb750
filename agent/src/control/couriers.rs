//! Mail from the control thread to the cores: held back while a core is busy, in its order, never lost.

use crate::mail::Mail;
use crate::stats::ControlCounts;
use lars_pool::mail::Mailer;
use lars_wire::ModuleId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Mail held back beyond which dns is not read: the push waits there instead.
const HELD_MAX: usize = 4_096;
/// How soon a full queue is tried again.
const RETRY: Duration = Duration::from_millis(2);

struct Courier {
    mailer: Mailer<Mail>,
    held: VecDeque<Mail>,
}

/// One courier for each core.
pub(super) struct Couriers {
    of: Vec<Courier>,
    held: usize,
    counts: Arc<ControlCounts>,
}

impl Couriers {
    /// Couriers for as many cores as there are mailers.
    pub(super) fn new(mailers: Vec<Mailer<Mail>>, counts: Arc<ControlCounts>) -> Self {
        let courier = |mailer| Courier {
            mailer,
            held: VecDeque::new(),
        };
        Self {
            of: mailers.into_iter().map(courier).collect(),
            held: 0,
            counts,
        }
    }

    /// How many cores there are.
    pub(super) fn cores(&self) -> usize {
        self.of.len()
    }

    /// To the owner of `module`.
    pub(super) fn send_to_owner(&mut self, module: ModuleId, mail: Mail) {
        let owner = module.shard(self.of.len() as u16);
        self.send(usize::from(owner), mail);
    }

    /// To every core.
    pub(super) fn send_to_all(&mut self, mail: impl Fn() -> Mail) {
        for core in 0..self.of.len() {
            self.send(core, mail());
        }
    }

    /// Whether more mail may be made.
    pub(super) fn has_room(&self) -> bool {
        self.held < HELD_MAX
    }

    /// When [`Self::retry`] wants to be called.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        (self.held > 0).then(|| now + RETRY)
    }

    /// Tries again what was held back.
    pub(super) fn retry(&mut self) {
        for courier in &mut self.of {
            while let Some(mail) = courier.held.pop_front() {
                if let Err(mail) = courier.mailer.send(mail) {
                    courier.held.push_front(mail);
                    break;
                }
            }
        }
        self.count();
    }

    fn send(&mut self, core: usize, mail: Mail) {
        let courier = &mut self.of[core];
        let sent = if courier.held.is_empty() {
            courier.mailer.send(mail)
        } else {
            Err(mail)
        };
        if let Err(mail) = sent {
            courier.held.push_back(mail);
            self.count();
        }
    }

    fn count(&mut self) {
        self.held = self.of.iter().map(|courier| courier.held.len()).sum();
        self.counts.mail_held.set(self.held as u64);
    }
}
