//! How bytes are cut into frames, and who speaks: a peer's bytes are judged here before any message is decoded.
//!
//! A frame is the message's number (i32) and its length (i32), both little-endian, and so many bytes. A stream carries
//! them one behind the other, a datagram exactly one.

/// Bytes of a frame before its body.
pub const HEADER_BYTES: usize = 8;
/// No body is longer on a stream: together with the header 64 KiB less one byte, the C++ programs' buffer.
pub const BODY_BYTES_MAX: usize = 65_527;
/// What a datagram over IPv4 can hold: 64 KiB less one byte, the IP header's 20 and the UDP header's 8.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

const _: () = assert!(DATAGRAM_BYTES_MAX < HEADER_BYTES + BODY_BYTES_MAX);

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum MessageId {
    /// Agent to dns: [`crate::message::GetRoute`].
    GetRoute = 1,
    /// Dns to agent: [`crate::message::Route`], as the answer and again on each change.
    Route = 2,
    /// Agent to report, without an answer: [`crate::message::Status`].
    Status = 3,
    /// Caller to agent: [`crate::message::GetHost`].
    GetHost = 4,
    /// Agent to caller: [`crate::message::HostAnswer`].
    HostAnswer = 5,
    /// Caller to agent, without an answer: [`crate::message::Report`].
    Report = 6,
    /// Caller to agent: [`crate::message::GetRoute`].
    CallerGetRoute = 7,
    /// Agent to caller: [`crate::message::Route`].
    CallerRoute = 8,
}

impl MessageId {
    /// All of them, in order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::GetRoute,
        Self::Route,
        Self::Status,
        Self::GetHost,
        Self::HostAnswer,
        Self::Report,
        Self::CallerGetRoute,
        Self::CallerRoute,
    ];

    /// The message with this number.
    pub fn of(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|id| *id as i32 == number)
    }
}

/// A whole frame, borrowed from the bytes that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message's number as it came: one that nobody knows is the reader's to skip.
    pub number: i32,
    /// The body, exactly as long as the header says.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Which message it is, if it is one.
    pub fn id(&self) -> Option<MessageId> {
        MessageId::of(self.number)
    }

    /// Bytes of header and body together.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Why bytes cannot be a frame: always the fault of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header announces a body that is negative or above the bound.
    #[error("a body of {bytes} bytes is announced, 0 to {BODY_BYTES_MAX} are taken")]
    Length {
        /// The announced length.
        bytes: i32,
    },
    /// A datagram is shorter or longer than the one frame that it announces.
    #[error("a datagram of {bytes} bytes is not the one frame that it announces")]
    Datagram {
        /// The datagram's length.
        bytes: usize,
    },
    /// The body is not the message that its number says.
    #[error("the body is no {id:?}")]
    Body {
        /// What it should be.
        id: MessageId,
    },
}

/// Cuts the first whole frame off a stream's bytes; `None` asks for more of them.
pub fn split(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let (number, length) = read_header(head);
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= BODY_BYTES_MAX)
        .ok_or(FrameError::Length { bytes: length })?;
    Ok(rest.get(..length).map(|body| Frame { number, body }))
}

/// The one frame of a datagram.
pub fn datagram(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    match split(bytes)? {
        Some(frame) if frame.bytes() == bytes.len() => Ok(frame),
        _ => Err(FrameError::Datagram { bytes: bytes.len() }),
    }
}

fn read_header(head: &[u8; HEADER_BYTES]) -> (i32, i32) {
    let [n0, n1, n2, n3, l0, l1, l2, l3] = *head;
    (
        i32::from_le_bytes([n0, n1, n2, n3]),
        i32::from_le_bytes([l0, l1, l2, l3]),
    )
}

/// Writes a header.
pub(crate) fn put_header(id: MessageId, body_bytes: usize, out: &mut [u8; HEADER_BYTES]) {
    out[..4].copy_from_slice(&(id as i32).to_le_bytes());
    out[4..].copy_from_slice(&(body_bytes as i32).to_le_bytes());
}

