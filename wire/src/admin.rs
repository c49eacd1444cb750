//! The `lars` command and a service: what an operator asks. Taken over the Unix socket and from loopback only.

use crate::bounded;
use crate::bounds::{EDITS_MAX, STATUS_LINES_MAX, TEXT_BYTES_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};
use crate::byte_enum::byte_enum;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use crate::route::NodeState;
use serde::{Deserialize, Serialize};

byte_enum! {
    /// Why a service does not do what was asked. The connection is closed behind all but [`Reason::Unavailable`].
    pub enum Reason {
        /// The bytes are no frame, or the body no such message.
        Malformed = 1,
        /// None of the offered protocol versions is spoken here.
        Version = 2,
        /// This service does not take that message.
        Unexpected = 3,
        /// Admin messages are taken over the Unix socket and from loopback only.
        Forbidden = 4,
        /// Too many connections or subscriptions.
        Full = 5,
        /// The store cannot be reached now; ask again.
        Unavailable = 6,
    }
}

/// The answer to what cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For people: what, where, what to do.
    pub text: String,
}

/// List routes as dns has them, in order of module and address. Answered by [`RouteRows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRoutes {
    /// Only this module.
    pub module: Option<ModuleId>,
    /// Only rows behind this one: the last of the answer before.
    pub after: Option<(ModuleId, NodeAddr)>,
}

/// One node of one module, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteRow {
    /// The module.
    pub module: ModuleId,
    /// The node.
    pub node: NodeAddr,
    /// Its weight.
    pub weight: u16,
    /// What the operator wants of it.
    pub state: NodeState,
    /// Its zone; empty for none.
    pub zone: String,
}

/// The answer to [`ListRoutes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRows {
    /// At most [`EDITS_MAX`].
    #[serde(deserialize_with = "bounded::seq::<EDITS_MAX, _, _>")]
    pub rows: Vec<RouteRow>,
    /// Whether more follow: ask again behind the last row.
    pub more: bool,
}

/// One change of the routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteEdit {
    /// Add the node, or change it where it is there already.
    Put(RouteRow),
    /// Remove the node.
    Remove {
        /// The module.
        module: ModuleId,
        /// The node.
        node: NodeAddr,
    },
}

impl RouteEdit {
    /// The module that is changed.
    pub fn module(&self) -> ModuleId {
        match self {
            Self::Put(row) => row.module,
            Self::Remove { module, .. } => *module,
        }
    }
}

/// Change routes, all or none. Answered by [`Edited`] once dns has published, or by [`Refusal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditRoutes {
    /// 1 to [`EDITS_MAX`].
    #[serde(deserialize_with = "bounded::seq::<EDITS_MAX, _, _>")]
    pub edits: Vec<RouteEdit>,
}

/// The answer to [`EditRoutes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Rows added or changed.
    pub put: u32,
    /// Rows removed.
    pub removed: u32,
    /// `RouteVersion` after it.
    pub version: u64,
    /// Subscribed agents that had not yet confirmed the push when dns stopped waiting for them; normally 0.
    pub unconfirmed: u32,
}

/// How does the service do? Answered by [`StatusText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetStatus {
    /// Always 1: a message of no bytes would have no place for what comes later.
    pub version: u16,
}

/// The answer to [`GetStatus`]. Every text of it has at most [`TEXT_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusText {
    /// `agent`, `dns` or `report`.
    pub service: String,
    /// The program's version.
    pub version: String,
    /// `uring` or `epoll`.
    pub io: String,
    /// Why that one.
    pub io_reason: String,
    /// Named counts, such as modules and connections. At most [`STATUS_LINES_MAX`], as notes and links.
    #[serde(deserialize_with = "bounded::seq::<STATUS_LINES_MAX, _, _>")]
    pub counts: Vec<(String, u64)>,
    /// Named states that are no number.
    #[serde(deserialize_with = "bounded::seq::<STATUS_LINES_MAX, _, _>")]
    pub notes: Vec<(String, String)>,
    /// Links to other services.
    #[serde(deserialize_with = "bounded::seq::<STATUS_LINES_MAX, _, _>")]
    pub links: Vec<LinkStatus>,
}

byte_enum! {
    /// A link to another service.
    pub enum LinkState {
        /// Being set up.
        Connecting = 0,
        /// Up.
        Up = 1,
        /// Waiting before the next try.
        BackingOff = 2,
        /// Kept in reserve behind another address that is up.
        Standby = 3,
    }
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// `dns`, `report` or `store`.
    pub to: String,
    /// The address.
    pub addr: String,
    /// Its state.
    pub state: LinkState,
    /// The last error; empty for none.
    pub error: String,
}

/// Shortens a text for people to what a message may carry, at a character's border.
pub fn bounded_text(mut text: String) -> String {
    let mut end = TEXT_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn check_row(row: &RouteRow) -> Result<(), &'static str> {
    if row.zone.len() > ZONE_BYTES_MAX {
        return Err("zone");
    }
    if row.weight == 0 || row.weight > WEIGHT_MAX {
        return Err("weight");
    }
    if row.node.is_callable() {
        Ok(())
    } else {
        Err("node")
    }
}

impl Message for Refusal {
    const KIND: Kind = Kind::Refusal;
    fn check(&self) -> Result<(), &'static str> {
        if self.text.len() > TEXT_BYTES_MAX {
            Err("text")
        } else {
            Ok(())
        }
    }
}
impl Message for ListRoutes {
    const KIND: Kind = Kind::ListRoutes;
}
impl Message for RouteRows {
    const KIND: Kind = Kind::RouteRows;
    fn check(&self) -> Result<(), &'static str> {
        if self.rows.len() > EDITS_MAX {
            return Err("rows");
        }
        self.rows.iter().try_for_each(check_row)
    }
}
impl Message for EditRoutes {
    const KIND: Kind = Kind::EditRoutes;
    fn check(&self) -> Result<(), &'static str> {
        if self.edits.is_empty() || self.edits.len() > EDITS_MAX {
            return Err("edits");
        }
        self.edits.iter().try_for_each(|edit| match edit {
            RouteEdit::Put(row) => check_row(row),
            // Whatever stands in the store may be removed from it.
            RouteEdit::Remove { .. } => Ok(()),
        })
    }
}
impl Message for Edited {
    const KIND: Kind = Kind::Edited;
}
impl Message for GetStatus {
    const KIND: Kind = Kind::GetStatus;
}
impl Message for StatusText {
    const KIND: Kind = Kind::StatusText;
    fn check(&self) -> Result<(), &'static str> {
        let fits = |texts: &[&String]| texts.iter().all(|text| text.len() <= TEXT_BYTES_MAX);
        if !fits(&[&self.service, &self.version, &self.io, &self.io_reason]) {
            return Err("service, version or io");
        }
        if self.counts.len() > STATUS_LINES_MAX || !self.counts.iter().all(|(name, _)| fits(&[name])) {
            return Err("counts");
        }
        if self.notes.len() > STATUS_LINES_MAX || !self.notes.iter().all(|(name, note)| fits(&[name, note])) {
            return Err("notes");
        }
        let link_fits = |link: &LinkStatus| fits(&[&link.to, &link.addr, &link.error]);
        if self.links.len() > STATUS_LINES_MAX || !self.links.iter().all(link_fits) {
            return Err("links");
        }
        Ok(())
    }
}
