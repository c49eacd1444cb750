//! Routes that somebody asked for: from the catalog straight into the out-buffer, as far as there is room.

use super::connection::{Connection, Due};
use super::pushes::PUSH_UNSENT_MAX;
use super::{DnsCore, HEADER_BYTES};
use crate::catalog::View;
use crate::mail::Mail;
use crate::subscriptions::Step;
use lars_pool::{ConnectionId, Turn};
use lars_wire::directory::{DigestDone, KnownModule, StoreVersion};
use lars_wire::{ModuleId, codec, frame};

/// An emptied queue of dues keeps its memory up to this many.
const DUES_KEPT: usize = 32;

impl DnsCore {
    /// Sends a module's pages.
    pub(super) fn send_route(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        module: ModuleId,
        sequence: u32,
    ) {
        let Some(frame) = self.encoded.as_of(module, self.parts.catalog.version()) else {
            let view = self.parts.catalog.view(module);
            return self.send_view(turn, id, &view, sequence);
        };
        self.counts().routes_sent.add(1);
        turn.reply(id, frame.len(), |out| frame::copy(frame, sequence, out));
    }

    fn send_view(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId, view: &View, sequence: u32) {
        self.counts().routes_sent.add(1);
        if let Some(frame) = self.encoded.of(view) {
            turn.reply(id, frame.len(), |out| frame::copy(frame, sequence, out));
            return;
        }
        let encoded = &mut self.encoded;
        self.cutter.cut(view, |page, bytes_max| {
            turn.reply(id, bytes_max, |out| {
                let bytes = codec::encode(page, sequence, out).unwrap_or(0);
                if page.nodes.len() == page.total as usize {
                    encoded.keep(view, &out[..bytes]);
                }
                bytes
            })
        });
    }

    /// The catalog was loaded: answers all that waited for it.
    pub(super) fn answer_all(&mut self, turn: &mut Turn<'_, Mail>) {
        let waiting = self
            .connections
            .iter()
            .flatten()
            .filter(|connection| !connection.due.is_empty());
        for id in waiting.map(|connection| connection.id).collect::<Vec<_>>() {
            self.pay_or_list(turn, id);
        }
    }

    /// Goes on with those whose out-queue was full.
    pub(super) fn pay_what_is_owed(&mut self, turn: &mut Turn<'_, Mail>) {
        for id in std::mem::take(&mut self.owing) {
            if let Some(connection) = self.connection_mut(id) {
                connection.listed = false;
                self.pay_or_list(turn, id);
            }
        }
    }

    /// Answers what is due as far as there is room, and sees to it that the rest follows.
    pub(super) fn pay_or_list(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId) {
        // Before the catalog is there nothing can be answered, and its coming looks at every connection.
        if !self.parts.catalog.is_loaded() || (!self.is_behind(turn, id) && self.pay(turn, id)) {
            return;
        }
        self.list(id);
    }

