//! What waits for the store: in order of arrival, each batch once. Pure: batches and the store's word go in, lots to
//! be stored and answers come out.

use crate::mail::{Answer, Arrival, Asker, Outcome};
use lars_store::{CallBatch, Stored};
use std::collections::{BTreeMap, HashMap};

/// Which batch: an incarnation and a sequence.
type BatchKey = ([u8; 16], u64);

/// Who is answered for one batch at most. Peers whose connections end send it again and again while the store is away;
/// those that asked longest ago are hardly there any more.
const ASKERS_MAX: usize = 8;

/// Batches that wait.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// By number of arrival.
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<BatchKey, u64>,
    arrivals: u64,
    tallies: usize,
}

/// A batch and all who sent it. The first of them keeps the room that it takes.
#[derive(Debug)]
struct Waiting {
    batch: CallBatch,
    askers: Vec<Asker>,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(crate) struct Lot {
    /// In order of arrival.
    pub batches: Vec<CallBatch>,
    /// Whose, with their numbers of arrival.
    askers: Vec<(u64, Vec<Asker>)>,
}

impl Intake {
    /// A batch arrived. One that waits already is not kept twice: a peer whose connection ended sends it again, and
    /// while the store is away it may do so for hours. All who sent it are answered, since they come over several
    /// cores and the last to arrive need not be the last that was sent; what is returned is to be told at once.
    pub(crate) fn add(&mut self, Arrival { batch, asker }: Arrival) -> Vec<Answer> {
        let key = (batch.incarnation, batch.sequence);
        let known = self
            .places
            .get(&key)
            .and_then(|number| self.waiting.get_mut(number));
        let Some(waiting) = known else {
            self.arrivals += 1;
            self.places.insert(key, self.arrivals);
            self.tallies += batch.records.len();
            self.waiting.insert(
                self.arrivals,
                Waiting {
                    batch,
                    askers: vec![asker],
                },
            );
            return Vec::new();
        };
        let mut answers = vec![Answer {
            asker,
            outcome: Outcome::Known,
        }];
        waiting.askers.push(Asker { room: 0, ..asker });
        if waiting.askers.len() > ASKERS_MAX {
            let asker = waiting.askers.remove(1);
            answers.push(Answer {
                asker,
                outcome: Outcome::Forgotten,
            });
        }
        answers
    }

    /// Takes the oldest batches, up to `tallies_max` tallies in all, but at least one batch.
    pub(crate) fn take(&mut self, tallies_max: usize) -> Lot {
        let mut lot = Lot::default();
        let mut tallies = 0;
        while let Some(oldest) = self.waiting.first_entry() {
            let count = oldest.get().batch.records.len();
            if !lot.batches.is_empty() && tallies + count > tallies_max {
                break;
            }
            tallies += count;
            let (number, Waiting { batch, askers }) = oldest.remove_entry();
            self.places.remove(&(batch.incarnation, batch.sequence));
            lot.batches.push(batch);
            lot.askers.push((number, askers));
        }
        self.tallies -= tallies;
        lot
    }

    /// Takes back a lot that could not be stored; nothing was added since it was taken.
    pub(crate) fn give_back(&mut self, lot: Lot) {
        for (batch, (number, askers)) in lot.batches.into_iter().zip(lot.askers) {
            self.places.insert((batch.incarnation, batch.sequence), number);
            self.tallies += batch.records.len();
            self.waiting.insert(number, Waiting { batch, askers });
        }
    }

