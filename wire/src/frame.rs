//! How bytes are cut into frames. Knows kinds, not messages: a peer's bytes are judged here before any is decoded.

use crate::bounds::{BODY_BYTES_MAX, HEADER_BYTES};
use crate::byte_enum::byte_enum;

/// The first 8 bytes of a connection, sent by the side that connects. The C++ Lars starts a frame with a message id
/// of 1 to 8, so one port can tell both kinds of peer apart by their first four bytes.
pub const PREFACE: [u8; 8] = *b"LARS\r\n\x01\n";

/// The protocol version that stands in every header.
pub const VERSION: u8 = 1;

byte_enum! {
    /// What a frame carries. Numbers are grouped by conversation and never reused; 80 to 95 are kept for events,
    /// 99 to 111 for handing over the board, 112 to 119 for drain, 120 to 127 for leases.
    pub enum Kind {
        /// [`crate::caller::Hello`]
        Hello = 1,
        /// [`crate::caller::Welcome`]
        Welcome = 2,
        /// [`crate::caller::Pick`]
        Pick = 3,
        /// [`crate::caller::Node`]
        Node = 4,
        /// [`crate::caller::Report`]
        Report = 5,
        /// [`crate::caller::ReportBatch`]
        ReportBatch = 6,
        /// [`crate::caller::GetRoute`]
        GetRoute = 7,
        /// [`crate::directory::RoutePage`], as the answer to [`Kind::GetRoute`] and as a push from dns
        RoutePage = 8,
        /// [`crate::caller::Register`]
        Register = 9,
        /// [`crate::caller::Registered`]
        Registered = 10,
        /// [`crate::caller::Explain`]
        Explain = 11,
        /// [`crate::caller::Explanation`]
        Explanation = 12,
        /// [`crate::caller::Ping`]
        Ping = 13,
        /// [`crate::caller::Pong`]
        Pong = 14,
        /// [`crate::admin::Refusal`]
        Refusal = 15,
        /// [`crate::event::ListChanges`]
        ListChanges = 16,
        /// [`crate::event::ChangeRows`]
        ChangeRows = 17,
        /// [`crate::recording::Record`]
        Record = 18,
        /// [`crate::recording::Seen`]
        Seen = 19,
        /// [`crate::directory::Subscribe`]
        Subscribe = 32,
        /// [`crate::directory::Unsubscribe`]
        Unsubscribe = 33,
        /// [`crate::directory::RouteDelta`]
        RouteDelta = 34,
        /// [`crate::directory::PushAck`]
        PushAck = 35,
        /// [`crate::directory::Digest`]
        Digest = 36,
        /// [`crate::directory::DigestDone`]
        DigestDone = 37,
        /// [`crate::directory::StoreVersion`]
        StoreVersion = 38,
        /// [`crate::record::TallyBatch`]
        TallyBatch = 48,
        /// [`crate::record::TallyAck`]
        TallyAck = 49,
        /// [`crate::event::ChangeBatch`]
        ChangeBatch = 50,
        /// [`crate::event::ChangeAck`]
        ChangeAck = 51,
        /// [`crate::admin::ListRoutes`]
        ListRoutes = 64,
        /// [`crate::admin::RouteRows`]
        RouteRows = 65,
        /// [`crate::admin::EditRoutes`]
        EditRoutes = 66,
        /// [`crate::admin::Edited`]
        Edited = 67,
        /// [`crate::admin::GetStatus`]
        GetStatus = 68,
        /// [`crate::admin::StatusText`]
        StatusText = 69,
        /// [`crate::names::ListNames`]
        ListNames = 70,
        /// [`crate::names::NameRows`]
        NameRows = 71,
        /// [`crate::names::SetName`]
        SetName = 72,
        /// [`crate::names::NameSet`]
        NameSet = 73,
        /// [`crate::held::ListHeld`]
        ListHeld = 74,
        /// [`crate::held::HeldRows`]
        HeldRows = 75,
        /// [`crate::held::AcceptHeld`]
        AcceptHeld = 76,
        /// [`crate::held::HeldAccepted`]
        HeldAccepted = 77,
        /// [`crate::ring::RingOffer`]
        RingOffer = 96,
        /// [`crate::ring::RingTaken`]
        RingTaken = 97,
        /// [`crate::ring::RingHalfFull`]
        RingHalfFull = 98,
    }
}

