//! Questions that wait at a module's owner for its first route: bounded, each with a deadline.

use crate::mail::Ask;
use hashbrown::HashMap;
use lars_wire::ModuleId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Questions that one core lets wait. One takes about 300 bytes, so this is 20 MB at the very worst.
pub(crate) const WAITERS_MAX: usize = 65_536;
/// The longest that a question may wait, whatever it asks for: a caller that wants longer asks again.
pub(crate) const WAIT_MAX: Duration = Duration::from_mins(1);

/// A deadline, made unique by a number that counts up.
type Due = (Instant, u64);

#[derive(Debug)]
struct Waiter {
    due: Due,
    ask: Ask,
}

/// All questions that wait at one core.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    of: HashMap<ModuleId, Vec<Waiter>>,
    due: BTreeMap<Due, ModuleId>,
    added: u64,
}

impl Waiters {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets `ask` wait until its deadline; returns whether there is room for it.
    pub(crate) fn add(&mut self, now: Instant, ask: Ask) -> bool {
        if self.due.len() >= WAITERS_MAX {
            return false;
        }
        let wait = Duration::from_millis(u64::from(ask.deadline_ms)).min(WAIT_MAX);
        let due = (now + wait, self.added);
        self.added += 1;
        self.due.insert(due, ask.module);
        self.of.entry(ask.module).or_default().push(Waiter { due, ask });
        true
    }

    /// Takes all that wait for `module`, in the order in which they came.
    pub(crate) fn take(&mut self, module: ModuleId) -> Vec<Ask> {
        let waiters = self.of.remove(&module).unwrap_or_default();
        for waiter in &waiters {
            self.due.remove(&waiter.due);
        }
        waiters.into_iter().map(|waiter| waiter.ask).collect()
    }

    /// Takes one whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Ask> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (due, module) = first.remove_entry();
        let waiters = self.of.get_mut(&module)?;
        // Those of one module with one wait expire in the order in which they came: the place is almost always 0.
        let place = waiters.iter().position(|waiter| waiter.due == due)?;
        let waiter = waiters.remove(place);
        if waiters.is_empty() {
            self.of.remove(&module);
        }
        Some(waiter.ask)
    }

    /// The next deadline.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(due, _)| due.0)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Asker, Question};
    use lars_pool::{ConnectionId, CoreIndex};

    fn ask(cmdid: u32, sequence: u32, deadline_ms: u32) -> Ask {
        Ask {
            asker: Asker {
                core: CoreIndex(0),
                connection: ConnectionId {
                    slot: 0,
                    generation: 0,
                },
                sequence,
            },
            module: ModuleId::new(1, cmdid),
            question: Question::Register,
            deadline_ms,
        }
    }

    fn sequences(asks: &[Ask]) -> Vec<u32> {
        asks.iter().map(|ask| ask.asker.sequence).collect()
    }

    #[test]
    fn module_is_taken_with_all_that_wait_for_it_and_nobody_else() {
        let (mut waiters, now) = (Waiters::new(), Instant::now());
        for (cmdid, sequence) in [(1, 10), (2, 20), (1, 11)] {
            assert!(waiters.add(now, ask(cmdid, sequence, 100)));
        }
        assert_eq!(sequences(&waiters.take(ModuleId::new(1, 1))), [10, 11]);
        assert_eq!(sequences(&waiters.take(ModuleId::new(1, 1))), [0u32; 0]);
        assert_eq!(waiters.len(), 1);
        let later = now + Duration::from_millis(100);
        assert_eq!(waiters.expire(later).map(|ask| ask.asker.sequence), Some(20));
        assert_eq!((waiters.len(), waiters.next_timeout()), (0, None));
    }

    #[test]
    fn deadlines_pass_in_their_order_and_not_before() {
        let (mut waiters, now) = (Waiters::new(), Instant::now());
        assert!(waiters.add(now, ask(1, 1, 300)));
        assert!(waiters.add(now, ask(1, 2, 100)));
        assert_eq!(waiters.next_timeout(), Some(now + Duration::from_millis(100)));
        assert!(waiters.expire(now + Duration::from_millis(99)).is_none());
        let late = now + Duration::from_millis(300);
        assert_eq!(waiters.expire(late).map(|ask| ask.asker.sequence), Some(2));
        assert_eq!(waiters.expire(late).map(|ask| ask.asker.sequence), Some(1));
        assert!(waiters.expire(late).is_none());
    }

    #[test]
    fn wait_is_bounded_whatever_the_caller_says() {
        let (mut waiters, now) = (Waiters::new(), Instant::now());
        assert!(waiters.add(now, ask(1, 1, u32::MAX)));
        assert_eq!(waiters.next_timeout(), Some(now + WAIT_MAX));
    }

    #[test]
    fn one_more_than_there_is_room_for_does_not_wait() {
        let (mut waiters, now) = (Waiters::new(), Instant::now());
        for sequence in 0..WAITERS_MAX as u32 {
            assert!(waiters.add(now, ask(sequence, sequence, 100)));
        }
        assert!(!waiters.add(now, ask(1, 7, 100)));
    }
}
