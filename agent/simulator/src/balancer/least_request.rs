//! Least request with two choices, as Envoy documents it ("Weighted least request", load balancers): of two nodes
//! drawn at random the one with fewer calls in flight; where weights differ, a weighted schedule whose weights are
//! divided by the calls in flight and one more. With it the ejection of outliers. Calls in flight and ejections are
//! those of the whole process: Envoy shares both between its workers, and knows of every call's end at once.

use super::outlier::Outliers;
use super::{Ended, Pick, Shift, Standing};
use fastrand::Rng;
use lars_wire::caller::Outcome;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Below this share of nodes that are not ejected, in percent, all are used: Envoy's panic threshold.
const PANIC_PERCENT: usize = 50;
/// Virtual time of the weighted schedule is kept in whole numbers, so that it has a total order.
const STRIDE: u64 = 1 << 32;

/// The balancer of one process.
pub struct LeastRequest {
    random: Rng,
    outliers: Outliers,
    /// By node.
    in_flight: Vec<u32>,
    weights: Vec<u16>,
    /// Those that the route lets serve.
    serving: Vec<u32>,
    /// Those of them that are picked from.
    eligible: Vec<u32>,
    /// Whether all eligible nodes weigh the same.
    even: bool,
    /// Earliest deadline first, for weights that differ: (deadline, node).
    schedule: BinaryHeap<Reverse<(u64, u32)>>,
    virtual_now: u64,
}

impl LeastRequest {
    pub(super) fn new(nodes: usize, random: Rng) -> Self {
        Self {
            random,
            outliers: Outliers::new(nodes),
            in_flight: vec![0; nodes],
            weights: vec![0; nodes],
            serving: Vec::new(),
            eligible: Vec::new(),
            even: true,
            schedule: BinaryHeap::new(),
            virtual_now: 0,
        }
    }

    pub(super) fn learn(&mut self, _now: u64, route: &[Standing]) {
        let mut present = vec![false; self.in_flight.len()];
        for standing in route {
            present[standing.node as usize] = true;
            self.weights[standing.node as usize] = standing.weight;
        }
        self.outliers.learn(&present);
        let serving = route.iter().filter(|standing| !standing.draining);
        self.serving = serving.map(|standing| standing.node).collect();
        self.choose_eligible();
    }

    pub(super) fn pick(&mut self) -> Pick {
        if self.eligible.is_empty() {
            return Pick::Refused;
        }
        let node = if self.even {
            let (one, other) = (self.draw(), self.draw());
            if self.in_flight[other as usize] < self.in_flight[one as usize] {
                other
            } else {
                one
            }
        } else {
            self.scheduled()
        };
        self.in_flight[node as usize] += 1;
        Pick::Node { node, token: 0 }
    }

    pub(super) fn end(&mut self, now: u64, ended: &Ended, shifts: &mut Vec<Shift>) {
        self.in_flight[ended.node as usize] -= 1;
        if self
            .outliers
            .end(now, ended.node, ended.outcome == Outcome::Ok, shifts)
        {
            self.choose_eligible();
        }
    }

    pub(super) fn turn(&mut self, now: u64, shifts: &mut Vec<Shift>) {
        if self.outliers.turn(now, shifts) {
            self.choose_eligible();
        }
    }

    fn draw(&mut self) -> u32 {
        self.eligible[self.random.usize(..self.eligible.len())]
    }

    /// The node whose deadline is earliest; its next one is as far as its weight, now, says.
    fn scheduled(&mut self) -> u32 {
        let Some(Reverse((deadline, node))) = self.schedule.pop() else {
            return self.draw();
        };
        self.virtual_now = deadline;
        self.schedule.push(Reverse((deadline + self.stride(node), node)));
        node
    }

    /// The inverse of weight / (in flight + 1).
    fn stride(&self, node: u32) -> u64 {
        let in_flight = u64::from(self.in_flight[node as usize]);
        STRIDE * (in_flight + 1) / u64::from(self.weights[node as usize].max(1))
    }

    fn choose_eligible(&mut self) {
        let healthy = self
            .serving
            .iter()
            .filter(|&&node| !self.outliers.is_ejected(node));
        self.eligible = healthy.copied().collect();
        if 100 * self.eligible.len() < PANIC_PERCENT * self.serving.len() {
            self.eligible.clone_from(&self.serving);
        }
        let mut weights = self.eligible.iter().map(|&node| self.weights[node as usize]);
        let first = weights.next();
        self.even = weights.all(|weight| Some(weight) == first);
        self.schedule.clear();
        if !self.even {
            for place in 0..self.eligible.len() {
                let node = self.eligible[place];
                let first = self.random.u64(..self.stride(node));
                self.schedule.push(Reverse((self.virtual_now + first, node)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(node: u32, weight: u16) -> Standing {
        Standing {
            node,
            weight,
            zone: String::new(),
            draining: false,
        }
    }

    #[test]
    fn of_two_nodes_the_one_with_fewer_calls_in_flight_is_taken() {
        let mut balancer = LeastRequest::new(2, Rng::with_seed(1));
        balancer.learn(0, &[standing(0, 100), standing(1, 100)]);
        balancer.in_flight = vec![1_000, 0];
        let picks: Vec<Pick> = (0..400).map(|_| balancer.pick()).collect();
        let first = picks
            .iter()
            .filter(|pick| matches!(pick, Pick::Node { node: 0, .. }));
        // Both draws fall on the first node in a quarter of picks.
        let first = first.count();
        assert!((60..140).contains(&first), "{first}");
    }

    #[test]
    fn weights_that_differ_are_kept_to_and_calls_in_flight_divide_them() {
        let mut balancer = LeastRequest::new(2, Rng::with_seed(1));
        balancer.learn(0, &[standing(0, 300), standing(1, 100)]);
        let mut count = [0_u32; 2];
        for _ in 0..4_000 {
            let Pick::Node { node, .. } = balancer.pick() else {
                panic!("nobody refuses");
            };
            count[node as usize] += 1;
            balancer.in_flight[node as usize] -= 1;
        }
        assert!((2_950..=3_050).contains(&count[0]), "{count:?}");
    }

    #[test]
    fn ejected_node_gets_nothing_until_half_of_all_are_out() {
        let mut balancer = LeastRequest::new(3, Rng::with_seed(1));
        balancer.learn(0, &[standing(0, 1), standing(1, 1), standing(2, 1)]);
        let ended = Ended {
            node: 1,
            token: 0,
            outcome: Outcome::Failed,
            latency: 0,
        };
        balancer.in_flight[1] = 5;
        let mut shifts = Vec::new();
        for _ in 0..5 {
            balancer.end(0, &ended, &mut shifts);
        }
        assert_eq!(
            (shifts.as_slice(), balancer.eligible.as_slice()),
            (&[Shift::Ejected(1)][..], &[0, 2][..])
        );
        balancer.learn(0, &[standing(1, 1)]);
        assert_eq!(balancer.eligible, [1], "the only node is used, ejected or not");
    }
}
