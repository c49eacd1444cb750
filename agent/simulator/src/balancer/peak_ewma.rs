//! Peak EWMA with two choices, as Finagle and Linkerd describe it (Finagle's user guide, "Power of two choices" with
//! "Peak EWMA"; tower's `load::PeakEwma`): the cost of a node is its latency times its calls in flight and one more;
//! the latency rises at once to any that is higher, and falls towards lower ones, and with time towards nothing, with a
//! decay of 10 s from 30 ms. With it a breaker a node. When no node is available one is called all the same, as
//! Finagle does. Everything is shared by the threads of the process, as in a proxy.

use super::breaker::Breaker;
use super::{Ended, Pick, Shift, Standing};
use crate::scenario::SECOND;
use fastrand::Rng;
use lars_wire::caller::Outcome;

/// In nanoseconds.
const DECAY: f64 = 10.0 * SECOND as f64;
const RTT_ASSUMED: f64 = 0.030 * SECOND as f64;

/// One node.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    present: bool,
    rtt: f64,
    updated: u64,
    in_flight: u32,
    breaker: Breaker,
    weight: u16,
}

impl Endpoint {
    const ABSENT: Self = Self {
        present: false,
        rtt: RTT_ASSUMED,
        updated: 0,
        in_flight: 0,
        breaker: Breaker::NEW,
        weight: 0,
    };

    fn observe(&mut self, now: u64, rtt: f64) {
        if rtt > self.rtt {
            self.rtt = rtt;
        } else {
            let kept = libm::exp(-((now - self.updated) as f64) / DECAY);
            self.rtt = self.rtt * kept + rtt * (1.0 - kept);
        }
        self.updated = now;
    }

    fn cost(&mut self, now: u64) -> f64 {
        self.observe(now, 0.0);
        self.rtt * f64::from(self.in_flight + 1)
    }
}

/// The balancer of one process.
pub struct PeakEwma {
    random: Rng,
    endpoints: Vec<Endpoint>,
    serving: Vec<u32>,
    /// Those that may be drawn, and the running sum of their weights.
    drawn: Vec<(u32, u64)>,
}

impl PeakEwma {
    pub(super) fn new(nodes: usize, random: Rng) -> Self {
        Self {
            random,
            endpoints: vec![Endpoint::ABSENT; nodes],
            serving: Vec::new(),
            drawn: Vec::new(),
        }
    }

    pub(super) fn learn(&mut self, now: u64, route: &[Standing]) {
        let mut weights = vec![None; self.endpoints.len()];
        for standing in route {
            weights[standing.node as usize] = Some(standing.weight);
        }
        for (endpoint, weight) in self.endpoints.iter_mut().zip(weights) {
            match weight {
                None => endpoint.present = false,
                Some(weight) => {
                    if !endpoint.present {
                        *endpoint = Endpoint {
                            present: true,
                            updated: now,
                            in_flight: endpoint.in_flight,
                            ..Endpoint::ABSENT
                        };
                    }
                    endpoint.weight = weight;
                }
            }
        }
        let serving = route.iter().filter(|standing| !standing.draining);
        self.serving = serving.map(|standing| standing.node).collect();
        self.choose_drawn();
    }

    pub(super) fn pick(&mut self, now: u64) -> Pick {
        let Some(one) = self.draw(None) else {
            return Pick::Refused;
        };
        let node = match self.draw(Some(one)) {
            None => one,
            Some(other) => {
                let (cost, other_cost) = (self.cost(now, one), self.cost(now, other));
                if other_cost < cost { other } else { one }
            }
        };
        let endpoint = &mut self.endpoints[node as usize];
        endpoint.in_flight += 1;
        let before = endpoint.breaker.is_available();
        let token = endpoint.breaker.send();
        if endpoint.breaker.is_available() != before {
            self.choose_drawn();
        }
        Pick::Node { node, token }
    }

