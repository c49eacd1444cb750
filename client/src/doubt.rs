//! What a client thinks of nodes by itself while their agent is gone or hangs, since then nobody else judges them: one
//! that failed five times in a row is passed over for a second, then for two, and so on. Pure.

use lars_wire::caller::Outcome;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Failures in a row after which a node is passed over. After that one more is enough each time.
const FAILURES_MAX: u32 = 5;
/// How long it is passed over first, and at most: an agent comes back within seconds, and if not somebody has to try.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);
/// Nodes with failures that are remembered, a hundred bytes each; those beyond are not doubted.
const NODES_MAX: usize = 16_384;

/// Nodes that failed.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    nodes: HashMap<(ModuleId, NodeAddr), Doubt>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// In a row, so far.
    failures: u32,
    pause: Duration,
    until: Option<Instant>,
}

impl Doubts {
    /// A call ended.
    pub(crate) fn record(&mut self, now: Instant, module: ModuleId, node: NodeAddr, outcome: Outcome) {
        match outcome {
            Outcome::Ok => {
                self.nodes.remove(&(module, node));
            }
            Outcome::Failed | Outcome::TimedOut => self.fail(now, module, node),
            Outcome::Cancelled => {}
        }
    }

    fn fail(&mut self, now: Instant, module: ModuleId, node: NodeAddr) {
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(&(module, node)) {
            return;
        }
        let doubt = self.nodes.entry((module, node)).or_default();
        doubt.failures = doubt.failures.saturating_add(1);
        // Calls that were under way when the pause began say nothing new.
        if doubt.failures >= FAILURES_MAX && doubt.until.is_none_or(|until| until <= now) {
            doubt.pause = (doubt.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
            doubt.until = Some(now + doubt.pause);
        }
    }

    /// Whether the node is to be passed over.
    pub(crate) fn doubts(&self, now: Instant, module: ModuleId, node: NodeAddr) -> bool {
        let doubt = self.nodes.get(&(module, node));
        doubt.is_some_and(|doubt| doubt.until.is_some_and(|until| until > now))
    }

    /// Somebody judges them again.
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: ModuleId = ModuleId::new(1, 1);

    fn node(number: u32) -> NodeAddr {
        NodeAddr::from_ipv4_number(number, 80)
    }

    #[test]
    fn node_is_passed_over_after_five_failures_and_for_twice_as_long_each_time() {
        let (mut doubts, mut now) = (Doubts::default(), Instant::now());
        for _ in 0..4 {
            doubts.record(now, MODULE, node(1), Outcome::TimedOut);
            assert!(!doubts.doubts(now, MODULE, node(1)));
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            // Others that were under way fail too, and change nothing.
            for _ in 0..3 {
                doubts.record(now, MODULE, node(1), Outcome::Failed);
            }
            now += Duration::from_millis(1_000 * seconds - 1);
            assert!(doubts.doubts(now, MODULE, node(1)));
            now += Duration::from_millis(1);
            assert!(!doubts.doubts(now, MODULE, node(1)), "after {seconds} s");
        }
        assert!(!doubts.doubts(now, MODULE, node(2)));
        assert!(!doubts.doubts(now, ModuleId::new(1, 2), node(1)));
    }

    #[test]
    fn success_ends_the_doubt_and_a_call_given_up_says_nothing() {
        let (mut doubts, now) = (Doubts::default(), Instant::now());
        for outcome in [Outcome::Ok, Outcome::Cancelled] {
            for _ in 0..4 {
                doubts.record(now, MODULE, node(1), Outcome::Failed);
            }
            doubts.record(now, MODULE, node(1), outcome);
            doubts.record(now, MODULE, node(1), Outcome::Failed);
            assert_eq!(doubts.doubts(now, MODULE, node(1)), outcome == Outcome::Cancelled);
        }
        doubts.clear();
        assert!(!doubts.doubts(now, MODULE, node(1)));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let (mut doubts, now) = (Doubts::default(), Instant::now());
        for number in 0..NODES_MAX as u32 + 10 {
            doubts.record(now, MODULE, node(number), Outcome::Failed);
        }
        assert_eq!(doubts.nodes.len(), NODES_MAX);
    }
}
