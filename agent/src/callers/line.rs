//! One caller's connection for board and rings: what it said, what it is answered, and its rings.

use super::fold::Fold;
use super::grants::{Grants, Ring, RingNumber};
use crate::stats::CallerCounts;
use crate::tap::{TapEnd, TappedCalls};
use lars_board::{Board, CallRecord, Packet, Packets, RingBroken, RingDrain};
use lars_wire::admin::{Reason, Refusal, bounded_text};
use lars_wire::bounds::{CALLER_NAME_BYTES_MAX, HEADER_BYTES};
use lars_wire::caller::{Hello, Ping, Pong, Welcome};
use lars_wire::frame::{self, Frame};
use lars_wire::ring::{RingHalfFull, RingOffer, RingTaken};
use lars_wire::{Kind, Message, VERSION, codec};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Bytes of the longest packet: a hello with its name.
const PACKET_BYTES_MAX: usize = HEADER_BYTES + 2 + 8 + CALLER_NAME_BYTES_MAX;
/// Packets of one caller that are handled before others have their turn.
const PACKETS_PER_TURN_MAX: usize = 64;
/// Flushes of one caller that wait for the next pass.
const PINGS_MAX: usize = 64;

/// Why a caller's connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// It closed it, or the system did.
    #[error("the caller has ended")]
    Closed,
    /// The system's reason.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The packet is no frame of this protocol, or not one that belongs here.
    #[error("{0}")]
    Bad(String),
}

/// What a line needs of the agent to answer.
pub(super) struct Hall<'a> {
    pub(super) board: &'a Board,
    pub(super) incarnation: [u8; 16],
    pub(super) cores: u16,
    /// Rings that all callers together may still add.
    pub(super) rings_left: u32,
    /// The number of the next ring.
    pub(super) next_ring: &'a Cell<u64>,
    pub(super) counts: &'a CallerCounts,
}

/// One caller.
pub(super) struct Line {
    packets: Packets,
    welcomed: bool,
    rings: Vec<Ring>,
    /// Flushes to be answered behind the next pass: sequence and echo.
    pings: Vec<(u32, u64)>,
    /// Whether its rings are to be drained at once.
    pub(super) urgent: bool,
}

