//! Questions with long answers that stand in line at their modules' owner. Few are answered in one turn, however many
//! callers ask, so that picks have their turns in between.

use crate::mail::Ask;
use lars_wire::bounds::NODES_MAX;
use lars_wire::caller::Status;
use std::collections::VecDeque;

/// Nodes that are put into answers in one turn; the last answer may go beyond. That takes about three milliseconds
/// with routes of ten thousand nodes.
const NODES_PER_TURN_MAX: usize = NODES_MAX;
/// What an answer counts for at least: also one without nodes is allocated, encoded and sent.
const ANSWER_NODES_MIN: usize = 64;
/// Questions that stand in line at one owner. One takes some 70 bytes, so this is about a megabyte;
/// one more is answered as pending at once.
const LINE_MAX: usize = 16_384;

/// The line, and what is left of this turn.
#[derive(Debug, Default)]
pub(crate) struct Line {
    asks: VecDeque<(Ask, Status)>,
    nodes_left: usize,
}

impl Line {
    /// Lets `ask` stand in line; returns whether there is room for it.
    pub(crate) fn add(&mut self, ask: Ask, status: Status) -> bool {
        let has_room = self.asks.len() < LINE_MAX;
        if has_room {
            self.asks.push_back((ask, status));
        }
        has_room
    }

    /// A new turn begins.
    pub(crate) fn begin_turn(&mut self) {
        self.nodes_left = NODES_PER_TURN_MAX;
    }

    /// The next one to be answered in this turn, with what its owner said of the module.
    pub(crate) fn next(&mut self) -> Option<(Ask, Status)> {
        if self.nodes_left == 0 {
            return None;
        }
        self.asks.pop_front()
    }

    /// An answer of so many nodes was made.
    pub(crate) fn made(&mut self, nodes: usize) {
        self.nodes_left = self.nodes_left.saturating_sub(nodes.max(ANSWER_NODES_MIN));
    }

    /// Whether nobody stands in line.
    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Asker, Question};
    use lars_pool::{ConnectionId, CoreIndex};
    use lars_wire::ModuleId;

    fn ask(sequence: u32) -> Ask {
        Ask {
            asker: Asker {
                core: CoreIndex(0),
                connection: ConnectionId {
                    slot: 0,
                    generation: 0,
                },
                sequence,
            },
            module: ModuleId::new(1, 1),
            question: Question::Route,
            deadline_ms: 0,
        }
    }

    fn line(asks: u32) -> Line {
        let mut line = Line::default();
        for sequence in 0..asks {
            assert!(line.add(ask(sequence), Status::Ok));
        }
        line
    }

    /// The sequences of those that one turn answers with `nodes` each.
    fn turn(line: &mut Line, nodes: usize) -> Vec<u32> {
        line.begin_turn();
        let mut answered = Vec::new();
        while let Some((ask, _)) = line.next() {
            line.made(nodes);
            answered.push(ask.asker.sequence);
        }
        answered
    }

    #[test]
    fn turn_answers_few_long_ones_and_the_rest_follow_in_their_order() {
        let mut line = line(5);
        for expected in [&[0, 1][..], &[2, 3], &[4], &[]] {
            assert_eq!(turn(&mut line, 10_000), expected);
        }
        assert!(line.is_empty());
    }

    #[test]
    fn turn_answers_one_of_the_longest_and_a_bounded_number_of_empty_ones() {
        let mut line = line(1_000);
        assert_eq!(turn(&mut line, NODES_MAX), [0]);
        assert_eq!(turn(&mut line, 0).len(), NODES_PER_TURN_MAX / ANSWER_NODES_MIN);
    }

    #[test]
    fn one_more_than_there_is_room_for_does_not_stand_in_line() {
        let mut line = line(LINE_MAX as u32);
        assert!(!line.add(ask(0), Status::Ok));
    }
}
