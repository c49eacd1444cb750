//! A node as the world knows it: workers, a queue, and what is wrong with it.

use crate::calls::CallId;
use crate::draw::Luck;
use crate::scenario::{Change, NodePlan, Service};
use std::collections::VecDeque;

/// A call that a worker takes up: when it is done, and whether it succeeded then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Served {
    pub(crate) done: u64,
    pub(crate) ok: bool,
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Faults {
    black_hole: bool,
    /// The number of the flapping that holds, and whether it is down now.
    flap: Option<(u32, bool)>,
    slow: Option<f64>,
    fail: Option<(f64, u64)>,
    noise: Option<f64>,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    workers: usize,
    pub(crate) service: Service,
    faults: Faults,
    queue: VecDeque<CallId>,
    /// Calls that workers have.
    serving: Vec<CallId>,
    /// Grows whenever everything that is served is lost: what was to be done before is done no more.
    life: u32,
    flaps: u32,
}

impl Node {
    pub(crate) fn new(plan: &NodePlan) -> Self {
        Self {
            workers: plan.workers as usize,
            service: plan.service,
            faults: Faults::default(),
            queue: VecDeque::new(),
            serving: Vec::new(),
            life: 0,
            flaps: 0,
        }
    }

    /// Whether it answers at all.
    pub(crate) fn is_dead(&self) -> bool {
        self.faults.black_hole || self.faults.flap.is_some_and(|(_, down)| down)
    }

    /// Whether an ejection of it is deserved: noise is no reason.
    pub(crate) fn is_faulty(&self) -> bool {
        let Faults {
            black_hole,
            flap,
            slow,
            fail,
            noise: _,
        } = self.faults;
        black_hole || flap.is_some() || slow.is_some() || fail.is_some()
    }

    /// Calls a second that it can answer well.
    pub(crate) fn capacity(&self) -> f64 {
        if self.is_dead() {
            return 0.0;
        }
        let slow = self.faults.slow.unwrap_or(1.0);
        let fails = self.faults.fail.map_or(0.0, |(share, _)| share);
        self.workers as f64 * 1e9 / (self.service.mean() * slow) * (1.0 - fails)
    }

