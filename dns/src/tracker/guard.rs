//! The push guard: a route that lost nodes without anybody saying so is held back until the store shows it twice,
//! and when most modules are gone at once, until people have looked. What is held is served as it was.

use crate::diff::Difference;
use lars_wire::ModuleId;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// Fewer modules than this gone at once are no accident of the whole database.
const MASS_MODULES_MIN: u64 = 10;
/// A module that is gone is not believed before nothing else has gone for so long: rows may go one statement after the
/// other, and the first of a mass must not be published before it is known to be one ...
const SETTLED: Duration = Duration::from_secs(1);
/// ... but it waits no longer than this for others to stop going.
const SETTLED_MAX: Duration = Duration::from_secs(4);

/// Why a module was read again; the better the reason, the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The sweep came across it.
    Found,
    /// The version moved and everything was compared.
    Compared,
    /// A change row named it, or our own writer changed it.
    Told,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// The pass of the sweep in which it was first held; 0 if a comparison found it, which needs no second sight.
    since: u64,
    /// The look at which it was first held.
    since_look: u64,
    /// The last pass in which it was seen so.
    seen: u64,
    vanished: bool,
}

/// What is held back.
#[derive(Debug)]
pub(crate) struct Guard {
    held: BTreeMap<ModuleId, Held>,
    vanished: u64,
    look: u64,
    /// The last look that found a module gone which was not held before.
    vanished_look: u64,
    settled_looks: u64,
    settled_looks_max: u64,
}

impl Guard {
    /// A guard who holds nothing; the store is looked at each `interval`.
    pub(crate) fn new(interval: Duration) -> Self {
        let looks = |time: Duration| time.as_millis().div_ceil(interval.as_millis().max(1)) as u64;
        Self {
            held: BTreeMap::new(),
            vanished: 0,
            look: 0,
            vanished_look: 0,
            settled_looks: looks(SETTLED),
            settled_looks_max: looks(SETTLED_MAX),
        }
    }

    /// Another look at the store begins.
    pub(crate) fn looked(&mut self) {
        self.look += 1;
    }

