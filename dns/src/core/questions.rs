//! What a peer may ask, frame by frame.

use super::connection::Due;
use super::{DnsCore, Stop};
use crate::mail::{Asked, Asker, Mail, Request};
use crate::subscriptions::Full;
use lars_pool::{ConnectionId, Peer, Turn};
use lars_wire::admin::{EditRoutes, GetStatus, ListRoutes, Reason, StatusText, bounded_text};
use lars_wire::bounds::{FRAME_BYTES_MAX, HEADER_BYTES, MODULES_MAX};
use lars_wire::caller::{GetRoute, Hello, Ping, Pong, Welcome};
use lars_wire::directory::{Digest, KnownModule, PushAck, Subscribe, Unsubscribe};
use lars_wire::frame::Frame;
use lars_wire::held::AcceptHeld;
use lars_wire::{Kind, ModuleId, VERSION, codec};
use tokio::sync::mpsc::error::TrySendError;

/// What a peer that asks too early is told.
const NOT_LOADED: &str =
    "the store was not read yet: ask again in a moment, or see the store's state in `lars status`";

/// Answers that may wait for the first load beyond one for each subscription: a digest besides, and two done twice.
const OWED_EXTRA_MAX: usize = 4 * MODULES_MAX;

impl DnsCore {
    /// Handles one frame.
    pub(super) fn question(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        frame: Frame<'_>,
    ) -> Result<(), Stop> {
        let loaded = self.parts.catalog.is_loaded();
        let Some(connection) = self.connection_mut(id) else {
            return Err(Stop::Later);
        };
        let (greeted, peer, owed) = (connection.greeted, connection.peer, !connection.due.is_empty());
        // Answers are kept in order, and those of the frames before this one come first.
        if (loaded && owed && !self.pay(turn, id)) || !Self::has_room(turn, id) {
            return Err(Stop::Later);
        }
        self.counts().requests.add(1);
        let sequence = frame.header.sequence;
        admit(frame.header.kind, greeted, &peer)?;
        match frame.header.kind {
            Kind::Hello => self.hello(turn, id, &codec::decode(frame.body)?, sequence),
            Kind::Subscribe => {
                let Subscribe { modules } = codec::decode(frame.body)?;
                self.subscribe(id, &modules, |known| Due::Subscribed { known, sequence })?;
                self.pay_or_list(turn, id);
                Ok(())
            }
            Kind::Unsubscribe => {
                let Unsubscribe { modules } = codec::decode(frame.body)?;
                for module in modules {
                    self.parts.subscriptions.unsubscribe(id.slot, module);
                }
                self.count_subscriptions();
                Ok(())
            }
            Kind::Digest => self.digest(turn, id, &codec::decode(frame.body)?, sequence),
            Kind::PushAck => {
                let PushAck { module, version } = codec::decode(frame.body)?;
                self.counts().acks.add(1);
                let settled = self.confirmations.acknowledged(id.slot, module, version);
                self.tell_settled(settled);
                Ok(())
            }
            Kind::GetRoute => {
                let GetRoute { module, .. } = codec::decode(frame.body)?;
                if loaded {
                    self.send_route(turn, id, module, sequence);
                } else {
                    self.refuse(turn, id, sequence, Reason::Unavailable, NOT_LOADED.to_owned());
                }
                Ok(())
            }
            Kind::Ping => {
                let Ping { echo } = codec::decode(frame.body)?;
                Self::send(turn, id, &Pong { echo }, sequence, HEADER_BYTES + 8);
                Ok(())
            }
            kind if is_admin(kind) => self.admin(turn, id, &peer, frame, loaded),
            kind => Err(Stop::Refuse(Reason::Unexpected, format!("dns takes no {kind:?}"))),
        }
    }

    fn hello(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        hello: &Hello,
        sequence: u32,
    ) -> Result<(), Stop> {
        if hello.version < u16::from(VERSION) {
            let text = format!("version {} is too old, {VERSION} is spoken here", hello.version);
            return Err(Stop::Refuse(Reason::Version, text));
        }
        if let Some(connection) = self.connection_mut(id) {
            connection.greeted = true;
        }
        let welcome = Welcome {
            version: u16::from(VERSION),
            incarnation: self.parts.incarnation,
            sockets: 0,
            board: false,
        };
        Self::send(turn, id, &welcome, sequence, HEADER_BYTES + 2 + 16 + 2 + 1);
        Ok(())
    }

