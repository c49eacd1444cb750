//! A picker: what one thread picks with, without sharing anything with the others.

use crate::attempts::Attempts;
use crate::call::{Call, Chosen, micros};
use crate::client::{Client, PickOptions};
use crate::error::{ClientError, PickError};
use crate::seat::{Seat, Seen};
use lars_board::Picked;
use lars_wire::ModuleId;
use lars_wire::caller::Outcome;
use std::fmt;
use std::time::Duration;

/// Picks for one thread. Made by [`Client::picker`]; may be sent to another thread, and takes `&mut`, so that a pick
/// from the board takes no lock and writes nothing that other threads read.
///
/// Each picker has a ring of its own (256 KiB, most of it untouched by a thread that calls seldom), which goes to the
/// next picker of the same client when this one is dropped.
pub struct Picker {
    client: Client,
    /// None where the client does without the board.
    seat: Option<Seat>,
}

impl Picker {
    pub(crate) fn new(client: Client, seat: Option<Seat>) -> Self {
        Self { client, seat }
    }

    /// As [`Client::pick`]. Inlined with all that it usually does, so that a call stays in registers: what is copied right after
    /// it was written in pieces is waited for.
    #[inline(always)]
    pub fn pick(&mut self, module: ModuleId) -> Result<Call, PickError> {
        if let Some(seat) = &self.seat
            && let Some(made) = seat.glance_call(module)
        {
            return made;
        }
        self.pick_at_length(module)
    }

    #[cold]
    #[inline(never)]
    fn pick_at_length(&mut self, module: ModuleId) -> Result<Call, PickError> {
        if let Some(seat) = &mut self.seat {
            seat.follow()?;
            if let Some(made) = seat.glance_call(module) {
                return made;
            }
        }
        let chosen = self.choose(module)?;
        Ok(self.call(chosen))
    }

    /// As [`Client::pick_with`].
    pub fn pick_with(&mut self, module: ModuleId, options: PickOptions<'_>) -> Result<Call, PickError> {
        let chosen = self.choose_with(module, options)?;
        Ok(self.call(chosen))
    }

    #[inline]
    fn call(&self, chosen: Chosen) -> Call {
        match &self.seat {
            Some(seat) if chosen.by_board => Call::by_ring(seat.outlet().clone(), chosen),
            _ => Call::by_socket(self.client.clone(), chosen),
        }
    }

    /// As [`Client::attempts`].
    pub fn attempts(&mut self, module: ModuleId) -> Attempts<'_> {
        Attempts::of_picker(self, module)
    }

    /// Picks without a guard, for callers that measure for themselves: nothing is reported unless [`Self::report`] is
    /// called.
    #[inline]
    pub fn choose(&mut self, module: ModuleId) -> Result<Chosen, PickError> {
        if let Some(seat) = &mut self.seat {
            match seat.glance(module) {
                Picked::Node(choice) => return Ok(reachable(seat, Chosen::by_board(module, choice))),
                Picked::Overloaded { .. } => return Err(PickError::Overloaded { module }),
                Picked::Absent => {}
            }
        }
        self.choose_with(module, PickOptions::default())
    }

    /// The same with a key, nodes to avoid, or a wait for the first route.
    pub fn choose_with(&mut self, module: ModuleId, options: PickOptions<'_>) -> Result<Chosen, PickError> {
        let Some(seat) = &mut self.seat else {
            return self.client.ask(module, options);
        };
        if let Seen::Picked(picked) = seat.pick(module, options.key, options.avoid)? {
            return picked.map(|chosen| reachable(seat, chosen));
        }
        ask(&self.client, seat, module, options)
    }

    /// What the board says; none where it cannot tell, or there is none. Waits for nobody.
    #[cfg(feature = "tokio")]
    pub(crate) fn look(
        &mut self,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Option<Result<Call, PickError>>, ClientError> {
        let Some(seat) = &mut self.seat else {
            return Ok(None);
        };
        let Seen::Picked(picked) = seat.pick(module, options.key, options.avoid)? else {
            return Ok(None);
        };
        let picked = picked.map(|chosen| reachable(seat, chosen));
        Ok(Some(picked.map(|chosen| self.call(chosen))))
    }

    /// The call that the agent's answer leads to.
    #[cfg(feature = "tokio")]
    pub(crate) fn settle(
        &mut self,
        asked: Result<Chosen, PickError>,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Call, PickError> {
        let chosen = match &mut self.seat {
            Some(seat) => or_before(asked, seat, module, options),
            None => asked,
        };
        Ok(self.call(chosen?))
    }

    /// Whose picker it is.
    #[cfg(feature = "tokio")]
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Tells how a call ended to a node that [`Self::choose`] gave.
    #[inline]
    pub fn report(
        &mut self,
        chosen: &Chosen,
        outcome: Outcome,
        latency: Duration,
    ) -> Result<(), ClientError> {
        match &mut self.seat {
            Some(seat) if chosen.by_board => seat.report(chosen, outcome, micros(latency)),
            _ => self.client.send_report(&chosen.report(outcome, 0, latency)),
        }
    }
}

/// Where the agent did not take the ring, the report goes over the socket.
#[inline]
pub(crate) fn reachable(seat: &Seat, chosen: Chosen) -> Chosen {
    Chosen {
        by_board: seat.outlet().is_usable(),
        ..chosen
    }
}

/// The board does not know the module: the agent is asked, and where it does not know yet (it has just started) or is
/// not there, the board of the agent before.
#[cold]
#[inline(never)]
pub(crate) fn ask(
    client: &Client,
    seat: &mut Seat,
    module: ModuleId,
    options: PickOptions<'_>,
) -> Result<Chosen, PickError> {
    or_before(client.ask(module, options), seat, module, options)
}

/// What the agent answered, or the board of the agent before where this one could not tell.
fn or_before(
    asked: Result<Chosen, PickError>,
    seat: &mut Seat,
    module: ModuleId,
    options: PickOptions<'_>,
) -> Result<Chosen, PickError> {
    if is_unknown(&asked)
        && let Seen::Picked(picked) = seat.pick_previous(module, options.key, options.avoid)
    {
        return picked.map(|chosen| reachable(seat, chosen));
    }
    asked
}

/// Whether the agent could not tell, or was not there.
pub(crate) fn is_unknown(asked: &Result<Chosen, PickError>) -> bool {
    matches!(
        asked,
        Err(PickError::Pending { .. } | PickError::Failed { .. } | PickError::Client(_))
    )
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