    /// Modules held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The modules behind `after` that are held back, in order, and whether their nodes are all gone.
    pub(crate) fn modules(&self, after: Option<ModuleId>) -> impl Iterator<Item = (ModuleId, bool)> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.held.range((behind, Bound::Unbounded));
        held.map(|(module, held)| (*module, held.vanished))
    }

    /// Modules held back whose nodes are all gone.
    pub(crate) fn vanished(&self) -> u64 {
        self.vanished
    }

    /// Whether so many are gone that only people may decide, of `modules` served.
    pub(crate) fn waits_for_people(&self, modules: u64) -> bool {
        self.vanished >= MASS_MODULES_MIN && self.vanished * 2 > modules
    }

    /// Whether the difference may be published now. `pass` is the sweep's, `modules` how many are served.
    pub(crate) fn permits(
        &mut self,
        module: ModuleId,
        difference: Difference,
        reason: Reason,
        pass: u64,
        modules: u64,
    ) -> bool {
        let shrinks = matches!(difference, Difference::Shrunk | Difference::Vanished);
        let vanished = difference == Difference::Vanished;
        let unsuspicious = !shrinks || reason == Reason::Told || (reason == Reason::Compared && !vanished);
        let before = self.forget(module);
        if unsuspicious {
            return true;
        }
        let since = match reason {
            Reason::Compared => 0,
            _ => before.map_or(pass, |held| held.since),
        };
        let held = Held {
            since,
            since_look: before.map_or(self.look, |held| held.since_look),
            seen: pass,
            vanished,
        };
        self.held.insert(module, held);
        self.vanished += u64::from(vanished);
        if vanished && before.is_none_or(|before| !before.vanished) {
            self.vanished_look = self.look;
        }
        // A comparison's are released together by `compared`, when all that vanished are known.
        let confirmed = since < pass && reason != Reason::Compared;
        let believed = !vanished || (self.is_settled(&held) && !self.waits_for_people(modules));
        if confirmed && believed {
            self.forget(module);
        }
        confirmed && believed
    }

    /// Whether all that went together with this one is known. A comparison has seen the whole table.
    fn is_settled(&self, held: &Held) -> bool {
        held.since == 0
            || self.look >= self.vanished_look + self.settled_looks
            || self.look >= held.since_look + self.settled_looks_max
    }

    /// A comparison is done: what it found vanished, to be read again and published, unless people must look first.
    pub(crate) fn compared(&self, modules: u64) -> Vec<ModuleId> {
        if self.waits_for_people(modules) {
            return Vec::new();
        }
        self.held
            .iter()
            .filter(|(_, held)| held.since == 0)
            .map(|(module, _)| *module)
            .collect()
    }

    /// The sweep ends `pass`: these are held and were not seen again in it, because they have come back, or because
    /// the rows that they show stand in other modules now. To be read again, which settles it.
    pub(crate) fn unseen(&self, pass: u64) -> Vec<ModuleId> {
        self.held
            .iter()
            .filter(|(_, held)| held.seen < pass)
            .map(|(module, _)| *module)
            .collect()
    }

    fn forget(&mut self, module: ModuleId) -> Option<Held> {
        let held = self.held.remove(&module)?;
        self.vanished -= u64::from(held.vanished);
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Difference::{Nodes, Shrunk, Vanished};
    use Reason::{Compared, Found, Told};

    const MODULE: ModuleId = ModuleId::new(1, 1);

    /// A guard with ten looks in a second.
    fn guard() -> Guard {
        Guard::new(Duration::from_millis(100))
    }

    /// Shows the guard at one look, in a pass of its own, that the first `count` of `modules` are gone; how many it
    /// lets pass.
    fn gone(guard: &mut Guard, pass: u64, count: u32, modules: u64) -> usize {
        guard.looked();
        (0..count)
            .filter(|&cmdid| guard.permits(ModuleId::new(1, cmdid), Vanished, Found, pass, modules))
            .count()
    }

    #[test]
    fn shrink_that_somebody_announced_passes_at_once() {
        let mut guard = guard();
        assert!(guard.permits(MODULE, Vanished, Told, 1, 1));
        assert!(guard.permits(MODULE, Shrunk, Compared, 1, 1));
        assert!(guard.permits(MODULE, Nodes, Found, 1, 1));
        assert_eq!(guard.held(), 0);
    }

    #[test]
    fn unannounced_shrink_is_held_until_the_next_pass_sees_it_again() {
        let mut guard = guard();
        assert!(!guard.permits(MODULE, Shrunk, Found, 3, 100));
        assert!(
            !guard.permits(MODULE, Shrunk, Found, 3, 100),
            "the same pass is no second sight"
        );
        assert!(guard.permits(MODULE, Shrunk, Found, 4, 100));
        assert_eq!(guard.held(), 0);
    }

    #[test]
    fn module_that_came_back_is_not_held_and_must_be_seen_twice_again() {
        let mut guard = guard();
        assert!(!guard.permits(MODULE, Shrunk, Found, 3, 100));
        assert_eq!((guard.unseen(3), guard.unseen(4)), (vec![], vec![MODULE]));
        assert!(
            guard.permits(MODULE, Difference::None, Found, 4, 100),
            "it is read again and nothing is missing"
        );
        assert_eq!(guard.held(), 0);
        assert!(!guard.permits(MODULE, Shrunk, Found, 5, 100));
    }

    #[test]
    fn most_modules_gone_at_once_wait_for_people_and_one_announced_passes() {
        let mut guard = guard();
        for pass in [1, 2, 3] {
            for cmdid in 0..11 {
                assert!(!guard.permits(ModuleId::new(1, cmdid), Vanished, Found, pass, 20));
            }
        }
        assert_eq!(guard.vanished(), 11);
        assert!(guard.waits_for_people(20) && !guard.waits_for_people(22));
        assert!(guard.permits(ModuleId::new(1, 0), Vanished, Told, 3, 20));
        assert_eq!(guard.vanished(), 10);
    }

    #[test]
    fn most_modules_gone_are_never_released_by_passes() {
        let mut guard = guard();
        for pass in 1..100 {
            assert_eq!(gone(&mut guard, pass, 11, 11), 0, "pass {pass}");
        }
    }

    #[test]
    fn nine_modules_of_nine_are_few_enough_to_be_believed_when_no_other_has_gone_for_a_second() {
        let mut guard = guard();
        let released: Vec<usize> = (1..=11).map(|pass| gone(&mut guard, pass, 9, 9)).collect();
        assert_eq!(released, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    }

    #[test]
    fn modules_that_go_one_after_the_other_are_held_until_their_mass_is_seen() {
        let mut guard = guard();
        for pass in 1..=24 {
            assert_eq!(gone(&mut guard, pass, pass as u32, 25), 0, "pass {pass}");
        }
        assert_eq!(guard.vanished(), 24);
        assert!(guard.waits_for_people(25));
    }

    #[test]
    fn modules_that_never_stop_going_are_held_for_four_seconds_each() {
        let mut guard = guard();
        let first = (1..100).find(|&pass| gone(&mut guard, pass, pass as u32, 1_000) > 0);
        assert_eq!(first, Some(41));
    }

    #[test]
    fn comparison_releases_what_vanished_when_all_of_it_is_known() {
        let mut guard = guard();
        for cmdid in 0..5 {
            assert!(!guard.permits(ModuleId::new(1, cmdid), Vanished, Compared, 2, 100));
        }
        let released = guard.compared(100);
        assert_eq!(released.len(), 5);
        assert!(
            released
                .iter()
                .all(|module| guard.permits(*module, Vanished, Found, 2, 100))
        );
        for cmdid in 0..60 {
            guard.permits(ModuleId::new(1, cmdid), Vanished, Compared, 2, 100);
        }
        assert_eq!(guard.compared(100), []);
    }
}
