//! What a caller may not send, and what it is told of it.

use crate::core::answer::put;
use lars_wire::admin::{Reason, Refusal, bounded_text};
use lars_wire::{CodecError, FrameError, Kind, VERSION};

/// Why a caller's connection is closed: always its own fault, but for [`Refused::Stopping`] and
/// [`Refused::Recording`].
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
    /// An agent does not take that message.
    #[error("an agent does not take a {0:?}")]
    Unexpected(Kind),
    /// An admin message came from elsewhere.
    #[error("a {0:?} is taken over the Unix socket only")]
    Forbidden(Kind),
    /// Somebody else records.
    #[error("another recording goes on: there is one at a time")]
    Recording,
    /// The agent stops and takes no more reports, since it could not pass them on.
    #[error("the agent stops: report to the next one")]
    Stopping,
}

impl Refused {
    fn reason(&self) -> Reason {
        match self {
            Self::Frame(FrameError::Version { .. }) | Self::Version(_) => Reason::Version,
            Self::Frame(_) | Self::Codec(_) => Reason::Malformed,
            Self::NoHello(_) | Self::Unexpected(_) => Reason::Unexpected,
            Self::Forbidden(_) => Reason::Forbidden,
            Self::Recording => Reason::Full,
            Self::Stopping => Reason::Unavailable,
        }
    }

    /// What the caller is told before its connection is closed.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal {
            reason: self.reason(),
            text: bounded_text(self.to_string()),
        }
    }
}

/// The frame that a caller gets for whom there is no connection left.
pub(crate) fn no_connection_left(connections_max: u32) -> Vec<u8> {
    let refusal = Refusal {
        reason: Reason::Full,
        text: format!(
            "the agent serves {connections_max} connections already: try again later, or raise connections_max"
        ),
    };
    let mut frame = Vec::new();
    put(&mut frame, &refusal, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_version_is_told_apart_from_bad_bytes() {
        let version = Refused::from(FrameError::Version { version: 9 });
        assert_eq!(version.refusal().reason, Reason::Version);
        assert_eq!(
            Refused::from(FrameError::NoPreface).refusal().reason,
            Reason::Malformed
        );
    }
}