    /// Which of its lives this is.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// Calls that it has, waiting and served.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> usize {
        self.queue.len() + self.serving.len()
    }

    /// A call arrives. Says whether a worker takes it up at once; else it waits.
    pub(crate) fn arrive(&mut self, call: CallId) -> bool {
        let free = self.serving.len() < self.workers;
        if free {
            self.serving.push(call);
        } else {
            self.queue.push_back(call);
        }
        free
    }

    /// What comes of a call that a worker takes up now.
    pub(crate) fn serve(&self, now: u64, luck: Luck) -> Served {
        if let Some((share, after)) = self.faults.fail
            && luck.fail < share
        {
            return Served {
                done: now + after,
                ok: false,
            };
        }
        let slow = self.faults.slow.unwrap_or(1.0);
        Served {
            done: now + (luck.service * slow) as u64,
            ok: self.faults.noise.is_none_or(|share| luck.noise >= share),
        }
    }

    /// A worker is done with a call; the one that waited longest is taken up in its stead.
    pub(crate) fn done(&mut self, call: CallId) -> Option<CallId> {
        if let Some(place) = self.serving.iter().position(|&serving| serving == call) {
            self.serving.swap_remove(place);
        }
        let next = self.queue.pop_front();
        self.serving.extend(next);
        next
    }

    /// Something happens to it; calls that are lost by it are appended to `lost`. Returns the number of a flapping
    /// that begins.
    pub(crate) fn change(&mut self, change: Change, lost: &mut Vec<CallId>) -> Option<u32> {
        match change {
            Change::BlackHole => {
                self.faults.black_hole = true;
                self.lose(lost);
            }
            Change::Slow { factor } => self.faults.slow = Some(factor),
            Change::Fail { share, after } => self.faults.fail = Some((share, after)),
            Change::Noise { share } => self.faults.noise = Some(share),
            Change::Flap { .. } => {
                self.flaps += 1;
                self.faults.flap = Some((self.flaps, true));
                self.lose(lost);
                return Some(self.flaps);
            }
            Change::Heal => self.faults = Faults::default(),
            // Of the route, not of the node.
            Change::Add | Change::Remove | Change::Drain => {}
        }
        None
    }

    /// A flapping node goes up or down; says which, or none where that flapping is over.
    pub(crate) fn flip(&mut self, flapping: u32, lost: &mut Vec<CallId>) -> Option<bool> {
        let down = match &mut self.faults.flap {
            Some((number, down)) if *number == flapping => {
                *down = !*down;
                *down
            }
            _ => return None,
        };
        if down {
            self.lose(lost);
        }
        Some(down)
    }

    fn lose(&mut self, lost: &mut Vec<CallId>) {
        lost.extend(self.queue.drain(..));
        lost.append(&mut self.serving);
        self.life += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(workers: u32) -> Node {
        Node::new(&NodePlan {
            workers,
            service: Service::Constant { mean: 1_000.0 },
            weight: 100,
            zone: String::new(),
            routed: true,
        })
    }

    const LUCK: Luck = Luck {
        service: 1_000.0,
        fail: 0.5,
        noise: 0.5,
    };

    #[test]
    fn calls_beyond_the_workers_wait_and_are_taken_up_in_order() {
        let mut node = node(2);
        assert_eq!(
            [0, 1, 2, 3].map(|id| node.arrive(CallId(id))),
            [true, true, false, false]
        );
        assert_eq!(node.done(CallId(1)), Some(CallId(2)));
        assert_eq!(node.done(CallId(0)), Some(CallId(3)));
        assert_eq!((node.done(CallId(2)), node.holds()), (None, 1));
    }

    #[test]
    fn black_hole_loses_what_the_node_holds_and_begins_another_life() {
        let mut node = node(1);
        let mut lost = Vec::new();
        assert_eq!([0, 1, 2].map(|id| node.arrive(CallId(id))), [true, false, false]);
        let life = node.life();
        node.change(Change::BlackHole, &mut lost);
        lost.sort();
        assert_eq!(lost, [CallId(0), CallId(1), CallId(2)]);
        assert!(node.is_dead() && node.is_faulty() && node.holds() == 0 && node.life() != life);
        assert_eq!(node.capacity(), 0.0);
        node.change(Change::Heal, &mut lost);
        assert!(!node.is_dead() && !node.is_faulty());
        assert_eq!(node.capacity(), 1e6);
    }

    #[test]
    fn faults_hold_together_and_end_together() {
        let mut node = node(1);
        let mut change = |what| node.change(what, &mut Vec::new());
        change(Change::Slow { factor: 3.0 });
        change(Change::Noise { share: 0.6 });
        let served = node.serve(10, LUCK);
        assert_eq!(
            served,
            Served {
                done: 3_010,
                ok: false
            }
        );
        let fail = Change::Fail {
            share: 0.51,
            after: 7,
        };
        node.change(fail, &mut Vec::new());
        assert_eq!(node.serve(10, LUCK), Served { done: 17, ok: false });
        assert!((node.capacity() - 1e6 / 3.0 * 0.49).abs() < 1e-6);
        node.change(Change::Heal, &mut Vec::new());
        assert_eq!(
            node.serve(10, LUCK),
            Served {
                done: 1_010,
                ok: true
            }
        );
        node.change(Change::Noise { share: 0.1 }, &mut Vec::new());
        assert!(!node.is_faulty(), "noise is no fault");
    }

    #[test]
    fn flapping_node_starts_down_and_stops_flapping_when_it_is_healed() {
        let mut node = node(1);
        let mut lost = Vec::new();
        let flap = Change::Flap { up: 5, down: 5 };
        let first = node.change(flap, &mut lost).expect("a flapping");
        assert!(node.is_dead());
        assert_eq!(node.flip(first, &mut lost), Some(false));
        assert!(!node.is_dead() && node.is_faulty());
        node.arrive(CallId(9));
        assert_eq!(
            (node.flip(first, &mut lost), lost.as_slice()),
            (Some(true), &[CallId(9)][..])
        );
        node.change(Change::Heal, &mut lost);
        assert_eq!(node.flip(first, &mut lost), None);
        assert_ne!(node.change(flap, &mut lost), Some(first));
    }
}