    fn digest(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        digest: &Digest,
        sequence: u32,
    ) -> Result<(), Stop> {
        // A module that the peer believes to be subscribed to and is not is a lost subscription: repaired too.
        self.subscribe(id, &digest.modules, |known| Due::Digested { known, sequence })?;
        if let Some(connection) = self.connection_mut(id) {
            connection.due.push_back(Due::DigestDone { sequence });
        }
        self.pay_or_list(turn, id);
        Ok(())
    }

    fn subscribe(
        &mut self,
        id: ConnectionId,
        modules: &[KnownModule],
        due: impl Fn(KnownModule) -> Due,
    ) -> Result<(), Stop> {
        self.subscribe_all(id, modules.iter().map(|known| known.module))?;
        self.owe(id, modules.iter().map(|known| due(*known)))
    }

    /// An old agent's question, which subscribes it.
    pub(super) fn subscribe_old(&mut self, id: ConnectionId, module: ModuleId) -> Result<(), Stop> {
        self.subscribe_all(id, std::iter::once(module))?;
        self.owe(id, std::iter::once(Due::Old { module }))
    }

    fn subscribe_all(
        &mut self,
        id: ConnectionId,
        mut modules: impl Iterator<Item = ModuleId>,
    ) -> Result<(), Stop> {
        let subscriptions = &mut self.parts.subscriptions;
        let done = modules.try_for_each(|module| subscriptions.subscribe(id.slot, module));
        self.count_subscriptions();
        let text = match done {
            Ok(()) => return Ok(()),
            Err(Full::Connection) => {
                "this connection has as many subscriptions as [dns] connection_subscriptions_max"
            }
            Err(Full::Core) => "there are as many subscriptions as [dns] subscriptions_max allows",
        };
        Err(Stop::Refuse(Reason::Full, text.to_owned()))
    }

    fn owe(&mut self, id: ConnectionId, dues: impl ExactSizeIterator<Item = Due>) -> Result<(), Stop> {
        let owed_max = self.parts.subscriptions.of_connection(id.slot) + OWED_EXTRA_MAX;
        let Some(connection) = self.connection_mut(id) else {
            return Err(Stop::Later);
        };
        if connection.due.len() + dues.len() > owed_max {
            // Only before the store was read: answers wait for it, and may not wait without a bound.
            let text = "too many questions wait for the store";
            return Err(Stop::Refuse(Reason::Full, text.to_owned()));
        }
        connection.due.extend(dues);
        Ok(())
    }

    fn admin(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        peer: &Peer,
        frame: Frame<'_>,
        loaded: bool,
    ) -> Result<(), Stop> {
        let sequence = frame.header.sequence;
        let unavailable = match frame.header.kind {
            Kind::GetStatus => {
                let GetStatus { .. } = codec::decode(frame.body)?;
                Self::send(turn, id, &self.status(), sequence, FRAME_BYTES_MAX);
                None
            }
            Kind::ListRoutes => {
                let list: ListRoutes = codec::decode(frame.body)?;
                if loaded {
                    Self::send(
                        turn,
                        id,
                        &self.parts.catalog.list(&list),
                        sequence,
                        FRAME_BYTES_MAX,
                    );
                }
                (!loaded).then_some(NOT_LOADED)
            }
            kind => self.ask_control(id, kind, frame.body, sequence, peer)?,
        };
        if let Some(text) = unavailable {
            self.refuse(turn, id, sequence, Reason::Unavailable, text.to_owned());
        }
        Ok(())
    }