    pub(super) fn end(&mut self, now: u64, ended: &Ended, shifts: &mut Vec<Shift>) {
        let endpoint = &mut self.endpoints[ended.node as usize];
        endpoint.in_flight -= 1;
        if !endpoint.present {
            return;
        }
        endpoint.observe(now, ended.latency as f64);
        let before = endpoint.breaker.is_available();
        let ok = ended.outcome == Outcome::Ok;
        endpoint
            .breaker
            .end(now, ended.node, ok, ended.token, &mut self.random, shifts);
        if endpoint.breaker.is_available() != before {
            self.choose_drawn();
        }
    }

    pub(super) fn turn(&mut self, now: u64, _shifts: &mut [Shift]) {
        let mut changed = false;
        for &node in &self.serving {
            changed |= self.endpoints[node as usize].breaker.turn(now);
        }
        if changed {
            self.choose_drawn();
        }
    }

    fn cost(&mut self, now: u64, node: u32) -> f64 {
        self.endpoints[node as usize].cost(now)
    }

    /// A node drawn in proportion to weight, another than `but`; none where there is no other.
    fn draw(&mut self, but: Option<u32>) -> Option<u32> {
        let total = self.drawn.last()?.1;
        if but.is_some() && self.drawn.len() < 2 {
            return None;
        }
        loop {
            let place = self.random.u64(..total);
            let place = self.drawn.partition_point(|&(_, sum)| sum <= place);
            let node = self.drawn[place].0;
            if Some(node) != but {
                return Some(node);
            }
        }
    }

    fn choose_drawn(&mut self) {
        let endpoints = &self.endpoints;
        let is_available = |node: &&u32| endpoints[**node as usize].breaker.is_available();
        let mut available: Vec<u32> = self.serving.iter().filter(is_available).copied().collect();
        if available.is_empty() {
            available.clone_from(&self.serving);
        }
        let mut sum = 0;
        self.drawn.clear();
        for node in available {
            sum += u64::from(endpoints[node as usize].weight.max(1));
            self.drawn.push((node, sum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_rises_at_once_and_falls_with_a_decay_of_ten_seconds() {
        let mut endpoint = Endpoint::ABSENT;
        endpoint.observe(0, 1e9);
        assert_eq!(endpoint.rtt, 1e9);
        endpoint.observe(10 * SECOND, 0.0);
        assert!((endpoint.rtt / 1e9 - 0.367_879).abs() < 1e-6);
        endpoint.in_flight = 3;
        assert!((endpoint.cost(10 * SECOND) / 1e9 - 4.0 * 0.367_879).abs() < 1e-5);
    }

    #[test]
    fn slower_of_two_nodes_is_passed_over_and_a_shut_one_too() {
        let route = [0, 1].map(|node| Standing {
            node,
            weight: 100,
            zone: String::new(),
            draining: false,
        });
        let mut balancer = PeakEwma::new(2, Rng::with_seed(5));
        balancer.learn(0, &route);
        let ended = |node, outcome, latency| Ended {
            node,
            token: 0,
            outcome,
            latency,
        };
        for (node, latency) in [(0, 50_000_000), (1, 40_000_000)] {
            balancer.endpoints[node as usize].in_flight = 1;
            balancer.end(0, &ended(node, Outcome::Ok, latency), &mut Vec::new());
        }
        assert_eq!(balancer.pick(0), Pick::Node { node: 1, token: 0 });
        assert_eq!(
            balancer.pick(0),
            Pick::Node { node: 0, token: 0 },
            "80 against 50"
        );
        let mut shifts = Vec::new();
        balancer.endpoints[0].in_flight = 7;
        for _ in 0..7 {
            balancer.end(0, &ended(0, Outcome::TimedOut, SECOND), &mut shifts);
        }
        assert_eq!(shifts, [Shift::Ejected(0)]);
        for _ in 0..20 {
            assert_eq!(balancer.pick(0), Pick::Node { node: 1, token: 0 });
        }
    }
}
