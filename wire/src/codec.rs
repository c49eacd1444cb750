//! The one place that knows bincode: fixed-width little-endian integers, a hard limit, no trailing bytes.
//!
//! bincode is finished and unmaintained; the same bytes are produced by bincode 1.3 (fixed integers) and wincode 0.6,
//! so replacing it means replacing this file. The limit is never absent: without one, bincode panics on a hostile
//! length. No message has zero-sized elements, since billions of them would pass any limit.

use crate::bounds::{BODY_BYTES_MAX, FRAME_BYTES_MAX, HEADER_BYTES};
use crate::frame::{Header, Kind};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
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

    /// A short cut for the hottest messages: reads a body without serde. `None` says nothing about the body but that
    /// bincode must judge it; a body that is read must be exactly what bincode would make of it.
    #[doc(hidden)]
    fn read_plain(_: &[u8]) -> Option<Self> {
        None
    }

    /// The same for writing the body into `space`, which is large enough or must be left to bincode: how many bytes
    /// were written, which must be bincode's.
    #[doc(hidden)]
    fn write_plain(&self, _: &mut [u8]) -> Option<usize> {
        None
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
#[inline]
pub fn decode<M: Message>(body: &[u8]) -> Result<M, CodecError> {
    match M::read_plain(body) {
        Some(message) if message.check().is_ok() => Ok(message),
        _ => decode_by_bincode(body),
    }
}

/// Decodes a whole body without any short cut: what every other way is held against.
#[doc(hidden)]
pub fn decode_by_bincode<M: Message>(body: &[u8]) -> Result<M, CodecError> {
    let kind = M::KIND;
    let (message, used) =
        bincode::serde::decode_from_slice::<M, _>(body, CONFIGURATION).map_err(|error| {
            CodecError::Malformed {
                kind,
                reason: reason(error),
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

/// bincode's reason, without its quotes around what serde and the messages themselves say.
fn reason(error: DecodeError) -> String {
    match error {
        DecodeError::OtherString(reason) => reason,
        other => other.to_string(),
    }
}

/// Encodes header and body into the front of `out`; returns the frame's length. Nothing is allocated. The sender
/// keeps the bounds that [`Message::check`] judges: they are not judged again here, on the path of every answer.
#[inline]
pub fn encode<M: Message>(message: &M, sequence: u32, out: &mut [u8]) -> Result<usize, CodecError> {
    let space = out.len();
    let no_space = CodecError::NoSpace { kind: M::KIND, space };
    let Some((head, rest)) = out.split_first_chunk_mut::<HEADER_BYTES>() else {
        return Err(no_space);
    };
    let room = rest.len().min(BODY_BYTES_MAX);
    let body = &mut rest[..room];
    let plain = message.write_plain(body);
    let Some(body_bytes) = plain.or_else(|| encode_by_bincode(message, body)) else {
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

/// Encodes a body without any short cut; none where it does not fit.
fn encode_by_bincode<M: Message>(message: &M, body: &mut [u8]) -> Option<usize> {
    bincode::serde::encode_into_slice(message, body, CONFIGURATION).ok()
}

/// Encodes header and body at the end of `out`, which grows by the frame's length; on an error it is as it was.
pub fn append<M: Message>(message: &M, sequence: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let body = start + HEADER_BYTES;
    let mut tail = Tail {
        out,
        end_max: body + BODY_BYTES_MAX,
    };
    let encoded = bincode::serde::encode_into_writer(message, &mut tail, CONFIGURATION);
    let body_bytes = out.len() - body;
    match out[start..].first_chunk_mut::<HEADER_BYTES>() {
        Some(head) if encoded.is_ok() => {
            Header {
                body_bytes: body_bytes as u32,
                kind: M::KIND,
                sequence,
            }
            .put(head);
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(CodecError::NoSpace {
                kind: M::KIND,
                space: FRAME_BYTES_MAX,
            })
        }
    }
}

/// The end of a vector that may grow up to a bound: bincode's own limit is kept when decoding alone.
struct Tail<'a> {
    out: &'a mut Vec<u8>,
    end_max: usize,
}

impl Writer for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.end_max - self.out.len() < bytes.len() {
            return Err(EncodeError::UnexpectedEnd);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}
