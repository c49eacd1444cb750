//! Caller and agent: which node, and how did it go. These are the hot messages; none of them allocates to decode
//! but the batch, the name of a caller and the texts for people.

mod explanation;

use crate::bounded;
use crate::bounds::{AVOID_MAX, CALLER_NAME_BYTES_MAX, NODE_BODY_BYTES, REPORT_BYTES, REPORTS_MAX};
use crate::byte_enum::byte_enum;
use crate::codec::Message;
use crate::frame::Kind;
use crate::module::ModuleId;
use crate::node::NodeAddr;
use crate::plain::{Reader, Writer};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use explanation::{Explain, Explanation, NodeExplained, NodeView};

byte_enum! {
    /// How a question was answered.
    pub enum Status {
        /// There is a node.
        Ok = 0,
        /// Every node is overloaded: do not call now.
        Overloaded = 1,
        /// dns does not know the module.
        NotFound = 2,
        /// Subscribed; the first route is not here yet.
        Pending = 3,
        /// The agent cannot answer; a text says why.
        Failed = 4,
    }
}

byte_enum! {
    /// How a call to a node ended.
    pub enum Outcome {
        /// It succeeded.
        Ok = 0,
        /// It failed.
        Failed = 1,
        /// No answer came in time.
        TimedOut = 2,
        /// The caller gave up for its own reasons: says nothing about the node.
        Cancelled = 3,
    }
}

/// The first frame of every connection, to any service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The newest protocol version that the connecting side speaks.
    pub version: u16,
    /// Who connects, for people: a program's name. At most [`CALLER_NAME_BYTES_MAX`] bytes.
    pub name: String,
}

/// The answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version spoken from here on.
    pub version: u16,
    /// The service's random identity; another one after each start.
    pub incarnation: [u8; 16],
    /// How many `agent.sock.N` there are; 0 where the service has none.
    pub sockets: u16,
    /// Whether the board can be asked for on this connection.
    pub board: bool,
}

/// Which node? Answered by [`Node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// The module.
    pub module: ModuleId,
    /// For policies that send like to like: equal keys prefer equal nodes.
    pub key: Option<u64>,
    /// How long the answer may wait for a first route, in milliseconds; 0 answers [`Status::Pending`] at once.
    pub deadline_ms: u32,
    /// Nodes already tried.
    pub avoid: Avoid,
}

impl Pick {
    /// A pick with nothing but the module.
    pub const fn new(module: ModuleId) -> Self {
        Self {
            module,
            key: None,
            deadline_ms: 0,
            avoid: Avoid::NONE,
        }
    }

    /// The same, without what it avoids.
    pub const fn bare(&self) -> BarePick {
        BarePick {
            module: self.module,
            key: self.key,
            deadline_ms: self.deadline_ms,
        }
    }
}

/// A [`Pick`] that avoids nothing, as most do: read without the room for the nodes of those that do, whose 145 bytes
/// would be zeroed and copied for each pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarePick {
    /// As in [`Pick`].
    pub module: ModuleId,
    /// As in [`Pick`].
    pub key: Option<u64>,
    /// As in [`Pick`].
    pub deadline_ms: u32,
}

impl BarePick {
    /// Reads the body of such a pick; none where it is another one, or no pick: [`crate::codec::decode`] tells which.
    #[inline]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut body = Reader::new(body);
        let pick = Self::read_from(&mut body)?;
        (body.u64()? == 0 && body.left() == 0).then_some(pick)
    }

    /// What stands before the nodes to avoid.
    #[inline]
    fn read_from(body: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            module: body.module()?,
            key: match body.u8()? {
                0 => None,
                1 => Some(body.u64()?),
                _ => return None,
            },
            deadline_ms: body.u32()?,
        })
    }
}

/// The answer to [`Pick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// How it went; `node` is one only with [`Status::Ok`].
    pub status: Status,
    /// The node, or [`NodeAddr::NONE`].
    pub node: NodeAddr,
    /// Stands for this pick; given back in the report so that the agent finds the node without a search.
    pub token: u64,
    /// Version of the route that the pick was made from.
    pub version: u64,
}

/// How did the call go? Not answered: a [`Ping`] behind it tells when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The module.
    pub module: ModuleId,
    /// The node that was called.
    pub node: NodeAddr,
    /// The token of the pick, or 0. Only a hint: module and node alone are enough to count the call exactly.
    pub token: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The caller's own code, for people; 0 is success.
    pub retcode: i32,
    /// How long the call took, in microseconds; 0 where it is not known.
    pub latency_us: u32,
}

/// Many reports in one frame. Not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportBatch {
    /// At most [`REPORTS_MAX`].
    #[serde(deserialize_with = "bounded::seq::<REPORTS_MAX, _, _>")]
    pub reports: Vec<Report>,
}

/// All nodes of a module, please. Answered by the pages of the route (see [`crate::directory::RoutePage`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRoute {
    /// The module.
    pub module: ModuleId,
    /// As in [`Pick`].
    pub deadline_ms: u32,
}

/// Fetch this module's route, and tell when it is here. Answered by [`Registered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The module.
    pub module: ModuleId,
    /// As in [`Pick`].
    pub deadline_ms: u32,
}

/// The answer to [`Register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Ok, not found, or pending when the deadline passed first.
    pub status: Status,
    /// Version of the route.
    pub version: u64,
}

/// Answered by [`Pong`] after everything before it on this connection was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Comes back as it is.
    pub echo: u64,
}

/// The answer to [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// What the ping carried.
    pub echo: u64,
}

