//! The one place that knows bincode: fixed-width little-endian integers, a hard limit, no trailing bytes.
//!
//! bincode is finished and unmaintained; the same bytes are produced by bincode 1.3 (fixed integers) and wincode 0.6,
//! so replacing it means replacing this file. The limit is never absent: without one, bincode panics on a hostile
//! length. No message has zero-sized elements, since billions of them would pass any limit.

use crate::bounds::{BODY_BYTES_MAX, HEADER_BYTES};
use crate::frame::{Header, Kind};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CONFIGURATION: Configuration<LittleEndian, Fixint, Limit<BODY_BYTES_MAX>> = bincode::config::standard()
    .with_little_endian()
    .with_fixed_int_encoding()
    .with_limit::<BODY_BYTES_MAX>();

/// A body that travels under a kind of its own.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind in the frame's header.
    const KIND: Kind;

    /// Judges what the encoding cannot: counts and lengths above the bounds of [`crate::bounds`]. Called on every
    /// decoded message; `Err` names the field.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Why a body cannot be decoded (the peer's fault) or encoded (ours: a bound was not kept).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The body is not such a message.
    #[error("the body is no {kind:?}: {reason}")]
    Malformed {
        /// What it should have been.
        kind: Kind,
        /// bincode's reason.
        reason: String,
    },
    /// Bytes are left over behind the message.
    #[error("{left} bytes are left over behind a {kind:?}")]
    Trailing {
        /// What was decoded.
        kind: Kind,
        /// How many bytes are left.
        left: usize,
    },
    /// A count or a length is above its bound.
    #[error("{field} of a {kind:?} is out of bounds")]
    OutOfBounds {
        /// What was decoded.
        kind: Kind,
        /// Which field.
        field: &'static str,
    },
    /// The message does not fit the given space or a body's bound.
    #[error("a {kind:?} does not fit {space} bytes")]
    NoSpace {
        /// What was encoded.
        kind: Kind,
        /// The space there was.
        space: usize,
    },
}

/// A byte that names no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{byte} is no {what}")]
pub struct UnknownByte {
    /// The enum's name.
    pub what: &'static str,
    /// The byte.
    pub byte: u8,
}

/// Decodes a whole body.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, CodecError> {
    let kind = M::KIND;
    let (message, used) =
        bincode::serde::decode_from_slice::<M, _>(body, CONFIGURATION).map_err(|error| {
            CodecError::Malformed {
                kind,
                reason: error.to_string(),
            }
        })?;
    if used != body.len() {
        return Err(CodecError::Trailing {
            kind,
            left: body.len() - used,
        });
    }
    message
        .check()
        .map_err(|field| CodecError::OutOfBounds { kind, field })?;
    Ok(message)
}

/// Encodes header and body into the front of `out`; returns the frame's length. Nothing is allocated.
pub fn encode<M: Message>(message: &M, sequence: u32, out: &mut [u8]) -> Result<usize, CodecError> {
    let space = out.len();
    let no_space = CodecError::NoSpace { kind: M::KIND, space };
    let Some((head, rest)) = out.split_first_chunk_mut::<HEADER_BYTES>() else {
        return Err(no_space);
    };
    let room = rest.len().min(BODY_BYTES_MAX);
    let Ok(body_bytes) = bincode::serde::encode_into_slice(message, &mut rest[..room], CONFIGURATION) else {
        return Err(no_space);
    };
    Header {
        body_bytes: body_bytes as u32,
        kind: M::KIND,
        sequence,
    }
    .put(head);
    Ok(HEADER_BYTES + body_bytes)
}

/// Encodes header and body at the end of `out`, which grows by at most one frame.
pub fn append<M: Message>(message: &M, sequence: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.resize(start + crate::bounds::FRAME_BYTES_MAX, 0);
    match encode(message, sequence, &mut out[start..]) {
        Ok(bytes) => {
            out.truncate(start + bytes);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}
