//! Round robin: one node after the other, whatever comes of it. The floor that every other rule is compared with.

use super::{Pick, Standing};
use fastrand::Rng;

/// The nodes that serve, and where each thread stands.
pub struct RoundRobin {
    serving: Vec<u32>,
    /// Started at random, so that threads do not walk in step.
    next: Vec<usize>,
}

impl RoundRobin {
    pub(super) fn new(readers: u32, mut random: Rng) -> Self {
        Self {
            serving: Vec::new(),
            next: (0..readers).map(|_| random.usize(0..1 << 20)).collect(),
        }
    }

    pub(super) fn learn(&mut self, route: &[Standing]) {
        let serving = route.iter().filter(|standing| !standing.draining);
        self.serving = serving.map(|standing| standing.node).collect();
    }

    pub(super) fn pick(&mut self, reader: u32) -> Pick {
        if self.serving.is_empty() {
            return Pick::Refused;
        }
        let next = &mut self.next[reader as usize];
        *next = (*next + 1) % self.serving.len();
        Pick::Node {
            node: self.serving[*next],
            token: 0,
        }
    }
}