impl Message for Hello {
    const KIND: Kind = Kind::Hello;
    fn check(&self) -> Result<(), &'static str> {
        if self.name.len() > CALLER_NAME_BYTES_MAX {
            Err("name")
        } else {
            Ok(())
        }
    }
}
impl Message for Welcome {
    const KIND: Kind = Kind::Welcome;
}
impl Message for Pick {
    const KIND: Kind = Kind::Pick;

    #[inline]
    fn read_plain(body: &[u8]) -> Option<Self> {
        let mut body = Reader::new(body);
        let bare = BarePick::read_from(&mut body)?;
        let avoid = Avoid::read_plain(&mut body)?;
        (body.left() == 0).then_some(Self {
            module: bare.module,
            key: bare.key,
            deadline_ms: bare.deadline_ms,
            avoid,
        })
    }
}
impl Message for Node {
    const KIND: Kind = Kind::Node;

    #[inline]
    fn read_plain(body: &[u8]) -> Option<Self> {
        let mut body = Reader::new(body);
        let node = Self {
            status: Status::try_from(body.u8()?).ok()?,
            node: body.node()?,
            token: body.u64()?,
            version: body.u64()?,
        };
        (body.left() == 0).then_some(node)
    }

    #[inline]
    fn write_plain(&self, space: &mut [u8]) -> Option<usize> {
        let mut body = Writer::new(space.first_chunk_mut::<NODE_BODY_BYTES>()?);
        body.put([self.status.into()])?;
        body.node(self.node)?;
        body.put(self.token.to_le_bytes())?;
        body.put(self.version.to_le_bytes())?;
        Some(NODE_BODY_BYTES)
    }
    fn check(&self) -> Result<(), &'static str> {
        if self.status == Status::Ok && !self.node.is_callable() {
            Err("node")
        } else {
            Ok(())
        }
    }
}
impl Report {
    /// Of so many bytes: no field asks whether there are enough, so that fields can be copied together.
    #[inline]
    fn read_from(body: &[u8; REPORT_BYTES]) -> Option<Self> {
        let mut body = Reader::new(body);
        Some(Self {
            module: body.module()?,
            node: body.node()?,
            token: body.u64()?,
            outcome: Outcome::try_from(body.u8()?).ok()?,
            retcode: body.i32()?,
            latency_us: body.u32()?,
        })
    }
}

impl Message for Report {
    const KIND: Kind = Kind::Report;

    #[inline]
    fn read_plain(body: &[u8]) -> Option<Self> {
        Self::read_from(body.try_into().ok()?)
    }
}
impl Message for ReportBatch {
    const KIND: Kind = Kind::ReportBatch;

    fn read_plain(body: &[u8]) -> Option<Self> {
        let (count, body) = body.split_first_chunk()?;
        let (bodies, rest) = body.as_chunks();
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        // Judged before anything is reserved.
        if count > REPORTS_MAX || bodies.len() != count || !rest.is_empty() {
            return None;
        }
        let mut reports = Vec::with_capacity(count);
        for body in bodies {
            reports.push(Report::read_from(body)?);
        }
        Some(Self { reports })
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.reports.len() > REPORTS_MAX {
            Err("reports")
        } else {
            Ok(())
        }
    }
}
impl Message for GetRoute {
    const KIND: Kind = Kind::GetRoute;

    #[inline]
    fn read_plain(body: &[u8]) -> Option<Self> {
        let mut body = Reader::new(body);
        let (module, deadline_ms) = (body.module()?, body.u32()?);
        (body.left() == 0).then_some(Self { module, deadline_ms })
    }
}
impl Message for Register {
    const KIND: Kind = Kind::Register;
}
impl Message for Registered {
    const KIND: Kind = Kind::Registered;
}
impl Message for Ping {
    const KIND: Kind = Kind::Ping;
}
impl Message for Pong {
    const KIND: Kind = Kind::Pong;
}

/// At most [`AVOID_MAX`] nodes, in place: a pick is decoded without allocating. A sequence on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Avoid {
    nodes: [NodeAddr; AVOID_MAX],
    len: u8,
}

impl Avoid {
    /// Nothing to avoid.
    pub const NONE: Self = Self {
        nodes: [NodeAddr::NONE; AVOID_MAX],
        len: 0,
    };

    /// The nodes.
    #[inline]
    pub fn as_slice(&self) -> &[NodeAddr] {
        &self.nodes[..usize::from(self.len)]
    }

    /// Adds a node; returns whether there was room.
    pub fn push(&mut self, node: NodeAddr) -> bool {
        let room = usize::from(self.len) < AVOID_MAX;
        if room {
            self.nodes[usize::from(self.len)] = node;
            self.len += 1;
        }
        room
    }

    #[inline]
    fn read_plain(body: &mut Reader<'_>) -> Option<Self> {
        let count = body.u64()?;
        let mut avoid = Self::NONE;
        if count > AVOID_MAX as u64 {
            return None;
        }
        for _ in 0..count {
            avoid.push(body.node()?);
        }
        Some(avoid)
    }
}

impl Serialize for Avoid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.as_slice().len()))?;
        for node in self.as_slice() {
            sequence.serialize_element(node)?;
        }
        sequence.end()
    }
}

impl<'de> Deserialize<'de> for Avoid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = Avoid;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "at most {AVOID_MAX} nodes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Avoid, A::Error> {
                let mut avoid = Avoid::NONE;
                while let Some(node) = sequence.next_element()? {
                    if !avoid.push(node) {
                        return Err(A::Error::custom("too many nodes to avoid"));
                    }
                }
                Ok(avoid)
            }
        }
        deserializer.deserialize_seq(Nodes)
    }
}
