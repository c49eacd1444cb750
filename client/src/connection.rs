//! One connection to a service: asks one question at a time and finds its answer among the frames that come.

use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::stream::{Stream, is_timeout};
use lars_wire::admin::{Reason, Refusal};
use lars_wire::bounds::FRAME_BYTES_MAX;
use lars_wire::caller::{Hello, Welcome};
use lars_wire::{Kind, Message, PREFACE, VERSION, codec, frame};
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes of the receive buffer at first; it grows up to one largest frame when one comes.
const BUFFER_BYTES: usize = 4 * 1024;

/// Until when, and after how long that is: for the error's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// Until when.
    pub(crate) at: Instant,
    /// How long from the operation's start.
    pub(crate) after: Duration,
}

impl Deadline {
    /// `after` from now; a time beyond what the clock can tell is a year.
    pub(crate) fn after(after: Duration) -> Self {
        const YEAR: Duration = Duration::from_hours(365 * 24);
        let after = after.min(YEAR);
        Self {
            at: Instant::now() + after,
            after,
        }
    }
}

/// An open connection.
pub(crate) struct Connection {
    endpoint: Endpoint,
    stream: Stream,
    received: Vec<u8>,
    start: usize,
    end: usize,
    out: Vec<u8>,
    sequence: u32,
    usable: bool,
    /// Reports written that no pong has confirmed yet.
    unconfirmed: u64,
    /// Whether the agent lends its board.
    board: bool,
}

impl Connection {
    /// Connects and exchanges hello and welcome.
    pub(crate) fn open(endpoint: &Endpoint, name: &str, deadline: Deadline) -> Result<Self, ClientError> {
        let stream = Stream::connect(endpoint, deadline.at).map_err(|error| {
            if is_timeout(&error) {
                timeout(endpoint, "a connect", deadline)
            } else {
                ClientError::NotRunning {
                    endpoint: endpoint.clone(),
                    reason: error.to_string(),
                }
            }
        })?;
        let mut connection = Self {
            endpoint: endpoint.clone(),
            stream,
            received: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            out: PREFACE.to_vec(),
            sequence: 0,
            usable: true,
            unconfirmed: 0,
            board: false,
        };
        let hello = Hello {
            version: u16::from(VERSION),
            name: name.to_owned(),
        };
        let welcome: Welcome = connection.ask(&hello, "hello", deadline)?;
        if welcome.version != u16::from(VERSION) {
            return Err(connection.protocol(format!(
                "it speaks version {}, this program {VERSION}",
                welcome.version
            )));
        }
        connection.board = welcome.board;
        Ok(connection)
    }

    /// Whether the agent lends its board.
    pub(crate) fn lends_board(&self) -> bool {
        self.board
    }