/// Who opens a connection, by its first bytes: one port serves both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Too few bytes to tell.
    Unclear,
    /// A program of the C++ Lars: the connection begins with the number of one of its messages.
    Old,
    /// Anybody else; ours begin with a preface whose first byte is none of those numbers.
    Other,
}

impl Opening {
    /// Judges the first bytes of a connection.
    pub fn of(bytes: &[u8]) -> Self {
        let Some((first, rest)) = bytes.split_first() else {
            return Self::Unclear;
        };
        let zeros = &rest[..rest.len().min(3)];
        if MessageId::of(i32::from(*first)).is_none() || zeros.iter().any(|byte| *byte != 0) {
            Self::Other
        } else if zeros.len() == 3 {
            Self::Old
        } else {
            Self::Unclear
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: i32, length: i32) -> Vec<u8> {
        [number.to_le_bytes(), length.to_le_bytes()].concat()
    }

    #[test]
    fn frame_of_length_zero_is_a_whole_one() {
        let bytes = header(1, 0);
        assert_eq!(split(&bytes), Ok(Some(Frame { number: 1, body: &[] })));
        assert_eq!(datagram(&bytes), Ok(Frame { number: 1, body: &[] }));
    }

    #[test]
    fn length_out_of_bounds_is_told_before_any_body_is_there() {
        for length in [-1, i32::MIN, 65_528, i32::MAX] {
            assert_eq!(
                split(&header(1, length)),
                Err(FrameError::Length { bytes: length })
            );
            assert_eq!(
                datagram(&header(1, length)),
                Err(FrameError::Length { bytes: length })
            );
        }
        assert_eq!(split(&header(1, 65_527)), Ok(None));
    }

    #[test]
    fn stream_is_cut_frame_by_frame_and_waits_for_the_rest() {
        let bytes = [header(3, 2), vec![8, 9], header(99, 1), vec![7]].concat();
        for cut in 0..10 {
            assert_eq!(split(&bytes[..cut]), Ok(None), "{cut}");
        }
        let first = split(&bytes).expect("good bytes").expect("a whole frame");
        assert_eq!((first.id(), first.body), (Some(MessageId::Status), &[8, 9][..]));
        let second = split(&bytes[first.bytes()..])
            .expect("good bytes")
            .expect("another");
        assert_eq!((second.id(), second.number, second.body), (None, 99, &[7][..]));
    }

    #[test]
    fn datagram_is_one_frame_exactly() {
        for (length, body) in [(2, 1), (0, 1), (1, 2)] {
            let bytes = [header(4, length), vec![0; body]].concat();
            assert_eq!(datagram(&bytes), Err(FrameError::Datagram { bytes: bytes.len() }));
        }
        for short in 0..HEADER_BYTES {
            assert_eq!(
                datagram(&header(4, 0)[..short]),
                Err(FrameError::Datagram { bytes: short })
            );
        }
    }

    #[test]
    fn our_preface_is_told_from_an_old_frame_at_the_first_byte() {
        assert_eq!(Opening::of(&lars_wire::PREFACE[..1]), Opening::Other);
        for number in 1..=8 {
            let bytes = header(number, 0);
            for cut in 0..4 {
                assert_eq!(Opening::of(&bytes[..cut]), Opening::Unclear, "{number}, {cut}");
            }
            assert_eq!(Opening::of(&bytes[..4]), Opening::Old, "{number}");
        }
        for stranger in [
            &b"GET / HTTP/1.1"[..],
            b"\0\0\0\0",
            b"\x09\0\0\0",
            b"\x01\0\x01",
            b"\x03\x01\0\0",
        ] {
            assert_eq!(Opening::of(stranger), Opening::Other, "{stranger:?}");
        }
    }
}
