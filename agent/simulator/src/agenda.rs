//! What comes next. Calls end in no order and stand in a heap; everything else comes in an order that is known, and
//! costs no heap: the next call to begin, time-outs (all equally long), turns (all equally far apart).

use crate::calls::CallId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The scenario's event at this place happens.
    Event(u32),
    /// A flapping node goes up or down: node, number of the flapping.
    Flip(u32, u32),
    /// A worker is done: node, the node's life, call, whether it went well.
    Done(u32, u32, CallId, bool),
    /// The caller gives up.
    TimeOut(CallId),
    /// An agent's turn.
    Turn(u32),
    /// A call begins.
    Begin,
}

/// Agents' turns: each at its own phase, all of one period.
#[derive(Debug)]
struct Turns {
    /// By phase: (phase, agent).
    phases: Vec<(u64, u32)>,
    period: u64,
    /// Start of the period that is under way, and whose turn is next in it.
    start: u64,
    next: usize,
}

impl Turns {
    fn next(&self) -> u64 {
        self.start + self.phases[self.next].0
    }

    fn pop(&mut self) -> u32 {
        let agent = self.phases[self.next].1;
        self.next += 1;
        if self.next == self.phases.len() {
            self.next = 0;
            self.start += self.period;
        }
        agent
    }
}

/// Everything that is to come.
#[derive(Debug)]
pub(crate) struct Agenda {
    /// In order of time, then of [`Due`], so that equal times have one order.
    heap: BinaryHeap<Reverse<(u64, Due)>>,
    time_outs: VecDeque<(u64, CallId)>,
    turns: Turns,
    begin: Option<u64>,
}

impl Agenda {
    /// An agenda of turns alone: agent n has its first at `phases[n]`, less than `period`.
    pub(crate) fn new(phases: &[u64], period: u64) -> Self {
        let mut phases: Vec<(u64, u32)> = phases.iter().copied().zip(0..).collect();
        phases.sort_unstable();
        Self {
            heap: BinaryHeap::new(),
            time_outs: VecDeque::new(),
            turns: Turns {
                phases,
                period,
                start: 0,
                next: 0,
            },
            begin: None,
        }
    }

    pub(crate) fn push(&mut self, at: u64, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    /// A caller gives up then; never earlier than any before.
    pub(crate) fn push_time_out(&mut self, at: u64, call: CallId) {
        self.time_outs.push_back((at, call));
    }

    /// When the next call begins; none when no more do.
    pub(crate) fn set_begin(&mut self, at: Option<u64>) {
        self.begin = at;
    }

    /// Whether a call is still to begin, or a caller waits.
    pub(crate) fn has_calls(&self) -> bool {
        self.begin.is_some() || !self.time_outs.is_empty()
    }

    /// Takes what is next. At equal times: events and ends, then time-outs, then turns, then what begins.
    pub(crate) fn pop(&mut self) -> (u64, Due) {
        let turn = self.turns.next();
        let begin = self.begin.unwrap_or(u64::MAX);
        let time_out = self.time_outs.front().map_or(u64::MAX, |(at, _)| *at);
        let planned = begin.min(turn).min(time_out);
        if let Some(Reverse((at, _))) = self.heap.peek()
            && *at <= planned
            && let Some(Reverse(due)) = self.heap.pop()
        {
            return due;
        }
        if time_out == planned
            && let Some((at, call)) = self.time_outs.pop_front()
        {
            return (at, Due::TimeOut(call));
        }
        if turn == planned {
            return (turn, Due::Turn(self.turns.pop()));
        }
        self.begin = None;
        (begin, Due::Begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_in_order_of_time_and_equal_times_in_order_of_kind() {
        let mut agenda = Agenda::new(&[7, 3], 10);
        agenda.set_begin(Some(13));
        agenda.push_time_out(13, CallId(1));
        agenda.push_time_out(17, CallId(2));
        agenda.push(13, Due::Done(0, 0, CallId(5), true));
        agenda.push(13, Due::Event(0));
        agenda.push(4, Due::Flip(1, 1));
        let order: Vec<(u64, Due)> = (0..9).map(|_| agenda.pop()).collect();
        let expected = [
            (3, Due::Turn(1)),
            (4, Due::Flip(1, 1)),
            (7, Due::Turn(0)),
            (13, Due::Event(0)),
            (13, Due::Done(0, 0, CallId(5), true)),
            (13, Due::TimeOut(CallId(1))),
            (13, Due::Turn(1)),
            (13, Due::Begin),
            (17, Due::TimeOut(CallId(2))),
        ];
        assert_eq!(order, expected);
        assert!(!agenda.has_calls());
        assert_eq!(agenda.pop(), (17, Due::Turn(0)));
    }
}
