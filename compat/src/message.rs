//! The messages, as Protobuf 3 lays them out, and their way into frames and back. Field numbers are what the C++
//! programs use; fields that are zero do not travel, and fields that nobody knows are skipped.

use crate::frame::{FrameError, HEADER_BYTES, MessageId, put_header};
use lars_wire::{ModuleId, NodeAddr};

/// A node. `ip` is its IPv4 address as a number, most significant octet first, taken as signed: from 128.0.0.0 on it
/// is negative and takes ten bytes.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Host {
    /// Its address.
    #[prost(int32, tag = "1")]
    pub ip: i32,
    /// Its port.
    #[prost(int32, tag = "2")]
    pub port: i32,
}

/// 1 and 7: asks for a route.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GetRoute {
    /// The module's first number.
    #[prost(int32, tag = "1")]
    pub modid: i32,
    /// The module's second number.
    #[prost(int32, tag = "2")]
    pub cmdid: i32,
}

/// 2 and 8: a route. Without hosts, the module is gone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Route {
    /// The module's first number.
    #[prost(int32, tag = "1")]
    pub modid: i32,
    /// The module's second number.
    #[prost(int32, tag = "2")]
    pub cmdid: i32,
    /// Its nodes.
    #[prost(message, repeated, tag = "3")]
    pub hosts: Vec<Host>,
}

/// Part of [`Status`]: the window of one node, whole each time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HostCallResult {
    /// The node's address.
    #[prost(int32, tag = "1")]
    pub ip: i32,
    /// The node's port.
    #[prost(int32, tag = "2")]
    pub port: i32,
    /// Successes since the window opened.
    #[prost(uint32, tag = "3")]
    pub succ: u32,
    /// Failures since the window opened.
    #[prost(uint32, tag = "4")]
    pub err: u32,
    /// Whether the node is overloaded.
    #[prost(bool, tag = "5")]
    pub overload: bool,
}

/// 3: what an agent saw of a module's nodes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// The module's first number.
    #[prost(int32, tag = "1")]
    pub modid: i32,
    /// The module's second number.
    #[prost(int32, tag = "2")]
    pub cmdid: i32,
    /// The agent's IPv4 address as a number.
    #[prost(int32, tag = "3")]
    pub caller: i32,
    /// A window for each node.
    #[prost(message, repeated, tag = "4")]
    pub results: Vec<HostCallResult>,
    /// When, in seconds of the Unix time.
    #[prost(uint32, tag = "5")]
    pub ts: u32,
}

/// 4: asks for a node to call.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GetHost {
    /// Comes back with the answer.
    #[prost(uint32, tag = "1")]
    pub seq: u32,
    /// The module's first number.
    #[prost(int32, tag = "2")]
    pub modid: i32,
    /// The module's second number.
    #[prost(int32, tag = "3")]
    pub cmdid: i32,
}

/// 5: a node to call, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HostAnswer {
    /// Of the question.
    #[prost(uint32, tag = "1")]
    pub seq: u32,
    /// The module's first number.
    #[prost(int32, tag = "2")]
    pub modid: i32,
    /// The module's second number.
    #[prost(int32, tag = "3")]
    pub cmdid: i32,
    /// A [`Retcode`].
    #[prost(int32, tag = "4")]
    pub retcode: i32,
    /// The node, where the code is [`Retcode::Ok`].
    #[prost(message, optional, tag = "5")]
    pub host: Option<Host>,
}

/// What [`HostAnswer::retcode`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Retcode {
    /// Here is a node.
    Ok = 0,
    /// All nodes are overloaded.
    Overloaded = 1,
    /// The agent cannot answer.
    System = 2,
    /// There is no such module, or it is not here yet.
    NotFound = 3,
}

/// 6: how a call went.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Report {
    /// The module's first number.
    #[prost(int32, tag = "1")]
    pub modid: i32,
    /// The module's second number.
    #[prost(int32, tag = "2")]
    pub cmdid: i32,
    /// The node that was called.
    #[prost(message, optional, tag = "3")]
    pub host: Option<Host>,
    /// 0 for success.
    #[prost(int32, tag = "4")]
    pub retcode: i32,
}

/// The module that two numbers name. They are unsigned in the database: a negative one is the number beyond 2^31.
pub fn module_of(modid: i32, cmdid: i32) -> ModuleId {
    ModuleId::new(modid as u32, cmdid as u32)
}

/// The node that address and port name; none where no call could be made to it.
pub fn node_of(ip: i32, port: i32) -> Option<NodeAddr> {
    let port = u16::try_from(port).ok()?;
    Some(NodeAddr::from_ipv4_number(ip as u32, port)).filter(NodeAddr::is_callable)
}

impl Host {
    /// A node as these programs name it; none for IPv6, which they cannot.
    pub fn of(node: NodeAddr) -> Option<Self> {
        Some(Self {
            ip: node.ipv4_number()? as i32,
            port: i32::from(node.port()),
        })
    }
}

/// Writes one frame into `out`; none where it does not fit.
pub fn encode(id: MessageId, message: &impl prost::Message, out: &mut [u8]) -> Option<usize> {
    let (head, mut body) = out.split_first_chunk_mut::<HEADER_BYTES>()?;
    let room = body.len();
    // It fails only where there is too little room.
    message.encode(&mut body).ok()?;
    let body_bytes = room - body.len();
    put_header(id, body_bytes, head);
    Some(HEADER_BYTES + body_bytes)
}

/// Reads the body of a frame that is said to be `id`.
pub fn decode<M: prost::Message + Default>(id: MessageId, body: &[u8]) -> Result<M, FrameError> {
    M::decode(body).map_err(|_| FrameError::Body { id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_named_as_the_database_names_it() {
        let node: NodeAddr = "192.168.0.1:80".parse().expect("a node");
        let host = Host::of(node).expect("IPv4");
        assert_eq!((host.ip as u32, host.port), (3_232_235_521, 80));
        assert_eq!(node_of(host.ip, host.port), Some(node));
        assert_eq!(Host::of("[2001:db8::1]:80".parse().expect("a node")), None);
    }

    #[test]
    fn what_cannot_be_called_is_no_node() {
        for (ip, port) in [(0, 80), (1, 0), (1, -1), (1, 65_536), (1, i32::MAX)] {
            assert_eq!(node_of(ip, port), None, "{ip}:{port}");
        }
        assert!(
            node_of(-1, 65_535).is_some(),
            "255.255.255.255 is a number as others"
        );
    }

    #[test]
    fn negative_module_is_the_large_number_that_the_database_keeps() {
        assert_eq!(module_of(-1, i32::MIN), ModuleId::new(u32::MAX, 1 << 31));
    }

    #[test]
    fn frame_that_does_not_fit_is_not_written() {
        let ask = GetHost {
            seq: 7,
            modid: 1,
            cmdid: 2,
        };
        let mut out = [0; 14];
        assert_eq!(encode(MessageId::GetHost, &ask, &mut out), Some(14));
        for room in 0..14 {
            assert_eq!(encode(MessageId::GetHost, &ask, &mut out[..room]), None, "{room}");
        }
    }
}
