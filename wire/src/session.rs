//! The accepting side of a connection as bytes see it: preface, then frames, a bounded number at a time. Every
//! service cuts its bytes here, so that bad bytes are judged in one place.

use crate::frame::{self, Frame, FrameError};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Waiting for the preface.
    #[default]
    Preface,
    /// Cutting frames.
    Frames,
}

/// One accepted connection's place in the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    stage: Stage,
}

/// What [`Session::drain`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Bytes to forget: they are handled.
    pub consumed: usize,
    /// Whether another whole frame waits behind them, left because the bound was reached.
    pub more: bool,
}

/// Where [`Session::drain`] stopped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped<E> {
    /// Bytes before the frame that was not handled.
    pub consumed: usize,
    /// That frame's sequence, which a refusal repeats; 0 where the bytes are no frame and so ask no question.
    pub sequence: u32,
    /// What was wrong with it.
    pub error: E,
}

impl Session {
    /// A connection just accepted.
    pub const fn new() -> Self {
        Self {
            stage: Stage::Preface,
        }
    }

    /// Hands at most `frames_max` whole frames to `each`. Stops at the first error, the peer's or `each`'s: frames
    /// before it were handled, and where it is the peer's the connection must be closed.
    pub fn drain<E: From<FrameError>>(
        &mut self,
        bytes: &[u8],
        frames_max: usize,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<Drained, Stopped<E>> {
        let mut consumed = 0;
        let no_frame = |consumed| {
            move |error: FrameError| Stopped {
                consumed,
                sequence: 0,
                error: E::from(error),
            }
        };
        if self.stage == Stage::Preface {
            let Some(used) = whole_preface(bytes).map_err(no_frame(0))? else {
                return Ok(Drained {
                    consumed: 0,
                    more: false,
                });
            };
            consumed = used;
            self.stage = Stage::Frames;
        }
        for _ in 0..frames_max {
            let split = frame::split(&bytes[consumed..]).map_err(no_frame(consumed))?;
            let Some(frame) = split else {
                return Ok(Drained {
                    consumed,
                    more: false,
                });
            };
            each(frame).map_err(|error| Stopped {
                consumed,
                sequence: frame.header.sequence,
                error,
            })?;
            consumed += frame.bytes();
        }
        let more = frame::split(&bytes[consumed..]).map_err(no_frame(consumed))?;
        Ok(Drained {
            consumed,
            more: more.is_some(),
        })
    }
}

/// Bytes of the preface, once the first frame behind it is whole: until then the peer has said nothing.
fn whole_preface(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    match frame::split_preface(bytes)? {
        Some(used) => Ok(frame::split(&bytes[used..])?.map(|_| used)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Ping;
    use crate::codec;

    fn pings(count: u64) -> Vec<u8> {
        let mut bytes = crate::PREFACE.to_vec();
        for echo in 0..count {
            codec::append(&Ping { echo }, 0, &mut bytes).expect("a ping fits");
        }
        bytes
    }

    #[test]
    fn frames_beyond_the_bound_wait_for_the_next_turn() {
        let (bytes, mut session, mut seen) = (pings(5), Session::new(), 0);
        let mut each = |_: Frame<'_>| {
            seen += 1;
            Ok::<_, FrameError>(())
        };
        let first = session.drain(&bytes, 3, &mut each).expect("good bytes");
        assert!(first.more);
        let second = session
            .drain(&bytes[first.consumed..], 3, &mut each)
            .expect("good bytes");
        assert_eq!(
            (second.more, first.consumed + second.consumed, seen),
            (false, bytes.len(), 5)
        );
    }

    #[test]
    fn preface_is_left_until_the_first_frame_is_whole() {
        let (bytes, mut session) = (pings(1), Session::new());
        for cut in 0..bytes.len() {
            let drained = session.drain(&bytes[..cut], 1, |_| Ok::<_, FrameError>(()));
            assert_eq!(
                drained,
                Ok(Drained {
                    consumed: 0,
                    more: false
                }),
                "{cut}"
            );
        }
        let whole = session.drain(&bytes, 1, |_| Ok::<_, FrameError>(()));
        assert_eq!(whole.map(|drained| drained.consumed), Ok(bytes.len()));
    }

    #[test]
    fn stranger_is_told_apart_at_its_first_byte() {
        let result = Session::new().drain(b"G", 1, |_| Ok::<_, FrameError>(()));
        assert_eq!(
            result,
            Err(Stopped {
                consumed: 0,
                sequence: 0,
                error: FrameError::NoPreface
            })
        );
    }

    #[test]
    fn frame_that_is_not_taken_is_named_and_bytes_that_are_none_ask_no_question() {
        let mut bytes = crate::PREFACE.to_vec();
        for sequence in 7..10 {
            codec::append(&Ping { echo: 0 }, sequence, &mut bytes).expect("a ping fits");
        }
        let second = 8 + 20;
        let result = Session::new().drain(&bytes, 9, |frame| match frame.header.sequence {
            8 => Err(FrameError::Reserved),
            _ => Ok(()),
        });
        let stopped = |consumed, sequence, error| {
            Err(Stopped {
                consumed,
                sequence,
                error,
            })
        };
        assert_eq!(result, stopped(second, 8, FrameError::Reserved));
        bytes[second + 4] = 9;
        let result = Session::new().drain(&bytes, 9, |_| Ok(()));
        assert_eq!(result, stopped(second, 0, FrameError::Version { version: 9 }));
    }
}
