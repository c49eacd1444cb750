//! What the programs of the C++ Lars speak: frames and Protobuf messages, as values. Bytes in, values out; it opens no
//! socket and reads no clock, and only what faces such programs imports it (agent, dns, report; console to compare).
//!
//! Read in this order: [`frame`] (how bytes are cut, on TCP and in datagrams, and who speaks), [`message`] (the eight
//! messages), [`route`] (our routes as those programs see them). `docs/COMPAT.md` draws it all.
#![forbid(unsafe_code)]

pub mod frame;
pub mod message;
pub mod route;

pub use frame::{
    BODY_BYTES_MAX, DATAGRAM_BYTES_MAX, Frame, FrameError, HEADER_BYTES, MessageId, Opening, datagram, split,
};
pub use message::{decode, encode, module_of, node_of};
