//! What the push guard of a dns holds back, as operators see it, and their word that it is meant. Taken over the Unix
//! socket and from loopback only, as all that operators ask.

use crate::bounded;
use crate::bounds::HELD_MAX;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use serde::{Deserialize, Serialize};

/// List the modules whose loss of nodes is held back, in order. Answered by [`HeldRows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListHeld {
    /// Only modules behind this one: the last of the answer before.
    pub after: Option<ModuleId>,
}

/// One module that is served as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRow {
    /// The module.
    pub module: ModuleId,
    /// Nodes that are served.
    pub nodes: u32,
    /// Whether the store has none of its nodes any more.
    pub vanished: bool,
}

/// The answer to [`ListHeld`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRows {
    /// Whether people must decide; else the next pass over the store does.
    pub waits: bool,
    /// At most [`HELD_MAX`].
    #[serde(deserialize_with = "bounded::seq::<HELD_MAX, _, _>")]
    pub rows: Vec<HeldRow>,
    /// Whether more follow: ask again behind the last row.
    pub more: bool,
}

/// All that is held is meant: take the store as it is. Answered by [`HeldAccepted`] once dns has published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptHeld {
    /// Always 1: a message of no bytes would have no place for what comes later.
    pub version: u16,
}

/// The answer to [`AcceptHeld`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAccepted {
    /// Modules that were held.
    pub released: u64,
    /// Of those, modules that are served otherwise now: the rest had come back.
    pub changed: u64,
}

impl Message for ListHeld {
    const KIND: Kind = Kind::ListHeld;
}
impl Message for HeldRows {
    const KIND: Kind = Kind::HeldRows;
    fn check(&self) -> Result<(), &'static str> {
        if self.rows.len() > HELD_MAX {
            Err("rows")
        } else {
            Ok(())
        }
    }
}
impl Message for AcceptHeld {
    const KIND: Kind = Kind::AcceptHeld;
}
impl Message for HeldAccepted {
    const KIND: Kind = Kind::HeldAccepted;
}
