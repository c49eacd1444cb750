//! The push-empty guard: a route that suddenly lost most of its nodes is not believed until it is said again.
//!
//! Shard and book use the same rule on the same news, so what is picked from and what is kept on disk agree.

use lars_wire::Route;
use std::sync::Arc;

/// What is not believed yet about one module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    held: Option<Arc<Route>>,
}

impl Guard {
    /// Whether `next` may replace `current`: it is explained, or it lost no more than half of the nodes, or it is
    /// what was held back and is now said again. Otherwise it is held back.
    pub(crate) fn passes(&mut self, current: &Route, next: &Arc<Route>, explained: bool) -> bool {
        let believed = explained || !lost_most(current, next) || self.held.as_ref() == Some(next);
        self.held = (!believed).then(|| next.clone());
        believed
    }

    /// Whether something is held back.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }
}

/// Whether `next` is empty or lacks more than half of the nodes of `current`.
fn lost_most(current: &Route, next: &Route) -> bool {
    let mut rest = next.nodes().iter().peekable();
    let mut lost = 0;
    for node in current.nodes() {
        while rest.next_if(|other| other.addr < node.addr).is_some() {}
        if rest.peek().is_none_or(|other| other.addr != node.addr) {
            lost += 1;
        }
    }
    lost * 2 > current.nodes().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::{NodeAddr, RouteNode};

    fn route(nodes: impl IntoIterator<Item = u32>) -> Arc<Route> {
        let node = |last| RouteNode::new(NodeAddr::from_ipv4_number(0x0a00_0000 + last, 80));
        Arc::new(Route::new(nodes.into_iter().map(node).collect()))
    }

    #[test]
    fn losing_half_passes_and_losing_more_does_not() {
        let current = route(1..=10);
        for (next, passes) in [
            (route(1..=5), true),
            (route(1..=4), false),
            (route(11..=30), false),
            (route(6..=30), true),
            (route([]), false),
        ] {
            assert_eq!(
                Guard::default().passes(&current, &next, false),
                passes,
                "{next:?}"
            );
        }
        assert!(Guard::default().passes(&route([]), &route([]), false));
    }

    #[test]
    fn what_was_held_passes_when_it_is_explained_or_said_again() {
        let (current, next) = (route(1..=10), route([1]));
        let mut guard = Guard::default();
        assert!(!guard.passes(&current, &next, false) && guard.holds());
        assert!(guard.passes(&current, &next, false) && !guard.holds());
        assert!(!guard.passes(&current, &next, false));
        assert!(guard.passes(&current, &next, true) && !guard.holds());
    }

    #[test]
    fn another_loss_is_held_in_place_of_the_first_and_recovery_forgets_it() {
        let current = route(1..=10);
        let mut guard = Guard::default();
        assert!(!guard.passes(&current, &route([1]), false));
        assert!(
            !guard.passes(&current, &route([2]), false),
            "not the same content"
        );
        assert!(guard.passes(&current, &current.clone(), false) && !guard.holds());
        assert!(
            !guard.passes(&current, &route([2]), false),
            "it was forgotten in between"
        );
    }
}