impl Line {
    pub(super) fn new(packets: Packets) -> Self {
        Self {
            packets,
            welcomed: false,
            rings: Vec::new(),
            pings: Vec::new(),
            urgent: false,
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.packets.as_fd()
    }

    pub(super) fn rings(&self) -> u32 {
        self.rings.len() as u32
    }

    /// Handles what the caller has sent.
    pub(super) fn receive(&mut self, hall: &Hall<'_>) -> Result<(), Ended> {
        let before = self.rings();
        let mut bytes = [0; PACKET_BYTES_MAX];
        for _ in 0..PACKETS_PER_TURN_MAX {
            let Some(Packet { bytes: length, file }) = self.packets.receive(&mut bytes)? else {
                break;
            };
            if length == 0 {
                return Err(Ended::Closed);
            }
            let whole = frame::split(&bytes[..length]).map_err(|error| Ended::Bad(error.to_string()));
            match whole {
                Ok(Some(frame)) if frame.bytes() == length => {
                    let left = hall.rings_left.saturating_sub(self.rings() - before);
                    self.frame(hall, frame, file, left)?;
                }
                Ok(_) => return Err(self.refuse("a packet is one whole frame".to_owned())),
                Err(error) => return Err(self.refuse(error.to_string())),
            }
        }
        Ok(())
    }

    fn frame(
        &mut self,
        hall: &Hall<'_>,
        frame: Frame<'_>,
        file: Option<OwnedFd>,
        rings_left: u32,
    ) -> Result<(), Ended> {
        let (kind, sequence) = (frame.header.kind, frame.header.sequence);
        match kind {
            Kind::Hello if !self.welcomed => {
                let hello: Hello = self.decode(frame)?;
                if hello.version < u16::from(VERSION) {
                    return Err(self.refuse(format!("protocol version {} is too old", hello.version)));
                }
                self.welcomed = true;
                let welcome = Welcome {
                    version: u16::from(VERSION),
                    incarnation: hall.incarnation,
                    sockets: hall.cores,
                    board: true,
                };
                self.answer(&welcome, sequence, Some(hall.board.file()))
            }
            Kind::RingOffer if self.welcomed => {
                let RingOffer { ring } = self.decode(frame)?;
                let taken = file.is_some_and(|file| rings_left > 0 && self.adopt(hall, file));
                self.answer(&RingTaken { ring, taken }, sequence, None)
            }
            Kind::RingHalfFull if self.welcomed => {
                let RingHalfFull { .. } = self.decode(frame)?;
                self.urgent = true;
                Ok(())
            }
            Kind::Ping if self.welcomed && self.pings.len() < PINGS_MAX => {
                let Ping { echo } = self.decode(frame)?;
                self.pings.push((sequence, echo));
                self.urgent = true;
                Ok(())
            }
            _ => Err(self.refuse(format!("a {kind:?} is not taken here, or not yet"))),
        }
    }

    fn adopt(&mut self, hall: &Hall<'_>, file: OwnedFd) -> bool {
        match RingDrain::adopt(file) {
            Ok(ring) => {
                let number = hall.next_ring.get();
                hall.next_ring.set(number + 1);
                self.rings.push(Ring::new(RingNumber(number), ring));
                true
            }
            Err(error) => {
                hall.counts.rings_broken.add(1);
                tracing::warn!(%error, "a caller's ring is not taken");
                false
            }
        }
    }

    /// Empties the rings into `fold`; one in which something cannot be is given up.
    pub(super) fn drain(
        &mut self,
        fold: &mut Fold,
        tap: &mut TapEnd,
        grants: &mut Grants,
        counts: &CallerCounts,
    ) -> u64 {
        self.urgent = false;
        let mut records = 0;
        self.rings.retain_mut(|Ring { number, drain, .. }| {
            let drained = if grants.is_idle() {
                drain.drain(|record| take(record, fold, tap))
            } else {
                drain.drain(|record| {
                    grants.called(*number, record.module, record.calls);
                    take(record, fold, tap);
                })
            };
            match drained {
                Ok(drained) => {
                    records += drained;
                    true
                }
                Err(error) => {
                    given_up(counts, &error);
                    false
                }
            }
        });
        records
    }

    /// Its rings.
    pub(super) fn each_ring(&mut self) -> impl Iterator<Item = &mut Ring> {
        self.rings.iter_mut()
    }

    /// Answers the flushes: what was drained before is with its owners, or on the way.
    pub(super) fn answer_pings(&mut self) -> Result<(), Ended> {
        for (sequence, echo) in std::mem::take(&mut self.pings) {
            self.answer(&Pong { echo }, sequence, None)?;
        }
        Ok(())
    }

    fn decode<M: Message>(&self, frame: Frame<'_>) -> Result<M, Ended> {
        codec::decode(frame.body).map_err(|error| self.refuse(error.to_string()))
    }

    /// A caller that does not read its few answers loses its connection.
    fn answer<M: Message>(
        &self,
        message: &M,
        sequence: u32,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), Ended> {
        let mut bytes = Vec::new();
        codec::append(message, sequence, &mut bytes).map_err(|error| Ended::Bad(error.to_string()))?;
        Ok(self.packets.send(&bytes, file)?)
    }

    /// Tells the caller what it did wrong, if it still listens.
    fn refuse(&self, what: String) -> Ended {
        let refusal = Refusal {
            reason: Reason::Malformed,
            text: bounded_text(what.clone()),
        };
        let _ = self.answer(&refusal, 0, None);
        Ended::Bad(what)
    }
}

fn given_up(counts: &CallerCounts, error: &RingBroken) {
    counts.rings_broken.add(1);
    tracing::warn!(%error, "a caller's ring is given up");
}

/// What a ring held is folded, and seen by whoever records.
#[inline]
fn take(record: CallRecord, fold: &mut Fold, tap: &mut TapEnd) {
    let seen = || TappedCalls {
        at: Instant::now(),
        module: record.module,
        node: record.node,
        outcome: record.outcome,
        latency_us: record.latency_us,
        calls: record.calls,
    };
    tap.see(seen, record.module);
    fold.add(&record);
}
