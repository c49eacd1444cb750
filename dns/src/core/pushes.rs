//! Changes on their way to subscribers.

use super::DnsCore;
use super::connection::Due;
use crate::mail::Mail;
use crate::publication::{Change, Publication};
use crate::subscriptions::Step;
use lars_pool::{ConnectionId, Turn};
use lars_wire::directory::KnownModule;

impl DnsCore {
    /// Pushes every change to its subscribers: as a delta where the peer holds the version before, else whole.
    pub(super) fn push(&mut self, turn: &mut Turn<'_, Mail>, publication: &Publication) {
        let mut pushes = Vec::new();
        for change in &publication.changes {
            self.push_change(turn, change, publication.edit.is_some(), &mut pushes);
        }
        self.published = self.published.max(publication.version());
        if let Some((edit, deadline)) = publication.edit {
            let settled = self.confirmations.expect(edit, deadline, &pushes);
            self.tell_settled(settled);
        }
    }

    fn push_change(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        change: &Change,
        confirm: bool,
        pushes: &mut Vec<(u32, lars_wire::ModuleId, u64)>,
    ) {
        let (module, version) = (change.module(), change.version());
        let (mut sent, mut deltas, mut owed): (u64, u64, Vec<ConnectionId>) = (0, 0, Vec::new());
        let (connections, far) = (&self.connections, self.store_version());
        self.parts.subscriptions.push(module, |slot, step| {
            let Some(Some(connection)) = connections.get(slot as usize) else {
                return step;
            };
            let old = connection.is_old();
            if confirm && !old {
                pushes.push((slot, module, version));
            }
            let delta = change.delta().filter(|_| step == Step::In && !old);
            if step == Step::Owed {
                return step;
            }
            if !Self::has_room(turn, connection.id) {
                owed.push(connection.id);
                return Step::Owed;
            }
            Self::tell_version(turn, connection, far);
            sent += 1;
            deltas += u64::from(delta.is_some());
            let bytes = match delta {
                Some(delta) => delta,
                None if old => change.old_whole(),
                None => change.whole(),
            };
            turn.reply_shared(connection.id, bytes.clone());
            Step::In
        });
        self.counts().pushes.add(sent);
        self.counts().pushes_delta.add(deltas);
        self.counts().pushes_owed.add(owed.len() as u64);
        // A slow reader costs no more than the names of what changed: it gets the newest when it has read.
        for id in owed {
            if let Some(connection) = self.connection_mut(id) {
                let known = KnownModule {
                    module,
                    instance: 0,
                    version: 0,
                    hash: 0,
                };
                let due = if connection.is_old() {
                    Due::Old { module }
                } else {
                    Due::Subscribed { known, sequence: 0 }
                };
                connection.due.push_back(due);
                self.pay_or_list(turn, id);
            }
        }
    }
}
