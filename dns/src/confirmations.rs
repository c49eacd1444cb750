//! Which pushes of our own edits are not yet acknowledged, so that `lars route add` returns when the next pick sees
//! the change. Pure; one for each core.

use crate::publication::EditId;
use lars_wire::ModuleId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Acknowledgements waited for at once on a core (some 50 bytes each); pushes beyond them are not waited for and
/// counted as unconfirmed.
const EXPECTED_MAX: usize = 262_144;

/// How an edit ended on this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) edit: EditId,
    /// Connections that had not acknowledged everything.
    pub(crate) unconfirmed: u32,
}

#[derive(Debug)]
struct Wait {
    deadline: Instant,
    outstanding: usize,
    /// Connections whose acknowledgements there was no room to wait for.
    not_waited_for: BTreeSet<u32>,
}

/// What is waited for.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    waits: BTreeMap<EditId, Wait>,
    /// By connection's slot, module and version.
    expected: BTreeMap<(u32, ModuleId, u64), EditId>,
}

impl Confirmations {
    /// Waits for `pushes` (connection's slot, module, version) of `edit` until `deadline`. Settled at once where there
    /// are none.
    pub(crate) fn expect(
        &mut self,
        edit: EditId,
        deadline: Instant,
        pushes: &[(u32, ModuleId, u64)],
    ) -> Option<Settled> {
        let room = EXPECTED_MAX.saturating_sub(self.expected.len()).min(pushes.len());
        let (waited_for, beyond) = pushes.split_at(room);
        self.expected.extend(waited_for.iter().map(|push| (*push, edit)));
        let not_waited_for = beyond.iter().map(|push| push.0).collect();
        self.waits.insert(
            edit,
            Wait {
                deadline,
                outstanding: waited_for.len(),
                not_waited_for,
            },
        );
        self.settle_if_done(edit)
    }

    /// The connection in `slot` applied `version` of `module`, and so whatever came before it.
    pub(crate) fn acknowledged(&mut self, slot: u32, module: ModuleId, version: u64) -> Vec<Settled> {
        self.drop_range((slot, module, 0), (slot, module, version))
    }

    /// The connection in `slot` ended: nobody waits for it.
    pub(crate) fn closed(&mut self, slot: u32) -> Vec<Settled> {
        let last = ModuleId::new(u32::MAX, u32::MAX);
        self.drop_range((slot, ModuleId::default(), 0), (slot, last, u64::MAX))
    }

    /// Edits that were waited for long enough.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Settled> {
        let expired = |(edit, wait): (&EditId, &Wait)| (wait.deadline <= now).then_some(*edit);
        let edits: Vec<EditId> = self.waits.iter().filter_map(expired).collect();
        edits.into_iter().filter_map(|edit| self.give_up(edit)).collect()
    }

    /// When [`Self::expired`] has something to give.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waits.values().map(|wait| wait.deadline).min()
    }

    fn drop_range(&mut self, first: (u32, ModuleId, u64), last: (u32, ModuleId, u64)) -> Vec<Settled> {
        if self.expected.is_empty() {
            return Vec::new();
        }
        let keys: Vec<_> = self.expected.range(first..=last).map(|(key, _)| *key).collect();
        let mut settled = Vec::new();
        for key in keys {
            let Some(edit) = self.expected.remove(&key) else {
                continue;
            };
            if let Some(wait) = self.waits.get_mut(&edit) {
                wait.outstanding -= 1;
            }
            settled.extend(self.settle_if_done(edit));
        }
        settled
    }

    fn settle_if_done(&mut self, edit: EditId) -> Option<Settled> {
        let wait = self.waits.get(&edit)?;
        if wait.outstanding > 0 || !wait.not_waited_for.is_empty() {
            return None;
        }
        self.waits.remove(&edit);
        Some(Settled { edit, unconfirmed: 0 })
    }

    fn give_up(&mut self, edit: EditId) -> Option<Settled> {
        let mut connections = self.waits.remove(&edit)?.not_waited_for;
        self.expected.retain(|(slot, _, _), of_edit| {
            if *of_edit == edit {
                connections.insert(*slot);
            }
            *of_edit != edit
        });
        Some(Settled {
            edit,
            unconfirmed: connections.len() as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const EDIT: EditId = EditId(1);

    fn module(cmdid: u32) -> ModuleId {
        ModuleId::new(1, cmdid)
    }

    fn done(edit: EditId) -> Settled {
        Settled { edit, unconfirmed: 0 }
    }

    #[test]
    fn edit_that_nobody_subscribed_to_is_settled_at_once() {
        assert_eq!(
            Confirmations::default().expect(EDIT, Instant::now(), &[]),
            Some(done(EDIT))
        );
    }

    #[test]
    fn edit_is_settled_by_the_last_acknowledgement() {
        let mut confirmations = Confirmations::default();
        let pushes = [(1, module(1), 5), (1, module(2), 6), (2, module(1), 5)];
        assert_eq!(confirmations.expect(EDIT, Instant::now(), &pushes), None);
        assert_eq!(confirmations.acknowledged(1, module(1), 5), []);
        assert_eq!(
            confirmations.acknowledged(1, module(2), 5),
            [],
            "an older version says nothing"
        );
        assert_eq!(
            confirmations.acknowledged(2, module(1), 9),
            [],
            "a newer one does"
        );
        assert_eq!(confirmations.acknowledged(1, module(2), 6), [done(EDIT)]);
        assert_eq!(confirmations.next_deadline(), None);
    }

    #[test]
    fn connection_that_ends_is_waited_for_no_more() {
        let mut confirmations = Confirmations::default();
        confirmations.expect(EDIT, Instant::now(), &[(1, module(1), 5), (1, module(2), 6)]);
        assert_eq!(confirmations.closed(2), []);
        assert_eq!(confirmations.closed(1), [done(EDIT)]);
    }

    #[test]
    fn expired_edit_says_how_many_connections_did_not_confirm() {
        let (mut confirmations, now) = (Confirmations::default(), Instant::now());
        let (deadline, other) = (now + Duration::from_millis(300), EditId(2));
        let pushes = [
            (1, module(1), 5),
            (1, module(2), 6),
            (2, module(1), 5),
            (3, module(1), 5),
        ];
        confirmations.expect(EDIT, deadline, &pushes);
        confirmations.expect(other, deadline + Duration::from_secs(1), &[(1, module(1), 7)]);
        confirmations.acknowledged(3, module(1), 5);
        assert_eq!(confirmations.expired(now), []);
        assert_eq!(confirmations.next_deadline(), Some(deadline));
        assert_eq!(
            confirmations.expired(deadline),
            [Settled {
                edit: EDIT,
                unconfirmed: 2
            }]
        );
        assert_eq!(confirmations.acknowledged(1, module(1), 7), [done(other)]);
    }

    #[test]
    fn pushes_beyond_the_bound_are_counted_as_unconfirmed() {
        let (mut confirmations, now) = (Confirmations::default(), Instant::now());
        let pushes: Vec<_> = (0..EXPECTED_MAX as u32 + 3)
            .map(|slot| (slot, module(1), 5))
            .collect();
        assert_eq!(confirmations.expect(EDIT, now, &pushes), None);
        for slot in 0..EXPECTED_MAX as u32 {
            assert_eq!(confirmations.acknowledged(slot, module(1), 5), []);
        }
        assert_eq!(
            confirmations.expired(now),
            [Settled {
                edit: EDIT,
                unconfirmed: 3
            }]
        );
    }
}
