//! What a peer may not send, and the log of it: told to the peer, counted, and logged once a second at most.

use lars_wire::admin::{Reason, Refusal, bounded_text};
use lars_wire::{CodecError, FrameError, Kind, VERSION};
use std::time::{Duration, Instant};

/// Batches of one connection that may wait for their answers: the protocol has one in flight, and a few more hurt
/// nobody.
pub(crate) const UNANSWERED_MAX: u16 = 4;

/// Why a peer's connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
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
            Self::Frame(_) | Self::Codec(_) => Reason::Malformed,
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

/// Lets one line a second through.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    until: Option<Instant>,
    kept_back: u64,
}

impl Throttle {
    /// Whether to log now; if so, how many were kept back since the last time.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.until.is_some_and(|until| now < until) {
            self.kept_back += 1;
            return None;
        }
        self.until = Some(now + Duration::from_secs(1));
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_passes_and_tells_of_the_others() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.pass(now), Some(0));
        assert_eq!(throttle.pass(now + Duration::from_millis(1)), None);
        assert_eq!(throttle.pass(now + Duration::from_millis(999)), None);
        assert_eq!(throttle.pass(now + Duration::from_secs(1)), Some(2));
    }

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