/// Where the sequence stands in a frame.
const SEQUENCE: std::ops::Range<usize> = 8..HEADER_BYTES;

/// A frame's header, 12 bytes, little-endian: body length u32, version u8, kind u8, zero u16, sequence u32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body that follows.
    pub body_bytes: u32,
    /// What the body is.
    pub kind: Kind,
    /// Chosen by the asking side and repeated in every frame of the answer; 0 in what nobody asked for.
    pub sequence: u32,
}

/// Why bytes cannot be a frame: always the fault of the peer, whose connection is then closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The connection did not start with [`PREFACE`].
    #[error("the connection does not start with the Lars preface")]
    NoPreface,
    /// The header announces a body above the bound.
    #[error("a body of {bytes} bytes is announced, at most {BODY_BYTES_MAX} are taken")]
    TooLong {
        /// The announced length.
        bytes: u32,
    },
    /// The header speaks another protocol version.
    #[error("protocol version {version} is not spoken here, only {VERSION}")]
    Version {
        /// The peer's version.
        version: u8,
    },
    /// The kind is none of [`Kind`].
    #[error("kind {kind} is unknown")]
    UnknownKind {
        /// The kind's byte.
        kind: u8,
    },
    /// The two bytes that must be zero are not.
    #[error("the header's reserved bytes are not zero")]
    Reserved,
}

impl Header {
    /// Writes the header into the first 12 bytes of `out`.
    pub fn put(&self, out: &mut [u8; HEADER_BYTES]) {
        out[0..4].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[4] = VERSION;
        out[5] = self.kind.into();
        out[6..8].fill(0);
        out[SEQUENCE].copy_from_slice(&self.sequence.to_le_bytes());
    }

    /// Reads a header; every field is judged.
    #[inline]
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, version, kind, r0, r1, s0, s1, s2, s3] = *bytes;
        // First the version: another one may mean another length.
        if version != VERSION {
            return Err(FrameError::Version { version });
        }
        let body_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        if body_bytes as usize > BODY_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: body_bytes });
        }
        if (r0, r1) != (0, 0) {
            return Err(FrameError::Reserved);
        }
        let kind = Kind::try_from(kind).map_err(|_| FrameError::UnknownKind { kind })?;
        Ok(Self {
            body_bytes,
            kind,
            sequence: u32::from_le_bytes([s0, s1, s2, s3]),
        })
    }
}

/// A whole frame, borrowed from the bytes that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header.
    pub header: Header,
    /// The body, exactly as long as the header says.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of header and body together.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Copies a frame that was encoded before to the front of `out`, as the answer to another question; returns its
/// length, or 0 where it does not fit.
#[inline]
pub fn copy(frame: &[u8], sequence: u32, out: &mut [u8]) -> usize {
    let Some(place) = out.get_mut(..frame.len()) else {
        return 0;
    };
    place.copy_from_slice(frame);
    if let Some(bytes) = place.get_mut(SEQUENCE) {
        bytes.copy_from_slice(&sequence.to_le_bytes());
    }
    frame.len()
}

/// Cuts the first whole frame off `bytes`; `None` asks for more bytes.
#[inline]
pub fn split(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let header = Header::read(head)?;
    Ok(rest
        .get(..header.body_bytes as usize)
        .map(|body| Frame { header, body }))
}

/// Checks and cuts the preface off `bytes`: `Some(8)` when it is whole, `None` while more bytes are needed. Fails at
/// the first byte that differs, so that a stranger is not waited for.
pub fn split_preface(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let seen = bytes.len().min(PREFACE.len());
    if bytes[..seen] != PREFACE[..seen] {
        return Err(FrameError::NoPreface);
    }
    Ok((seen == PREFACE.len()).then_some(seen))
}
