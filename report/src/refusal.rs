//! What a peer may not send, and what it is told of it.

use lars_wire::admin::{Reason, Refusal, bounded_text};
use lars_wire::{CodecError, FrameError, Kind, VERSION};

/// Batches of one connection that may wait for their answers: the protocol has one in flight, and a few more hurt
/// nobody.
pub(crate) const UNANSWERED_MAX: u16 = 4;

/// Why a peer's connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The bytes are no frame of an agent of the C++ Lars, as which they began.
    #[error(transparent)]
    Old(#[from] lars_compat::FrameError),
    /// The body is not what the header says.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The first frame was another one.
    #[error("a connection starts with a Hello, not with a {0:?}")]
    NoHello(Kind),
    /// Only versions that are not spoken here were offered.
    #[error("protocol version {0} is too old: at least {VERSION} is spoken here")]
    Version(u16),
    /// Report does not take that message.
    #[error("report does not take a {0:?}")]
    Unexpected(Kind),
    /// An admin message came from elsewhere.
    #[error("a {0:?} is taken from loopback only")]
    Forbidden(Kind),
    /// The peer does not wait for acknowledgements.
    #[error("{UNANSWERED_MAX} batches of this connection wait for their acknowledgement: send one at a time")]
    TooMany,
    /// So much waits for the store that there is no room for more: nobody's fault but the store's.
    #[error("too many tallies wait for the store: send the batch again later")]
    NoRoom,
    /// A batch came without the one before it.
    #[error("batch {sequence} came, but {newest} is the newest that is stored: one before it is missing")]
    Gap {
        /// The batch's sequence.
        sequence: u64,
        /// The newest stored one of its incarnation.
        newest: u64,
    },
}

impl Refused {
    fn reason(&self) -> Reason {
        match self {
            Self::Frame(FrameError::Version { .. }) | Self::Version(_) => Reason::Version,
            Self::Frame(_) | Self::Old(_) | Self::Codec(_) => Reason::Malformed,
            Self::NoHello(_) | Self::Unexpected(_) | Self::Gap { .. } => Reason::Unexpected,
            Self::Forbidden(_) => Reason::Forbidden,
            Self::TooMany | Self::NoRoom => Reason::Full,
        }
    }

    /// What the peer is told before its connection is closed.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal {
            reason: self.reason(),
            text: bounded_text(self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_learns_whose_fault_it_is() {
        let reason = |refused: Refused| refused.refusal().reason;
        assert_eq!(reason(FrameError::Version { version: 9 }.into()), Reason::Version);
        assert_eq!(reason(FrameError::NoPreface.into()), Reason::Malformed);
        assert_eq!(
            reason(Refused::Gap {
                sequence: 9,
                newest: 3
            }),
            Reason::Unexpected
        );
        assert_eq!(reason(Refused::NoRoom), Reason::Full);
    }
}
