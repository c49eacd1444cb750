//! Questions for routes one behind the other, answered together from the frames that this core keeps: what peers ask most
//! is looked up once for all of them, and their answers are one reply.

use super::{DnsCore, FRAMES_PER_TURN_MAX};
use crate::catalog::EncodedRoutes;
use crate::mail::Mail;
use lars_pool::{ConnectionId, Turn};
use lars_wire::caller::GetRoute;
use lars_wire::{Kind, codec, frame};

/// How far a streak went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streak {
    /// Bytes of the questions that were answered.
    pub(super) bytes: usize,
    /// How many they were.
    pub(super) frames: usize,
}

/// A question whose answer is kept.
struct Kept<'a> {
    frame: &'a [u8],
    sequence: u32,
    question_bytes: usize,
}

impl DnsCore {
    /// Answers the questions at the front of `bytes` for as long as their answers are kept. The rest, and whatever is no
    /// such question, is left to [`Self::question`].
    pub(super) fn answer_streak(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        bytes: &[u8],
    ) -> Streak {
        let mut streak = Streak::default();
        let ready = |connection: &mut super::Connection| connection.greeted && connection.due.is_empty();
        if !self.connection_mut(id).is_some_and(ready)
            || !self.parts.catalog.is_loaded()
            || !Self::has_room(turn, id)
        {
            return streak;
        }
        let (encoded, as_of) = (&self.encoded, self.parts.catalog.version());
        let mut next = kept_answer(encoded, as_of, bytes);
        while let Some(first) = &next {
            let replied = turn.reply(id, first.frame.len(), |out| {
                let mut filled = 0;
                while let Some(kept) = &next {
                    let copied = frame::copy(kept.frame, kept.sequence, &mut out[filled..]);
                    if copied == 0 {
                        break;
                    }
                    filled += copied;
                    streak.bytes += kept.question_bytes;
                    streak.frames += 1;
                    next = (streak.frames < FRAMES_PER_TURN_MAX)
                        .then(|| kept_answer(encoded, as_of, &bytes[streak.bytes..]))
                        .flatten();
                }
                filled
            });
            if !replied {
                break;
            }
        }
        self.counts().requests.add(streak.frames as u64);
        self.counts().routes_sent.add(streak.frames as u64);
        streak
    }
}

/// The first question of `bytes`, if it is whole, good, and answered by a kept frame.
#[inline]
fn kept_answer<'a>(encoded: &'a EncodedRoutes, as_of: u64, bytes: &[u8]) -> Option<Kept<'a>> {
    let question = frame::split(bytes).ok()??;
    if question.header.kind != Kind::GetRoute {
        return None;
    }
    let GetRoute { module, .. } = codec::decode(question.body).ok()?;
    Some(Kept {
        frame: encoded.as_of(module, as_of)?,
        sequence: question.header.sequence,
        question_bytes: question.bytes(),
    })
}