    /// Whether the connection can be asked again. False after everything that leaves its bytes in doubt.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Reports written that no pong has confirmed yet.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.unconfirmed
    }

    /// Counts `reports` as written but not confirmed.
    pub(crate) fn wrote_reports(&mut self, reports: u64) {
        self.unconfirmed += reports;
    }

    /// A pong came: the agent has taken every report before it.
    pub(crate) fn confirm_reports(&mut self) {
        self.unconfirmed = 0;
    }

    /// Asks and waits for the one answer.
    pub(crate) fn ask<Q: Message, A: Message>(
        &mut self,
        question: &Q,
        asked: &'static str,
        deadline: Deadline,
    ) -> Result<A, ClientError> {
        let sequence = self.send(question, asked, deadline)?;
        self.answer(sequence, asked, deadline)
    }

    /// Writes one frame and returns its sequence.
    pub(crate) fn send<Q: Message>(
        &mut self,
        question: &Q,
        asked: &'static str,
        deadline: Deadline,
    ) -> Result<u32, ClientError> {
        if let Err(field) = question.check() {
            return Err(self.invalid(format!("{field} is out of bounds")));
        }
        // 0 stands for what nobody asked for.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let sequence = self.sequence;
        if let Err(error) = codec::append(question, sequence, &mut self.out) {
            return Err(self.invalid(error.to_string()));
        }
        let written = self.stream.write(&self.out, deadline.at);
        self.out.clear();
        match written {
            Ok(()) => Ok(sequence),
            Err(error) => {
                // Part of a frame may be written: nothing can follow it.
                self.usable = false;
                if is_timeout(&error) {
                    return Err(timeout(&self.endpoint, asked, deadline));
                }
                // A service that refuses says why before it closes: its reason is better than the system's.
                match self.answer::<Welcome>(sequence, asked, deadline) {
                    Err(refused @ ClientError::Refused { .. }) => Err(refused),
                    _ => Err(self.lost(&error)),
                }
            }
        }
    }

    /// Waits for the next frame of the answer to `sequence`. Answers to older questions, whose asker gave up, and
    /// what nobody asked for are skipped.
    pub(crate) fn answer<A: Message>(
        &mut self,
        sequence: u32,
        asked: &'static str,
        deadline: Deadline,
    ) -> Result<A, ClientError> {
        loop {
            let (header, body) = self.next_frame(asked, deadline)?;
            if header.kind == Kind::Refusal {
                if let Some(refused) = self.refusal(header.sequence, sequence, body)? {
                    return Err(refused);
                }
                continue;
            }
            if header.sequence != sequence {
                // Newer than the newest question: half the circle of sequences is the past, half the future.
                if header.sequence != 0 && sequence.wrapping_sub(header.sequence) > u32::MAX / 2 {
                    return Err(self.protocol(format!(
                        "it answers question {} when {sequence} was the last",
                        header.sequence
                    )));
                }
                continue;
            }
            if header.kind != A::KIND {
                return Err(self.protocol(format!("{:?} came instead of {:?}", header.kind, A::KIND)));
            }
            return match codec::decode::<A>(&self.received[body]) {
                Ok(answer) => Ok(answer),
                Err(error) => Err(self.protocol(error.to_string())),
            };
        }
    }

    /// Judges a refusal: `None` when it answers an older question and the connection goes on.
    fn refusal(
        &mut self,
        answers: u32,
        sequence: u32,
        body: Range<usize>,
    ) -> Result<Option<ClientError>, ClientError> {
        let Refusal { reason, text } = match codec::decode(&self.received[body]) {
            Ok(refusal) => refusal,
            Err(error) => return Err(self.protocol(error.to_string())),
        };
        if reason != Reason::Unavailable {
            self.usable = false;
        } else if answers != sequence {
            return Ok(None);
        }
        let endpoint = self.endpoint.clone();
        Ok(Some(ClientError::Refused {
            endpoint,
            reason,
            text,
        }))
    }

    /// Cuts the next whole frame off what was received, reading more as long as none is whole.
    fn next_frame(
        &mut self,
        asked: &'static str,
        deadline: Deadline,
    ) -> Result<(frame::Header, Range<usize>), ClientError> {
        loop {
            let split = frame::split(&self.received[self.start..self.end])
                .map(|frame| frame.map(|frame| (frame.header, frame.bytes(), frame.body.len())));
            match split {
                Ok(Some((header, frame_bytes, body_bytes))) => {
                    self.start += frame_bytes;
                    return Ok((header, self.start - body_bytes..self.start));
                }
                Ok(None) => self.fill(asked, deadline)?,
                Err(error) => return Err(self.protocol(error.to_string())),
            }
        }
    }

    /// Reads once behind what is there, after making room.
    fn fill(&mut self, asked: &'static str, deadline: Deadline) -> Result<(), ClientError> {
        if self.start > 0 {
            self.received.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.received.len() {
            // Never full at its largest: a frame of that size would be whole.
            let larger = (self.received.len() * 4).min(FRAME_BYTES_MAX);
            self.received.resize(larger, 0);
        }
        match self.stream.read(&mut self.received[self.end..], deadline.at) {
            Ok(0) => {
                self.usable = false;
                Err(self.lost(&io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(bytes) => {
                self.end += bytes;
                Ok(())
            }
            // The answer may still come; whoever asks next skips it.
            Err(error) if is_timeout(&error) => Err(timeout(&self.endpoint, asked, deadline)),
            Err(error) => {
                self.usable = false;
                Err(self.lost(&error))
            }
        }
    }

    /// The peer broke the protocol: nothing more is believed of this connection.
    pub(crate) fn protocol(&mut self, what: String) -> ClientError {
        self.usable = false;
        let endpoint = self.endpoint.clone();
        ClientError::Protocol { endpoint, what }
    }

    fn invalid(&self, what: String) -> ClientError {
        let endpoint = self.endpoint.clone();
        ClientError::Invalid { endpoint, what }
    }

    fn lost(&self, error: &io::Error) -> ClientError {
        let endpoint = self.endpoint.clone();
        let reason = error.to_string();
        ClientError::Lost { endpoint, reason }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// `asked` was not answered in time.
pub(crate) fn timeout(endpoint: &Endpoint, asked: &'static str, deadline: Deadline) -> ClientError {
    ClientError::Timeout {
        endpoint: endpoint.clone(),
        asked,
        after: deadline.after,
    }
}
