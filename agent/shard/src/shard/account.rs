//! One node's account: what its calls said since it was last given out, and what its mind has not been told of yet.

use super::policies::PolicyPlace;
use super::run::CallRun;
use lars_wire::caller::Outcome;
use lars_wire::record::{Tally, Window};
use lars_wire::{ModuleId, NodeAddr};
use std::time::{Duration, Instant};

/// Kinds of calls that wait to be told.
const NOTED_MAX: usize = 4;

/// An instant as microseconds since the ledger's first call: half as long as an [`Instant`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

/// Turns instants into ticks and back.
#[derive(Debug, Default)]
pub(super) struct Clock {
    begun: Option<Instant>,
}

impl Clock {
    /// The tick at `now`: 1 at the first call, so that 0 stands for never.
    pub(super) fn tick(&mut self, now: Instant) -> Tick {
        let begun = *self.begun.get_or_insert(now);
        Tick(now.saturating_duration_since(begun).as_micros() as u64 + 1)
    }

    /// When this tick was.
    pub(super) fn instant(&self, tick: Tick) -> Option<Instant> {
        Some(self.begun? + Duration::from_micros(tick.0.saturating_sub(1)))
    }
}

impl Tick {
    /// The next multiple of `step`.
    pub(super) fn round_up(self, step: Duration) -> Self {
        Self(self.0.next_multiple_of(step.as_micros().max(1) as u64))
    }

    fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_micros() as u64))
    }
}

/// Calls that went well, each after so long.
#[derive(Clone, Copy, Debug, Default)]
struct Noted {
    latency_us: u32,
    /// How many; the highest bit says that they counted as in flight.
    calls: u32,
}

impl Noted {
    const COUNTED: u32 = 1 << 31;
}

/// The same, as a mind is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) calls: u32,
    pub(super) latency_us: u32,
    pub(super) counted: bool,
    /// When the last of them ended.
    pub(super) at: Tick,
}

/// Whose account it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody's: the place is free, or rests.
    #[default]
    Nobody,
    /// Of a node that is in a route held here.
    Node,
    /// Of a node that was in a route and is in none now.
    Left,
    /// Of a node that was in no route when a call to it was reported.
    Stray,
}

/// All that a call touches that went well, in two lines of a processor's cache beside each other: with millions of nodes the
/// memory is what a report costs.
#[derive(Clone, Debug, Default)]
#[repr(align(128))]
pub(super) struct Account {
    module: ModuleId,
    latency_sum_us: u64,
    /// When the status window closes; 0 while none was opened.
    closes_at: Tick,
    noted_at: Tick,
    ok: u32,
    failed: u32,
    timed_out: u32,
    cancelled: u32,
    latency_max_us: u32,
    succ: u32,
    err: u32,
    pub(super) policy: PolicyPlace,
    node: NodeAddr,
    /// Where the node stands among its module's nodes.
    pub(super) place: u16,
    pub(super) holder: Holder,
    /// Whether it stands in the list of what is to be given out.
    pub(super) is_dirty: bool,
    /// What the window says, and what the node's mind says.
    window_overloaded: bool,
    pub(super) overloaded: bool,
    /// Whether calls that go well change nothing at once, so that they may wait here until the mind's next look.
    pub(super) may_wait: bool,
    /// Whether its module is going to look at its nodes soon.
    pub(super) is_watched: bool,
    noted: u8,
    calls: [Noted; NOTED_MAX],
}

const _: () = assert!(size_of::<Account>() == 128);

impl Account {
    /// Nothing was counted yet.
    pub(super) fn new(module: ModuleId, node: NodeAddr, holder: Holder) -> Self {
        Self {
            module,
            node,
            holder,
            ..Self::default()
        }
    }

    /// Whose calls are counted.
    pub(super) fn key(&self) -> (ModuleId, NodeAddr) {
        (self.module, self.node)
    }

    /// Something of each of its lines, for whoever wants its memory before it is needed.
    pub(super) fn look_ahead(&self) -> (ModuleId, bool) {
        (self.module, self.is_dirty)
    }

    /// Whether it is that of this node, which is in a route held here.
    #[inline]
    pub(super) fn is_of(&self, module: ModuleId, node: NodeAddr) -> bool {
        self.holder == Holder::Node && self.module == module && self.node == node
    }

    /// Calls went well: notes them for the mind, where they may wait. Returns whether they do.
    #[inline]
    pub(super) fn note(&mut self, at: Tick, calls: u32, latency_us: u32, counted: bool) -> bool {
        if !self.may_wait || calls >= Noted::COUNTED {
            return false;
        }
        let counted = if counted { Noted::COUNTED } else { 0 };
        let noted = usize::from(self.noted);
        let alike = self.calls[..noted]
            .iter_mut()
            .find(|before| before.latency_us == latency_us && before.calls & Noted::COUNTED == counted);
        match alike {
            Some(before) => {
                let sum = (before.calls & !Noted::COUNTED) + calls;
                if sum >= Noted::COUNTED {
                    return false;
                }
                before.calls = sum | counted;
            }
            None if noted < NOTED_MAX => {
                self.calls[noted] = Noted {
                    latency_us,
                    calls: calls | counted,
                };
                self.noted += 1;
            }
            None => return false,
        }
        self.noted_at = at;
        true
    }

    /// Takes what the mind is to be told of.
    pub(super) fn take_noted(&mut self) -> impl Iterator<Item = Told> + use<> {
        let (calls, at) = (self.calls, self.noted_at);
        let noted = usize::from(std::mem::take(&mut self.noted));
        calls.into_iter().take(noted).map(move |noted| Told {
            calls: noted.calls & !Noted::COUNTED,
            latency_us: noted.latency_us,
            counted: noted.calls & Noted::COUNTED != 0,
            at,
        })
    }

