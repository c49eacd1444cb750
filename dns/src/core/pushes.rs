//! Changes on their way to subscribers.

use super::DnsCore;
use super::connection::Due;
use crate::mail::Mail;
use crate::publication::{Change, Publication};
use crate::subscriptions::Step;
use bytes::Bytes;
use lars_pool::{ConnectionId, Turn};
use lars_wire::bounds::HEADER_BYTES;
use lars_wire::codec;
use lars_wire::directory::StoreVersion;

/// With so much unread a subscriber is pushed no more changes: it is owed the routes as they are when it has read. In
/// a storm of changes it then gets the last of them next, and not every one that it is behind.
pub(super) const PUSH_UNSENT_MAX: usize = 64 * 1024;

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
        // Where the catalog has changed the module again, somebody may have got that already.
        let is_latest = change.is_latest(&self.parts.catalog.view(module));
        let (mut delta_told, mut whole_told) = (None, None);
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
            let is_behind =
                turn.unsent(connection.id) > PUSH_UNSENT_MAX || !Self::has_room(turn, connection.id);
            if is_behind || (delta.is_none() && !is_latest) {
                owed.push(connection.id);
                return Step::Owed;
            }
            sent += 1;
            deltas += u64::from(delta.is_some());
            let (bytes, told) = match delta {
                Some(delta) => (delta, &mut delta_told),
                None if old => (change.old_whole(), &mut whole_told),
                None => (change.whole(), &mut whole_told),
            };
            let bytes = if connection.is_to_hear(far.version) {
                told.get_or_insert_with(|| told_with(far, bytes))
            } else {
                bytes
            };
            turn.reply_shared(connection.id, bytes.clone());
            Step::In
        });
        self.counts().pushes.add(sent);
        self.counts().pushes_delta.add(deltas);
        self.counts().pushes_owed.add(owed.len() as u64);
        // A slow reader costs no more than the names of what changed: it gets the newest when it has read, at the end
        // of this turn at the earliest, so that all changes of a turn are one.
        for id in owed {
            if let Some(connection) = self.connection_mut(id) {
                connection.due.push_back(Due::Push { module });
                self.list(id);
            }
        }
    }
}

/// Frames behind the one that tells how far the store is: one piece, which all share who have not heard that yet.
fn told_with(far: StoreVersion, frames: &Bytes) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 16 + frames.len());
    codec::append(&far, 0, &mut bytes).expect("two numbers fit a frame");
    bytes.extend_from_slice(frames);
    Bytes::from(bytes)
}