    /// Tallies that wait.
    pub(crate) fn tallies(&self) -> usize {
        self.tallies
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Lot {
    /// The answers, from what the store said of each batch.
    pub(crate) fn answers(&self, stored: &[Stored]) -> Vec<Answer> {
        debug_assert_eq!(stored.len(), self.batches.len(), "a store speaks of every batch");
        let mut answers = Vec::with_capacity(stored.len());
        for ((batch, (_, askers)), stored) in self.batches.iter().zip(&self.askers).zip(stored) {
            let outcome = match *stored {
                Stored::Now(sequence) | Stored::Before(sequence) => Outcome::Stored {
                    incarnation: batch.incarnation,
                    sequence,
                },
                Stored::Gap(newest) => Outcome::Gap {
                    sequence: batch.sequence,
                    newest,
                },
            };
            answers.extend(askers.iter().map(|&asker| Answer { asker, outcome }));
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::call_batch;
    use lars_pool::{ConnectionId, CoreIndex};
    use lars_wire::record::{Tally, TallyBatch};

    fn asker(slot: u32) -> Asker {
        let connection = ConnectionId { slot, generation: 1 };
        Asker {
            core: CoreIndex(0),
            connection,
            question: slot,
            room: 1,
        }
    }

    fn arrival(who: u8, sequence: u64, tallies: usize, slot: u32) -> Arrival {
        let tallies = vec![Tally::default(); tallies];
        let batch = TallyBatch {
            incarnation: [who; 16],
            sequence,
            caller: 0,
            age_ms: 0,
            tallies,
        };
        Arrival {
            batch: call_batch(&batch, 0),
            asker: asker(slot),
        }
    }

    fn keys(lot: &Lot) -> Vec<(u8, u64)> {
        lot.batches
            .iter()
            .map(|batch| (batch.incarnation[0], batch.sequence))
            .collect()
    }

    #[test]
    fn lots_are_taken_in_order_of_arrival_and_bounded() {
        let mut intake = Intake::default();
        for (who, sequence, tallies) in [(1, 1, 3), (2, 1, 3), (1, 2, 3), (3, 1, 9), (1, 3, 0)] {
            assert_eq!(intake.add(arrival(who, sequence, tallies, 0)), []);
        }
        assert_eq!(intake.tallies(), 18);
        assert_eq!(keys(&intake.take(7)), [(1, 1), (2, 1)]);
        assert_eq!(keys(&intake.take(7)), [(1, 2)], "the next would be too much");
        assert_eq!(keys(&intake.take(7)), [(3, 1)], "one batch is never too much");
        assert_eq!((keys(&intake.take(7)), intake.tallies()), (vec![(1, 3)], 0));
        assert!(intake.is_empty() && intake.take(7).batches.is_empty());
    }

    #[test]
    fn batch_sent_again_while_it_waits_is_kept_once_and_answered_to_all() {
        let mut intake = Intake::default();
        assert_eq!(intake.add(arrival(1, 1, 3, 10)), []);
        assert_eq!(intake.add(arrival(2, 1, 3, 20)), []);
        let known = Answer {
            asker: asker(11),
            outcome: Outcome::Known,
        };
        assert_eq!(
            intake.add(arrival(1, 1, 3, 11)),
            [known],
            "its room is free again"
        );
        assert_eq!(intake.tallies(), 6);
        let lot = intake.take(100);
        assert_eq!(keys(&lot), [(1, 1), (2, 1)]);
        let answers = lot.answers(&[Stored::Now(1), Stored::Now(1)]);
        let askers: Vec<_> = answers
            .iter()
            .map(|answer| (answer.asker.question, answer.asker.room))
            .collect();
        assert_eq!(askers, [(10, 1), (11, 0), (20, 1)]);
        assert_eq!(
            intake.add(arrival(1, 1, 3, 12)),
            [],
            "what was taken may come again"
        );
    }

    #[test]
    fn those_who_ask_without_end_are_forgotten_but_for_the_last() {
        let mut intake = Intake::default();
        let mut forgotten = Vec::new();
        for slot in 0..20 {
            let told = intake.add(arrival(1, 1, 3, slot));
            forgotten.extend(
                told.iter()
                    .filter(|answer| answer.outcome == Outcome::Forgotten)
                    .map(|a| a.asker.question),
            );
        }
        assert_eq!(forgotten, (1..=12).collect::<Vec<_>>());
        let answers = intake.take(100).answers(&[Stored::Now(1)]);
        let room: u32 = answers.iter().map(|answer| answer.asker.room).sum();
        assert_eq!(
            (
                answers.len(),
                answers.last().map(|answer| answer.asker.question),
                room
            ),
            (ASKERS_MAX, Some(19), 1)
        );
    }

    #[test]
    fn lot_given_back_waits_where_it_waited() {
        let mut intake = Intake::default();
        for sequence in 1..=3 {
            intake.add(arrival(1, sequence, 2, sequence as u32));
        }
        let lot = intake.take(4);
        intake.give_back(lot);
        assert_eq!(intake.tallies(), 6);
        assert!(!intake.add(arrival(1, 2, 2, 9)).is_empty(), "it is known again");
        assert_eq!(keys(&intake.take(100)), [(1, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn answers_say_what_the_store_said() {
        let mut intake = Intake::default();
        for (slot, sequence) in [(1, 5), (2, 4), (3, 9)] {
            intake.add(arrival(7, sequence, 1, slot));
        }
        let lot = intake.take(100);
        let outcomes: Vec<_> = lot
            .answers(&[Stored::Now(5), Stored::Before(5), Stored::Gap(5)])
            .iter()
            .map(|answer| (answer.asker.connection.slot, answer.outcome))
            .collect();
        let stored = Outcome::Stored {
            incarnation: [7; 16],
            sequence: 5,
        };
        assert_eq!(
            outcomes,
            [
                (1, stored),
                (2, stored),
                (
                    3,
                    Outcome::Gap {
                        sequence: 9,
                        newest: 5
                    }
                )
            ]
        );
    }
}