    /// Gives the control thread what only it can answer; why not, where that is so.
    fn ask_control(
        &self,
        id: ConnectionId,
        kind: Kind,
        body: &[u8],
        sequence: u32,
        peer: &Peer,
    ) -> Result<Option<&'static str>, Stop> {
        let asked = match kind {
            Kind::EditRoutes => Asked::Edit(codec::decode::<EditRoutes>(body)?.edits),
            Kind::ListNames => Asked::Names(codec::decode(body)?),
            Kind::SetName => Asked::Name(codec::decode(body)?),
            Kind::ListHeld => Asked::Held(codec::decode(body)?),
            _ => {
                let AcceptHeld { .. } = codec::decode(body)?;
                let by = match peer {
                    Peer::Tcp(addr) => addr.to_string(),
                    Peer::Unix { pid, uid } => format!("process {pid} of user {uid}"),
                };
                Asked::Accept { by }
            }
        };
        let asker = Asker {
            core: self.parts.core,
            connection: id,
            sequence,
        };
        Ok(match self.parts.requests.try_send(Request { asker, asked }) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => Some("too many requests wait for the store: ask again"),
            Err(TrySendError::Closed(_)) => Some("dns stops"),
        })
    }

    fn status(&self) -> StatusText {
        let counts = &self.parts.counts;
        let io = counts.io.get();
        let store = counts.store();
        let named = [
            ("modules", counts.catalog.modules()),
            ("nodes", counts.catalog.nodes()),
            ("catalog_bytes", counts.catalog.bytes()),
            ("row_index_bytes", counts.control.index_bytes.get()),
            ("comparisons", counts.control.comparisons.get()),
            ("connections", counts.sum(|core| &core.connections)),
            ("old_agents", counts.sum(|core| &core.old_agents)),
            ("subscriptions", counts.sum(|core| &core.subscriptions)),
            ("changes", counts.control.changes.get()),
            ("edits", counts.control.edits.get()),
            ("bad_rows", counts.control.bad_rows.get()),
            ("modules_held", counts.control.modules_held.get()),
            ("bad_frames", counts.sum(|core| &core.bad_frames)),
        ];
        let text = |text: &str| bounded_text(text.to_owned());
        let store_text = if store.error.is_empty() {
            store.name.clone()
        } else {
            format!("away: {} (the last routes are served)", store.error)
        };
        let mut notes = vec![
            ("store".to_owned(), text(&store_text)),
            ("route_version".to_owned(), store.version.to_string()),
            ("loaded".to_owned(), counts.catalog.is_loaded().to_string()),
        ];
        if !store.held.is_empty() {
            notes.push(("held".to_owned(), text(&store.held)));
        }
        StatusText {
            service: "dns".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            io: io.map_or("", |io| io.kind.name()).to_owned(),
            io_reason: text(io.map_or("", |io| &io.reason)),
            counts: named.map(|(name, count)| (name.to_owned(), count)).to_vec(),
            notes,
            links: Vec::new(),
        }
    }

    pub(super) fn count_subscriptions(&self) {
        let subscriptions = &self.parts.subscriptions;
        self.counts().subscriptions.set(subscriptions.len() as u64);
        self.counts()
            .modules_subscribed
            .set(subscriptions.modules() as u64);
    }
}

/// What operators ask.
const ADMIN: [Kind; 7] = [
    Kind::ListRoutes,
    Kind::EditRoutes,
    Kind::GetStatus,
    Kind::ListNames,
    Kind::SetName,
    Kind::ListHeld,
    Kind::AcceptHeld,
];

fn is_admin(kind: Kind) -> bool {
    ADMIN.contains(&kind)
}

/// Whether a frame may be looked at: a connection begins with a Hello, and admin messages are taken from this machine
/// alone, until links are authenticated.
fn admit(kind: Kind, greeted: bool, peer: &Peer) -> Result<(), Stop> {
    if !greeted && kind != Kind::Hello {
        let text = format!("a connection begins with a Hello, not with a {kind:?}");
        return Err(Stop::Refuse(Reason::Unexpected, text));
    }
    if greeted && kind == Kind::Hello {
        let text = "this connection has said Hello already";
        return Err(Stop::Refuse(Reason::Unexpected, text.to_owned()));
    }
    if is_admin(kind) && !peer.is_local() {
        let text = "admin messages are taken from the same machine only: run `lars` there";
        return Err(Stop::Refuse(Reason::Forbidden, text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [&str; 3] = ["127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"];
    const REMOTE: [&str; 3] = ["10.0.0.1:5", "[2001:db8::1]:5", "[::ffff:10.0.0.1]:5"];

    fn peer(text: &str) -> Peer {
        Peer::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn admin_is_for_this_machine_alone() {
        for kind in ADMIN {
            assert!(admit(kind, true, &Peer::Unix { pid: 1, uid: 0 }).is_ok());
            assert!(LOCAL.iter().all(|text| admit(kind, true, &peer(text)).is_ok()));
            for text in REMOTE {
                let refused = admit(kind, true, &peer(text));
                assert!(
                    matches!(refused, Err(Stop::Refuse(Reason::Forbidden, _))),
                    "{kind:?} from {text}"
                );
            }
        }
        for kind in [Kind::Subscribe, Kind::GetRoute, Kind::Digest, Kind::PushAck] {
            assert!(
                REMOTE.iter().all(|text| admit(kind, true, &peer(text)).is_ok()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn hello_comes_once() {
        let again = admit(Kind::Hello, true, &peer(LOCAL[0]));
        assert!(matches!(again, Err(Stop::Refuse(Reason::Unexpected, _))));
    }

    #[test]
    fn only_hello_may_come_first() {
        for kind in Kind::ALL {
            assert_eq!(
                admit(*kind, false, &peer(LOCAL[0])).is_ok(),
                *kind == Kind::Hello,
                "{kind:?}"
            );
        }
    }
}
