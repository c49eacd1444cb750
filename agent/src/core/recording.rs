//! A recording that a caller asked this core for: calls that others saw become frames of it, until its time is over.

use crate::core::Core;
use crate::core::answer::put;
use crate::core::refusal::Refused;
use crate::mail::Mail;
use crate::tap::{Recorded, Tapped};
use lars_pool::{ConnectionId, Turn};
use lars_wire::bounds::{FRAME_BYTES_MAX, SEEN_MAX};
use lars_wire::recording::{Record, Seen, SeenCall};
use std::time::{Duration, Instant};

/// The longest recording.
const DURATION_MAX: Duration = Duration::from_hours(1);
/// How long what others saw may take to get here once the time is over.
const GRACE: Duration = Duration::from_millis(50);

/// A recording under way.
pub(super) struct Recording {
    connection: ConnectionId,
    sequence: u32,
    recorded: Recorded,
    began: Instant,
    ends: Instant,
    lost: u64,
}

impl Core {
    /// Starts a recording; refused while another goes on.
    pub(super) fn record(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        connection: ConnectionId,
        sequence: u32,
        record: Record,
    ) -> Result<(), Refused> {
        let recorded = self.tap.start(self.me, record.module).ok_or(Refused::Recording)?;
        let began = turn.now();
        let length = Duration::from_millis(u64::from(record.duration_ms)).min(DURATION_MAX);
        self.recording = Some(Recording {
            connection,
            sequence,
            recorded,
            began,
            ends: began + length,
            lost: 0,
        });
        Ok(())
    }

    /// Somebody who takes reports saw calls.
    pub(super) fn tapped(&mut self, turn: &mut Turn<'_, Mail>, tapped: &Tapped) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        if recording.recorded != tapped.recorded {
            return;
        }
        recording.lost += tapped.lost;
        for calls in tapped.calls.chunks(SEEN_MAX) {
            let seen = calls.iter().map(|calls| SeenCall {
                t_us: calls.at.saturating_duration_since(recording.began).as_micros() as u64,
                module: calls.module,
                node: calls.node,
                outcome: calls.outcome,
                latency_us: calls.latency_us,
                calls: calls.calls,
            });
            // A caller that does not read is not waited for, and not closed for it either.
            if turn.room(recording.connection) < 2 * FRAME_BYTES_MAX {
                recording.lost += calls.iter().map(|calls| u64::from(calls.calls)).sum::<u64>();
                continue;
            }
            let calls = seen.collect();
            let (lost, done) = (recording.lost, false);
            let mut frame = Vec::new();
            put(&mut frame, &Seen { lost, done, calls }, recording.sequence);
            turn.reply_shared(recording.connection, frame.into());
        }
    }

    /// Gives on what this core saw, and ends a recording whose time is over; when to look again.
    pub(super) fn settle_recording(&mut self, turn: &mut Turn<'_, Mail>) -> Option<Instant> {
        if let Some((core, tapped)) = self.tap_end.take() {
            if core == self.me {
                self.tapped(turn, &tapped);
            } else {
                turn.post(core, Mail::Tapped(Box::new(tapped)));
            }
        }
        let recording = self.recording.as_ref()?;
        let now = turn.now();
        if now < recording.ends {
            return Some(recording.ends);
        }
        self.tap.stop(recording.recorded);
        let done_at = recording.ends + GRACE;
        if now < done_at {
            return Some(done_at);
        }
        let last = Seen {
            lost: recording.lost,
            done: true,
            calls: Vec::new(),
        };
        let mut frame = Vec::new();
        put(&mut frame, &last, recording.sequence);
        turn.reply_shared(recording.connection, frame.into());
        self.recording = None;
        None
    }

    /// A connection ended, and with it the recording that it asked for.
    pub(super) fn end_recording_of(&mut self, connection: ConnectionId) {
        if let Some(recording) = self
            .recording
            .take_if(|recording| recording.connection == connection)
        {
            self.tap.stop(recording.recorded);
        }
    }
}
