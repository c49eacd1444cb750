//! Mail to the cores, in order for each, kept while a core's queue is full: a change is never dropped.

use crate::mail::Mail;
use lars_pool::CoreIndex;
use lars_pool::mail::Mailer;
use std::collections::VecDeque;

/// One way to each core.
pub(super) struct Outbox {
    ways: Vec<Way>,
}

struct Way {
    mailer: Mailer<Mail>,
    /// What did not fit the queue. Bounded by what the store can change while a core is busy: entries are shared.
    held: VecDeque<Mail>,
}

impl Outbox {
    pub(super) fn new(mailers: Vec<Mailer<Mail>>) -> Self {
        let way = |mailer| Way {
            mailer,
            held: VecDeque::new(),
        };
        Self {
            ways: mailers.into_iter().map(way).collect(),
        }
    }

    pub(super) fn cores(&self) -> u16 {
        self.ways.len() as u16
    }

    /// Whether something is held back.
    pub(super) fn is_behind(&self) -> bool {
        self.ways.iter().any(|way| !way.held.is_empty())
    }

    pub(super) fn send_all(&mut self, mail: &Mail) {
        for way in &mut self.ways {
            way.send(mail.clone());
        }
    }

    pub(super) fn send(&mut self, core: CoreIndex, mail: Mail) {
        if let Some(way) = self.ways.get_mut(usize::from(core.0)) {
            way.send(mail);
        }
    }

    /// Sends what was held back, as far as the queues take it.
    pub(super) fn retry(&mut self) {
        for way in &mut self.ways {
            way.flush();
        }
    }
}

impl Way {
    fn send(&mut self, mail: Mail) {
        self.held.push_back(mail);
        self.flush();
    }

    fn flush(&mut self) {
        if self.mailer.is_abandoned() {
            self.held.clear();
        }
        while let Some(mail) = self.held.pop_front() {
            if let Err(mail) = self.mailer.send(mail) {
                self.held.push_front(mail);
                return;
            }
        }
    }
}