    /// Sees to it that what is due is paid at the end of this turn, or when the peer has read.
    pub(super) fn list(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id)
            && !std::mem::replace(&mut connection.listed, true)
        {
            self.owing.push(id);
        }
    }

    /// Whether the peer has so much to read that the pushes which it is owed next had better wait: the routes may change
    /// again meanwhile. Where it asks something they are paid at once, since answers are kept in order.
    fn is_behind(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId) -> bool {
        let due = self
            .connection_mut(id)
            .and_then(|connection| connection.due.front());
        matches!(due, Some(Due::Push { .. })) && turn.unsent(id) > PUSH_UNSENT_MAX
    }

    /// Answers what is due while there is room; true if nothing is left.
    pub(super) fn pay(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId) -> bool {
        let far = self.store_version();
        loop {
            let Some(connection) = self.connection_mut(id) else {
                return true;
            };
            if connection.due.is_empty() {
                if connection.due.capacity() > DUES_KEPT {
                    connection.due.shrink_to(DUES_KEPT);
                }
                return true;
            }
            if !Self::has_room(turn, id) {
                return false;
            }
            Self::tell_version(turn, connection, far);
            let Some(due) = connection.due.pop_front() else {
                return true;
            };
            self.answer(turn, id, due);
        }
    }

    /// How far the store is, as last seen.
    pub(super) fn store_version(&self) -> StoreVersion {
        StoreVersion {
            instance: self.parts.catalog.instance(),
            version: self.parts.counts.control.route_version.get(),
        }
    }

    /// Tells a subscriber how far the store is, where it has not heard that yet.
    pub(super) fn tell_version(turn: &mut Turn<'_, Mail>, connection: &Connection, far: StoreVersion) {
        if connection.is_to_hear(far.version) {
            Self::send(turn, connection.id, &far, 0, HEADER_BYTES + 16);
        }
    }

    /// Tells those who were told `told` how far the store is by now. Who has no room hears it with the next push.
    pub(super) fn tell_moved(&self, turn: &mut Turn<'_, Mail>, told: u64) {
        let far = self.store_version();
        for connection in self.connections.iter().flatten() {
            if connection.told_version.get() == Some(told) && Self::has_room(turn, connection.id) {
                Self::tell_version(turn, connection, far);
            }
        }
    }

    fn answer(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId, due: Due) {
        match due {
            Due::Subscribed { known, sequence } => {
                self.answer_known(turn, id, &known, sequence, true);
            }
            Due::Digested { known, sequence } => {
                let differed = self.answer_known(turn, id, &known, sequence, false);
                if let Some(connection) = self.connection_mut(id) {
                    connection.differing += u32::from(differed);
                }
            }
            Due::Push { module } => self.push_owed(turn, id, module),
            Due::Old { module } => self.answer_old(turn, id, module),
            Due::DigestDone { sequence } => {
                let connection = self.connection_mut(id);
                let differing = connection.map_or(0, |connection| std::mem::take(&mut connection.differing));
                Self::send(turn, id, &DigestDone { differing }, sequence, HEADER_BYTES + 4);
            }
        }
    }

    /// Pushes what a module is now to a peer that missed a change of it.
    fn push_owed(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId, module: ModuleId) {
        if self
            .connection_mut(id)
            .is_some_and(|connection| connection.is_old())
        {
            return self.answer_old(turn, id, module);
        }
        let unknown = KnownModule {
            module,
            instance: 0,
            version: 0,
            hash: 0,
        };
        self.answer_known(turn, id, &unknown, 0, true);
    }

    /// Sends the route unless the peer holds it (or, if told so, where there is none); true if it was sent.
    fn answer_known(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        known: &KnownModule,
        sequence: u32,
        tell_absent: bool,
    ) -> bool {
        // The peer may have lost its interest while the answer waited.
        if !self.parts.subscriptions.is_subscribed(id.slot, known.module) {
            return false;
        }
        let view = self.parts.catalog.view(known.module);
        let held = view.is_held_as(known) && (view.exists() || !tell_absent);
        let same_version = known.instance == self.parts.catalog.instance();
        if !held {
            self.send_view(turn, id, &view, sequence);
        }
        let step = step_of(view.version(), self.published, !held || same_version);
        self.parts.subscriptions.set_step(id.slot, known.module, step);
        !held
    }
}

/// The step of a peer that holds `version`, by our numbers or by another dns's, when this core has pushed `published`.
///
/// A version that was not pushed yet will be, and then the peer must get the whole: it may be ahead of the delta's
/// base. One that holds another instance's version knows no base of ours at all.
fn step_of(version: u64, published: u64, our_version: bool) -> Step {
    if version <= published && our_version {
        Step::In
    } else {
        Step::Behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_is_for_those_who_hold_what_this_core_pushed() {
        assert_eq!(step_of(5, 5, true), Step::In);
        assert_eq!(step_of(5, 9, true), Step::In);
        assert_eq!(
            step_of(6, 5, true),
            Step::Behind,
            "the catalog is ahead of the mail"
        );
        assert_eq!(
            step_of(5, 5, false),
            Step::Behind,
            "the same content from another dns"
        );
    }
}
