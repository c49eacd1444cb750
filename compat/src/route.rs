//! Our routes as the C++ programs see them: IPv4 alone, no weights, no draining, and what fits one frame.

use crate::frame::{BODY_BYTES_MAX, DATAGRAM_BYTES_MAX, HEADER_BYTES, MessageId};
use crate::message::{Host, Route, encode};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use prost::Message as _;

/// The message around the hosts takes at most so many bytes: two fields of ten bytes and their tags.
const ROUTE_BYTES: usize = 2 * 11;
/// A host takes at most so many: its own tag and length, address and port with theirs.
const HOST_BYTES_MAX: usize = 2 + 11 + 4;

/// Bytes that a route of so many nodes takes at most.
pub fn route_bytes_max(id: MessageId, nodes: usize) -> usize {
    (HEADER_BYTES + ROUTE_BYTES + nodes * HOST_BYTES_MAX).min(frame_bytes_max(id))
}

/// A frame to a caller is a datagram.
fn frame_bytes_max(id: MessageId) -> usize {
    match id {
        MessageId::CallerRoute => DATAGRAM_BYTES_MAX,
        _ => HEADER_BYTES + BODY_BYTES_MAX,
    }
}

/// Makes routes into frames; its memory is used again.
#[derive(Debug, Default)]
pub struct RouteWriter {
    route: Route,
}

impl RouteWriter {
    /// A writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a route into `out`. The nodes are those that serve, or where none does, those that drain: an empty route
    /// would say that the module is gone. Nodes with IPv6 addresses cannot be said. Where not all fit, the first do, in
    /// the order given. None where `out` cannot hold an empty route.
    pub fn write(
        &mut self,
        id: MessageId,
        module: ModuleId,
        nodes: &(impl Iterator<Item = (NodeAddr, NodeState)> + Clone),
        out: &mut [u8],
    ) -> Option<usize> {
        let bytes_max = out.len().min(frame_bytes_max(id));
        let out = &mut out[..bytes_max];
        self.route.modid = module.modid as i32;
        self.route.cmdid = module.cmdid as i32;
        let mut room = out.len().saturating_sub(HEADER_BYTES + ROUTE_BYTES);
        for wanted in [NodeState::Serving, NodeState::Draining] {
            self.route.hosts.clear();
            for (node, state) in nodes.clone() {
                if state != wanted {
                    continue;
                }
                let Some(host) = Host::of(node) else { continue };
                // The field's tag and length, one byte each since a host is short.
                let bytes = 2 + host.encoded_len();
                if bytes > room {
                    break;
                }
                room -= bytes;
                self.route.hosts.push(host);
            }
            if !self.route.hosts.is_empty() {
                break;
            }
        }
        encode(id, &self.route, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{BODY_BYTES_MAX, DATAGRAM_BYTES_MAX, datagram, split};
    use crate::message::decode;

    const MODULE: ModuleId = ModuleId::new(1, 2);

    fn node(number: u32) -> NodeAddr {
        NodeAddr::from_ipv4_number(number, 80)
    }

    fn written(nodes: &[(NodeAddr, NodeState)], room: usize) -> (usize, Route) {
        let mut out = vec![0; room];
        let bytes = RouteWriter::new()
            .write(MessageId::Route, MODULE, &nodes.iter().copied(), &mut out)
            .expect("room for a route");
        let frame = split(&out[..bytes]).expect("good bytes").expect("a whole frame");
        assert_eq!((frame.id(), frame.bytes()), (Some(MessageId::Route), bytes));
        (bytes, decode(MessageId::Route, frame.body).expect("a route"))
    }

    fn hosts(nodes: &[(NodeAddr, NodeState)]) -> Vec<u32> {
        let (_, route) = written(nodes, 1_000);
        assert_eq!((route.modid, route.cmdid), (1, 2));
        route.hosts.iter().map(|host| host.ip as u32).collect()
    }

    #[test]
    fn draining_nodes_are_left_out_while_others_serve() {
        let (serving, draining) = (NodeState::Serving, NodeState::Draining);
        assert_eq!(hosts(&[(node(7), draining), (node(8), serving)]), [8]);
        assert_eq!(hosts(&[(node(7), draining), (node(8), draining)]), [7, 8]);
        assert_eq!(hosts(&[]), [0; 0]);
    }

    #[test]
    fn nodes_that_cannot_be_said_are_left_out() {
        let v6 = "[2001:db8::1]:80".parse().expect("a node");
        assert_eq!(
            hosts(&[(v6, NodeState::Serving), (node(9), NodeState::Serving)]),
            [9]
        );
    }

    #[test]
    fn long_route_is_cut_to_the_first_that_fit() {
        // Half of them from 128.0.0.0 on, which take five bytes more.
        let all: Vec<_> = (0..10_000_u32)
            .map(|place| {
                (
                    node((place % 2) << 31 | (0x0a00_0000 + place)),
                    NodeState::Serving,
                )
            })
            .collect();
        for room in [HEADER_BYTES + BODY_BYTES_MAX, 50_000] {
            let (bytes, route) = written(&all, room);
            assert!(
                bytes <= room && bytes > room - 17 - ROUTE_BYTES,
                "{bytes} of {room}"
            );
            let expected: Vec<_> = all
                .iter()
                .take(route.hosts.len())
                .filter_map(|(node, _)| Host::of(*node))
                .collect();
            assert_eq!(route.hosts, expected);
            assert!(route.hosts.len() > 3_000, "{}", route.hosts.len());
        }
        let mut out = vec![0; 100_000];
        let bytes = RouteWriter::new()
            .write(MessageId::CallerRoute, MODULE, &all.iter().copied(), &mut out)
            .expect("room");
        assert!(datagram(&out[..bytes]).is_ok() && bytes <= DATAGRAM_BYTES_MAX);
    }

    #[test]
    fn bound_of_a_route_is_enough_for_the_longest_nodes() {
        let longest = (NodeAddr::from_ipv4_number(u32::MAX, u16::MAX), NodeState::Serving);
        let module = ModuleId::new(u32::MAX, u32::MAX);
        for count in [0, 1, 100] {
            let bytes_max = route_bytes_max(MessageId::Route, count);
            let nodes = std::iter::repeat_n(longest, count);
            let mut out = vec![0; bytes_max];
            assert_eq!(
                RouteWriter::new().write(MessageId::Route, module, &nodes, &mut out),
                Some(bytes_max)
            );
        }
    }

    #[test]
    fn room_that_holds_no_route_gets_none() {
        let out = &mut [0; HEADER_BYTES + 3];
        assert_eq!(
            RouteWriter::new().write(MessageId::Route, MODULE, &std::iter::empty(), out),
            None
        );
    }
}