    /// Counts calls. Returns a tally that is to be given out first, where the counts do not fit into one.
    #[inline]
    pub(super) fn enter(&mut self, at: Tick, run: &CallRun, status_window: Duration) -> Option<Tally> {
        let full = self.is_full(run).then(|| self.take());
        match run.outcome {
            Outcome::Ok => {
                self.ok += run.calls;
                self.latency_sum_us = self.latency_sum_us.saturating_add(run.latency_sum_us);
                self.latency_max_us = self.latency_max_us.max(run.latency_max_us);
            }
            Outcome::Failed => self.failed += run.calls,
            Outcome::TimedOut => self.timed_out += run.calls,
            Outcome::Cancelled => {
                // A call that the caller gave up opens no window: the window counts successes and failures alone.
                self.cancelled += run.calls;
                if self.closes_at <= at && !self.is_dirty {
                    (self.succ, self.err) = (0, 0);
                }
                self.window_overloaded = self.overloaded;
                return full;
            }
        }
        if self.closes_at <= at {
            self.closes_at = at.plus(status_window);
            (self.succ, self.err) = (0, 0);
        }
        let count = if run.outcome == Outcome::Ok {
            &mut self.succ
        } else {
            &mut self.err
        };
        *count = count.saturating_add(run.calls);
        self.window_overloaded = self.overloaded;
        full
    }

    /// The node stands otherwise than before. Returns whether an open window is to say so.
    pub(super) fn restate(&mut self, at: Tick) -> bool {
        let differs = self.closes_at >= at && self.window_overloaded != self.overloaded;
        if differs {
            self.window_overloaded = self.overloaded;
        }
        differs
    }

    /// When the status window closes, unless it has already.
    pub(super) fn open_until(&self, at: Tick) -> Option<Tick> {
        (self.closes_at > at).then_some(self.closes_at)
    }

    /// When the status window closes or closed.
    pub(super) fn closes_at(&self) -> Tick {
        self.closes_at
    }

    /// Closes the status window before its time. Returns whether it was open.
    pub(super) fn close(&mut self, at: Tick) -> bool {
        std::mem::take(&mut self.closes_at) > at
    }

    /// What was counted, and counts from 0 on; the window goes on.
    pub(super) fn take(&mut self) -> Tally {
        let tally = Tally {
            module: self.module,
            node: self.node,
            age_ms: 0,
            ok: self.ok,
            failed: self.failed,
            timed_out: self.timed_out,
            cancelled: self.cancelled,
            latency_sum_us: self.latency_sum_us,
            latency_max_us: self.latency_max_us,
            window: Window {
                succ: self.succ,
                err: self.err,
                overloaded: self.window_overloaded,
            },
        };
        (self.ok, self.failed, self.timed_out, self.cancelled) = (0, 0, 0, 0);
        (self.latency_sum_us, self.latency_max_us) = (0, 0);
        tally
    }

    /// Whether the calls of this run do not fit.
    fn is_full(&self, run: &CallRun) -> bool {
        let count = match run.outcome {
            Outcome::Ok => self.ok,
            Outcome::Failed => self.failed,
            Outcome::TimedOut => self.timed_out,
            Outcome::Cancelled => self.cancelled,
        };
        // The sum of latencies cannot overflow before the count does: (2^32 - 1)^2 < 2^64.
        count.checked_add(run.calls).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            may_wait: true,
            ..Account::new(
                ModuleId::new(1, 1),
                NodeAddr::from_ipv4_number(1, 80),
                Holder::Node,
            )
        }
    }

    #[test]
    fn calls_that_ended_alike_are_noted_as_one_and_more_kinds_than_there_is_room_for_are_not() {
        let mut account = account();
        assert!(account.note(Tick(1), 2, 100, false));
        assert!(account.note(Tick(2), 3, 100, false));
        assert!(account.note(Tick(3), 1, 100, true), "counted is another kind");
        assert!(account.note(Tick(4), 1, 200, false));
        assert!(account.note(Tick(5), 1, 300, false));
        assert!(!account.note(Tick(6), 1, 400, false));
        let told: Vec<_> = account.take_noted().collect();
        let kinds: Vec<_> = told
            .iter()
            .map(|told| (told.calls, told.latency_us, told.counted))
            .collect();
        assert_eq!(
            kinds,
            [(5, 100, false), (1, 100, true), (1, 200, false), (1, 300, false)]
        );
        assert!(told.iter().all(|told| told.at == Tick(5)));
        assert_eq!(account.take_noted().count(), 0);
        assert!(account.note(Tick(7), 1, 400, false), "there is room again");
    }

    #[test]
    fn more_calls_than_can_be_noted_and_those_that_may_not_wait_are_told_at_once() {
        let mut account = account();
        assert!(!account.note(Tick(1), 1 << 31, 100, false));
        assert!(account.note(Tick(1), (1 << 31) - 1, 100, true));
        assert!(!account.note(Tick(1), 1, 100, true));
        account.may_wait = false;
        assert!(!account.note(Tick(1), 1, 200, false));
    }

    #[test]
    fn instants_are_told_to_the_microsecond() {
        let (before, mut clock) = (Instant::now(), Clock::default());
        let start = before + Duration::from_secs(1);
        assert_eq!(clock.instant(Tick(5)), None);
        assert_eq!(clock.tick(start), Tick(1));
        let later = start + Duration::from_micros(1_234_567);
        let tick = clock.tick(later);
        assert_eq!(clock.instant(tick), Some(later));
        assert_eq!(clock.tick(before), Tick(1), "never before the first");
    }
}
